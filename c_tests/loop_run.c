/*
 * chttp_queue_run() until it is stopped: inside, by another thread, by a signal handler, before it begins; or until nothing is
 * left. chttp_queue_post() from several threads. In both drives, for one thread, several, and several queues.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define POSTERS 4
#define EACH 2000
#define RUNNERS 3

static struct test_server server;
static char hello[64], hang[64];

struct loop {
    chttp_engine *engine;
    chttp_queue *queue;
    chttp_xid watch, timer;
    int ends[2];
    _Atomic unsigned tasks, ticks, reads, answers, others;
    unsigned stop_after; /* tasks */
    uint64_t next[POSTERS];
};

static struct loop loop_make(int drive)
{
    struct loop l = {.engine = engine_make(drive, NULL)};
    l.queue = queue_make(l.engine);
    CHECK_EQ(pipe2(l.ends, O_CLOEXEC), 0);
    return l;
}

static void loop_end(struct loop *l)
{
    CHECK_EQ(chttp_engine_destroy(l->engine), 0);
    CHECK_EQ(chttp_queue_destroy(l->queue), 0);
    close(l->ends[0]);
    close(l->ends[1]);
}

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct loop *l = user;
    char byte;
    CHECK(n > 0 && n <= 128 && stride == sizeof *events);
    for (uint32_t i = 0; i < n; i++) {
        const chttp_event *event = &events[i];
        if (event->kind == CHTTP_EV_TASK) {
            if (++l->tasks == l->stop_after) CHECK_EQ(chttp_queue_stop(l->queue), 0);
        } else if (event->kind == CHTTP_EV_TIMER && !is_terminal(event)) {
            l->ticks++;
        } else if (event->kind == CHTTP_EV_WATCH && !is_terminal(event)) {
            CHECK_EQ(read(l->ends[0], &byte, 1), 1);
            l->reads++;
        } else if (event->kind == CHTTP_EV_RESPONSE) {
            CHECK_EQ(event->arg, 200);
            l->answers++;
        } else {
            l->others++;
        }
    }
}

static int32_t run(struct loop *l, uint32_t flags)
{
    return chttp_queue_run(l->queue, flags, on_events, l);
}

/* One thread, and everything there is to wait for, as long as any is left. */
static void everything(int drive)
{
    struct loop l = loop_make(drive);
    CHECK_EQ(run(&l, 0), 1);
    CHECK_EQ(chttp_watch_fd(l.engine, l.queue, l.ends[0], CHTTP_WATCH_READ, 0, &l.watch, NULL), 0);
    CHECK_EQ(chttp_timer_start(l.engine, l.queue, MS_NS, MS_NS, 0, &l.timer, NULL), 0);
    CHECK_EQ(write(l.ends[1], "abc", 3), 3);
    submit_get(l.engine, l.queue, hello, CHTTP_REQ_COLLECT, 0);
    for (int i = 0; i < 300; i++)
        CHECK_EQ(chttp_queue_post(l.queue, 0, 0), 0);
    l.stop_after = 300;
    CHECK_EQ(run(&l, 0), 0);
    CHECK_EQ(l.tasks, 300);
    while (l.answers < 1 || l.reads < 3 || l.ticks < 3) {
        CHECK_EQ(chttp_queue_post(l.queue, 0, 0), 0);
        l.stop_after = l.tasks + 1;
        CHECK_EQ(run(&l, 0), 0);
    }
    CHECK(l.reads == 3 && l.answers == 1 && l.others == 0);
    /* What is cancelled ends, and then nothing is left; a watch that is paused would keep it going. */
    submit_get(l.engine, l.queue, hello, CHTTP_REQ_COLLECT, 0);
    CHECK_EQ(chttp_cancel(l.engine, l.timer), 0);
    CHECK_EQ(chttp_cancel(l.engine, l.watch), 0);
    CHECK_EQ(run(&l, 0), 1);
    CHECK(l.others == 2 && l.answers == 2);
    CHECK_EQ(chttp_timer_start(l.engine, l.queue, 0, 0, 0, NULL, NULL), 0);
    CHECK_EQ(run(&l, 0), 1);
    CHECK_EQ(l.others, 3);
    loop_end(&l);
}

