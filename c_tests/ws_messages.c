/*
 * WebSockets, in both drives: the opening with what it tells, messages whole and in fragments, both ways and of all sizes,
 * PING and PONG, closing from either side, an answer that refuses, subprotocols, and what is refused to the caller.
 */
#define _GNU_SOURCE

#include "support/engine.h"

static struct test_server server;
static const chttp_field key = {"Sec-WebSocket-Key", 17, "dGhlIHNhbXBsZSBub25jZQ==", 24};

static chttp_request websocket(const char *url, const chttp_websocket *settings)
{
    chttp_request request = request_for(url);
    request.flags = CHTTP_REQ_WEBSOCKET;
    request.token = 7;
    request.headers = &key;
    request.headers_len = 1;
    request.websocket = settings;
    return request;
}

static chttp_event expect(chttp_queue *queue, uint32_t kind)
{
    chttp_event event = next_event(queue);
    if (event.kind != kind)
        fprintf(stderr, "event %u with error %s\n", event.kind, chttp_error_name(event.error));
    CHECK_EQ(event.kind, kind);
    CHECK_EQ(event.token, 7);
    CHECK_EQ(event.flags & CHTTP_EF_TUNNEL, 0);
    return event;
}

static chttp_xid open_ws(chttp_engine *engine, chttp_queue *queue, const char *path, const chttp_websocket *settings,
                         const char *protocol)
{
    char url[64];
    chttp_request request = websocket(test_server_url(&server, path, url, sizeof url), settings);
    chttp_xid xid = submit_one(engine, queue, &request);
    chttp_event event = expect(queue, CHTTP_EV_WS_OPEN);
    CHECK_EQ(event.arg, 101);
    CHECK_EQ(event.aux, 0);
    CHECK_EQ(chttp_response_status(event.obj), 101);
    CHECK_MEM(event.data, (size_t)event.len, protocol, strlen(protocol));
    event_free(&event);
    return xid;
}

static void say(chttp_engine *engine, chttp_xid xid, const char *text)
{
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_TEXT, 0, text, strlen(text)), 0);
}

static void hear(chttp_queue *queue, uint32_t opcode, const void *bytes, size_t len)
{
    chttp_event event = expect(queue, CHTTP_EV_WS_MESSAGE);
    CHECK_EQ(event.arg, opcode);
    CHECK(event.flags & CHTTP_EF_FIN);
    CHECK_MEM(event.data, (size_t)event.len, bytes, len);
    event_free(&event);
}

static void expect_close(chttp_queue *queue, uint32_t code, const char *reason)
{
    chttp_event event = expect(queue, CHTTP_EV_WS_CLOSE);
    CHECK_EQ(event.arg, code);
    CHECK_MEM(event.data, (size_t)event.len, reason, strlen(reason));
    event_free(&event);
}

static void expect_done(chttp_queue *queue, int32_t error, int32_t native)
{
    chttp_event event = expect(queue, CHTTP_EV_DONE);
    CHECK(is_terminal(&event));
    if (event.error != error)
        fprintf(stderr, "%s\n", chttp_error_name(event.error));
    CHECK_EQ(event.error, error);
    if (error != 0)
        CHECK_EQ(chttp_error_native(event.obj), native);
    event_free(&event);
}

/* Our Close frame is sent. The server may have answered it already, which ends the exchange. */
static void after_our_close(int32_t code)
{
    CHECK(code == CHTTP_E_BAD_STATE || code == CHTTP_E_NOT_FOUND);
}

static void sizes(chttp_engine *engine, chttp_queue *queue)
{
    static const size_t lens[] = {0, 1, 125, 126, 65535, 65536, 300000};
    static char bytes[300000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)test_server_pattern(i);
    chttp_xid xid = open_ws(engine, queue, "/ws", NULL, "");
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        for (uint32_t opcode = CHTTP_WS_TEXT; opcode <= CHTTP_WS_BINARY; opcode++) {
            CHECK_EQ(chttp_ws_send(engine, xid, opcode, 0, bytes, lens[i]), 0);
            hear(queue, opcode, bytes, lens[i]);
        }
    }
    CHECK_EQ(chttp_ws_close(engine, xid, 1000, "bye", Z, NULL), 0);
    after_our_close(chttp_ws_send(engine, xid, CHTTP_WS_TEXT, 0, "x", 1));
    after_our_close(chttp_ws_ping(engine, xid, NULL, 0));
    after_our_close(chttp_ws_close(engine, xid, 1000, NULL, 0, NULL));
    expect_close(queue, 1000, "bye");
    expect_done(queue, 0, 0);
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_TEXT, 0, "x", 1), CHTTP_E_NOT_FOUND);
}

