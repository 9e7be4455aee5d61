/*
 * chttp_queue_dispatch(): the events of a queue come to a function, in order and in batches, on the thread that asks. The
 * function may take objects, submit, cancel, stop early and destroy everything but the queue; nothing is lost or leaks.
 */
#include "support/engine.h"

#include <pthread.h>

#define MANY 300

static struct test_server server;

struct seen {
    chttp_engine *engine;
    chttp_queue *queue;
    const char *url;
    pthread_t thread;
    unsigned calls, events, terminals, cancelled;
    uint32_t largest;
    uint64_t next_token; /* exchanges end in order where they go one after the other over one connection */
    unsigned to_submit;
    void *kept;
    int stop, end_engine;
};

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct seen *seen = user;
    CHECK(pthread_equal(pthread_self(), seen->thread));
    CHECK(n > 0 && events != NULL);
    CHECK_EQ(stride, sizeof *events);
    seen->calls++;
    seen->events += n;
    if (n > seen->largest) seen->largest = n;
    for (uint32_t i = 0; i < n; i++) {
        chttp_event *event = &events[i];
        seen->cancelled += event->error == CHTTP_E_CANCELLED;
        if (!is_terminal(event)) continue;
        /* Those that the end of the engine finds open have no order among each other. */
        CHECK(event->token == seen->next_token || event->error == CHTTP_E_ENGINE_CLOSED);
        seen->next_token++;
        seen->terminals++;
        if (event->kind == CHTTP_EV_RESPONSE && seen->kept == NULL) {
            CHECK_MEM(event->data, (size_t)event->len, "hello\n", 6);
            seen->kept = event->obj;
            event->obj = NULL;
        }
        if (seen->to_submit > 0) {
            seen->to_submit--;
            chttp_xid xid = submit_get(seen->engine, seen->queue, seen->url, CHTTP_REQ_COLLECT, seen->next_token);
            if (seen->to_submit == 0) {
                int32_t code = chttp_cancel(seen->engine, xid);
                CHECK(code == 0 || code == CHTTP_E_NOT_FOUND); /* the answer may be here already */
            }
        }
    }
    if (seen->stop) CHECK_EQ(chttp_queue_wakeup(seen->queue), 0);
    if (seen->end_engine) {
        seen->end_engine = 0;
        CHECK_EQ(chttp_engine_destroy(seen->engine), 0);
    }
}

static void until(struct seen *seen, unsigned terminals, uint32_t max)
{
    while (seen->terminals < terminals) {
        CHECK_EQ(polled(chttp_queue_fd(seen->queue), GUARD_MS), POLLIN);
        unsigned before = seen->events;
        int32_t n = chttp_queue_dispatch(seen->queue, max, on_events, seen);
        CHECK(n >= 0 && (uint32_t)n <= max);
        CHECK_EQ(seen->events - before, n);
    }
    CHECK_EQ(seen->terminals, terminals);
}

static void run(int drive)
{
    const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 1}, {0, 0}};
    char url[64];
    struct seen seen;
    memset(&seen, 0, sizeof seen);
    seen.thread = pthread_self();
    seen.engine = engine_make(drive, settings);
    seen.queue = queue_make(seen.engine);
    seen.url = test_server_url(&server, "/", url, sizeof url);
    CHECK_EQ(chttp_queue_dispatch(NULL, 1, on_events, &seen), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_dispatch(seen.queue, 1, NULL, &seen), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_dispatch(seen.queue, 0, on_events, &seen), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_dispatch(seen.queue, UINT32_MAX, on_events, &seen), 0);
    CHECK_EQ(seen.calls, 0);

    /* It submits the next one itself, and cancels the last. */
    seen.to_submit = 20;
    submit_get(seen.engine, seen.queue, url, CHTTP_REQ_COLLECT, 0);
    until(&seen, 21, UINT32_MAX);
    CHECK_EQ(seen.cancelled <= 1, 1);
    CHECK(seen.kept != NULL);

    /* Many at once come in batches; in bounded ones too, and the descriptor stays readable for the rest. */
    for (uint32_t max = UINT32_MAX; max > 0; max = max > 7 ? 7 : 0) {
        unsigned before = seen.terminals;
        seen.largest = 0;
        for (unsigned i = 0; i < MANY; i++)
            submit_get(seen.engine, seen.queue, url, CHTTP_REQ_COLLECT, seen.next_token + i);
        if (drive == 1)
            while (stats_of(seen.engine).exchanges > 0) poll(NULL, 0, 1);
        until(&seen, before + MANY, max);
        CHECK(seen.largest <= max);
        if (drive == 1) CHECK_EQ(seen.largest, max > 128 ? 128 : max);
    }

    /* It stops after its first batch. */
    for (unsigned i = 0; i < MANY; i++)
        submit_get(seen.engine, seen.queue, url, CHTTP_REQ_COLLECT, seen.next_token + i);
    if (drive == 1)
        while (stats_of(seen.engine).exchanges > 0) poll(NULL, 0, 1);
    unsigned before = seen.terminals;
    seen.stop = 1;
    while (seen.terminals < before + MANY) {
        unsigned calls = seen.calls;
        CHECK_EQ(polled(chttp_queue_fd(seen.queue), GUARD_MS), POLLIN);
        CHECK(chttp_queue_dispatch(seen.queue, UINT32_MAX, on_events, &seen) >= 0);
        CHECK(seen.calls <= calls + 1);
    }
    seen.stop = 0;

    /* The engine ends inside; what it leaves behind can still be had. */
    char hang[64];
    test_server_url(&server, "/hang", hang, sizeof hang);
    submit_get(seen.engine, seen.queue, url, CHTTP_REQ_COLLECT, seen.next_token);
    submit_get(seen.engine, seen.queue, hang, 0, seen.next_token + 1);
    submit_get(seen.engine, seen.queue, hang, 0, seen.next_token + 2);
    before = seen.terminals;
    seen.end_engine = 1;
    until(&seen, before + 3, UINT32_MAX);
    CHECK_EQ(seen.end_engine, 0);
    CHECK_EQ(chttp_queue_dispatch(seen.queue, UINT32_MAX, on_events, &seen), 0);
    chttp_queue_destroy(seen.queue);
    CHECK_EQ(chttp_response_status(seen.kept), 200);
    chttp_release(seen.kept);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) run(drive);
    test_server_stop(&server);
    return 0;
}
