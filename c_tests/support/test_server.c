/*
 * One connection is one `struct conn`: bytes that came in, bytes that are to go out, and a `producer` that makes more
 * of the latter when they are gone, so that a body of any size costs a bounded buffer. Everything is level-triggered;
 * EPOLLOUT is asked for only while a write is short, which keeps the quick path at recv + send for each request.
 */
#define _GNU_SOURCE

#include "test_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATTERN_PERIOD 61
#define PATTERN_BYTES (64 * 1024)
#define REFILL_BELOW (64 * 1024)
#define HEAD_MAX (1024 * 1024)
#define EVENTS_MAX 256
#define INHERITED_MAX 1024

/* A tunnel stops reading while this much of its echo is unsent. */
#define TUNNEL_BACKLOG_MAX (1024 * 1024)

struct bytes {
    char *data;
    size_t start, end, capacity;
};

/* What a connection does with what comes in. */
enum phase {
    PHASE_HEAD,    /* waits for a request */
    PHASE_BODY,    /* collects a request's body */
    PHASE_REPLY,   /* the response is on its way; input waits */
    PHASE_TUNNEL,  /* echoes */
    PHASE_WEBSOCKET, /* sends messages back */
    PHASE_DISCARD, /* the response is out, the write side shut: reads to the end, so that no RST overtakes it */
};

enum produce { PRODUCE_NOTHING, PRODUCE_PLAIN, PRODUCE_CHUNKED, PRODUCE_DRIP };

enum timer { TIMER_NONE, TIMER_HELLO, TIMER_DRIP, TIMER_CLOSE };

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNK_SIZE, FRAMING_CHUNK_DATA, FRAMING_CHUNK_END, FRAMING_TRAILER };

struct conn {
    int fd;
    uint32_t interest;
    enum phase phase;
    struct bytes in, out;

    /* the request */
    char method[16];
    char path[256];
    bool head_only, keep_alive, expects_continue, wants_upgrade;
    uint64_t last_event_id;
    enum framing framing;
    uint64_t body_left;
    uint64_t body_count;
    bool body_kept;
    struct bytes head, body, trailers;

    /* the response */
    bool close_after;
    bool mute; /* a WebSocket is not answered any more */
    bool peer_done; /* a tunnel's peer has sent all; the rest of its echo is on the way */
    enum produce produce;
    uint64_t produce_total, produce_done, produce_chunk;

    /* at most one timer, in the list of those that run */
    enum timer timer;
    uint64_t due_ns, step_ns;
    struct conn *next_timed, *previous_timed;
};

struct loop {
    int epoll, listener, lifeline;
    struct test_server_counters *counters;
    struct conn *timed;
};

static char pattern[PATTERN_BYTES + PATTERN_PERIOD];
static const char alphabet[PATTERN_PERIOD + 1] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678";

char test_server_pattern(uint64_t index)
{
    return alphabet[index % PATTERN_PERIOD];
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- bytes ---- */

static size_t bytes_len(const struct bytes *b)
{
    return b->end - b->start;
}

static char *bytes_reserve(struct bytes *b, size_t room)
{
    if (b->start == b->end)
        b->start = b->end = 0;
    if (b->capacity - b->end < room && b->start > 0) {
        memmove(b->data, b->data + b->start, bytes_len(b));
        b->end -= b->start;
        b->start = 0;
    }
    if (b->capacity - b->end < room) {
        size_t capacity = b->capacity > 0 ? b->capacity : 4096;
        while (capacity - b->end < room)
            capacity *= 2;
        b->data = realloc(b->data, capacity);
        if (b->data == NULL)
            abort();
        b->capacity = capacity;
    }
    return b->data + b->end;
}

static void bytes_put(struct bytes *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(bytes_reserve(b, len), data, len);
    b->end += len;
}

static void bytes_text(struct bytes *b, const char *text)
{
    bytes_put(b, text, strlen(text));
}

static void bytes_clear(struct bytes *b)
{
    b->start = b->end = 0;
}

static void bytes_pattern(struct bytes *b, uint64_t from, uint64_t len)
{
    while (len > 0) {
        size_t piece = len < PATTERN_BYTES ? (size_t)len : PATTERN_BYTES;
        bytes_put(b, pattern + from % PATTERN_PERIOD, piece);
        from += piece;
        len -= piece;
    }
}

/* ---- connections and their timers ---- */

static void timer_stop(struct loop *loop, struct conn *c)
{
    if (c->timer == TIMER_NONE)
        return;
    if (c->previous_timed != NULL)
        c->previous_timed->next_timed = c->next_timed;
    else
        loop->timed = c->next_timed;
    if (c->next_timed != NULL)
        c->next_timed->previous_timed = c->previous_timed;
    c->timer = TIMER_NONE;
}

static void timer_start(struct loop *loop, struct conn *c, enum timer timer, uint64_t ms)
{
    timer_stop(loop, c);
    c->timer = timer;
    c->step_ns = ms * 1000000u;
    c->due_ns = now_ns() + c->step_ns;
    c->previous_timed = NULL;
    c->next_timed = loop->timed;
    if (loop->timed != NULL)
        loop->timed->previous_timed = c;
    loop->timed = c;
}

static void conn_close(struct loop *loop, struct conn *c)
{
    timer_stop(loop, c);
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c->head.data);
    free(c->body.data);
    free(c->trailers.data);
    free(c);
    loop->counters->closed++;
}

