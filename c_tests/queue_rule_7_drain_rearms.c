/*
 * Rule 7 of the poll-fd: drain clears readiness first, takes up to `cap`, and re-arms if anything is left. "Once for each
 * wake-up" and "until nothing comes" both work, with any room and any stride.
 */
#include "support/engine.h"

#define BATCH 40

/* A binding may keep its events in records of its own, larger than ours. */
struct record {
    chttp_event event;
    uint64_t mine[3];
};

static void submit_batch(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    static chttp_request requests[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        requests[i] = request_for(url);
        requests[i].flags = CHTTP_REQ_COLLECT;
        requests[i].token = i;
    }
    CHECK_EQ(chttp_submit(engine, queue, requests, BATCH, 0, NULL, NULL), 0);
}

/* Both idioms over records; `until_empty` is the second. */
static void take_batch(chttp_queue *queue, uint32_t cap, int until_empty)
{
    struct record records[BATCH];
    memset(records, 0xab, sizeof records);
    unsigned got = 0;
    while (got < BATCH) {
        CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
        int32_t n;
        do {
            n = chttp_queue_drain(queue, &records[0].event, cap, sizeof *records);
            CHECK(n >= 0 && n <= (int32_t)cap);
            for (int32_t i = 0; i < n; i++) {
                CHECK_EQ(records[i].event.kind, CHTTP_EV_RESPONSE);
                CHECK_MEM(records[i].event.data, (size_t)records[i].event.len, "hello\n", 6);
                CHECK_EQ(records[i].mine[0], 0xababababababababull);
            }
            CHECK_EQ(chttp_events_release(&records[0].event, (uint32_t)n, sizeof *records), 0);
            for (int32_t i = 0; i < n; i++)
                CHECK(records[i].event.obj == NULL && records[i].mine[2] == 0xababababababababull);
            got += (unsigned)n;
        } while (until_empty && n > 0);
    }
    CHECK_EQ(got, BATCH);
}

int main(void)
{
    static const uint32_t caps[] = {1, 3, BATCH};
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", url, sizeof url);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        for (unsigned i = 0; i < 6; i++) {
            submit_batch(engine, queue, url);
            take_batch(queue, caps[i % 3], i >= 3);
        }

        /* Room for nothing takes nothing, and leaves what waits to be seen. */
        submit_batch(engine, queue, url);
        CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
        for (int i = 0; i < 5; i++) {
            CHECK_EQ(chttp_queue_drain(queue, NULL, 0, 0), 0);
            CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
        }
        take_batch(queue, 5, 0);

        /* Drained to the ground, it comes to rest: the server keeps its connections, and no deadline runs. */
        chttp_event event;
        while (is_readable(chttp_queue_fd(queue)))
            CHECK_EQ(chttp_queue_drain(queue, &event, 1, 0), 0);
        CHECK_EQ(chttp_queue_drain(queue, &event, 1, 0), 0);
        CHECK(!is_readable(chttp_queue_fd(queue)));
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
