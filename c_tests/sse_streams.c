/*
 * Streams of events from a real server that breaks off in the middle of an event, again and again: in both drives, with
 * little credit and much, and by callback. Every event comes once and in order, and each stream ends once.
 */
#include "support/engine.h"

#define STREAMS 8
#define EVENTS 200
#define KEPT 64

static struct test_server server;

struct seen {
    unsigned events, rests, heads, ended;
};

static struct seen seen[STREAMS];

static void take(const chttp_event *event)
{
    struct seen *s = &seen[event->token];
    chttp_sse_event fields;
    char text[32];
    CHECK(event->token < STREAMS && s->ended == 0);
    switch (event->kind) {
    case CHTTP_EV_HEADERS:
        CHECK_EQ(event->error, 0);
        s->heads++;
        CHECK_EQ(event->arg, s->events == EVENTS ? 204 : 200);
        break;
    case CHTTP_EV_SSE:
        s->events++;
        CHECK_EQ(chttp_sse_fields(event, &fields, sizeof fields), 0);
        snprintf(text, sizeof text, "number %u", s->events);
        CHECK_MEM(event->data, (size_t)event->len, text, strlen(text));
        CHECK_MEM(fields.id, fields.id_len, text + 7, strlen(text + 7));
        CHECK_MEM(fields.event_type, fields.event_type_len, "count", 5);
        break;
    case CHTTP_EV_SSE_RECONNECT:
        s->rests++;
        CHECK_EQ(event->arg, 1);
        CHECK_EQ(event->error, CHTTP_E_SSE_ENDED);
        snprintf(text, sizeof text, "%u", s->events);
        CHECK_MEM(event->data, (size_t)event->len, text, strlen(text));
        break;
    case CHTTP_EV_DONE:
        CHECK_EQ(event->error, 0);
        CHECK(s->events == EVENTS && s->heads == s->rests + 1);
        s->ended = 1;
        break;
    default:
        CHECK(!"an event of a known kind");
    }
    CHECK_EQ(is_terminal(event), event->kind == CHTTP_EV_DONE);
}

static void submit_all(chttp_engine *engine, chttp_queue *queue, const char *url, uint64_t credit)
{
    memset(seen, 0, sizeof seen);
    for (uint64_t i = 0; i < STREAMS; i++) {
        chttp_request request = request_for(url);
        request.flags = CHTTP_REQ_SSE;
        request.token = i;
        request.recv_credit = credit;
        submit_one(engine, queue, &request);
    }
}

static void run(int drive, const char *url, uint64_t credit)
{
    chttp_engine *engine = engine_make(drive, NULL);
    chttp_queue *queue = queue_make(engine);
    submit_all(engine, queue, url, credit);
    for (unsigned ended = 0; ended < STREAMS;) {
        chttp_event events[KEPT];
        uint32_t n = pump(queue, events, KEPT);
        for (uint32_t i = 0; i < n; i++) {
            take(&events[i]);
            ended += (unsigned)is_terminal(&events[i]);
        }
        CHECK_EQ(chttp_events_release(events, n, sizeof *events), 0);
    }
    CHECK_EQ(stats_of(engine).failed, 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
}

static _Atomic unsigned ends;

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    CHECK(user == &ends);
    for (uint32_t i = 0; i < n; i++) {
        const chttp_event *event = (const chttp_event *)(const void *)((const char *)events + i * stride);
        take(event);
        ends += (unsigned)is_terminal(event);
    }
}

static void by_callback(const char *url)
{
    chttp_engine *engine = engine_make(1, NULL);
    chttp_queue *queue = callback_make(engine, on_events, &ends, "events");
    submit_all(engine, queue, url, 0);
    await_count(&ends, STREAMS);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
}

/* In the middle of everything: the engine goes, and the events that are out stay. */
static void cut_short(int drive, const char *url)
{
    chttp_engine *engine = engine_make(drive, NULL);
    chttp_queue *queue = queue_make(engine);
    submit_all(engine, queue, url, 0);
    chttp_event kept = next_event(queue);
    while (kept.kind != CHTTP_EV_SSE) {
        event_free(&kept);
        kept = next_event(queue);
    }
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    CHECK_MEM(kept.data, (size_t)kept.len, "number 1", 8);
    event_free(&kept);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    char url[64];
    test_server_url(&server, "/events/200/7", url, sizeof url);
    for (int drive = 0; drive < DRIVES; drive++) {
        run(drive, url, 0);
        run(drive, url, 300);
        cut_short(drive, url);
    }
    by_callback(url);
    test_server_stop(&server);
    return 0;
}