static void conn_reset(struct loop *loop, struct conn *c)
{
    struct linger rst = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof rst);
    conn_close(loop, c);
}

static void conn_want(struct loop *loop, struct conn *c, uint32_t interest)
{
    if (interest == c->interest)
        return;
    struct epoll_event event = {.events = interest, .data.ptr = c};
    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, c->fd, &event);
    c->interest = interest;
}

/* ---- responses ---- */

static const char *reason(unsigned status)
{
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 413: return "Content Too Large";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    default: return "Status";
    }
}

/* Status line and common fields, without the empty line. */
static void reply_start(struct conn *c, unsigned status)
{
    char line[96];
    int n = snprintf(line, sizeof line, "HTTP/1.1 %u %s\r\n", status, reason(status));
    bytes_put(&c->out, line, (size_t)n);
    if (!c->keep_alive)
        c->close_after = true;
    if (c->close_after)
        bytes_text(&c->out, "Connection: close\r\n");
    c->phase = PHASE_REPLY;
}

static void reply_length(struct conn *c, uint64_t len)
{
    char line[64];
    int n = snprintf(line, sizeof line, "Content-Length: %llu\r\n\r\n", (unsigned long long)len);
    bytes_put(&c->out, line, (size_t)n);
}

static void reply_bytes(struct conn *c, unsigned status, const void *body, size_t len)
{
    reply_start(c, status);
    bytes_text(&c->out, "Content-Type: text/plain\r\n");
    reply_length(c, len);
    if (!c->head_only)
        bytes_put(&c->out, body, len);
}

static void reply_text(struct conn *c, unsigned status, const char *text)
{
    reply_bytes(c, status, text, strlen(text));
}

/* Starts a patterned body of which `send` bytes are really made. */
static void reply_pattern(struct conn *c, enum produce produce, uint64_t send, uint64_t chunk)
{
    if (c->head_only)
        return;
    c->produce = produce;
    c->produce_total = send;
    c->produce_done = 0;
    c->produce_chunk = chunk;
}

static void reply_chunked(struct conn *c, uint64_t total, uint64_t chunk)
{
    reply_start(c, 200);
    bytes_text(&c->out, "Transfer-Encoding: chunked\r\nTrailer: X-Length\r\n\r\n");
    reply_pattern(c, PRODUCE_CHUNKED, total, chunk > 0 ? chunk : 1);
}

static void reply_redirect(struct conn *c, uint64_t hops, unsigned status)
{
    char location[96];
    if (hops > 1)
        snprintf(location, sizeof location, "Location: /redirect/%llu/%u\r\n", (unsigned long long)(hops - 1), status);
    else
        snprintf(location, sizeof location, "Location: /\r\n");
    reply_start(c, status);
    bytes_text(&c->out, location);
    reply_length(c, 0);
}

/* A stream of events up to number `n`, of which one connection brings `m` and a part of the next. */
static void reply_events(struct conn *c, uint64_t n, uint64_t m)
{
    char text[128];
    uint64_t last = c->last_event_id;
    c->close_after = last < n;
    reply_start(c, last < n ? 200 : 204);
    bytes_text(&c->out, last < n ? "Content-Type: text/event-stream\r\n\r\nretry: 1\n\n" : "\r\n");
    for (uint64_t i = last + 1; i <= n && i <= last + m; i++) {
        int len = snprintf(text, sizeof text, "id: %llu\nevent: count\ndata: number %llu\n\n", (unsigned long long)i,
                           (unsigned long long)i);
        bytes_put(&c->out, text, (size_t)len);
    }
    if (last < n)
        bytes_text(&c->out, "id: 0\nevent: cut\ndata: never told");
}

