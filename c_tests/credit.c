/*
 * Credit: no more of a body is delivered than the request's credit, until bodies are released; each event costs at least
 * 256 bytes; what is not delivered stays in the network, so that the server is slowed down; other exchanges go on.
 */
#include "support/engine.h"

#define BODY (1u << 20)
#define CREDIT (16u << 10)
#define HELD_MAX 256

static struct test_server server;

/* What an event costs, from the contract. */
static uint64_t charge(const chttp_event *event)
{
    return event->len > 256 ? event->len : 256;
}

/* Takes what comes until the exchange stands still: a second exchange, begun after it, has come and gone twice. */
static unsigned take_until_still(chttp_engine *engine, chttp_queue *queue, chttp_xid xid, chttp_event *held, unsigned n,
                                 int *ended)
{
    char url[64];
    for (int probe = 0; probe < 2; probe++) {
        submit_get(engine, queue, test_server_url(&server, "/delay/2", url, sizeof url), CHTTP_REQ_COLLECT, 99);
        for (;;) {
            chttp_event event = next_event(queue);
            if (event.token == 99) {
                event_free(&event);
                break;
            }
            CHECK_EQ(event.xid, xid);
            if (event.kind == CHTTP_EV_BODY) {
                CHECK(n < HELD_MAX);
                held[n++] = event;
            } else {
                *ended |= is_terminal(&event);
                CHECK_EQ(event.error, 0);
                event_free(&event);
            }
        }
    }
    return n;
}

static void held_back(chttp_engine *engine, chttp_queue *queue, const char *path, uint64_t body, uint64_t credit,
                      int all_at_once)
{
    chttp_event held[HELD_MAX];
    unsigned n = 0, first = 0;
    int ended = 0;
    uint64_t got = 0;
    char url[64];
    chttp_request request = request_for(test_server_url(&server, path, url, sizeof url));
    request.recv_credit = credit;
    chttp_xid xid = submit_one(engine, queue, &request);
    while (!ended) {
        unsigned before = n;
        n = take_until_still(engine, queue, xid, held, n, &ended);
        uint64_t charged = 0;
        for (unsigned i = first; i < n; i++)
            charged += charge(&held[i]);
        /* Never more than was given; the last event may go over by its least charge. */
        CHECK(charged <= credit + 255);
        for (unsigned i = before; i < n; i++)
            for (uint64_t j = 0; j < held[i].len; j++)
                CHECK_EQ(held[i].data[j], test_server_pattern(got++));
        /* Nothing comes while nothing is given back. */
        if (!ended) {
            CHECK(n > first);
            unsigned again = take_until_still(engine, queue, xid, held, n, &ended);
            CHECK(ended || again == n);
            n = again;
        }
        if (all_at_once) {
            CHECK_EQ(chttp_events_release(held + first, n - first, 0), 0);
            first = n = 0;
        } else if (n > 0) {
            /* The oldest alone; keep the array from running full. */
            event_free(&held[first]);
            memmove(held, held + first + 1, (n - first - 1) * sizeof *held);
            n = n - first - 1;
            first = 0;
        }
    }
    CHECK_EQ(chttp_events_release(held, n, 0), 0);
    CHECK_EQ(got, body);
}

/* A body that is retained gives its credit back with the last reference only. */
static void retained(chttp_engine *engine, chttp_queue *queue)
{
    chttp_event held[HELD_MAX];
    int ended = 0;
    char url[64];
    chttp_request request = request_for(test_server_url(&server, "/bytes/100000", url, sizeof url));
    request.recv_credit = CREDIT;
    chttp_xid xid = submit_one(engine, queue, &request);
    unsigned n = take_until_still(engine, queue, xid, held, 0, &ended);
    CHECK(n > 0 && !ended);
    void *objects[HELD_MAX];
    for (unsigned i = 0; i < n; i++) {
        objects[i] = held[i].obj;
        chttp_retain(held[i].obj);
    }
    chttp_events_release(held, n, sizeof *held);
    unsigned more = take_until_still(engine, queue, xid, held, 0, &ended);
    CHECK_EQ(more, 0);
    for (unsigned i = 0; i < n; i++)
        chttp_release(objects[i]);
    more = take_until_still(engine, queue, xid, held, 0, &ended);
    CHECK(more > 0);
    chttp_events_release(held, more, 0);
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    for (;;) {
        chttp_event event = next_event(queue);
        int last = is_terminal(&event);
        event_free(&event);
        if (last)
            break;
    }
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        held_back(engine, queue, "/bytes/1048576", BODY, CREDIT, 1);
        held_back(engine, queue, "/bytes/100000", 100000, CREDIT, 0);
        held_back(engine, queue, "/bytes/20", 20, 1, 1);
        held_back(engine, queue, "/chunked/60000/10", 60000, 4096, 1);
        held_back(engine, queue, "/close/60000", 60000, 4096, 1);
        retained(engine, queue);

        /* Time without credit does not count as silence of the server. */
        char url[64];
        chttp_request request = request_for(test_server_url(&server, "/bytes/500000", url, sizeof url));
        request.recv_credit = 4096;
        request.read_timeout_ns = 30 * MS_NS;
        chttp_xid xid = submit_one(engine, queue, &request);
        chttp_event held[HELD_MAX];
        int ended = 0;
        unsigned n = take_until_still(engine, queue, xid, held, 0, &ended);
        submit_get(engine, queue, test_server_url(&server, "/delay/100", url, sizeof url), CHTTP_REQ_COLLECT, 99);
        for (;;) {
            chttp_event event = next_event(queue);
            CHECK_EQ(event.token, 99);
            event_free(&event);
            break;
        }
        CHECK_EQ(chttp_events_release(held, n, 0), 0);
        struct answer a;
        memset(&a, 0, sizeof a);
        a.heads = 1;
        while (!ended) {
            chttp_event event = next_event(queue);
            ended = answer_add(&a, &event);
            event_free(&event);
        }
        CHECK_EQ(a.error, 0);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
