/*
 * Streamed request bodies: of known length and chunked, with trailers, with CHTTP_E_AGAIN and WRITABLE as the low-water
 * signal, and everything that contradicts what was announced.
 */
#include "support/engine.h"

#include <unistd.h>

#define BUFFER 20000

static struct test_server server;

static chttp_request stream_to(const char *url, uint64_t len, uint32_t flags)
{
    chttp_request request = request_for(url);
    request.method = "POST";
    request.method_len = 4;
    request.body_len = len;
    request.flags = CHTTP_REQ_STREAM_BODY | flags;
    return request;
}

/* Writes all of it and waits for WRITABLE where the buffer is full. Returns how often that was. */
static unsigned write_all(chttp_engine *engine, chttp_queue *queue, chttp_xid xid, uint64_t len, size_t piece)
{
    static char bytes[64000];
    unsigned refusals = 0;
    for (uint64_t at = 0; at < len;) {
        size_t n = len - at < piece ? (size_t)(len - at) : piece;
        for (size_t i = 0; i < n; i++)
            bytes[i] = test_server_pattern(at + i);
        int32_t code = chttp_body_write(engine, xid, bytes, n);
        if (code == 0) {
            at += n;
            continue;
        }
        CHECK_EQ(code, CHTTP_E_AGAIN);
        refusals++;
        chttp_event event = next_event(queue);
        CHECK_EQ(event.kind, CHTTP_EV_WRITABLE);
        CHECK(event.xid == xid && event.obj == NULL && !is_terminal(&event));
        CHECK(event.aux > 0 && event.aux <= BUFFER);
    }
    return refusals;
}

/* A body of known length is complete with its last byte: the answer may have ended the exchange before this call. */
static void end(chttp_engine *engine, chttp_xid xid, int known)
{
    int32_t code = chttp_body_end(engine, xid, NULL, 0, NULL);
    CHECK(code == 0 || (known && code == CHTTP_E_NOT_FOUND));
}

static void lengths_and_pieces(chttp_engine *engine, chttp_queue *queue)
{
    static const uint64_t lens[] = {0, 1, 1000, 1000000};
    static const size_t pieces[] = {1, 777, 16384, 50000};
    char url[64];
    test_server_url(&server, "/count", url, sizeof url);
    for (size_t i = 0; i < 4; i++)
        for (int known = 0; known < 2; known++) {
            chttp_request request = stream_to(url, known ? lens[i] : CHTTP_LENGTH_UNKNOWN, 0);
            chttp_xid xid = submit_one(engine, queue, &request);
            unsigned refusals = write_all(engine, queue, xid, lens[i], pieces[i]);
            /* A megabyte does not fit into the buffer, and a kilobyte does. */
            CHECK(lens[i] > BUFFER || refusals == 0);
            end(engine, xid, known);
            struct answer a = read_answer(queue, xid);
            CHECK_EQ(a.error, 0);
            CHECK_EQ(strtoull(a.text, NULL, 10), lens[i]);
            CHECK_EQ(a.write_done, 0);
        }
}

static void trailers(chttp_engine *engine, chttp_queue *queue)
{
    static const chttp_field fields[] = {{"X-Sum", 5, "42", 2}, {"x-two", (size_t)CHTTP_NUL_TERMINATED, " b\tc ", 5}};
    static const chttp_field bad_name = {"X Sum", 5, "42", 2}, bad_value = {"X", 1, "a\r\nb", 4},
                             forbidden = {"Content-Length", 14, "1", 1};
    char url[64], text[200];
    chttp_request request = stream_to(test_server_url(&server, "/trailers", url, sizeof url), CHTTP_LENGTH_UNKNOWN, 0);
    chttp_xid xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, xid, "body", 4), 0);
    const chttp_field *bad[] = {&bad_name, &bad_value, &forbidden};
    for (int i = 0; i < 3; i++) {
        /* Refused: the stream is still open. */
        chttp_error *error = NULL;
        CHECK_EQ(chttp_body_end(engine, xid, bad[i], 1, &error), CHTTP_E_INVALID_HEADER);
        CHECK(chttp_error_message(error, text, sizeof text) > 0);
        CHECK(strstr(text, "trailer") != NULL);
        chttp_release(error);
    }
    CHECK_EQ(chttp_body_write(engine, xid, "more", 4), 0);
    CHECK_EQ(chttp_body_end(engine, xid, fields, 2, NULL), 0);
    struct answer a = read_answer(queue, xid);
    CHECK_STR(a.text, "X-Sum: 42\r\nx-two: b\tc\r\n");
    /* With a known length there is no place for them: refused, and the stream is still open. */
    request = stream_to(url, 8, 0);
    xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, xid, "body", 4), 0);
    CHECK_EQ(chttp_body_end(engine, xid, fields, 2, NULL), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_body_write(engine, xid, "more", 4), 0);
    end(engine, xid, 1);
    a = read_answer(queue, xid);
    CHECK_EQ(a.error, 0);
    CHECK_EQ(a.len, 0);
}

