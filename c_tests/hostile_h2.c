/*
 * HTTP/2 servers that break the rules, flood, or do nothing: each ends its stream or its connection with an error that names
 * the reason, and the engine serves others at once. What HPACK, frames and messages may look like is tested case by case on
 * the mock (tests/h2_hostile.rs); here are those that go through sockets, threads and, in one of the runs, sanitizers.
 */
#define _GNU_SOURCE

#include "support/engine.h"
#include "support/h2_server.h"

#define MANY 5000

static struct h2_server server, good;

static void push_promise(struct h2_conn *c, uint32_t stream)
{
    static const uint8_t promise[] = {0, 0, 0, 4, 0x82};
    h2_frame(c, PUSH_PROMISE, END_HEADERS, stream, promise, sizeof promise);
}

/* A section of 100,000 fields, in one HEADERS and many CONTINUATION frames. */
static void field_bomb(struct h2_conn *c, uint32_t stream)
{
    uint8_t piece[16000];
    h2_frame(c, HEADERS, 0, stream, "\x88", 1);
    for (size_t i = 0; i + 4 <= sizeof piece; i += 4)
        memcpy(piece + i, "\0\1a\0", 4);
    for (int i = 0; i < 25; i++)
        h2_frame(c, CONTINUATION, i == 24 ? END_HEADERS : 0, stream, piece, sizeof piece);
}

/* One entry of the table of 4 KB, and references to it: 16,000 times as much as was sent. */
static void reference_bomb(struct h2_conn *c, uint32_t stream)
{
    uint8_t section[16000];
    memset(section, 0xbe, sizeof section);
    static const uint8_t entry[] = {0x88, 0x40, 1, 'a', 0x7f, 0x80 | (3900 - 127) % 128, (3900 - 127) / 128};
    memcpy(section, entry, sizeof entry);
    memset(section + sizeof entry, 'x', 3900);
    h2_frame(c, HEADERS, END_HEADERS | END_STREAM, stream, section, sizeof section);
}

/* The case's name, the code that its exchange ends with, and whether the connection is lost with it. */
static const struct hostile {
    const char *name;
    int32_t code;
    int loses;
} cases[] = {
    {"flood of PING", CHTTP_E_H2_FLOOD, 1},
    {"flood of SETTINGS", CHTTP_E_H2_FLOOD, 1},
    {"flood of empty DATA", CHTTP_E_H2_FLOOD, 1},
    {"flood of padding", CHTTP_E_H2_FLOOD, 1},
    {"flood of WINDOW_UPDATE", CHTTP_E_H2_FLOOD, 1},
    {"flood of PRIORITY", CHTTP_E_H2_FLOOD, 1},
    {"flood of unknown frames", CHTTP_E_H2_FLOOD, 1},
    {"flood of GOAWAY", CHTTP_E_H2_FLOOD, 1},
    {"flood of CONTINUATION", CHTTP_E_H2_FLOOD, 1},
    {"flood of 1xx", CHTTP_E_TOO_MANY_INFORMATIONAL, 0},
    {"bomb of fields", CHTTP_E_TOO_MANY_FIELDS, 0},
    {"bomb of references", CHTTP_E_H2_FLOOD, 1},
    {"index that is none", CHTTP_E_H2_PROTOCOL, 1},
    {"table over its limit", CHTTP_E_H2_PROTOCOL, 1},
    {"endless number", CHTTP_E_H2_PROTOCOL, 1},
    {"PUSH_PROMISE", CHTTP_E_H2_PROTOCOL, 1},
    {"DATA first", CHTTP_E_H2_PROTOCOL, 1},
    {"oversize frame", CHTTP_E_H2_PROTOCOL, 1},
    {"no status", CHTTP_E_H2_MESSAGE, 0},
    {"field of the connection", CHTTP_E_H2_MESSAGE, 0},
    {"too short", CHTTP_E_H2_MESSAGE, 0},
    {"too long", CHTTP_E_H2_MESSAGE, 0},
    {"reset", CHTTP_E_H2_STREAM_RESET, 0},
    {"refused for ever", CHTTP_E_H2_UNPROCESSED, 0},
    {"GOAWAY with an error", CHTTP_E_H2_GOAWAY, 1},
    {"end in the middle", CHTTP_E_TRUNCATED_BODY, 1},
    {"end before the head", CHTTP_E_CLOSED_BEFORE_HEAD, 1},
    {"no HTTP/2", CHTTP_E_H2_NOT_SPOKEN, 1},
    {"silence", CHTTP_E_TIMEOUT_READ, 0},
};

