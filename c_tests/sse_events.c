/*
 * Streams of events on the mock, with its clock: what an event tells, what a kept one keeps, the reconnection in events,
 * answers that are none, and 204.
 */
#include "support/mock_bench.h"

#define URL "http://127.0.0.1/events"
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

static struct bench b;

static void start(void)
{
    chttp_backend *mock = NULL;
    chttp_config *config = NULL;
    CHECK_EQ(chttp_mock_new(&mock, NULL), 0);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_named(config, "sse_retry_ns", Z, "2000000000", Z, NULL), 0);
    b = bench_on(mock, config);
}

#define CONNECTION(...) LISTEN(&b, "127.0.0.1:80", 0, __VA_ARGS__)

/* The mock lets time pass while we wait. */
static chttp_event next(void)
{
    chttp_event event;
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, sizeof event, CHTTP_UNLIMITED), 1);
    return event;
}

static void expect(uint16_t kind, int32_t error)
{
    chttp_event event = next();
    CHECK_EQ(event.kind, kind);
    CHECK_EQ(event.error, error);
    CHECK_EQ(is_terminal(&event), kind == CHTTP_EV_DONE);
    event_free(&event);
}

static void is_event(const chttp_event *event, const char *type, const char *data, const char *id, int64_t retry_ms)
{
    chttp_sse_event fields;
    CHECK_EQ(event->kind, CHTTP_EV_SSE);
    CHECK(event->obj != NULL && event->data != NULL && (event->flags & CHTTP_EF_COPIED) != 0);
    CHECK_EQ(chttp_sse_fields(event, &fields, sizeof fields), 0);
    CHECK_EQ(fields.size, sizeof fields);
    CHECK_MEM(event->data, (size_t)event->len, data, strlen(data));
    CHECK_MEM(fields.event_type, fields.event_type_len, type, strlen(type));
    CHECK_MEM(fields.id, fields.id_len, id, strlen(id));
    CHECK_EQ(fields.retry_ms, retry_ms);
}

static void expect_event(const char *type, const char *data, const char *id, int64_t retry_ms)
{
    chttp_event event = next();
    is_event(&event, type, data, id, retry_ms);
    event_free(&event);
}

static chttp_request events_of(const char *url, const chttp_sse *sse)
{
    chttp_request request = request_for(url);
    request.flags = CHTTP_REQ_SSE;
    request.token = 7;
    request.sse = sse;
    return request;
}

static void what_an_event_tells(void)
{
    start();
    CONNECTION(EXPECT_HEAD,
               SEND(HEAD "data: plain\n\nevent: add\nid: 4\nretry: 500\ndata: a\ndata: b\n\ndata\n\nid\ndata: \xc3\xa4\n\n"),
               STEP(CLOSE));
    chttp_sse sse;
    memset(&sse, 0, sizeof sse);
    sse.size = sizeof sse;
    sse.flags = CHTTP_SSE_NO_RECONNECT;
    chttp_request request = events_of(URL, &sse);
    submit_one(b.engine, b.queue, &request);
    expect(CHTTP_EV_HEADERS, 0);
    expect_event("message", "plain", "", -1);
    chttp_event kept = next();
    expect_event("message", "", "4", -1);
    expect_event("message", "\xc3\xa4", "", -1);
    expect(CHTTP_EV_DONE, 0);
    is_event(&kept, "add", "a\nb", "4", 500);
    CHECK_EQ(kept.token, 7);
    /* Any size that a caller knows. */
    char room[sizeof(chttp_sse_event) + 16];
    memset(room, 1, sizeof room);
    CHECK_EQ(chttp_sse_fields(&kept, (chttp_sse_event *)(void *)room, 24), 0);
    CHECK(room[0] == 24 && room[24] == 1);
    CHECK_EQ(chttp_sse_fields(&kept, (chttp_sse_event *)(void *)room, sizeof room), 0);
    CHECK(room[0] == sizeof(chttp_sse_event) && room[sizeof room - 1] == 0);
    CHECK_EQ(chttp_sse_fields(&kept, NULL, sizeof room), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_sse_fields(&kept, (chttp_sse_event *)(void *)room, 7), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_sse_fields(&kept, (chttp_sse_event *)(void *)room, SIZE_MAX), CHTTP_E_INVALID_SIZE);
    bench_end_as_scripted(&b);
    /* It outlives everything. */
    is_event(&kept, "add", "a\nb", "4", 500);
    event_free(&kept);
}

/* Expects a reconnection; the wait has the given length, or up to a quarter more. */
static void expect_rest(uint32_t attempt, int32_t error, uint64_t wait_ms, const char *last_id)
{
    chttp_event event = next();
    char text[256];
    CHECK_EQ(event.kind, CHTTP_EV_SSE_RECONNECT);
    CHECK_EQ(event.arg, attempt);
    CHECK_EQ(event.error, error);
    CHECK_EQ(chttp_error_code(event.obj), error);
    CHECK(chttp_error_message(event.obj, text, sizeof text) > 0);
    CHECK(event.aux >= wait_ms * MS_NS && event.aux <= wait_ms * MS_NS / 4 * 5);
    CHECK_MEM(event.data, (size_t)event.len, last_id, strlen(last_id));
    CHECK((event.data != NULL) == (event.len > 0) && !is_terminal(&event) && event.token == 7);
    event_free(&event);
}

