/*
 * chttp_cancel() at every moment: before anything is sent, while connecting, in the head, in the body, without credit,
 * in an upload, at the end, from the same thread and from another. There is exactly one terminal event, it is the last,
 * and no connection or exchange is lost to the pool.
 */
#include "support/engine.h"

#include <pthread.h>

#define ROUNDS 300
#define CONNECTIONS 3

static struct test_server server;
static chttp_engine *engine;
static _Atomic uint64_t target;
static _Atomic int stop;
static char large_body[300000];

static void *canceller(void *arg)
{
    (void)arg;
    chttp_xid done = 0;
    uint32_t random = 1;
    while (!stop) {
        chttp_xid xid = target;
        if (xid == done) {
            poll(NULL, 0, 0);
            continue;
        }
        done = xid;
        random = random * 1664525u + 1013904223u;
        /* The moment is the point: none is right, and all have to do. */
        for (volatile uint32_t spin = random % 60000; spin > 0; spin--) {
        }
        int32_t code = chttp_cancel(engine, xid);
        CHECK(code == 0 || code == CHTTP_E_NOT_FOUND);
    }
    return NULL;
}

static chttp_xid begin(chttp_queue *queue, unsigned round)
{
    static const char *const paths[] = {"/",      "/bytes/200000", "/chunked/20000/10", "/delay/1", "/hang",
                                        "/reset", "/count",        "/count",            "/hints/5", "/drip/10/1"};
    char url[64];
    unsigned kind = round % (sizeof paths / sizeof *paths);
    chttp_request request = request_for(test_server_url(&server, paths[kind], url, sizeof url));
    request.flags = kind == 0 ? CHTTP_REQ_COLLECT : 0;
    request.recv_credit = kind == 1 && round % 3 == 0 ? 8192 : 0;
    request.token = round;
    if (kind == 6) {
        request.method = "POST";
        request.method_len = 4;
        request.body = large_body;
        request.body_len = sizeof large_body;
    } else if (kind == 7) {
        request.method = "POST";
        request.method_len = 4;
        request.flags = CHTTP_REQ_STREAM_BODY;
        request.body_len = CHTTP_LENGTH_UNKNOWN;
    }
    chttp_xid xid = submit_one(engine, queue, &request);
    if (kind == 7) {
        /* A cancel may have come in between. */
        int32_t code = chttp_body_write(engine, xid, large_body, 1000);
        CHECK(code == 0 || code == CHTTP_E_NOT_FOUND);
    }
    return xid;
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, CONNECTIONS}, {0, 0}};
        engine = engine_make(drive, settings);
        chttp_queue *queue = queue_make(engine);
        pthread_t thread;

        /* On the same thread, after as many events as the round says. */
        for (unsigned round = 0; round < ROUNDS; round++) {
            chttp_xid xid = begin(queue, round);
            unsigned wanted = round % 5, hangs = round % 10 == 4 || round % 10 == 7;
            struct answer a;
            memset(&a, 0, sizeof a);
            int ended = 0, cancelled = 0;
            while (!ended) {
                if (!cancelled && (hangs || wanted-- == 0)) {
                    cancelled = 1;
                    int32_t code = chttp_cancel(engine, xid);
                    CHECK(code == 0 || code == CHTTP_E_NOT_FOUND);
                }
                chttp_event event = next_event(queue);
                CHECK_EQ(event.xid, xid);
                ended = answer_add(&a, &event);
                event_free(&event);
            }
            CHECK_EQ(a.write_done, round % 10 == 6);
            CHECK(a.error == 0 || a.error == CHTTP_E_CANCELLED || round % 10 == 5);
        }

        /* From another thread, whenever. */
        stop = 0;
        target = 0;
        CHECK_EQ(pthread_create(&thread, NULL, canceller, NULL), 0);
        unsigned cancelled = 0;
        for (unsigned round = 0; round < ROUNDS; round++) {
            chttp_xid xid = begin(queue, round);
            target = xid;
            struct answer a = read_answer(queue, xid);
            CHECK_EQ(a.write_done, round % 10 == 6);
            CHECK(a.error == 0 || a.error == CHTTP_E_CANCELLED || round % 10 == 5);
            cancelled += a.error == CHTTP_E_CANCELLED;
        }
        CHECK(cancelled > 0);
        stop = 1;
        pthread_join(thread, NULL);

        /* Nothing was lost: all connections can be had at once, and the books agree. */
        chttp_stats stats = stats_of(engine);
        CHECK_EQ(stats.exchanges, 0);
        CHECK_EQ(stats.waiting, 0);
        CHECK(stats.connections <= CONNECTIONS && stats.connections_idle == stats.connections);
        CHECK_EQ(stats.submitted, 2 * ROUNDS);
        CHECK_EQ(stats.succeeded + stats.failed + stats.cancelled, 2 * ROUNDS);
        char url[64];
        for (int i = 0; i < 2 * CONNECTIONS; i++)
            submit_get(engine, queue, test_server_url(&server, "/delay/5", url, sizeof url), CHTTP_REQ_COLLECT, 0);
        await_terminals(queue, 2 * CONNECTIONS);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
