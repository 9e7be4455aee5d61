/*
 * Watches, timers, tasks and runs, abused, in both drives: NULL for each pointer, descriptors, flags and ids that cannot be,
 * handles of another engine, and objects of events where others are asked for. Each call gets its documented code, and the
 * engine serves on.
 */
#define _GNU_SOURCE

#include "support/hostile.h"

#include <fcntl.h>
#include <unistd.h>

static struct test_server server;

static void no_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    (void)events, (void)n, (void)stride, (void)user;
}

/* Another engine with a queue of its own. */
struct others {
    chttp_engine *engine;
    chttp_queue *queue;
};

static struct others others_make(void)
{
    struct others o = {.engine = engine_make(1, NULL)};
    o.queue = queue_make(o.engine);
    return o;
}

static void others_end(struct others o)
{
    CHECK_EQ(chttp_engine_destroy(o.engine), 0);
    CHECK_EQ(chttp_queue_destroy(o.queue), 0);
}

/* The next event of a source, and none of what else there is. */
static chttp_event next_of(struct world *w, chttp_xid id)
{
    chttp_event event = next_event(w->queue);
    CHECK_EQ(event.xid, id);
    return event;
}

HOSTILE(chttp_watch_fd)
{
    struct others o = others_make();
    chttp_xid id = 0;
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(chttp_watch_fd(NULL, w->queue, ends[0], 1, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_watch_fd(w->engine, NULL, ends[0], 1, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_watch_fd(w->engine, o.queue, ends[0], 1, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_watch_fd(w->engine, w->queue, -1, 1, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_watch_fd(w->engine, w->queue, INT32_MIN, 1, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_watch_fd(w->engine, w->queue, INT32_MAX, 1, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    for (uint32_t bit = 3; bit < 32; bit++)
        if (bit != 8) CHECK_EQ(chttp_watch_fd(w->engine, w->queue, ends[0], 1u << bit, 0, &id, NULL), CHTTP_E_UNKNOWN_FLAG);
    CHECK_EQ(chttp_watch_fd(w->engine, w->queue, ends[0], UINT32_MAX, 0, &id, NULL), CHTTP_E_UNKNOWN_FLAG);
    CHECK_EQ(id, 0);
    /* Without an id nobody can end it but the engine and the closing of both ends. */
    CHECK_EQ(chttp_watch_fd(w->engine, w->queue, ends[0], 0, UINT64_MAX, NULL, NULL), 0);
    CHECK_EQ(chttp_watch_fd(o.engine, o.queue, ends[0], CHTTP_WATCH_READ, 3, &id, NULL), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    chttp_event event = next_event(o.queue);
    CHECK(event.xid == id && event.token == 3);
    /* Its object is one of another kind to everybody. */
    CHECK_EQ(chttp_response_status(event.obj), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(event.obj), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_TLS, event.obj, NULL), CHTTP_E_OPTION_TYPE);
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_BACKEND, event.obj, NULL), CHTTP_E_OPTION_TYPE);
    /* A body's functions know no watch. */
    CHECK_EQ(chttp_body_write(o.engine, id, "x", 1), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_body_end(o.engine, id, NULL, 0, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_stream_fd(o.engine, id), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_stream_start_tls(o.engine, id, NULL, NULL, 0, NULL), CHTTP_E_NOT_FOUND);
    /* More references than one: the last one counts. */
    chttp_retain(event.obj);
    void *last = event.obj;
    event_free(&event);
    CHECK_EQ(chttp_queue_post(o.queue, 0, 0), 0);
    event = next_event(o.queue);
    CHECK_EQ(event.kind, CHTTP_EV_TASK);
    chttp_release(last);
    event = next_event(o.queue);
    CHECK_EQ(event.kind, CHTTP_EV_WATCH);
    close(ends[0]);
    close(ends[1]);
    others_end(o);
    event_free(&event);
}

HOSTILE(chttp_watch_modify)
{
    struct others o = others_make();
    chttp_xid id = 0, timer = 0;
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(chttp_watch_fd(w->engine, w->queue, ends[0], 1, 0, &id, NULL), 0);
    CHECK_EQ(chttp_timer_start(w->engine, w->queue, CHTTP_UNLIMITED, 0, 0, &timer, NULL), 0);
    CHECK_EQ(chttp_watch_modify(NULL, id, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_watch_modify(w->engine, id, 8, NULL), CHTTP_E_UNKNOWN_FLAG);
    CHECK_EQ(chttp_watch_modify(w->engine, timer, 1, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_watch_modify(w->engine, w->open, 1, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_watch_modify(o.engine, id, 1, NULL), CHTTP_E_NOT_FOUND);
    for (unsigned bit = 24; bit < 64; bit++)
        CHECK_EQ(chttp_watch_modify(w->engine, id ^ 1ull << bit, 1, NULL), CHTTP_E_NOT_FOUND);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_watch_modify(w->engine, stale_xid(w, i), 1, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_cancel(w->engine, id), 0);
    CHECK_EQ(next_of(w, id).error, CHTTP_E_CANCELLED);
    CHECK_EQ(chttp_cancel(w->engine, timer), 0);
    CHECK_EQ(next_of(w, timer).error, CHTTP_E_CANCELLED);
    close(ends[0]);
    close(ends[1]);
    others_end(o);
}

HOSTILE(chttp_timer_start)
{
    struct others o = others_make();
    chttp_xid id = 0;
    CHECK_EQ(chttp_timer_start(NULL, w->queue, 0, 0, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_timer_start(w->engine, NULL, 0, 0, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_timer_start(w->engine, o.queue, 0, 0, 0, &id, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(id, 0);
    static const uint64_t times[] = {1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < COUNT(times); i++)
        for (size_t k = 0; k < COUNT(times); k++) {
            CHECK_EQ(chttp_timer_start(w->engine, w->queue, times[i], times[k], 0, &id, NULL), 0);
            if (times[i] > 1) {
                CHECK_EQ(chttp_cancel(w->engine, id), 0);
                CHECK_EQ(next_of(w, id).error, CHTTP_E_CANCELLED);
                continue;
            }
            chttp_event event = next_of(w, id);
            CHECK_EQ(event.kind, CHTTP_EV_TIMER);
            event_free(&event);
            CHECK_EQ(chttp_cancel(w->engine, id), 0);
            for (int last = 0; !last;) {
                event = next_of(w, id);
                last = is_terminal(&event);
                event_free(&event);
            }
        }
    CHECK_EQ(chttp_timer_start(w->engine, w->queue, 0, 0, UINT64_MAX, NULL, NULL), 0);
    CHECK_EQ(next_event(w->queue).token, UINT64_MAX);
    others_end(o);
}

HOSTILE(chttp_timer_restart)
{
    struct others o = others_make();
    chttp_xid id = 0, watch = 0;
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    CHECK_EQ(chttp_watch_fd(w->engine, w->queue, ends[0], 0, 0, &watch, NULL), 0);
    CHECK_EQ(chttp_timer_start(w->engine, w->queue, CHTTP_UNLIMITED, UINT64_MAX, 0, &id, NULL), 0);
    CHECK_EQ(chttp_timer_restart(NULL, id, 0, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_timer_restart(w->engine, watch, 0, 0, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_timer_restart(w->engine, w->open, 0, 0, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_timer_restart(o.engine, id, 0, 0, NULL), CHTTP_E_NOT_FOUND);
    for (unsigned bit = 24; bit < 64; bit++)
        CHECK_EQ(chttp_timer_restart(w->engine, id ^ 1ull << bit, 0, 0, NULL), CHTTP_E_NOT_FOUND);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_timer_restart(w->engine, stale_xid(w, i), 0, 0, NULL), CHTTP_E_NOT_FOUND);
    for (unsigned i = 0; i < 1000; i++)
        CHECK_EQ(chttp_timer_restart(w->engine, id, UINT64_MAX - i, UINT64_MAX - i, NULL), 0);
    CHECK_EQ(chttp_cancel(w->engine, id), 0);
    CHECK_EQ(next_of(w, id).error, CHTTP_E_CANCELLED);
    CHECK_EQ(chttp_cancel(w->engine, watch), 0);
    CHECK_EQ(next_of(w, watch).error, CHTTP_E_CANCELLED);
    close(ends[0]);
    close(ends[1]);
    others_end(o);
}

HOSTILE(chttp_queue_post)
{
    CHECK_EQ(chttp_queue_post(NULL, 0, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_post(w->queue, UINT64_MAX, UINT64_MAX), 0);
    chttp_event event = next_event(w->queue);
    CHECK(event.kind == CHTTP_EV_TASK && event.token == UINT64_MAX && event.aux == UINT64_MAX);
    event_free(&event);
}

HOSTILE(chttp_queue_run)
{
    CHECK_EQ(chttp_queue_run(NULL, 0, no_events, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_run(w->queue, 0, NULL, NULL), CHTTP_E_INVALID_ARG);
    for (uint32_t bit = 1; bit < 32; bit++)
        CHECK_EQ(chttp_queue_run(w->queue, 1u << bit, no_events, NULL), CHTTP_E_UNKNOWN_FLAG);
    CHECK_EQ(chttp_queue_stop(w->queue), 0);
    CHECK_EQ(chttp_queue_run(w->queue, UINT32_MAX, no_events, NULL), CHTTP_E_UNKNOWN_FLAG);
    CHECK_EQ(chttp_queue_run(w->queue, CHTTP_RUN_STAY, no_events, NULL), 0);
}

HOSTILE(chttp_queue_stop)
{
    CHECK_EQ(chttp_queue_stop(NULL), CHTTP_E_INVALID_ARG);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(chttp_queue_stop(w->queue), 0);
    CHECK_EQ(chttp_queue_run(w->queue, CHTTP_RUN_STAY, no_events, NULL), 0);
}

static const struct attempt attempts[] = {
    TRY(chttp_watch_fd),
    TRY(chttp_watch_modify),
    TRY(chttp_timer_start),
    TRY(chttp_timer_restart),
    TRY(chttp_queue_post),
    TRY(chttp_queue_run),
    TRY(chttp_queue_stop),
};

/* The engine is gone, by either way, and its queue lives. */
static void without_engine(int drive)
{
    for (int way = 0; way < 2; way++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        CHECK_EQ(chttp_timer_start(engine, queue, CHTTP_UNLIMITED, 0, 0, NULL, NULL), 0);
        CHECK_EQ(way ? chttp_engine_release(engine) : chttp_engine_destroy(engine), 0);
        await_terminals(queue, 1);
        CHECK_EQ(chttp_queue_post(queue, 0, 0), CHTTP_E_ENGINE_DOWN);
        CHECK_EQ(chttp_queue_run(queue, CHTTP_RUN_STAY, no_events, NULL), CHTTP_E_ENGINE_DOWN);
        CHECK_EQ(chttp_queue_stop(queue), 0);
        CHECK_EQ(chttp_queue_run(queue, CHTTP_RUN_STAY, no_events, NULL), 0);
        CHECK_EQ(chttp_queue_destroy(queue), 0);
    }
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        char url[64];
        struct world w = world_make(drive, &server, url, sizeof url);
        hostile_run(attempts, COUNT(attempts), &w);
        world_end(&w);
        without_engine(drive);
    }
    test_server_stop(&server);
    return 0;
}