static void contradictions(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    /* Too short, and too long. The connection is no good any more; the next exchange gets another. */
    chttp_request request = stream_to(test_server_url(&server, "/count", url, sizeof url), 10, 0);
    chttp_xid xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, xid, "123", 3), 0);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
    struct answer a = read_answer(queue, xid);
    CHECK_EQ(a.error, CHTTP_E_BODY_LENGTH);
    xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, xid, "12345678901", 11), 0);
    a = read_answer(queue, xid);
    CHECK_EQ(a.error, CHTTP_E_BODY_LENGTH);

    /* After the end there is no more. */
    request = stream_to(test_server_url(&server, "/hang", url, sizeof url), CHTTP_LENGTH_UNKNOWN, 0);
    xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, xid, NULL, 0), 0);
    CHECK_EQ(chttp_body_write(engine, xid, "", 0), 0);
    CHECK_EQ(chttp_body_write(engine, xid, NULL, 3), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_body_write(engine, xid, "x", 1), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_body_write(engine, xid, NULL, 0), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    await_terminals(queue, 1);

    /* Answered before the end: what is written then is refused once the exchange has ended, and never lost. */
    request = stream_to(test_server_url(&server, "/early413", url, sizeof url), CHTTP_LENGTH_UNKNOWN, 0);
    xid = submit_one(engine, queue, &request);
    a = read_answer(queue, xid);
    CHECK_EQ(a.status, 413);
    CHECK_EQ(a.error, 0);
    CHECK_EQ(chttp_body_write(engine, xid, "x", 1), CHTTP_E_NOT_FOUND);

    /* Held back by Expect; collected. */
    request = stream_to(test_server_url(&server, "/continue", url, sizeof url), CHTTP_LENGTH_UNKNOWN,
                        CHTTP_REQ_EXPECT_CONTINUE | CHTTP_REQ_COLLECT);
    xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, xid, "held ", 5), 0);
    CHECK_EQ(chttp_body_write(engine, xid, "back", 4), 0);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
    a = read_answer(queue, xid);
    CHECK(a.one_event);
    CHECK_STR(a.text, "held back");
}

/* A peer that takes nothing: the buffer fills, AGAIN stays, and cancel ends it. A piece larger than the buffer passes
 * when that is empty. */
static void stuck(chttp_engine *engine, chttp_queue *queue)
{
    static char piece[4 << 20];
    uint16_t port;
    char url[64];
    int listener = test_server_listen(&port);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    chttp_request request = stream_to(url, CHTTP_LENGTH_UNKNOWN, 0);
    chttp_xid xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, xid, piece, sizeof piece), 0);
    while (chttp_body_write(engine, xid, piece, sizeof piece) != CHTTP_E_AGAIN) {
    }
    CHECK_EQ(chttp_body_write(engine, xid, "x", 1), CHTTP_E_AGAIN);
    CHECK_EQ(chttp_body_write(engine, xid, "", 0), CHTTP_E_AGAIN);
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    struct answer a = read_answer(queue, xid);
    CHECK_EQ(a.error, CHTTP_E_CANCELLED);
    close(listener);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        const struct setting settings[] = {{CHTTP_OPT_SEND_BUFFER, BUFFER}, {0, 0}};
        chttp_engine *engine = engine_make(drive, settings);
        chttp_queue *queue = queue_make(engine);
        lengths_and_pieces(engine, queue);
        trailers(engine, queue);
        contradictions(engine, queue);
        stuck(engine, queue);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
