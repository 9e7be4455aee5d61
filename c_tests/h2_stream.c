/*
 * HTTP/2 by the C interface: requests that share a connection; raw streams by CONNECT and Extended CONNECT (RFC 8441), with
 * bytes both ways under credit and WRITABLE, each side closed for itself; what a request may not ask for; and what the
 * counters tell of it.
 */
#define _GNU_SOURCE

#include "support/echo.h"
#include "support/h2_server.h"

#define RAW2 (CHTTP_REQ_RAW | CHTTP_REQ_HTTP2)

/* The ways of the server. */
enum { ALLOWS = 0, FORBIDS, BYE_FIRST, SAYS_NO, RESETS, REFUSES_ONCE, LEAVES };

static struct h2_server server;

static void hello(struct h2_conn *c, uint32_t way)
{
    if (way == FORBIDS)
        h2_frame(c, SETTINGS, 0, 0, NULL, 0);
    else
        h2_setting(c, 8, 1);
}

/* Requests are answered; a stream gets back what it brings. */
static void answer(struct h2_conn *c, const struct h2_frame *frame, uint32_t way)
{
    static int refused;
    uint32_t stream = frame->stream;
    if (h2_asks(frame) && h2_ends(frame)) {
        if (way == REFUSES_ONCE && !refused) {
            refused = 1;
            h2_word(c, RST_STREAM, stream, 7);
        } else if (way == LEAVES && c->number == 0) {
            h2_goaway(c, stream == 1 ? 0 : stream - 2, 0);
            h2_shut(c);
        } else {
            h2_ok(c, stream);
        }
    } else if (h2_asks(frame) && way == SAYS_NO) {
        H2_HEADERS(c, stream, 0, ":status", "403");
        h2_data(c, stream, 1, "no", 2);
    } else if (h2_asks(frame)) {
        H2_HEADERS(c, stream, 0, ":status", "200", "sec-websocket-protocol", "chat");
        if (way == RESETS)
            h2_word(c, RST_STREAM, stream, 8);
        if (way == BYE_FIRST)
            h2_data(c, stream, 1, "bye", 3);
    } else if (frame->kind == DATA && way != BYE_FIRST) {
        h2_data(c, stream, h2_ends(frame), frame->payload, frame->len);
        if (frame->len > 0) {
            h2_word(c, WINDOW_UPDATE, 0, frame->len);
            if (!h2_ends(frame))
                h2_word(c, WINDOW_UPDATE, stream, frame->len);
        }
    }
}

static chttp_request stream_to(const char *url, int extended)
{
    chttp_request request = request_for(url);
    request.flags = RAW2;
    if (extended) {
        request.protocol = "websocket";
        request.protocol_len = Z;
        request.header_block = "Sec-WebSocket-Version: 13\r\n";
        request.header_block_len = Z;
    }
    return request;
}

static chttp_xid opened(chttp_engine *engine, chttp_queue *queue, const chttp_request *request)
{
    chttp_xid xid = submit_one(engine, queue, request);
    chttp_event event = next_event(queue);
    CHECK_EQ(event.kind, CHTTP_EV_HEADERS);
    CHECK_EQ(event.arg, 200);
    CHECK_EQ(event.xid, xid);
    CHECK((event.flags & CHTTP_EF_TUNNEL) != 0 && !is_terminal(&event));
    CHECK_EQ(chttp_response_version(event.obj), 20);
    CHECK_EQ(chttp_response_header_count(event.obj), 1);
    event_free(&event);
    return xid;
}

static void expect_bytes(chttp_queue *queue, const char *text)
{
    for (size_t at = 0, len = strlen(text); at < len;) {
        chttp_event event = next_event(queue);
        CHECK_EQ(event.kind, CHTTP_EV_BODY);
        CHECK(at + event.len <= len && memcmp(event.data, text + at, (size_t)event.len) == 0);
        at += (size_t)event.len;
        event_free(&event);
    }
}

static void expect(chttp_queue *queue, uint16_t kind, int32_t error)
{
    chttp_event event = next_event(queue);
    CHECK_EQ(event.kind, kind);
    CHECK_EQ(event.error, error);
    event_free(&event);
}

