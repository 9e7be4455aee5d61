/*
 * Rule 6 of the poll-fd: at most one write for each non-empty period plus one for each partial drain, whatever the number
 * of events. Counted where the library counts its system calls on eventfds and timerfds.
 *
 * In the engine's own drive a mailbox has an eventfd too: its calls are bounded by the calls that this test makes.
 */
#include "support/engine.h"

#define BATCH 400

/* `BATCH` exchanges at once. Nothing is drained until all have ended, so there is one non-empty period. */
static uint64_t calls_for_batch(chttp_engine *engine, chttp_queue *queue, const char *url, uint32_t cap)
{
    static chttp_request requests[BATCH];
    static chttp_event events[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        requests[i] = request_for(url);
        requests[i].flags = CHTTP_REQ_COLLECT;
    }
    uint64_t before = stats_of(engine).notifier_calls;
    CHECK_EQ(chttp_submit(engine, queue, requests, BATCH, sizeof *requests, NULL, NULL), 0);
    while (stats_of(engine).exchanges > 0)
        poll(NULL, 0, 1);
    CHECK(is_readable(chttp_queue_fd(queue)));
    for (unsigned got = 0; got < BATCH;) {
        int32_t n = chttp_queue_drain(queue, events, cap, 0);
        CHECK(n > 0);
        got += (unsigned)n;
        chttp_events_release(events, (uint32_t)n, sizeof *events);
    }
    return stats_of(engine).notifier_calls - before;
}

int main(void)
{
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", url, sizeof url);
    /* One I/O thread: the caller-driven engine cannot end anything while nobody drains. */
    const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 16}, {0, 0}};
    chttp_engine *engine = engine_make(1, settings);
    chttp_queue *queue = queue_make(engine);
    calls_for_batch(engine, queue, url, BATCH); /* connections are made and the thread is warm */

    /* One submit may ring and set the thread's deadline; the queue is raised once and lowered once. */
    uint64_t calls = calls_for_batch(engine, queue, url, BATCH);
    CHECK(calls >= 2 && calls <= 8);
    /* BATCH / 10 drains: each but the last leaves something: one write for what is left, one read for the next. */
    calls = calls_for_batch(engine, queue, url, 10);
    CHECK(calls >= 2 && calls <= 8 + 2 * (BATCH / 10));
    /* A drain of an empty queue costs nothing. */
    uint64_t before = stats_of(engine).notifier_calls;
    chttp_event event;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(chttp_queue_drain(queue, &event, 1, 0), 0);
    CHECK_EQ(stats_of(engine).notifier_calls - before, 0);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);

    /* Driven by the caller, submit and drain on one thread wake nobody. A deadline may be armed now and then. */
    engine = engine_make(0, settings);
    queue = queue_make(engine);
    submit_get(engine, queue, url, CHTTP_REQ_COLLECT, 0);
    await_terminals(queue, 1);
    before = stats_of(engine).notifier_calls;
    for (int i = 0; i < BATCH; i++) {
        submit_get(engine, queue, url, CHTTP_REQ_COLLECT, 0);
        await_terminals(queue, 1);
    }
    calls = stats_of(engine).notifier_calls - before;
    fprintf(stderr, "caller-driven: %d exchanges, %" PRIu64 " calls\n", BATCH, calls);
    CHECK(calls < BATCH / 2);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
    test_server_stop(&server);
    return 0;
}