static void fragments(chttp_engine *engine, chttp_queue *queue)
{
    const chttp_websocket settings = {.size = sizeof settings, .flags = CHTTP_WS_FRAGMENTS | CHTTP_WS_CONTROL};
    chttp_xid xid = open_ws(engine, queue, "/ws/hello", &settings, "");
    hear(queue, CHTTP_WS_TEXT, "hello", 5);
    chttp_event event = expect(queue, CHTTP_EV_WS_PING);
    CHECK_MEM(event.data, (size_t)event.len, "anybody?", 8);
    event_free(&event);
    /* A character over two fragments; in between, nothing else begins, and what is no UTF-8 changes nothing. */
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_CONTINUATION, 0, "x", 1), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_TEXT, CHTTP_WS_MORE, "a\xe2\x82", 3), 0);
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_TEXT, 0, "x", 1), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_CONTINUATION, 0, "(", 1), CHTTP_E_WS_UTF8);
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_CONTINUATION, 0, "", 0), CHTTP_E_WS_UTF8);
    CHECK_EQ(chttp_ws_ping(engine, xid, "p", 1), 0);
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_CONTINUATION, 0, "\xac", 1), 0);
    char got[8];
    size_t len = 0, pongs = 0;
    for (int fin = 0; !fin || pongs == 0;) {
        event = next_event(queue);
        if (event.kind == CHTTP_EV_WS_PONG) {
            CHECK_MEM(event.data, (size_t)event.len, "p", 1);
            pongs++;
        } else {
            CHECK_EQ(event.kind, CHTTP_EV_WS_MESSAGE);
            CHECK_EQ(event.arg, CHTTP_WS_TEXT);
            CHECK(len + event.len <= sizeof got);
            if (event.len > 0)
                memcpy(got + len, event.data, (size_t)event.len);
            len += (size_t)event.len;
            fin |= (event.flags & CHTTP_EF_FIN) != 0;
        }
        event_free(&event);
    }
    CHECK_MEM(got, len, "a\xe2\x82\xac", 4);
    CHECK_EQ(chttp_ws_pong(engine, xid, "unasked", 7), 0);
    CHECK_EQ(chttp_ws_close(engine, xid, CHTTP_WS_NO_STATUS, NULL, 0, NULL), 0);
    expect_close(queue, CHTTP_WS_NO_STATUS, "");
    expect_done(queue, 0, 0);
}

static void ends(chttp_engine *engine, chttp_queue *queue)
{
    chttp_xid xid = open_ws(engine, queue, "/ws", NULL, "");
    say(engine, xid, "drop");
    expect_done(queue, CHTTP_E_WS_ABNORMAL, 0);
    xid = open_ws(engine, queue, "/ws", NULL, "");
    say(engine, xid, "bad");
    expect_done(queue, CHTTP_E_WS_RESERVED_BIT, 1002);
    xid = open_ws(engine, queue, "/ws", NULL, "");
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    expect_done(queue, CHTTP_E_CANCELLED, 0);
    /* A server that answers nothing. */
    chttp_websocket settings = {.size = sizeof settings, .close_timeout_ns = 20 * MS_NS};
    xid = open_ws(engine, queue, "/ws", &settings, "");
    say(engine, xid, "mute");
    CHECK_EQ(chttp_ws_close(engine, xid, 3000, NULL, 0, NULL), 0);
    expect_done(queue, CHTTP_E_TIMEOUT_CLOSE, 0);
    settings = (chttp_websocket){.size = sizeof settings, .heartbeat_ns = 20 * MS_NS, .pong_timeout_ns = 20 * MS_NS};
    xid = open_ws(engine, queue, "/ws", &settings, "");
    /* On a slow machine the answer to a PING may have been too late already. */
    int32_t code = chttp_ws_send(engine, xid, CHTTP_WS_TEXT, 0, "mute", 4);
    CHECK(code == 0 || code == CHTTP_E_NOT_FOUND);
    expect_done(queue, CHTTP_E_TIMEOUT_PONG, 0);
    /* Too much. */
    settings = (chttp_websocket){.size = sizeof settings, .max_message = 4};
    xid = open_ws(engine, queue, "/ws", &settings, "");
    say(engine, xid, "12345");
    expect_done(queue, CHTTP_E_WS_MESSAGE_TOO_LARGE, 1009);
}