static void fetch_ok(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    chttp_request request = request_for(url);
    request.flags = CHTTP_REQ_HTTP2 | CHTTP_REQ_COLLECT;
    struct answer a = fetch(engine, queue, &request);
    CHECK_EQ(a.status, 200);
    CHECK_STR(a.text, "hi");
}

static void refused(chttp_engine *engine, chttp_queue *queue, const chttp_request *request, int32_t code, const char *word)
{
    char text[256] = "";
    chttp_error *error = NULL;
    CHECK_EQ(chttp_submit(engine, queue, request, 1, 0, NULL, &error), code);
    CHECK(chttp_error_message(error, text, sizeof text) > 0);
    CHECK(strstr(text, word) != NULL);
    chttp_release(error);
}

static void rules(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    static const chttp_field field = {"A", 1, "b", 1};
    static const char *const protocols[] = {"", "web socket", "web\r\nsocket", "caf\xc3\xa9"};
    chttp_request request = stream_to(url, 1);
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        request.protocol = protocols[i];
        refused(engine, queue, &request, CHTTP_E_INVALID_ARG, "protocol");
    }
    request.protocol = NULL;
    request.protocol_len = 3;
    refused(engine, queue, &request, CHTTP_E_INVALID_ARG, "protocol");
    request = stream_to(url, 1);
    request.protocol_len = SIZE_MAX / 2 + 1;
    refused(engine, queue, &request, CHTTP_E_INVALID_SIZE, "protocol");
    /* Elsewhere it has no meaning. */
    for (uint32_t flags = 0; flags <= CHTTP_REQ_HTTP2; flags += CHTTP_REQ_RAW) {
        request = stream_to(url, 1);
        request.flags = flags & (CHTTP_REQ_RAW | CHTTP_REQ_HTTP1 | CHTTP_REQ_HTTP2);
        request.header_block = NULL;
        request.header_block_len = 0;
        if (request.flags != RAW2)
            refused(engine, queue, &request, CHTTP_E_INVALID_ARG, request.flags == 96 ? "flags" : "protocol");
    }
    request = stream_to(url, 0);
    request.flags |= CHTTP_REQ_COLLECT;
    refused(engine, queue, &request, CHTTP_E_INVALID_ARG, "flags");
    request = stream_to(url, 0);
    request.flags |= CHTTP_REQ_HTTP1;
    refused(engine, queue, &request, CHTTP_E_INVALID_ARG, "flags");
    request = stream_to(url, 0);
    request.method = "GET";
    request.method_len = 3;
    refused(engine, queue, &request, CHTTP_E_INVALID_METHOD, "method");
    request = stream_to(url, 0);
    request.body = "x";
    refused(engine, queue, &request, CHTTP_E_INVALID_ARG, "body");
    request.body = NULL;
    request.body_len = 1;
    refused(engine, queue, &request, CHTTP_E_INVALID_ARG, "body_len");
    /* What may be said. */
    request = stream_to(url, 0);
    request.method = "CONNECT";
    request.method_len = Z;
    request.target = "far.example:99";
    request.target_len = Z;
    chttp_xid xid = opened(engine, queue, &request);
    CHECK_EQ(chttp_body_end(engine, xid, &field, 1, NULL), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    await_terminals(queue, 1);
}

