/*
 * CHTTP_EF_COPIED: small pieces and collected bodies are copies, and say so; pieces that fill the receive buffer are
 * slices of it, and do not. Heads have no bytes, and no flag.
 */
#include "support/engine.h"

static struct test_server server;

struct seen {
    uint64_t copied, sliced;
    unsigned others; /* events with the flag that have no bytes */
};

static struct seen run(chttp_engine *engine, chttp_queue *queue, const char *path, uint32_t flags)
{
    struct seen seen = {0, 0, 0};
    char url[64];
    submit_get(engine, queue, test_server_url(&server, path, url, sizeof url), flags, 0);
    for (int last = 0; !last;) {
        chttp_event event = next_event(queue);
        CHECK_EQ(event.error, 0);
        if (event.len == 0)
            seen.others += (event.flags & CHTTP_EF_COPIED) != 0;
        else
            *(event.flags & CHTTP_EF_COPIED ? &seen.copied : &seen.sliced) += event.len;
        for (uint64_t i = 1; i < event.len; i++)
            CHECK(event.data[i] != event.data[i - 1]); /* what the flag says is no reason to be wrong */
        last = is_terminal(&event);
        event_free(&event);
    }
    CHECK_EQ(seen.others, 0);
    return seen;
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        struct seen seen = run(engine, queue, "/bytes/1000", 0);
        CHECK(seen.copied == 1000 && seen.sliced == 0);
        seen = run(engine, queue, "/chunked/2000/10", 0);
        CHECK(seen.copied == 2000 && seen.sliced == 0);
        seen = run(engine, queue, "/bytes/1000", CHTTP_REQ_COLLECT);
        CHECK(seen.copied == 1000 && seen.sliced == 0);
        seen = run(engine, queue, "/bytes/100000", CHTTP_REQ_COLLECT);
        CHECK(seen.copied == 100000 && seen.sliced == 0);
        seen = run(engine, queue, "/status/204", CHTTP_REQ_COLLECT);
        CHECK(seen.copied == 0 && seen.sliced == 0);
        /* How it is cut is the network's business, but of so much something comes in large pieces. */
        seen = run(engine, queue, "/bytes/20000000", 0);
        CHECK(seen.sliced > 0 && seen.copied + seen.sliced == 20000000);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
