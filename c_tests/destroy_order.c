/*
 * Objects may be destroyed in any order: every permutation of engine, queue, a held body, a held response and a held
 * error, with exchanges in flight, in both drives. What is held stays readable until it is released.
 */
#include "support/engine.h"

enum thing { ENGINE, QUEUE, BODY, RESPONSE, ERROR, THINGS };

static struct test_server server;

struct held {
    chttp_engine *engine;
    chttp_queue *queue;
    chttp_event body;
    chttp_response *response;
    chttp_error *error;
};

static struct held hold(int drive)
{
    struct held h = {.engine = engine_make(drive, NULL)};
    char url[64];
    h.queue = queue_make(h.engine);

    /* An error. */
    chttp_request request = request_for(test_server_url(&server, "/hang", url, sizeof url));
    CHECK_EQ(chttp_cancel(h.engine, submit_one(h.engine, h.queue, &request)), 0);
    chttp_event event = next_event(h.queue);
    h.error = event.obj;
    CHECK_EQ(chttp_error_code(h.error), CHTTP_E_CANCELLED);

    /* A response and the first piece of its body; the exchange stays in flight for want of credit. */
    request = request_for(test_server_url(&server, "/bytes/100000", url, sizeof url));
    request.recv_credit = 4096;
    submit_one(h.engine, h.queue, &request);
    event = next_event(h.queue);
    CHECK_EQ(event.kind, CHTTP_EV_HEADERS);
    h.response = event.obj;
    h.body = next_event(h.queue);
    CHECK_EQ(h.body.kind, CHTTP_EV_BODY);

    /* And more exchanges, which the end has to end: one without an answer, one that waits to be drained. */
    submit_get(h.engine, h.queue, test_server_url(&server, "/hang", url, sizeof url), 0, 0);
    submit_get(h.engine, h.queue, test_server_url(&server, "/", url, sizeof url), CHTTP_REQ_COLLECT, 0);
    return h;
}

static void readable(const struct held *h, unsigned gone)
{
    chttp_field field;
    char text[200];
    if ((gone & 1u << BODY) == 0)
        for (uint64_t i = 0; i < h->body.len; i++)
            CHECK_EQ(h->body.data[i], test_server_pattern(i));
    if ((gone & 1u << RESPONSE) == 0) {
        CHECK_EQ(chttp_response_status(h->response), 200);
        CHECK(chttp_response_header(h->response, "content-length", (size_t)CHTTP_NUL_TERMINATED, &field) >= 0);
        CHECK_MEM(field.value, field.value_len, "100000", 6);
        CHECK(chttp_response_peer(h->response, text, sizeof text) > 0);
    }
    if ((gone & 1u << ERROR) == 0) {
        CHECK_EQ(chttp_error_code(h->error), CHTTP_E_CANCELLED);
        CHECK(chttp_error_message(h->error, text, sizeof text) > 0);
    }
    if ((gone & 1u << QUEUE) == 0)
        CHECK(chttp_queue_fd(h->queue) >= 0);
}

static void end(struct held *h, enum thing thing, unsigned gone)
{
    switch (thing) {
    case ENGINE:
        CHECK_EQ(chttp_engine_destroy(h->engine), 0);
        /* Every exchange had its last event before destroy returned: there is nothing to wait for. */
        if ((gone & 1u << QUEUE) == 0) {
            chttp_event events[64];
            unsigned terminals = 0;
            int32_t n;
            while ((n = chttp_queue_drain(h->queue, events, 64, 0)) > 0) {
                for (int32_t i = 0; i < n; i++)
                    terminals += is_terminal(&events[i]);
                chttp_events_release(events, (uint32_t)n, 0);
            }
            CHECK_EQ(n, 0);
            CHECK_EQ(terminals, 3);
        }
        break;
    case QUEUE:
        chttp_queue_destroy(h->queue);
        break;
    case BODY:
        event_free(&h->body);
        break;
    case RESPONSE:
        chttp_release(h->response);
        break;
    default:
        chttp_release(h->error);
        break;
    }
}

/* Walks through all permutations of what is not `gone` yet. */
static void permute(int drive, enum thing *order, int depth, unsigned used)
{
    if (depth == THINGS) {
        struct held h = hold(drive);
        unsigned gone = 0;
        for (int i = 0; i < THINGS; i++) {
            end(&h, order[i], gone);
            gone |= 1u << order[i];
            readable(&h, gone);
        }
        return;
    }
    for (int thing = 0; thing < THINGS; thing++)
        if ((used & 1u << thing) == 0) {
            order[depth] = (enum thing)thing;
            permute(drive, order, depth + 1, used | 1u << thing);
        }
}

int main(void)
{
    enum thing order[THINGS];
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++)
        permute(drive, order, 0, 0);
    CHECK_EQ(chttp_engine_destroy(NULL), 0);
    CHECK_EQ(chttp_engine_release(NULL), 0);
    chttp_queue_destroy(NULL);
    chttp_release(NULL);
    chttp_retain(NULL);
    chttp_config_free(NULL);
    test_server_stop(&server);
    return 0;
}