enum { COUNT = sizeof cases / sizeof *cases };

static void flood(struct h2_conn *c, uint8_t kind, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
    for (int i = 0; i < MANY; i++)
        h2_frame(c, kind, flags, stream, payload, len);
}

static void hello(struct h2_conn *c, uint32_t way)
{
    if (way < COUNT && strcmp(cases[way].name, "no HTTP/2") == 0) {
        static const char words[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        h2_put(c, words, sizeof words - 1);
    } else {
        h2_frame(c, SETTINGS, 0, 0, NULL, 0);
    }
}

static void answer(struct h2_conn *c, const struct h2_frame *frame, uint32_t way)
{
    static const uint8_t bytes[20000];
    uint32_t s = frame->stream;
    if (!h2_asks(frame))
        return;
    if (way >= COUNT) {
        h2_ok(c, s);
        return;
    }
    const char *name = cases[way].name;
#define IS(which) (strcmp(name, which) == 0)
    if (IS("flood of PING"))
        flood(c, PING, 0, 0, bytes, 8);
    else if (IS("flood of SETTINGS"))
        flood(c, SETTINGS, 0, 0, NULL, 0);
    else if (IS("flood of WINDOW_UPDATE"))
        flood(c, WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
    else if (IS("flood of PRIORITY"))
        flood(c, PRIORITY, 0, s, "\0\0\0\3\0", 5);
    else if (IS("flood of unknown frames"))
        flood(c, 0x77, 0, 0, "x", 1);
    else if (IS("flood of GOAWAY"))
        flood(c, GOAWAY, 0, 0, "\x7f\xff\xff\xff\0\0\0\0", 8);
    else if (IS("flood of CONTINUATION")) {
        h2_frame(c, HEADERS, 0, s, "\x88", 1);
        flood(c, CONTINUATION, 0, s, NULL, 0);
    } else if (IS("flood of 1xx"))
        for (int i = 0; i < MANY; i++)
            H2_HEADERS(c, s, 0, ":status", "103");
    else if (IS("bomb of fields"))
        field_bomb(c, s);
    else if (IS("bomb of references"))
        reference_bomb(c, s);
    else if (IS("index that is none"))
        h2_frame(c, HEADERS, END_HEADERS | END_STREAM, s, "\x88\xff\x00", 3);
    else if (IS("table over its limit"))
        h2_frame(c, HEADERS, END_HEADERS | END_STREAM, s, "\x3f\xe2\x1f\x88", 4);
    else if (IS("endless number"))
        h2_frame(c, HEADERS, END_HEADERS | END_STREAM, s, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
    else if (IS("PUSH_PROMISE"))
        push_promise(c, s);
    else if (IS("DATA first"))
        h2_data(c, s, 1, "hi", 2);
    else if (IS("oversize frame"))
        h2_frame(c, DATA, 0, s, bytes, sizeof bytes);
    else if (IS("no status"))
        H2_HEADERS(c, s, 1, "a", "b");
    else if (IS("field of the connection"))
        H2_HEADERS(c, s, 1, ":status", "200", "connection", "close");
    else if (IS("reset"))
        h2_word(c, RST_STREAM, s, 2);
    else if (IS("refused for ever"))
        h2_word(c, RST_STREAM, s, 7);
    else if (IS("GOAWAY with an error")) {
        h2_goaway(c, s, 2);
        h2_shut(c);
    } else if (IS("end before the head"))
        h2_shut(c);
    else if (!IS("silence")) {
        /* Those that begin well. */
        if (IS("too short"))
            H2_HEADERS(c, s, 0, ":status", "200", "content-length", "3");
        else if (IS("too long"))
            H2_HEADERS(c, s, 0, ":status", "200", "content-length", "1");
        else
            H2_HEADERS(c, s, 0, ":status", "200");
        if (IS("flood of empty DATA"))
            flood(c, DATA, 0, s, NULL, 0);
        else if (IS("flood of padding"))
            flood(c, DATA, PADDED, s, "\3\0\0\0", 4);
        else if (IS("end in the middle"))
            h2_shut(c);
        else
            h2_data(c, s, 1, "hi", 2);
    }
}

static void serves(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    chttp_request request = request_for(url);
    request.flags = CHTTP_REQ_HTTP2 | CHTTP_REQ_COLLECT;
    struct answer a = fetch(engine, queue, &request);
    CHECK_EQ(a.error, 0);
    CHECK_EQ(a.status, 200);
    CHECK_STR(a.text, "hi");
}

/* What becomes of a hostile exchange, while another one is served. */
static struct answer beside(chttp_engine *engine, chttp_queue *queue, chttp_xid hostile, const char *elsewhere)
{
    chttp_request request = request_for(elsewhere);
    request.flags = CHTTP_REQ_HTTP2;
    submit_one(engine, queue, &request);
    struct answer answers[2];
    memset(answers, 0, sizeof answers);
    for (int left = 2; left > 0;) {
        chttp_event event = next_event(queue);
        left -= answer_add(&answers[event.xid == hostile], &event);
        event_free(&event);
    }
    CHECK_EQ(answers[0].error, 0);
    CHECK_STR(answers[0].text, "hi");
    return answers[1];
}

int main(void)
{
    char url[64], elsewhere[64];
    h2_server_start(&server, hello, answer);
    h2_server_start(&good, hello, answer);
    *good.way = COUNT;
    h2_server_url(&server, "/", url, sizeof url);
    h2_server_url(&good, "/", elsewhere, sizeof elsewhere);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        for (uint32_t i = 0; i < COUNT; i++) {
            *server.way = COUNT;
            serves(engine, queue, url);
            chttp_stats before = stats_of(engine);
            *server.way = i;
            /* What is said at first needs a new connection. */
            chttp_request request = request_for(url);
            request.flags = CHTTP_REQ_HTTP2 | CHTTP_REQ_CLOSE;
            if (strcmp(cases[i].name, "no HTTP/2") == 0) {
                *server.way = COUNT;
                fetch(engine, queue, &request);
                *server.way = i;
            }
            request.read_timeout_ns = strcmp(cases[i].name, "silence") == 0 ? 50 * MS_NS : 0;
            request.flags = CHTTP_REQ_HTTP2;
            /* A POST is not tried again when its connection is lost. */
            request.method = "POST";
            request.method_len = 4;
            chttp_xid xid = submit_one(engine, queue, &request);
            struct answer a = beside(engine, queue, xid, elsewhere);
            if (a.error != cases[i].code)
                fprintf(stderr, "%s: %s\n", cases[i].name, chttp_error_name(a.error));
            CHECK_EQ(a.error, cases[i].code);
            *server.way = COUNT;
            serves(engine, queue, url);
            chttp_stats after = stats_of(engine);
            CHECK_EQ(after.h2_floods - before.h2_floods, cases[i].code == CHTTP_E_H2_FLOOD);
            if (!cases[i].loses)
                CHECK_EQ(after.closed_failed, before.closed_failed);
        }
        /* An engine may be destroyed in the middle of a flood. */
        *server.way = 0;
        chttp_request request = request_for(url);
        request.flags = CHTTP_REQ_HTTP2;
        submit_one(engine, queue, &request);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        await_terminals(queue, 1);
        CHECK_EQ(chttp_queue_destroy(queue), 0);
    }
    h2_server_stop(&server);
    h2_server_stop(&good);
    return 0;
}