static void tunnel_start(struct conn *c, const char *head)
{
    bytes_text(&c->out, head);
    c->phase = PHASE_TUNNEL;
}

/* ---- WebSocket ---- */

/* A frame of up to 65535 bytes; longer ones go out as they came in. */
static void ws_frame(struct conn *c, unsigned first, const char *payload, size_t len)
{
    unsigned char head[10] = {(unsigned char)first};
    size_t size = 2;
    if (len < 126) {
        head[1] = (unsigned char)len;
    } else if (len < 65536) {
        head[1] = 126;
        head[2] = (unsigned char)(len >> 8);
        head[3] = (unsigned char)len;
        size = 4;
    } else {
        head[1] = 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
        size = 10;
    }
    bytes_put(&c->out, head, size);
    bytes_put(&c->out, payload, len);
}

/* Whole frames are sent back unmasked: messages as they are, PING as PONG, and a Close frame is the last. The text "drop"
 * ends the connection without one, "bad" is answered by a frame with a reserved bit, and "mute" by nothing ever after. */
static void ws_run(struct conn *c)
{
    for (;;) {
        unsigned char *in = (unsigned char *)c->in.data + c->in.start;
        size_t have = bytes_len(&c->in), size = 6;
        if (have < size)
            return;
        uint64_t len = in[1] & 0x7f;
        if (len == 126) {
            size = 8;
            len = (uint64_t)in[2] << 8 | in[3];
        } else if (len == 127) {
            size = 14;
            len = 0;
            for (int i = 0; i < 8 && have >= size; i++)
                len = len << 8 | in[2 + i];
        }
        if (have < size || have - size < len)
            return;
        char *payload = (char *)in + size;
        for (uint64_t i = 0; i < len; i++)
            payload[i] = (char)(payload[i] ^ (char)in[size - 4 + i % 4]);
        unsigned opcode = in[0] & 15;
        c->in.start += size + (size_t)len;
        if (c->mute)
            continue;
        if (opcode == 1 && len == 4 && memcmp(payload, "drop", 4) == 0) {
            c->close_after = true;
            c->phase = PHASE_REPLY;
            return;
        }
        if (opcode == 1 && len == 3 && memcmp(payload, "bad", 3) == 0)
            ws_frame(c, 0x91, "", 0);
        else if (opcode == 1 && len == 4 && memcmp(payload, "mute", 4) == 0)
            c->mute = true;
        else if (opcode == 8) {
            ws_frame(c, 0x88, payload, (size_t)len);
            c->close_after = true;
            c->phase = PHASE_REPLY;
            return;
        } else if (opcode == 9)
            ws_frame(c, 0x8a, payload, (size_t)len);
        else if (opcode != 10)
            ws_frame(c, in[0], payload, (size_t)len);
    }
}

/* `path` begins with `prefix`, and up to two numbers follow, as in "/prefix/N/M"; -1 where one is absent. */
static bool route(const char *path, const char *prefix, int64_t *n, int64_t *m)
{
    size_t len = strlen(prefix);
    int64_t *out[2] = {n, m};
    *n = *m = -1;
    if (strncmp(path, prefix, len) != 0)
        return false;
    path += len;
    for (int i = 0; i < 2 && *path == '/'; i++) {
        char *end;
        *out[i] = strtoll(path + 1, &end, 10);
        if (end == path + 1 || *out[i] < 0)
            return false;
        path = end;
    }
    return *path == '\0';
}