static void handshakes(chttp_engine *engine, chttp_queue *queue)
{
    const chttp_websocket settings = {.size = sizeof settings, .protocols = "chat.v2, chat", .protocols_len = Z};
    chttp_xid xid = open_ws(engine, queue, "/ws/chat", &settings, "chat");
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    expect_done(queue, CHTTP_E_CANCELLED, 0);
    char url[64];
    chttp_request request = websocket(test_server_url(&server, "/ws/chat", url, sizeof url), NULL);
    submit_one(engine, queue, &request);
    expect_done(queue, CHTTP_E_WS_PROTOCOL, 0);
    /* With a key of its own the answer of this server is a wrong one. */
    request = websocket(test_server_url(&server, "/ws", url, sizeof url), NULL);
    request.headers = NULL;
    request.headers_len = 0;
    submit_one(engine, queue, &request);
    expect_done(queue, CHTTP_E_WS_ACCEPT, 0);
    /* A refusal is an answer. What was written for the server becomes nothing. */
    request = websocket(test_server_url(&server, "/status/403", url, sizeof url), NULL);
    request.url_len = Z;
    xid = submit_one(engine, queue, &request);
    int32_t code = chttp_ws_send(engine, xid, CHTTP_WS_TEXT, 0, "early", 5);
    CHECK(code == 0 || code == CHTTP_E_BAD_STATE || code == CHTTP_E_NOT_FOUND);
    struct answer a = read_answer(queue, xid);
    CHECK_EQ(a.status, 403);
    CHECK_STR(a.text, "403\n");
    CHECK_EQ(a.error, 0);
}

#define WRONG(change, expected, words)                                                                                 \
    do {                                                                                                               \
        chttp_websocket s = {.size = sizeof s};                                                                        \
        chttp_request r = websocket(url, &s);                                                                          \
        chttp_error *error = NULL;                                                                                     \
        chttp_xid xid = 0;                                                                                             \
        char text[256];                                                                                                \
        change;                                                                                                        \
        CHECK_EQ(chttp_submit(engine, queue, &r, 1, 0, &xid, &error), expected);                                       \
        CHECK(chttp_error_message(error, text, sizeof text) > 0);                                                      \
        if (strstr(text, words) == NULL) fprintf(stderr, "%s\n", text);                                                \
        CHECK(strstr(text, words) != NULL);                                                                            \
        chttp_release(error);                                                                                          \
    } while (0)

