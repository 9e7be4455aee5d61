/*
 * Rule 3 of the poll-fd: whenever the queue is non-empty and nobody is inside drain or wait, the descriptor is readable.
 * Many threads submit at random moments while one thread polls and drains; were one wake-up lost, the exchange that it
 * belonged to would never be seen, because nothing but the descriptor makes this loop go on.
 */
#include "support/engine.h"

#include <pthread.h>

#define THREADS 4
#define EACH 400
#define UNDER_WAY 32

struct side {
    chttp_engine *engine;
    chttp_queue *queue;
    const char *url;
    uint64_t first_token;
    _Atomic uint32_t *ended;
    _Atomic uint32_t *begun;
};

static void *submitter(void *arg)
{
    const struct side *side = arg;
    for (uint64_t i = 0; i < EACH; i++) {
        submit_get(side->engine, side->queue, side->url, CHTTP_REQ_COLLECT, side->first_token + i);
        uint32_t begun = ++*side->begun;
        /* Keeps the queue close to empty, where wake-ups are lost if they are. */
        while (begun > *side->ended + UNDER_WAY)
            poll(NULL, 0, 1);
    }
    return NULL;
}

static void run(int drive, const char *url)
{
    static unsigned char seen[THREADS * EACH];
    memset(seen, 0, sizeof seen);
    _Atomic uint32_t ended = 0, begun = 0;
    chttp_engine *engine = engine_make(drive, NULL);
    chttp_queue *queue = queue_make(engine);
    pthread_t threads[THREADS];
    struct side sides[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        sides[i] = (struct side){engine, queue, url, (uint64_t)i * EACH, &ended, &begun};
        CHECK_EQ(pthread_create(&threads[i], NULL, submitter, &sides[i]), 0);
    }
    while (ended < THREADS * EACH) {
        chttp_event events[7];
        uint32_t n = pump(queue, events, 1 + ended % 7);
        for (uint32_t i = 0; i < n; i++) {
            CHECK_EQ(events[i].kind, CHTTP_EV_RESPONSE);
            CHECK(events[i].token < THREADS * EACH);
            CHECK_EQ(seen[events[i].token]++, 0);
        }
        CHECK_EQ(chttp_events_release(events, n, sizeof *events), 0);
        ended += n;
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
}

/* Events that are there already keep it readable, however often it is polled, also for a submit after the fact. */
static void stays_readable(int drive, const char *url)
{
    chttp_engine *engine = engine_make(drive, NULL);
    chttp_queue *queue = queue_make(engine);
    for (int i = 0; i < 3; i++)
        submit_get(engine, queue, url, CHTTP_REQ_COLLECT, 0);
    chttp_event events[3];
    uint32_t got = 0;
    while (got < 1)
        got += pump(queue, events, 1);
    /* Two are left or under way: the descriptor becomes readable, and stays so. */
    CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
    for (int i = 0; i < 100; i++)
        CHECK(is_readable(chttp_queue_fd(queue)));
    while (got < 3)
        got += pump(queue, events + got, 1);
    CHECK_EQ(chttp_events_release(events, 3, 0), 0);
    for (int i = 0; i < 3; i++)
        CHECK(events[i].obj == NULL);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
}

int main(void)
{
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", url, sizeof url);
    for (int drive = 0; drive < DRIVES; drive++) {
        run(drive, url);
        stays_readable(drive, url);
    }
    test_server_stop(&server);
    return 0;
}