/* Answers the request whose head and body are complete. False: the connection is gone. */
static bool respond(struct loop *loop, struct conn *c)
{
    const char *path = c->path;
    int64_t n, m;
    char text[64];

    c->phase = PHASE_REPLY;
    if (strcmp(c->method, "CONNECT") == 0) {
        tunnel_start(c, "HTTP/1.1 200 Connection established\r\n\r\n");
    } else if (strcmp(path, "/") == 0) {
        reply_text(c, 200, "hello\n");
    } else if (route(path, "/bytes", &n, &m) && n >= 0) {
        reply_start(c, 200);
        reply_length(c, (uint64_t)n);
        reply_pattern(c, PRODUCE_PLAIN, (uint64_t)n, 0);
    } else if (route(path, "/chunked", &n, &m) && m >= 0) {
        reply_chunked(c, (uint64_t)n, (uint64_t)m);
    } else if (route(path, "/close", &n, &m) && n >= 0) {
        c->close_after = true;
        reply_start(c, 200);
        bytes_text(&c->out, "\r\n");
        reply_pattern(c, PRODUCE_PLAIN, (uint64_t)n, 0);
    } else if (route(path, "/drip", &n, &m) && m >= 0) {
        reply_start(c, 200);
        reply_length(c, (uint64_t)n);
        reply_pattern(c, PRODUCE_DRIP, (uint64_t)n, 0);
        if (c->produce == PRODUCE_DRIP && n > 0)
            timer_start(loop, c, TIMER_DRIP, (uint64_t)m);
    } else if (route(path, "/cut", &n, &m) && m >= 0) {
        reply_start(c, 200);
        reply_length(c, (uint64_t)n);
        reply_pattern(c, PRODUCE_PLAIN, (uint64_t)(m < n ? m : n), 0);
        c->close_after = true;
    } else if (route(path, "/head", &n, &m) && n >= 0) {
        reply_start(c, 200);
        bytes_text(&c->out, "X-Pad: ");
        bytes_pattern(&c->out, 0, (uint64_t)n);
        bytes_text(&c->out, "\r\n");
        reply_length(c, 0);
    } else if (strcmp(path, "/headers") == 0) {
        reply_bytes(c, 200, c->head.data + c->head.start, bytes_len(&c->head));
    } else if (strcmp(path, "/echo") == 0 || strcmp(path, "/continue") == 0) {
        reply_bytes(c, 200, c->body.data + c->body.start, bytes_len(&c->body));
    } else if (strcmp(path, "/count") == 0) {
        snprintf(text, sizeof text, "%llu\n", (unsigned long long)c->body_count);
        reply_text(c, 200, text);
    } else if (strcmp(path, "/trailers") == 0) {
        reply_bytes(c, 200, c->trailers.data + c->trailers.start, bytes_len(&c->trailers));
    } else if (route(path, "/status", &n, &m) && n >= 200 && n <= 999) {
        if (n == 204 || n == 304) {
            reply_start(c, (unsigned)n);
            bytes_text(&c->out, "\r\n");
        } else {
            snprintf(text, sizeof text, "%u\n", (unsigned)n);
            reply_text(c, (unsigned)n, text);
        }
    } else if (route(path, "/delay", &n, &m) && n >= 0) {
        timer_start(loop, c, TIMER_HELLO, (uint64_t)n);
    } else if (strcmp(path, "/hang") == 0) {
        /* PHASE_REPLY with nothing to send: it stays so until the client gives up. */
    } else if (strcmp(path, "/reset") == 0) {
        conn_reset(loop, c);
        return false;
    } else if (route(path, "/stale", &n, &m) && n >= 0) {
        reply_text(c, 200, "hello\n");
        timer_start(loop, c, TIMER_CLOSE, (uint64_t)n);
    } else if (strcmp(path, "/garbage") == 0) {
        bytes_text(&c->out, "\x01\x02 this is not HTTP \xff\xfe\r\n\r\n");
        c->close_after = true;
    } else if (route(path, "/hints", &n, &m)) {
        for (int64_t i = 0; i < (n < 0 ? 1 : n); i++)
            bytes_text(&c->out, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
        reply_text(c, 200, "hello\n");
    } else if (route(path, "/redirect", &n, &m)) {
        reply_redirect(c, n < 0 ? 1 : (uint64_t)n, m >= 300 && m <= 399 ? (unsigned)m : 302);
    } else if (strncmp(path, "/ws", 3) == 0 && c->wants_upgrade) {
        /* To the key of RFC 6455 section 1.3, which the test has to use. */
        bytes_text(&c->out, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
        if (strcmp(path, "/ws/chat") == 0)
            bytes_text(&c->out, "Sec-WebSocket-Protocol: chat\r\n");
        bytes_text(&c->out, "\r\n");
        if (strcmp(path, "/ws/hello") == 0) {
            ws_frame(c, 0x81, "hello", 5);
            ws_frame(c, 0x89, "anybody?", 8);
        }
        c->mute = false;
        c->phase = PHASE_WEBSOCKET;
    } else if (strcmp(path, "/upgrade") == 0 || strcmp(path, "/upgrade/hello") == 0) {
        if (c->wants_upgrade) {
            tunnel_start(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
            if (path[8] != '\0')
                bytes_text(&c->out, "hello\n");
        } else {
            reply_start(c, 426);
            bytes_text(&c->out, "Upgrade: echo\r\n");
            reply_length(c, 0);
        }
    } else if (route(path, "/events", &n, &m) && m >= 0) {
        reply_events(c, (uint64_t)n, (uint64_t)m);
    } else if (strcmp(path, "/early413") == 0 || strcmp(path, "/early413/keep") == 0) {
        /* With a body the 413 went out before it (request_begin), and this is its end. */
        if (c->framing == FRAMING_NONE)
            reply_text(c, 413, "too large\n");
    } else {
        reply_text(c, 404, "not found\n");
    }
    return true;
}

/* ---- requests ---- */

static bool value_has(const char *value, size_t len, const char *token)
{
    size_t n = strlen(token);
    for (size_t i = 0; i + n <= len; i++)
        if (strncasecmp(value + i, token, n) == 0)
            return true;
    return false;
}

static void request_field(struct conn *c, const char *name, size_t name_len, const char *value, size_t len)
{
#define IS(literal) (name_len == sizeof(literal) - 1 && strncasecmp(name, literal, name_len) == 0)
    if (IS("Content-Length")) {
        c->body_left = strtoull(value, NULL, 10);
        if (c->framing == FRAMING_NONE && c->body_left > 0)
            c->framing = FRAMING_LENGTH;
    } else if (IS("Transfer-Encoding")) {
        if (value_has(value, len, "chunked"))
            c->framing = FRAMING_CHUNK_SIZE;
    } else if (IS("Connection")) {
        if (value_has(value, len, "close"))
            c->keep_alive = false;
        else if (value_has(value, len, "keep-alive"))
            c->keep_alive = true;
    } else if (IS("Expect")) {
        c->expects_continue = value_has(value, len, "100-continue");
    } else if (IS("Upgrade")) {
        c->wants_upgrade = true;
    } else if (IS("Last-Event-ID")) {
        c->last_event_id = strtoull(value, NULL, 10);
    }
#undef IS
}

/* Reads the head of `len` bytes at the front of `in`. False: it is no request. */
static bool request_parse(struct conn *c, size_t len)
{
    const char *head = c->in.data + c->in.start, *end = head + len;
    const char *eol = memmem(head, len, "\r\n", 2);
    const char *space = memchr(head, ' ', (size_t)(eol - head));
    if (space == NULL || (size_t)(space - head) >= sizeof c->method)
        return false;
    const char *target = space + 1;
    const char *version = memchr(target, ' ', (size_t)(eol - target));
    if (version == NULL || eol - version != 9 || memcmp(version, " HTTP/1.", 8) != 0)
        return false;

    memcpy(c->method, head, (size_t)(space - head));
    c->method[space - head] = '\0';
    size_t n = (size_t)(version - target);
    /* A proxy is sent the whole URL: its path begins at the third slash. */
    if (n > 7 && strncasecmp(target, "http://", 7) == 0) {
        const char *slash = memchr(target + 7, '/', n - 7);
        n = slash != NULL ? (size_t)(version - slash) : 0;
        target = slash;
    }
    const char *query = n > 0 ? memchr(target, '?', n) : NULL;
    if (query != NULL)
        n = (size_t)(query - target);
    if (n >= sizeof c->path)
        return false;
    memcpy(c->path, n > 0 ? target : "/", n > 0 ? n : 1);
    c->path[n > 0 ? n : 1] = '\0';

    c->head_only = strcmp(c->method, "HEAD") == 0;
    c->keep_alive = version[8] != '0';
    c->expects_continue = c->wants_upgrade = c->close_after = false;
    c->framing = FRAMING_NONE;
    c->last_event_id = 0;
    c->body_left = c->body_count = 0;
    c->produce = PRODUCE_NOTHING;
    bytes_clear(&c->head);
    bytes_clear(&c->body);
    bytes_clear(&c->trailers);
    for (const char *line = eol + 2; line < end - 2; line = eol + 2) {
        eol = memmem(line, (size_t)(end - line), "\r\n", 2);
        const char *colon = memchr(line, ':', (size_t)(eol - line));
        if (colon == NULL)
            return false;
        const char *value = colon + 1;
        while (value < eol && (*value == ' ' || *value == '\t'))
            value++;
        request_field(c, line, (size_t)(colon - line), value, (size_t)(eol - value));
    }
    if (strcmp(c->path, "/headers") == 0)
        bytes_put(&c->head, head, len);
    c->body_kept = strcmp(c->path, "/echo") == 0 || strcmp(c->path, "/continue") == 0;
    return true;
}

/* Takes the next request's head out of `in`, if it is all there. False: the connection is gone. */
static bool request_begin(struct loop *loop, struct conn *c)
{
    const char *head = c->in.data + c->in.start;
    const char *end = bytes_len(&c->in) > 0 ? memmem(head, bytes_len(&c->in), "\r\n\r\n", 4) : NULL;
    if (end == NULL) {
        if (bytes_len(&c->in) <= HEAD_MAX)
            return true;
        conn_close(loop, c);
        return false;
    }
    size_t len = (size_t)(end - head) + 4;
    /* A request on a connection that was about to go stale: it goes on. */
    timer_stop(loop, c);
    bool valid = request_parse(c, len);
    c->in.start += len;
    if (!valid) {
        c->head_only = false;
        c->close_after = true;
        reply_text(c, 400, "bad request\n");
        return true;
    }
    loop->counters->requests++;

    if (c->framing == FRAMING_NONE)
        return respond(loop, c);
    c->phase = PHASE_BODY;
    if (c->expects_continue && strcmp(c->path, "/continue") == 0)
        bytes_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    if (strncmp(c->path, "/early413", 9) == 0) {
        bool keep = strcmp(c->path, "/early413/keep") == 0;
        c->close_after = !keep;
        reply_text(c, 413, "too large\n");
        if (keep)
            c->phase = PHASE_BODY;
    }
    return true;
}

/* Takes up to `body_left` bytes of the body out of `in`. */
static void body_take(struct conn *c)
{
    size_t have = bytes_len(&c->in);
    size_t n = have < c->body_left ? have : (size_t)c->body_left;
    if (c->body_kept)
        bytes_put(&c->body, c->in.data + c->in.start, n);
    c->in.start += n;
    c->body_left -= n;
    c->body_count += n;
}

/* Takes a line, which ends at CRLF, out of `in`; NULL when it is not complete. */
static const char *line_take(struct conn *c, size_t *len)
{
    const char *line = c->in.data + c->in.start;
    const char *eol = bytes_len(&c->in) > 0 ? memmem(line, bytes_len(&c->in), "\r\n", 2) : NULL;
    if (eol == NULL)
        return NULL;
    *len = (size_t)(eol - line);
    c->in.start += *len + 2;
    return line;
}

/* Reads what there is of the body. True when it is complete. */
static bool body_read(struct conn *c)
{
    const char *line;
    size_t len;
    for (;;) {
        switch (c->framing) {
        case FRAMING_NONE:
            return true;
        case FRAMING_LENGTH:
            body_take(c);
            return c->body_left == 0;
        case FRAMING_CHUNK_SIZE:
            if ((line = line_take(c, &len)) == NULL)
                return false;
            c->body_left = strtoull(line, NULL, 16);
            c->framing = c->body_left > 0 ? FRAMING_CHUNK_DATA : FRAMING_TRAILER;
            break;
        case FRAMING_CHUNK_DATA:
            body_take(c);
            if (c->body_left > 0)
                return false;
            c->framing = FRAMING_CHUNK_END;
            break;
        case FRAMING_CHUNK_END:
            if (line_take(c, &len) == NULL)
                return false;
            c->framing = FRAMING_CHUNK_SIZE;
            break;
        case FRAMING_TRAILER:
            if ((line = line_take(c, &len)) == NULL)
                return false;
            if (len == 0)
                return true;
            bytes_put(&c->trailers, line, len + 2);
            break;
        }
    }
}

/* ---- output ---- */

/* Makes more of the response's body. */
static void produce(struct conn *c)
{
    while (c->produce != PRODUCE_NOTHING && c->produce != PRODUCE_DRIP && bytes_len(&c->out) < REFILL_BELOW) {
        uint64_t left = c->produce_total - c->produce_done;
        if (c->produce == PRODUCE_PLAIN) {
            uint64_t n = left < REFILL_BELOW ? left : REFILL_BELOW;
            bytes_pattern(&c->out, c->produce_done, n);
            c->produce_done += n;
            if (n == left)
                c->produce = PRODUCE_NOTHING;
        } else if (left > 0) {
            char line[64];
            uint64_t n = left < c->produce_chunk ? left : c->produce_chunk;
            snprintf(line, sizeof line, "%llx%s\r\n", (unsigned long long)n,
                     c->produce_done == 0 ? ";name=\"value\"" : "");
            bytes_text(&c->out, line);
            bytes_pattern(&c->out, c->produce_done, n);
            bytes_text(&c->out, "\r\n");
            c->produce_done += n;
        } else {
            char end[64];
            snprintf(end, sizeof end, "0\r\nX-Length: %llu\r\n\r\n", (unsigned long long)c->produce_total);
            bytes_text(&c->out, end);
            c->produce = PRODUCE_NOTHING;
        }
    }
}

enum flushed { FLUSHED_ALL, FLUSHED_PART, FLUSHED_GONE };

static enum flushed flush(struct loop *loop, struct conn *c)
{
    for (;;) {
        produce(c);
        if (bytes_len(&c->out) == 0)
            return FLUSHED_ALL;
        ssize_t n = send(c->fd, c->out.data + c->out.start, bytes_len(&c->out), MSG_NOSIGNAL);
        if (n >= 0) {
            c->out.start += (size_t)n;
        } else if (errno == EAGAIN) {
            return FLUSHED_PART;
        } else if (errno != EINTR) {
            conn_close(loop, c);
            return FLUSHED_GONE;
        }
    }
}

/* A response is under way as long as a timer or a producer owes a part of it, or if it is to hang for ever. */
static bool reply_pending(const struct conn *c)
{
    return c->produce != PRODUCE_NOTHING || c->timer == TIMER_HELLO || strcmp(c->path, "/hang") == 0;
}

/* Does all that can be done without new input or room. The connection may be gone afterwards. */
static void conn_run(struct loop *loop, struct conn *c)
{
    for (;;) {
        size_t before = bytes_len(&c->in);
        enum phase phase = c->phase;

        switch (c->phase) {
        case PHASE_HEAD:
            if (!request_begin(loop, c))
                return;
            break;
        case PHASE_BODY:
            if (body_read(c) && !respond(loop, c))
                return;
            break;
        case PHASE_TUNNEL:
            bytes_put(&c->out, c->in.data + c->in.start, bytes_len(&c->in));
            bytes_clear(&c->in);
            break;
        case PHASE_WEBSOCKET:
            ws_run(c);
            break;
        case PHASE_DISCARD:
            bytes_clear(&c->in);
            break;
        case PHASE_REPLY:
            break;
        }

        enum flushed flushed = flush(loop, c);
        if (flushed == FLUSHED_GONE)
            return;
        if (flushed == FLUSHED_ALL && c->phase == PHASE_REPLY && !reply_pending(c)) {
            if (c->close_after) {
                shutdown(c->fd, SHUT_WR);
                c->phase = PHASE_DISCARD;
            } else {
                c->phase = PHASE_HEAD;
            }
        }
        /* Nothing moved, so that nothing will until the kernel reports something. */
        if (c->phase == phase && bytes_len(&c->in) == before) {
            bool reads = c->phase != PHASE_REPLY && bytes_len(&c->out) < TUNNEL_BACKLOG_MAX;
            bool writes = flushed == FLUSHED_PART;
            conn_want(loop, c, (reads ? (uint32_t)EPOLLIN : 0) | (writes ? (uint32_t)EPOLLOUT : 0) |
                                   (c->peer_done ? 0 : (uint32_t)EPOLLRDHUP));
            return;
        }
    }
}

static void conn_event(struct loop *loop, struct conn *c, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        conn_close(loop, c);
        return;
    }
    if (events & (EPOLLIN | EPOLLRDHUP)) {
        char *room = bytes_reserve(&c->in, 64 * 1024);
        ssize_t n = recv(c->fd, room, 64 * 1024, 0);
        if (n > 0) {
            c->in.end += (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            /* What a tunnel still owes is sent before it closes. A client that ends while it waits for a response has
             * given up: tests of cancellation count on seeing its connection closed. */
            if (n < 0 || c->phase != PHASE_TUNNEL) {
                conn_close(loop, c);
                return;
            }
            c->peer_done = c->close_after = true;
            c->phase = PHASE_REPLY;
        }
    }
    conn_run(loop, c);
}

/* ---- the loop ---- */

static void timers_run(struct loop *loop)
{
    uint64_t now = loop->timed != NULL ? now_ns() : 0;
    struct conn *next;
    for (struct conn *c = loop->timed; c != NULL; c = next) {
        next = c->next_timed;
        if (c->due_ns > now)
            continue;
        enum timer timer = c->timer;
        uint64_t step = c->step_ns;
        timer_stop(loop, c);
        switch (timer) {
        case TIMER_HELLO:
            reply_text(c, 200, "hello\n");
            break;
        case TIMER_CLOSE:
            conn_close(loop, c);
            continue;
        case TIMER_DRIP:
            bytes_pattern(&c->out, c->produce_done++, 1);
            if (c->produce_done == c->produce_total)
                c->produce = PRODUCE_NOTHING;
            else
                timer_start(loop, c, TIMER_DRIP, step / 1000000u);
            break;
        case TIMER_NONE:
            break;
        }
        conn_run(loop, c);
    }
}

/* Milliseconds until the next timer, rounded up; -1 for none. */
static int timers_wait(const struct loop *loop)
{
    if (loop->timed == NULL)
        return -1;
    uint64_t due = UINT64_MAX, now = now_ns();
    for (const struct conn *c = loop->timed; c != NULL; c = c->next_timed)
        if (c->due_ns < due)
            due = c->due_ns;
    return due <= now ? 0 : (int)((due - now + 999999u) / 1000000u);
}

static void accept_all(struct loop *loop)
{
    for (;;) {
        int fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct conn *c = calloc(1, sizeof *c);
        if (c == NULL)
            abort();
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        c->fd = fd;
        c->interest = EPOLLIN | EPOLLRDHUP;
        struct epoll_event event = {.events = c->interest, .data.ptr = c};
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event);
        loop->counters->accepted++;
    }
}

int test_server_serve(int listener, int lifeline, struct test_server_counters *counters)
{
    struct loop loop = {.listener = listener, .lifeline = lifeline, .counters = counters};
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = test_server_pattern(i);
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event at_listener = {.events = EPOLLIN, .data.ptr = &loop.listener};
    struct epoll_event at_lifeline = {.events = EPOLLIN, .data.ptr = &loop.lifeline};
    if (loop.epoll < 0 || epoll_ctl(loop.epoll, EPOLL_CTL_ADD, listener, &at_listener) < 0 ||
        epoll_ctl(loop.epoll, EPOLL_CTL_ADD, lifeline, &at_lifeline) < 0)
        return -1;

    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(loop.epoll, events, EVENTS_MAX, timers_wait(&loop));
        if (n < 0 && errno != EINTR)
            return -1;
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &loop.listener) {
                accept_all(&loop);
            } else if (events[i].data.ptr == &loop.lifeline) {
                char ignored[64];
                if (read(lifeline, ignored, sizeof ignored) <= 0)
                    return 0;
            } else {
                conn_event(&loop, events[i].data.ptr, events[i].events);
            }
        }
        timers_run(&loop);
    }
}

