/*
 * What the test server answers, route by route (test_server.h), and what it does as a WebSocket.
 */
#define _GNU_SOURCE

#include "server_conn.h"

#include <stdio.h>

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

void reply_text(struct conn *c, unsigned status, const char *text)
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

void ws_run(struct conn *c)
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

bool respond(struct loop *loop, struct conn *c)
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