/* A stop is for the run in progress, or else for the next one, whatever waits. */
static void stopped_before(int drive)
{
    struct loop l = loop_make(drive);
    CHECK_EQ(chttp_queue_post(l.queue, 0, 0), 0);
    CHECK_EQ(chttp_queue_stop(l.queue), 0);
    CHECK_EQ(chttp_queue_stop(l.queue), 0);
    CHECK_EQ(run(&l, CHTTP_RUN_STAY), 0);
    CHECK_EQ(l.tasks, 0);
    CHECK_EQ(run(&l, 0), 1);
    CHECK_EQ(l.tasks, 1);
    l.stop_after = 2;
    CHECK_EQ(chttp_queue_post(l.queue, 0, 0), 0);
    CHECK_EQ(run(&l, CHTTP_RUN_STAY), 0);
    CHECK_EQ(run(&l, 0), 1);
    loop_end(&l);
}

static struct loop *interrupted;

static void stops(int number)
{
    (void)number;
    CHECK_EQ(chttp_queue_stop(interrupted->queue), 0);
}

static void ignores(int number)
{
    (void)number;
}

static void *later(void *user)
{
    pthread_t *to = user;
    for (int i = 0; i < 20; i++) {
        poll(NULL, 0, 2);
        pthread_kill(*to, SIGUSR1);
    }
    return NULL;
}

static void by_signals(int drive)
{
    struct loop l = loop_make(drive);
    pthread_t self = pthread_self(), pest;
    struct sigaction action;
    interrupted = &l;
    for (int stop = 0; stop < 2; stop++) {
        memset(&action, 0, sizeof action);
        action.sa_handler = stop ? stops : ignores;
        action.sa_flags = SA_RESTART;
        CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
        chttp_xid timer = 0;
        CHECK_EQ(chttp_timer_start(l.engine, l.queue, 3600 * SECOND_NS, 0, 0, &timer, NULL), 0);
        CHECK_EQ(pthread_create(&pest, NULL, later, &self), 0);
        CHECK_EQ(run(&l, stop ? CHTTP_RUN_STAY : 0), stop ? 0 : CHTTP_E_INTERRUPTED);
        CHECK_EQ(pthread_join(pest, NULL), 0);
        CHECK_EQ(chttp_cancel(l.engine, timer), 0);
        /* Stops that nobody needed are for one more run together. */
        while (run(&l, 0) != 1) {
        }
    }
    CHECK_EQ(l.others, 2);
    loop_end(&l);
}

static void *stop_it(void *user)
{
    struct loop *l = user;
    await_count(&l->tasks, 1);
    CHECK_EQ(chttp_queue_stop(l->queue), 0);
    return NULL;
}

static void by_another_thread(int drive)
{
    for (int i = 0; i < 50; i++) {
        struct loop l = loop_make(drive);
        pthread_t other;
        CHECK_EQ(chttp_queue_post(l.queue, 0, 0), 0);
        submit_get(l.engine, l.queue, hang, 0, 0);
        CHECK_EQ(pthread_create(&other, NULL, stop_it, &l), 0);
        CHECK_EQ(run(&l, i % 2 ? CHTTP_RUN_STAY : 0), 0);
        CHECK_EQ(pthread_join(other, NULL), 0);
        loop_end(&l);
    }
}

struct poster {
    struct loop *loop;
    unsigned number;
    pthread_t thread;
};

static void *post(void *user)
{
    const struct poster *p = user;
    for (uint64_t i = 0; i < EACH; i++)
        CHECK_EQ(chttp_queue_post(p->loop->queue, p->number, i), 0);
    return NULL;
}

static void on_tasks(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct loop *l = user;
    (void)stride;
    for (uint32_t i = 0; i < n; i++) {
        CHECK(events[i].kind == CHTTP_EV_TASK && events[i].token < POSTERS);
        CHECK_EQ(events[i].aux, l->next[events[i].token]++);
    }
    l->tasks += n;
    if (l->tasks == POSTERS * EACH && l->stop_after == 1) CHECK_EQ(chttp_queue_stop(l->queue), 0);
}

/* From four threads: nothing is lost, and those of one thread come in their order. */
static void posted(int drive, int called)
{
    struct loop l = loop_make(drive);
    struct poster posters[POSTERS];
    chttp_queue *own = l.queue;
    if (called) l.queue = callback_make(l.engine, on_tasks, &l, "tasks");
    l.stop_after = !called;
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.loop = &l, .number = i};
        CHECK_EQ(pthread_create(&posters[i].thread, NULL, post, &posters[i]), 0);
    }
    if (called)
        await_count(&l.tasks, POSTERS * EACH);
    else
        CHECK_EQ(chttp_queue_run(l.queue, CHTTP_RUN_STAY, on_tasks, &l), 0);
    for (unsigned i = 0; i < POSTERS; i++)
        CHECK_EQ(pthread_join(posters[i].thread, NULL), 0);
    CHECK_EQ(l.tasks, POSTERS * EACH);
    if (called) {
        CHECK_EQ(chttp_queue_stop(l.queue), CHTTP_E_BAD_STATE);
        CHECK_EQ(chttp_queue_run(l.queue, 0, on_tasks, &l), CHTTP_E_BAD_STATE);
        CHECK_EQ(chttp_queue_destroy(l.queue), 0);
        l.queue = own;
    }
    loop_end(&l);
}