int test_server_listen(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/* ---- as a child of the test ---- */

int test_server_start(struct test_server *server)
{
    int ends[2], error;
    memset(server, 0, sizeof *server);
    int listener = test_server_listen(&server->port);
    if (listener < 0)
        return -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        goto no_pipe;
    server->counters = mmap(NULL, sizeof *server->counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (server->counters == MAP_FAILED)
        goto no_counters;
    server->pid = fork();
    if (server->pid == 0) {
        /* A connection of the test that lived on in here would never be seen to end. */
        for (int fd = STDERR_FILENO + 1; fd < INHERITED_MAX; fd++)
            if (fd != listener && fd != ends[0])
                close(fd);
        /* Tests send signals to their own group. */
        signal(SIGINT, SIG_IGN);
        _exit(test_server_serve(listener, ends[0], server->counters) == 0 ? 0 : 1);
    }
    if (server->pid < 0)
        goto no_child;
    close(listener);
    close(ends[0]);
    server->lifeline = ends[1];
    return 0;

no_child:
    error = errno;
    munmap(server->counters, sizeof *server->counters);
    errno = error;
no_counters:
    error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
no_pipe:
    error = errno;
    close(listener);
    errno = error;
    return -1;
}

void test_server_stop(struct test_server *server)
{
    kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    close(server->lifeline);
    munmap(server->counters, sizeof *server->counters);
    memset(server, 0, sizeof *server);
}

const char *test_server_url(const struct test_server *server, const char *path, char *buffer, size_t size)
{
    snprintf(buffer, size, "http://127.0.0.1:%u%s", server->port, path);
    return buffer;
}
