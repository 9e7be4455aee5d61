/*
 * Rule 5 of the poll-fd: edge-safe. Each change from empty to non-empty and each partial drain raises a new edge, so that
 * an EPOLLET loop that drains once for each edge, with room for a single event, gets everything. The loop here does
 * exactly that: after one drain it goes back to epoll_wait, whatever is left.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <sys/epoll.h>
#include <unistd.h>

#define BATCH 50

static void loop(chttp_queue *queue, int set, uint32_t cap, unsigned terminals)
{
    while (terminals > 0) {
        struct epoll_event edge;
        int n;
        while ((n = epoll_wait(set, &edge, 1, GUARD_MS)) < 0 && errno == EINTR) {
        }
        /* 0 is a lost edge. */
        CHECK_EQ(n, 1);
        CHECK_EQ(edge.events, EPOLLIN);
        chttp_event events[8];
        int32_t got = chttp_queue_drain(queue, events, cap, 0);
        CHECK(got >= 0);
        for (int32_t i = 0; i < got; i++)
            if (is_terminal(&events[i])) {
                CHECK(terminals > 0);
                terminals--;
            }
        chttp_events_release(events, (uint32_t)got, sizeof *events);
    }
}

int main(void)
{
    static const char *const paths[] = {"/", "/bytes/100000", "/delay/2", "/chunked/30000/100", "/hints/3", "/stale/1"};
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        for (uint32_t cap = 1; cap <= 8; cap += 7) {
            const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 8}, {0, 0}};
            chttp_engine *engine = engine_make(drive, settings);
            chttp_queue *queue = queue_make(engine);
            int set = epoll_create1(EPOLL_CLOEXEC);
            struct epoll_event interest = {.events = EPOLLIN | EPOLLET};
            CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, chttp_queue_fd(queue), &interest), 0);

            for (unsigned i = 0; i < BATCH; i++) {
                const char *path = paths[i % (sizeof paths / sizeof *paths)];
                submit_get(engine, queue, test_server_url(&server, path, url, sizeof url), 0, i);
            }
            loop(queue, set, cap, BATCH);
            /* One at a time: each answer leaves the queue empty and needs an edge of its own. */
            test_server_url(&server, "/", url, sizeof url);
            for (unsigned i = 0; i < BATCH; i++) {
                submit_get(engine, queue, url, CHTTP_REQ_COLLECT, i);
                loop(queue, set, cap, 1);
            }
            /* Submitted between an edge and its drain. */
            for (unsigned i = 0; i < BATCH; i++) {
                submit_get(engine, queue, url, CHTTP_REQ_COLLECT, i);
                struct epoll_event edge;
                CHECK_EQ(epoll_wait(set, &edge, 1, GUARD_MS), 1);
                submit_get(engine, queue, url, CHTTP_REQ_COLLECT, i);
                chttp_event events[8];
                int32_t got = chttp_queue_drain(queue, events, cap, 0);
                CHECK(got >= 0 && got <= 2);
                chttp_events_release(events, (uint32_t)got, 0);
                loop(queue, set, cap, 2 - (unsigned)got);
            }
            /* A deadline raises an edge too, and so does a cancel from outside of the loop. */
            chttp_request request = request_for(test_server_url(&server, "/hang", url, sizeof url));
            request.total_timeout_ns = 20 * MS_NS;
            submit_one(engine, queue, &request);
            loop(queue, set, cap, 1);
            request.total_timeout_ns = 0;
            CHECK_EQ(chttp_cancel(engine, submit_one(engine, queue, &request)), 0);
            loop(queue, set, cap, 1);
            /* And the end of the engine. */
            for (int i = 0; i < 3; i++)
                submit_one(engine, queue, &request);
            chttp_engine_destroy(engine);
            loop(queue, set, cap, 3);
            chttp_queue_destroy(queue);
            close(set);
        }
    }
    test_server_stop(&server);
    return 0;
}
