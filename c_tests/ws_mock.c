/*
 * A WebSocket on a mock: a scripted server, and heartbeat, pong timeout and close timeout on the virtual clock, to the
 * nanosecond's order of things and without waiting. The key is given, so that the script knows the answer to it.
 */
#include "support/engine.h"

#define Z ((size_t)CHTTP_NUL_TERMINATED)
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SWITCH                                                                                                         \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                              \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
#define EXPECT_HEAD {.kind = CHTTP_MOCK_EXPECT_HEAD}
#define SEND(bytes) {.kind = CHTTP_MOCK_SEND, .data = (bytes), .len = sizeof(bytes) - 1}
#define NUMBER(name, n) {.kind = CHTTP_MOCK_##name, .number = (n)}
#define STEP(name) {.kind = CHTTP_MOCK_##name}

static const chttp_field key = {"Sec-WebSocket-Key", 17, "dGhlIHNhbXBsZSBub25jZQ==", 24};

struct bench {
    chttp_backend *mock;
    chttp_engine *engine;
    chttp_queue *queue;
    chttp_xid xid;
};

static chttp_event expect(struct bench *b, uint32_t kind)
{
    chttp_event event;
    CHECK_EQ(chttp_queue_wait(b->queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    if (event.kind != kind)
        fprintf(stderr, "event %u with error %s\n", event.kind, chttp_error_name(event.error));
    CHECK_EQ(event.kind, kind);
    return event;
}

static void skip(struct bench *b, uint32_t kind)
{
    chttp_event event = expect(b, kind);
    event_free(&event);
}

static struct bench bench_make(const chttp_mock_step *steps, size_t n, const chttp_websocket *settings)
{
    struct bench b = {0};
    chttp_config *config = NULL;
    CHECK_EQ(chttp_mock_new(&b.mock, NULL), 0);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 0, NULL), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_WS_CLOSE_TIMEOUT_NS, 5 * SECOND_NS, NULL), 0);
    CHECK_EQ(chttp_config_set_obj(config, CHTTP_OPT_BACKEND, b.mock, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &b.engine, NULL), 0);
    chttp_config_free(config);
    b.queue = queue_make(b.engine);
    CHECK_EQ(chttp_mock_listen(b.mock, "127.0.0.1:80", Z, steps, n, 0, NULL), 0);
    chttp_request request = request_for("ws://127.0.0.1/chat");
    request.flags = CHTTP_REQ_WEBSOCKET;
    request.headers = &key;
    request.headers_len = 1;
    request.websocket = settings;
    b.xid = submit_one(b.engine, b.queue, &request);
    skip(&b, CHTTP_EV_WS_OPEN);
    return b;
}

/* DONE with this error, at this moment. */
static void bench_end(struct bench *b, int32_t error, uint64_t after)
{
    chttp_event event = expect(b, CHTTP_EV_DONE);
    CHECK_EQ(event.error, error);
    event_free(&event);
    uint64_t at = chttp_mock_now(b->mock) - SECOND_NS;
    if (at < after || at > after + 2 * MS_NS)
        fprintf(stderr, "at %" PRIu64 " ns instead of %" PRIu64 "\n", at, after);
    CHECK(at >= after && at <= after + 2 * MS_NS);
    char text[256];
    CHECK_EQ(chttp_mock_mismatches(b->mock, text, sizeof text), 0);
    CHECK_EQ(chttp_engine_destroy(b->engine), 0);
    CHECK_EQ(chttp_queue_destroy(b->queue), 0);
    chttp_release(b->mock);
}

/* The first PING comes after a minute, and is answered; so is the second, by a message; the third by nothing. */
static void heartbeat(void)
{
    const chttp_websocket settings = {
        .size = sizeof settings, .heartbeat_ns = 60 * SECOND_NS, .pong_timeout_ns = 10 * SECOND_NS};
    const chttp_mock_step steps[] = {EXPECT_HEAD, SEND(SWITCH), NUMBER(EXPECT_BYTES, 6), NUMBER(DELAY, 5 * SECOND_NS),
                                     SEND("\x8a\0"), NUMBER(EXPECT_BYTES, 6), SEND("\x81\1x"), NUMBER(EXPECT_BYTES, 6)};
    struct bench b = bench_make(steps, COUNT(steps), &settings);
    skip(&b, CHTTP_EV_WS_MESSAGE);
    bench_end(&b, CHTTP_E_TIMEOUT_PONG, (65 + 60 + 60 + 10) * SECOND_NS);
}

/* The server answers the Close frame, and leaves the connection open. */
static void lingering(void)
{
    const chttp_mock_step steps[] = {EXPECT_HEAD, SEND(SWITCH), NUMBER(EXPECT_BYTES, 8), NUMBER(DELAY, SECOND_NS),
                                     SEND("\x88\2\x03\xe8"), STEP(EXPECT_END)};
    struct bench b = bench_make(steps, COUNT(steps), NULL);
    CHECK_EQ(chttp_ws_close(b.engine, b.xid, 1000, NULL, 0, NULL), 0);
    skip(&b, CHTTP_EV_WS_CLOSE);
    bench_end(&b, 0, 5 * SECOND_NS);
}

/* It does not even answer. */
static void deaf(void)
{
    const chttp_mock_step steps[] = {EXPECT_HEAD, SEND(SWITCH), NUMBER(EXPECT_BYTES, 8)};
    struct bench b = bench_make(steps, COUNT(steps), NULL);
    CHECK_EQ(chttp_ws_close(b.engine, b.xid, 1000, NULL, 0, NULL), 0);
    bench_end(&b, CHTTP_E_TIMEOUT_CLOSE, 5 * SECOND_NS);
}

/* It closes by itself, with a reason. */
static void leaving(void)
{
    const chttp_mock_step steps[] = {EXPECT_HEAD, SEND(SWITCH "\x88\6\x03\xe9" "away"), NUMBER(EXPECT_BYTES, 8),
                                     NUMBER(DELAY, SECOND_NS), STEP(CLOSE)};
    struct bench b = bench_make(steps, COUNT(steps), NULL);
    chttp_event event = expect(&b, CHTTP_EV_WS_CLOSE);
    CHECK_EQ(event.arg, 1001);
    CHECK_MEM(event.data, (size_t)event.len, "away", 4);
    event_free(&event);
    CHECK_EQ(chttp_ws_send(b.engine, b.xid, CHTTP_WS_TEXT, 0, "x", 1), CHTTP_E_BAD_STATE);
    bench_end(&b, 0, SECOND_NS);
}

int main(void)
{
    heartbeat();
    lingering();
    deaf();
    leaving();
    return 0;
}