static void refused(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    test_server_url(&server, "/ws", url, sizeof url);
    const chttp_field own = {"Sec-WebSocket-Protocol", 22, "chat", 4}, bad_key = {"sec-websocket-key", 17, "AAAA", 4};
    WRONG(r.flags |= CHTTP_REQ_COLLECT, CHTTP_E_INVALID_ARG, "flags");
    WRONG((r.method = "GET", r.method_len = 3), CHTTP_E_INVALID_ARG, "method");
    WRONG((r.body = "x", r.body_len = 1), CHTTP_E_INVALID_ARG, "body");
    WRONG(r.flags = 0, CHTTP_E_INVALID_ARG, "websocket");
    WRONG(r.headers = &own, CHTTP_E_INVALID_HEADER, "Sec-WebSocket-Protocol");
    WRONG(r.headers = &bad_key, CHTTP_E_INVALID_HEADER, "16 bytes");
    const chttp_field body[2] = {{"Content-Length", 14, "0", 1}, {"Transfer-Encoding", 17, "chunked", 7}};
    WRONG(r.headers = &body[0], CHTTP_E_INVALID_HEADER, "Content-Length");
    WRONG(r.headers = &body[1], CHTTP_E_INVALID_HEADER, "Transfer-Encoding");
    WRONG((r.headers = &body[0], r.flags |= CHTTP_REQ_HTTP2), CHTTP_E_INVALID_HEADER, "Content-Length");
    WRONG(r.flags |= CHTTP_REQ_HTTP2, CHTTP_E_INVALID_HEADER, "HTTP/2");
    WRONG((r.headers = NULL, r.headers_len = 0, r.header_block = "Upgrade: x", r.header_block_len = Z),
          CHTTP_E_INVALID_HEADER, "Upgrade");
    WRONG((r.headers = NULL, r.headers_len = 0, r.header_block = "nothing", r.header_block_len = Z),
          CHTTP_E_INVALID_HEADER, "nothing");
    WRONG((r.url = "ftp://h/", r.url_len = 8), CHTTP_E_UNSUPPORTED_SCHEME, "url");
    WRONG(s.size = 4, CHTTP_E_INVALID_SIZE, "chttp_websocket");
    WRONG(s.flags = 1u << 20, CHTTP_E_UNKNOWN_FLAG, "flags");
    WRONG(s.flags = CHTTP_WS_DEFLATE | CHTTP_WS_NO_DEFLATE, CHTTP_E_INVALID_ARG, "CHTTP_WS_DEFLATE");
    WRONG((s.protocols = "a b", s.protocols_len = Z), CHTTP_E_INVALID_ARG, "token");
    WRONG((s.protocols = "a\r\nB: c", s.protocols_len = Z), CHTTP_E_INVALID_ARG, "token");
    WRONG((s.protocols = "a\0b", s.protocols_len = 3), CHTTP_E_INVALID_ARG, "token");
    WRONG((s.protocols = "a, a", s.protocols_len = Z), CHTTP_E_INVALID_ARG, "twice");
    WRONG((s.protocols = NULL, s.protocols_len = 3), CHTTP_E_INVALID_ARG, "protocols");
    WRONG(s.client_window_bits = 7, CHTTP_E_INVALID_ARG, "client_window_bits");
    WRONG(s.server_window_bits = 16, CHTTP_E_INVALID_ARG, "server_window_bits");
    /* ws is a WebSocket's alone. */
    chttp_request plain = request_for("ws://127.0.0.1/");
    chttp_xid xid = 0;
    CHECK_EQ(chttp_submit(engine, queue, &plain, 1, 0, &xid, NULL), CHTTP_E_UNSUPPORTED_SCHEME);
    chttp_request request = websocket(url, NULL);
    chttp_response *response = NULL;
    CHECK_EQ(chttp_perform(engine, &request, 0, &response, NULL), CHTTP_E_INVALID_ARG);
    /* The scheme of RFC 6455, and what sending refuses. */
    char ws_url[64];
    snprintf(ws_url, sizeof ws_url, "WS%s", url + 4);
    request = websocket(ws_url, NULL);
    xid = submit_one(engine, queue, &request);
    chttp_event event = expect(queue, CHTTP_EV_WS_OPEN);
    event_free(&event);
    char big[126] = {0};
    CHECK_EQ(chttp_ws_send(engine, xid, 3, 0, "x", 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_send(engine, xid, 9, 0, "x", 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_send(engine, xid, 1, 4, "x", 1), CHTTP_E_UNKNOWN_FLAG);
    CHECK_EQ(chttp_ws_send(engine, xid, 1, 0, "\xff", 1), CHTTP_E_WS_UTF8);
    CHECK_EQ(chttp_ws_ping(engine, xid, big, sizeof big), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_ws_pong(engine, xid, big, sizeof big), CHTTP_E_INVALID_SIZE);
    static const uint32_t codes[] = {0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65536 + 1000};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        CHECK_EQ(chttp_ws_close(engine, xid, codes[i], NULL, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_close(engine, xid, CHTTP_WS_NO_STATUS, "why", Z, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_close(engine, xid, 1000, big, 124, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_ws_close(engine, xid, 1000, "\xff", 1, NULL), CHTTP_E_WS_UTF8);
    CHECK_EQ(chttp_body_write(engine, xid, "x", 1), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_stream_start_tls(engine, xid, NULL, NULL, 0, NULL), CHTTP_E_BAD_STATE);
    CHECK(chttp_stream_fd(engine, xid) >= 0);
    /* Nothing of it did any harm. */
    say(engine, xid, "fine");
    hear(queue, CHTTP_WS_TEXT, "fine", 4);
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    expect_done(queue, CHTTP_E_CANCELLED, 0);
    /* An exchange that is none. */
    char hang[64];
    request = request_for(test_server_url(&server, "/hang", hang, sizeof hang));
    request.token = 7;
    xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_ws_send(engine, xid, CHTTP_WS_TEXT, 0, "x", 1), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_ws_close(engine, xid, 1000, NULL, 0, NULL), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    expect_done(queue, CHTTP_E_CANCELLED, 0);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        sizes(engine, queue);
        fragments(engine, queue);
        ends(engine, queue);
        handshakes(engine, queue);
        refused(engine, queue);
        /* The engine's end in the middle of it. */
        open_ws(engine, queue, "/ws", NULL, "");
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        CHECK_EQ(chttp_queue_destroy(queue), 0);
    }
    test_server_stop(&server);
    return 0;
}