static void it_goes_on(void)
{
    start();
    CONNECTION(EXPECT_HEAD, SEND(HEAD "id: 1\ndata: a\n\nid: 2\ndata: lost"), STEP(CLOSE));
    CONNECTION(STEP(REFUSE));
    CONNECTION(EXPECT_HEAD, SEND(HEAD "retry: 10\nid: b\ndata: b\n\n"), STEP(RESET));
    CONNECTION(EXPECT_HEAD, SEND("HTTP/1.1 204 No Content\r\n\r\n"));
    chttp_request request = events_of(URL, NULL);
    chttp_xid xid = submit_one(b.engine, b.queue, &request);
    expect(CHTTP_EV_HEADERS, 0);
    expect_event("message", "a", "1", -1);
    uint64_t before = chttp_mock_now(b.mock);
    expect_rest(1, CHTTP_E_SSE_ENDED, 2000, "1");
    expect_rest(2, CHTTP_E_CONNECT_REFUSED, 4000, "1");
    CHECK(chttp_mock_now(b.mock) - before >= 2 * SECOND_NS);
    expect(CHTTP_EV_HEADERS, 0);
    expect_event("message", "b", "b", 10);
    expect_rest(1, CHTTP_E_CONNECTION_LOST, 10, "b");
    chttp_event event = next();
    CHECK(event.kind == CHTTP_EV_HEADERS && event.arg == 204 && event.error == 0 && event.xid == xid);
    event_free(&event);
    expect(CHTTP_EV_DONE, 0);
    /* What the requests said. */
    static const char *const ids[] = {NULL, NULL, "\r\nLast-Event-ID: 1\r\n\r\n", "\r\nLast-Event-ID: b\r\n\r\n"};
    for (uint32_t i = 0; i < 4; i++) {
        char sent[512];
        size_t len = 0;
        CHECK_EQ(chttp_mock_sent(b.mock, i, sent, sizeof sent - 1, &len), 0);
        sent[len] = 0;
        CHECK(i == 1 || strstr(sent, "\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n") != NULL);
        CHECK(ids[i] == NULL ? strstr(sent, "Last-Event-ID") == NULL : strstr(sent, ids[i]) != NULL);
    }
    bench_end_as_scripted(&b);
}

static void other_answers(void)
{
    start();
    CONNECTION(EXPECT_HEAD, SEND("HTTP/1.1 401 x\r\nContent-Length: 2\r\n\r\nno"));
    CONNECTION(EXPECT_HEAD, SEND("HTTP/1.1 200 x\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno"));
    static const int32_t codes[] = {CHTTP_E_SSE_STATUS, CHTTP_E_SSE_CONTENT_TYPE};
    for (int i = 0; i < 2; i++) {
        chttp_request request = events_of(URL, NULL);
        request.header_block = "Connection: close";
        request.header_block_len = Z;
        submit_one(b.engine, b.queue, &request);
        chttp_event event = next();
        CHECK(event.kind == CHTTP_EV_HEADERS && event.error == codes[i]);
        CHECK_EQ(chttp_response_status(event.obj), i == 0 ? 401 : 200);
        event_free(&event);
        event = next();
        CHECK_EQ(event.kind, CHTTP_EV_BODY);
        CHECK_MEM(event.data, (size_t)event.len, "no", 2);
        event_free(&event);
        event = next();
        CHECK(event.kind == CHTTP_EV_DONE && event.error == codes[i] && (event.flags & CHTTP_EF_PARTIAL) != 0);
        CHECK_EQ(chttp_error_code(event.obj), codes[i]);
        CHECK_EQ(chttp_error_phase(event.obj), CHTTP_PHASE_RECEIVING);
        event_free(&event);
    }
    bench_end_as_scripted(&b);
}

/* Cancelled while it rests. */
static void cancelled(void)
{
    start();
    CONNECTION(STEP(REFUSE));
    chttp_request request = events_of(URL, NULL);
    chttp_xid xid = submit_one(b.engine, b.queue, &request);
    expect_rest(1, CHTTP_E_CONNECT_REFUSED, 2000, "");
    CHECK_EQ(chttp_cancel(b.engine, xid), 0);
    chttp_event event = next();
    CHECK(event.kind == CHTTP_EV_DONE && event.error == CHTTP_E_CANCELLED);
    CHECK_EQ(chttp_error_phase(event.obj), CHTTP_PHASE_RECONNECTING);
    event_free(&event);
    CHECK_EQ(chttp_cancel(b.engine, xid), CHTTP_E_NOT_FOUND);
    bench_end_as_scripted(&b);
}

int main(void)
{
    what_an_event_tells();
    it_goes_on();
    other_answers();
    cancelled();
    return 0;
}
