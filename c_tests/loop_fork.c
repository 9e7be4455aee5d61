/* run: plain valgrind */
/*
 * Watches and timers across fork(): they are the parent's. In the child every call is CHTTP_E_FORKED, then, after
 * chttp_engine_reset_after_fork(), their ids are CHTTP_E_NOT_FOUND and stay so; releasing an event of the parent's does
 * nothing; and the child's own watch of the same descriptor is the child's. The parent's go on, whatever the child closes.
 *
 * Not with the address sanitizer: fork_reset says why.
 */
#define _GNU_SOURCE

#include "support/engine.h"
#include "support/forked.h"

struct side {
    chttp_engine *engine;
    chttp_queue *queue;
    int ends[2];
    chttp_xid watch, timer;
    chttp_event held; /* of the watch */
};

static void on_nothing(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    (void)events, (void)n, (void)stride, (void)user;
}

static void forked(struct side *s)
{
    CHECK_EQ(chttp_watch_fd(s->engine, s->queue, s->ends[0], CHTTP_WATCH_READ, 0, NULL, NULL), CHTTP_E_FORKED);
    CHECK_EQ(chttp_watch_modify(s->engine, s->watch, 0, NULL), CHTTP_E_FORKED);
    CHECK_EQ(chttp_timer_start(s->engine, s->queue, 0, 0, 0, NULL, NULL), CHTTP_E_FORKED);
    CHECK_EQ(chttp_timer_restart(s->engine, s->timer, 0, 0, NULL), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_post(s->queue, 0, 0), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_run(s->queue, 0, on_nothing, NULL), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_stop(s->queue), CHTTP_E_FORKED);
    CHECK_EQ(chttp_cancel(s->engine, s->watch), CHTTP_E_FORKED);
}

static void child(struct side *s)
{
    int own[2];
    chttp_xid id = 0;
    forked(s);
    event_free(&s->held);
    CHECK_EQ(chttp_engine_reset_after_fork(s->engine, NULL), 0);
    CHECK_EQ(chttp_cancel(s->engine, s->watch), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_timer_restart(s->engine, s->timer, 0, 0, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_queue_run(s->queue, 0, on_nothing, NULL), 1);
    /* The parent's bytes are left alone. */
    CHECK_EQ(pipe2(own, O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(chttp_watch_fd(s->engine, s->queue, i ? own[0] : s->ends[0], CHTTP_WATCH_READ, 7, &id, NULL), 0);
        CHECK(id != s->watch && id != s->timer);
        if (i) CHECK_EQ(write(own[1], "x", 1), 1);
        chttp_event event = next_event(s->queue);
        CHECK(event.kind == CHTTP_EV_WATCH && event.xid == id && event.error == 0);
        CHECK_EQ(chttp_cancel(s->engine, id), 0);
        await_terminals(s->queue, 1);
        event_free(&event);
    }
    CHECK_EQ(chttp_timer_start(s->engine, s->queue, 0, 0, 7, &id, NULL), 0);
    await_terminals(s->queue, 1);
    CHECK_EQ(chttp_cancel(s->engine, s->timer), CHTTP_E_NOT_FOUND);
    close(s->ends[0]);
    CHECK_EQ(chttp_engine_destroy(s->engine), 0);
    CHECK_EQ(chttp_queue_destroy(s->queue), 0);
    child_is_done();
}

static void parent_goes_on(struct side *s)
{
    char byte;
    CHECK_EQ(read(s->ends[0], &byte, 1), 1);
    event_free(&s->held);
    CHECK_EQ(write(s->ends[1], "y", 1), 1);
    for (int watched = 0, ticked = 0; !watched || !ticked;) {
        chttp_event event = next_event(s->queue);
        CHECK_EQ(event.error, 0);
        if (event.kind == CHTTP_EV_WATCH) {
            CHECK_EQ(event.xid, s->watch);
            CHECK_EQ(read(s->ends[0], &byte, 1), 1);
            watched = 1;
        } else {
            CHECK_EQ(event.xid, s->timer);
            ticked = 1;
        }
        event_free(&event);
    }
}

static void across(int drive, int given_up)
{
    struct side s = {.engine = engine_make(drive, NULL)};
    s.queue = queue_make(s.engine);
    CHECK_EQ(pipe2(s.ends, O_CLOEXEC), 0);
    CHECK_EQ(write(s.ends[1], "x", 1), 1);
    CHECK_EQ(chttp_watch_fd(s.engine, s.queue, s.ends[0], CHTTP_WATCH_READ, 0, &s.watch, NULL), 0);
    s.held = next_event(s.queue);
    CHECK_EQ(s.held.kind, CHTTP_EV_WATCH);
    CHECK_EQ(chttp_timer_start(s.engine, s.queue, MS_NS, MS_NS, 0, &s.timer, NULL), 0);
    pid_t pid = fork_guarded();
    if (pid == 0) {
        if (!given_up) child(&s);
        /* Everything is closed, and nothing of it is taken out of the parent's set. */
        close(s.ends[0]);
        CHECK_EQ(chttp_engine_destroy(s.engine), 0);
        CHECK_EQ(chttp_queue_destroy(s.queue), 0);
        event_free(&s.held);
        child_is_done();
    }
    await_child(pid);
    parent_goes_on(&s);
    CHECK_EQ(chttp_engine_destroy(s.engine), 0);
    CHECK_EQ(chttp_queue_destroy(s.queue), 0);
    close(s.ends[0]);
    close(s.ends[1]);
}

struct forking {
    chttp_engine *engine;
    chttp_queue *queue;
    int reset;
    pid_t pid; /* 0 in the child */
    unsigned seen;
};

static void forks(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct forking *f = user;
    (void)stride;
    f->seen += n;
    for (uint32_t i = 0; i < n; i++)
        if (events[i].kind == CHTTP_EV_TIMER) CHECK_EQ(chttp_queue_stop(f->queue), 0);
    if (f->pid != -1) return;
    f->pid = fork_guarded();
    if (f->pid != 0 || !f->reset) return;
    CHECK_EQ(chttp_engine_reset_after_fork(f->engine, NULL), 0);
    CHECK_EQ(chttp_timer_start(f->engine, f->queue, MS_NS, 0, 0, NULL, NULL), 0);
}

/* A child that comes into being inside a run leaves it, or goes on with what is its own. */
static void inside_a_run(int drive, int reset)
{
    struct forking f = {.engine = engine_make(drive, NULL), .reset = reset, .pid = -1};
    f.queue = queue_make(f.engine);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(chttp_queue_post(f.queue, 0, 0), 0);
    int32_t code = chttp_queue_run(f.queue, 0, forks, &f);
    if (f.pid == 0) {
        CHECK_EQ(code, reset ? 0 : CHTTP_E_FORKED);
        CHECK_EQ(f.seen, reset ? 129 : 128);
        if (reset) CHECK_EQ(chttp_queue_run(f.queue, 0, forks, &f), 1);
        child_is_done();
    }
    CHECK_EQ(code, 1);
    CHECK_EQ(f.seen, 200);
    await_child(f.pid);
    CHECK_EQ(chttp_engine_destroy(f.engine), 0);
    CHECK_EQ(chttp_queue_destroy(f.queue), 0);
}

int main(void)
{
    for (int drive = 0; drive < DRIVES; drive++)
        for (int way = 0; way < 2; way++) {
            across(drive, way);
            inside_a_run(drive, way);
        }
    return 0;
}
