/*
 * A WebSocket on a mock: a scripted server, and heartbeat, pong timeout and close timeout on the virtual clock, to the
 * nanosecond's order of things and without waiting. The key is given, so that the script knows the answer to it.
 */
#include "support/mock_bench.h"

#define SWITCH                                                                                                         \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                              \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
/* Bytes, among which there may be NUL. */
#define SEND_BYTES(bytes) {.kind = CHTTP_MOCK_SEND, .data = (bytes), .len = sizeof(bytes) - 1}

static const chttp_field key = {"Sec-WebSocket-Key", 17, "dGhlIHNhbXBsZSBub25jZQ==", 24};

struct websocket {
    struct bench on;
    chttp_xid xid;
};

static chttp_event expect(const struct websocket *ws, uint32_t kind)
{
    chttp_event event;
    CHECK_EQ(chttp_queue_wait(ws->on.queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    if (event.kind != kind)
        fprintf(stderr, "event %u with error %s\n", event.kind, chttp_error_name(event.error));
    CHECK_EQ(event.kind, kind);
    return event;
}

static void skip(const struct websocket *ws, uint32_t kind)
{
    chttp_event event = expect(ws, kind);
    event_free(&event);
}

static struct websocket opened(const chttp_mock_step *steps, size_t n, const chttp_websocket *settings)
{
    chttp_backend *mock = NULL;
    chttp_config *config = NULL;
    CHECK_EQ(chttp_mock_new(&mock, NULL), 0);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_WS_CLOSE_TIMEOUT_NS, 5 * SECOND_NS, NULL), 0);
    CHECK_EQ(chttp_mock_listen(mock, "127.0.0.1:80", Z, steps, n, 0, NULL), 0);
    struct websocket ws = {.on = bench_on(mock, config)};
    chttp_request request = request_for("ws://127.0.0.1/chat");
    request.flags = CHTTP_REQ_WEBSOCKET;
    request.headers = &key;
    request.headers_len = 1;
    request.websocket = settings;
    ws.xid = submit_one(ws.on.engine, ws.on.queue, &request);
    skip(&ws, CHTTP_EV_WS_OPEN);
    return ws;
}

/* DONE with this error, at this moment. */
static void ended(const struct websocket *ws, int32_t error, uint64_t after)
{
    chttp_event event = expect(ws, CHTTP_EV_DONE);
    CHECK_EQ(event.error, error);
    event_free(&event);
    uint64_t at = chttp_mock_now(ws->on.mock) - SECOND_NS;
    if (at < after || at > after + 2 * MS_NS)
        fprintf(stderr, "at %" PRIu64 " ns instead of %" PRIu64 "\n", at, after);
    CHECK(at >= after && at <= after + 2 * MS_NS);
    bench_end_as_scripted(&ws->on);
}

/* The first PING comes after a minute, and is answered; so is the second, by a message; the third by nothing. */
static void heartbeat(void)
{
    const chttp_websocket settings = {
        .size = sizeof settings, .heartbeat_ns = 60 * SECOND_NS, .pong_timeout_ns = 10 * SECOND_NS};
    const chttp_mock_step steps[] = {EXPECT_HEAD, SEND_BYTES(SWITCH), NUMBER(EXPECT_BYTES, 6), NUMBER(DELAY, 5 * SECOND_NS),
                                     SEND_BYTES("\x8a\0"), NUMBER(EXPECT_BYTES, 6), SEND_BYTES("\x81\1x"), NUMBER(EXPECT_BYTES, 6)};
    struct websocket ws = opened(steps, COUNT(steps), &settings);
    skip(&ws, CHTTP_EV_WS_MESSAGE);
    ended(&ws, CHTTP_E_TIMEOUT_PONG, (65 + 60 + 60 + 10) * SECOND_NS);
}

/* The server answers the Close frame, and leaves the connection open. */
static void lingering(void)
{
    const chttp_mock_step steps[] = {EXPECT_HEAD, SEND_BYTES(SWITCH), NUMBER(EXPECT_BYTES, 8), NUMBER(DELAY, SECOND_NS),
                                     SEND_BYTES("\x88\2\x03\xe8"), STEP(EXPECT_END)};
    struct websocket ws = opened(steps, COUNT(steps), NULL);
    CHECK_EQ(chttp_ws_close(ws.on.engine, ws.xid, 1000, NULL, 0, NULL), 0);
    skip(&ws, CHTTP_EV_WS_CLOSE);
    ended(&ws, 0, 5 * SECOND_NS);
}

/* It does not even answer. */
static void deaf(void)
{
    const chttp_mock_step steps[] = {EXPECT_HEAD, SEND_BYTES(SWITCH), NUMBER(EXPECT_BYTES, 8)};
    struct websocket ws = opened(steps, COUNT(steps), NULL);
    CHECK_EQ(chttp_ws_close(ws.on.engine, ws.xid, 1000, NULL, 0, NULL), 0);
    ended(&ws, CHTTP_E_TIMEOUT_CLOSE, 5 * SECOND_NS);
}

/* It closes by itself, with a reason. */
static void leaving(void)
{
    const chttp_mock_step steps[] = {EXPECT_HEAD, SEND_BYTES(SWITCH "\x88\6\x03\xe9" "away"), NUMBER(EXPECT_BYTES, 8),
                                     NUMBER(DELAY, SECOND_NS), STEP(CLOSE)};
    struct websocket ws = opened(steps, COUNT(steps), NULL);
    chttp_event event = expect(&ws, CHTTP_EV_WS_CLOSE);
    CHECK_EQ(event.arg, 1001);
    CHECK_MEM(event.data, (size_t)event.len, "away", 4);
    event_free(&event);
    CHECK_EQ(chttp_ws_send(ws.on.engine, ws.xid, CHTTP_WS_TEXT, 0, "x", 1), CHTTP_E_BAD_STATE);
    ended(&ws, 0, SECOND_NS);
}

int main(void)
{
    heartbeat();
    lingering();
    deaf();
    leaving();
    return 0;
}
