/*
 * Rule 8 of the poll-fd: thread-safe, and an event goes to exactly one drainer. Several threads take from one queue, some
 * by poll and drain and some by wait, while others submit; every token must come back once.
 */
#include "support/engine.h"

#include <pthread.h>

#define DRAINERS 4
#define SUBMITTERS 2
#define EACH 500
#define ALL (SUBMITTERS * EACH)

static struct {
    chttp_engine *engine;
    chttp_queue *queue;
    char url[64];
    _Atomic uint32_t ended;
    _Atomic unsigned char seen[ALL];
} shared;

static void count(chttp_event *events, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        CHECK_EQ(events[i].kind, CHTTP_EV_RESPONSE);
        CHECK(events[i].token < ALL);
        CHECK_EQ(shared.seen[events[i].token]++, 0);
    }
    CHECK_EQ(chttp_events_release(events, (uint32_t)n, sizeof *events), 0);
    shared.ended += (uint32_t)n;
}

static void *by_poll(void *arg)
{
    (void)arg;
    chttp_event events[5];
    while (shared.ended < ALL) {
        /* Another drainer may have been quicker: a time-out is no failure, the harness notices a hang. */
        if ((polled(chttp_queue_fd(shared.queue), 20) & POLLIN) == 0)
            continue;
        int32_t n = chttp_queue_drain(shared.queue, events, 5, 0);
        CHECK(n >= 0);
        count(events, n);
    }
    return NULL;
}

static void *by_wait(void *arg)
{
    (void)arg;
    chttp_event events[5];
    while (shared.ended < ALL) {
        int32_t n = chttp_queue_wait(shared.queue, events, 5, 0, 20 * MS_NS);
        CHECK(n >= 0);
        count(events, n);
    }
    return NULL;
}

static void *submitter(void *arg)
{
    uint64_t first = *(uint64_t *)arg;
    for (uint64_t i = 0; i < EACH; i++)
        submit_get(shared.engine, shared.queue, shared.url, CHTTP_REQ_COLLECT, first + i);
    return NULL;
}

int main(void)
{
    struct test_server server;
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", shared.url, sizeof shared.url);
    for (int drive = 0; drive < DRIVES; drive++) {
        for (int mix = 0; mix < 3; mix++) {
            const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 16}, {0, 0}};
            shared.engine = engine_make(drive, settings);
            shared.queue = queue_make(shared.engine);
            shared.ended = 0;
            memset((void *)shared.seen, 0, sizeof shared.seen);
            pthread_t threads[DRAINERS + SUBMITTERS];
            uint64_t first[SUBMITTERS];
            for (int i = 0; i < DRAINERS; i++) {
                void *(*how)(void *) = mix == 0 || (mix == 2 && i % 2 == 0) ? by_poll : by_wait;
                CHECK_EQ(pthread_create(&threads[i], NULL, how, NULL), 0);
            }
            for (int i = 0; i < SUBMITTERS; i++) {
                first[i] = (uint64_t)i * EACH;
                CHECK_EQ(pthread_create(&threads[DRAINERS + i], NULL, submitter, &first[i]), 0);
            }
            for (int i = 0; i < DRAINERS + SUBMITTERS; i++)
                CHECK_EQ(pthread_join(threads[i], NULL), 0);
            CHECK_EQ(shared.ended, ALL);
            chttp_engine_destroy(shared.engine);
            chttp_queue_destroy(shared.queue);
        }
    }
    test_server_stop(&server);
    return 0;
}