struct runner {
    struct loop *loop;
    pthread_t thread;
    int32_t code;
    _Atomic unsigned seen;
};

static void *run_along(void *user)
{
    struct runner *r = user;
    r->code = run(r->loop, CHTTP_RUN_STAY);
    return NULL;
}

static void on_own(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct runner *r = user;
    (void)events, (void)stride;
    r->seen += n;
}

static void *run_own(void *user)
{
    struct runner *r = user;
    r->code = chttp_queue_run(r->loop->queue, CHTTP_RUN_STAY, on_own, r);
    return NULL;
}

/* Several threads run one queue: one stop ends them all, also when a wait takes the wake-up. */
static void together(int drive, int waits)
{
    struct loop l = loop_make(drive);
    struct runner runners[RUNNERS];
    chttp_event event;
    unsigned posted = 0, seen = 0;
    for (int i = 0; i < RUNNERS; i++) {
        runners[i].loop = &l;
        runners[i].code = -1;
        runners[i].seen = 0;
        CHECK_EQ(pthread_create(&runners[i].thread, NULL, run_own, &runners[i]), 0);
    }
    /* Each of them has begun once it had an event. */
    for (int i = 0; i < RUNNERS; i++)
        while (runners[i].seen == 0) {
            CHECK_EQ(chttp_queue_post(l.queue, 0, 0), 0);
            if (++posted % 64 == 0) poll(NULL, 0, 1);
        }
    while (seen < posted)
        for (int i = seen = 0; i < RUNNERS; i++)
            seen += runners[i].seen;
    CHECK_EQ(seen, posted);
    CHECK_EQ(chttp_queue_stop(l.queue), 0);
    if (waits)
        for (int i = 0; i < 50; i++)
            CHECK_EQ(chttp_queue_wait(l.queue, &event, 1, 0, MS_NS / 10), 0);
    for (int i = 0; i < RUNNERS; i++) {
        CHECK_EQ(pthread_join(runners[i].thread, NULL), 0);
        CHECK_EQ(runners[i].code, 0);
    }
    CHECK_EQ(run(&l, 0), 1);
    loop_end(&l);
}

/* The engine ends under those who run: each event is handed over before they hear of it. */
static void to_the_end(int drive)
{
    struct loop l = loop_make(drive);
    struct runner r = {.loop = &l};
    submit_get(l.engine, l.queue, hang, 0, 0);
    CHECK_EQ(chttp_watch_fd(l.engine, l.queue, l.ends[0], CHTTP_WATCH_READ, 0, NULL, NULL), 0);
    CHECK_EQ(chttp_timer_start(l.engine, l.queue, CHTTP_UNLIMITED, 0, 0, NULL, NULL), 0);
    CHECK_EQ(pthread_create(&r.thread, NULL, run_along, &r), 0);
    CHECK_EQ(chttp_queue_post(l.queue, 0, 0), 0);
    await_count(&l.tasks, 1);
    CHECK_EQ(chttp_engine_destroy(l.engine), 0);
    CHECK_EQ(pthread_join(r.thread, NULL), 0);
    CHECK_EQ(r.code, CHTTP_E_ENGINE_DOWN);
    CHECK_EQ(l.others, 3);
    CHECK_EQ(chttp_queue_destroy(l.queue), 0);
    close(l.ends[0]);
    close(l.ends[1]);
}

/* A wait of each kind takes a stop for a wake-up at most. */
static void mixed(void)
{
    chttp_event event;
    struct loop l = loop_make(1);
    CHECK_EQ(chttp_queue_stop(l.queue), 0);
    CHECK_EQ(chttp_queue_post(l.queue, 0, 0), 0);
    CHECK_EQ(chttp_queue_wait(l.queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    CHECK_EQ(run(&l, CHTTP_RUN_STAY), 0);
    loop_end(&l);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", hello, sizeof hello);
    test_server_url(&server, "/hang", hang, sizeof hang);
    for (int drive = 0; drive < DRIVES; drive++) {
        everything(drive);
        stopped_before(drive);
        by_signals(drive);
        by_another_thread(drive);
        posted(drive, 0);
        if (drive == 1) posted(drive, 1);
        together(drive, 0);
        together(drive, 1);
        to_the_end(drive);
    }
    mixed();
    test_server_stop(&server);
    return 0;
}
