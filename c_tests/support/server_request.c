/*
 * Requests as the test server reads them: heads, and bodies by length and in chunks.
 */
#define _GNU_SOURCE

#include "server_conn.h"

#include <strings.h>

/* Bytes of a head. */
#define HEAD_MAX (1024 * 1024)

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

bool request_begin(struct loop *loop, struct conn *c)
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

bool body_read(struct conn *c)
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