int main(void)
{
    char url[64], other[64];
    h2_server_start(&server, hello, answer);
    h2_server_url(&server, "/chat?a=b", url, sizeof url);
    h2_server_url(&server, "/", other, sizeof other);
    for (int drive = 0; drive < DRIVES; drive++) {
        const struct setting settings[] = {{CHTTP_OPT_SEND_BUFFER, 30000}, {CHTTP_OPT_HTTP_VERSION, 2}, {0, 0}};
        *server.way = ALLOWS;
        chttp_engine *engine = engine_make(drive, settings);
        chttp_queue *queue = queue_make(engine);
        for (int extended = 0; extended < 2; extended++) {
            chttp_request request = stream_to(url, extended);
            request.recv_credit = 20000;

            chttp_xid xid = opened(engine, queue, &request);
            /* There is neither a socket nor TLS of its own. */
            CHECK_EQ(chttp_stream_fd(engine, xid), CHTTP_E_BAD_STATE);
            CHECK_EQ(chttp_stream_start_tls(engine, xid, NULL, NULL, 0, NULL), CHTTP_E_BAD_STATE);
            CHECK_EQ(chttp_body_write(engine, xid, "ping", 4), 0);
            expect_bytes(queue, "ping");
            echo_bulk(engine, queue, xid, 1 << 20);
            /* Beside it, on the same connection. */
            fetch_ok(engine, queue, other);
            CHECK_EQ(chttp_body_write(engine, xid, "last", 4), 0);
            CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
            expect_bytes(queue, "last");
            expect(queue, CHTTP_EV_STREAM_END, 0);
            expect(queue, CHTTP_EV_DONE, 0);
            CHECK_EQ(chttp_body_write(engine, xid, "x", 1), CHTTP_E_NOT_FOUND);

            /* The server closes its side first. */
            *server.way = BYE_FIRST;
            xid = opened(engine, queue, &request);
            expect_bytes(queue, "bye");
            expect(queue, CHTTP_EV_STREAM_END, 0);
            CHECK_EQ(chttp_body_write(engine, xid, "more", 4), 0);
            CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
            expect(queue, CHTTP_EV_DONE, 0);

            /* It says no, which is an answer. */
            *server.way = SAYS_NO;
            struct answer no = fetch(engine, queue, &request);
            CHECK_EQ(no.status, 403);
            CHECK_STR(no.text, "no");

            /* It resets the stream. */
            *server.way = RESETS;
            xid = opened(engine, queue, &request);
            expect(queue, CHTTP_EV_DONE, CHTTP_E_H2_STREAM_RESET);
            *server.way = ALLOWS;

            /* Cancelled with bytes on their way. */
            xid = opened(engine, queue, &request);
            CHECK_EQ(chttp_body_write(engine, xid, "ping", 4), 0);
            CHECK_EQ(chttp_cancel(engine, xid), 0);
            await_terminals(queue, 1);
            fetch_ok(engine, queue, other);
        }
        rules(engine, queue, url);
        *server.way = REFUSES_ONCE;
        fetch_ok(engine, queue, other);
        *server.way = ALLOWS;
        chttp_stats stats = stats_of(engine);
        CHECK_EQ(stats.connections_opened, 1);
        CHECK_EQ(stats.h2_connections, 1);
        CHECK_EQ(stats.h2_resets, 2);
        CHECK_EQ(stats.h2_unprocessed, drive == 0);
        CHECK_EQ(stats.h2_replayed, drive == 0);
        CHECK_EQ(stats.h2_streams, stats.submitted + stats.h2_replayed);
        CHECK(stats.h2_goaways == 0 && stats.h2_ping_timeouts == 0 && stats.h2_floods == 0);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        CHECK_EQ(chttp_queue_destroy(queue), 0);

        /* A server that allows none. */
        *server.way = FORBIDS;
        engine = engine_make(drive, settings);
        queue = queue_make(engine);
        chttp_request request = stream_to(url, 1);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(fetch(engine, queue, &request).error, CHTTP_E_H2_NO_EXTENDED_CONNECT);
            fetch_ok(engine, queue, other);
        }
        CHECK_EQ(stats_of(engine).h2_connections, 1);
        /* An engine that ends with an open stream. */
        request = stream_to(url, 0);
        opened(engine, queue, &request);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        await_terminals(queue, 1);
        CHECK_EQ(chttp_queue_destroy(queue), 0);
    }
    h2_server_stop(&server);
    /* Its first connection is told to leave, and the request goes elsewhere. */
    h2_server_start(&server, hello, answer);
    *server.way = LEAVES;
    h2_server_url(&server, "/", other, sizeof other);
    chttp_engine *engine = engine_make(0, NULL);
    chttp_queue *queue = queue_make(engine);
    fetch_ok(engine, queue, other);
    chttp_stats stats = stats_of(engine);
    CHECK_EQ(stats.h2_goaways, 1);
    CHECK_EQ(stats.h2_unprocessed, 1);
    CHECK_EQ(stats.h2_replayed, 1);
    CHECK_EQ(stats.retried, 1);
    CHECK_EQ(stats.h2_connections, 2);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    h2_server_stop(&server);
    return 0;
}
