/*
 * Rule 4 of the poll-fd: it may be readable although nothing waits, then drain returns 0; and never does it report
 * POLLHUP or POLLERR while the queue lives, whatever becomes of connections, exchanges and the engine.
 */
#include "support/engine.h"

static void only_in(chttp_queue *queue)
{
    CHECK_EQ(polled(chttp_queue_fd(queue), 0) & ~POLLIN, 0);
}

int main(void)
{
    /* Each of these ends badly for a connection. */
    static const char *const paths[] = {"/reset", "/garbage", "/cut/100/10", "/stale/0", "/close/10", "/", "/nowhere"};
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        chttp_event events[8];
        only_in(queue);
        CHECK(!is_readable(chttp_queue_fd(queue)));
        CHECK_EQ(chttp_queue_drain(queue, events, 8, 0), 0);

        for (unsigned round = 0; round < 30; round++) {
            const char *path = paths[round % (sizeof paths / sizeof *paths)];
            submit_get(engine, queue, test_server_url(&server, path, url, sizeof url), 0, round);
            only_in(queue);
            for (int ended = 0; !ended;) {
                uint32_t n = pump(queue, events, 8);
                only_in(queue);
                for (uint32_t i = 0; i < n; i++)
                    ended |= is_terminal(&events[i]);
                chttp_events_release(events, n, sizeof *events);
            }
        }

        /* A wake-up makes it readable with nothing behind it; one drain takes it back. */
        CHECK_EQ(chttp_queue_wakeup(queue), 0);
        CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
        CHECK_EQ(chttp_queue_drain(queue, events, 8, 0), 0);
        /* Idle connections that close may make it readable at any time; it comes to rest, and stays clean. */
        while (is_readable(chttp_queue_fd(queue)))
            CHECK_EQ(chttp_queue_drain(queue, events, 8, 0), 0);
        only_in(queue);

        test_server_url(&server, "/hang", url, sizeof url);
        submit_get(engine, queue, url, 0, 0);
        chttp_engine_destroy(engine);
        only_in(queue);
        await_terminals(queue, 1);
        only_in(queue);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
