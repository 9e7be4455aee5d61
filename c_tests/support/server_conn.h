/*
 * A connection of the test server, and what its parts share: bytes that come and go, timers, the end.
 */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include "test_server.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- bytes ---- */

static inline size_t bytes_len(const struct bytes *b)
{
    return b->end - b->start;
}

static inline char *bytes_reserve(struct bytes *b, size_t room)
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

static inline void bytes_put(struct bytes *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(bytes_reserve(b, len), data, len);
    b->end += len;
}

static inline void bytes_text(struct bytes *b, const char *text)
{
    bytes_put(b, text, strlen(text));
}

static inline void bytes_clear(struct bytes *b)
{
    b->start = b->end = 0;
}

/* Bytes of the pattern. */
void bytes_pattern(struct bytes *b, uint64_t from, uint64_t len);

/* ---- timers, and the end ---- */

static inline void timer_stop(struct loop *loop, struct conn *c)
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

static inline void timer_start(struct loop *loop, struct conn *c, enum timer timer, uint64_t ms)
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

static inline void conn_close(struct loop *loop, struct conn *c)
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

static inline void conn_reset(struct loop *loop, struct conn *c)
{
    struct linger rst = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof rst);
    conn_close(loop, c);
}

/* ---- requests (server_request.c) ---- */

/* Takes the next request's head out of `in`, if it is all there. False: the connection is gone. */
bool request_begin(struct loop *loop, struct conn *c);

/* Reads what there is of the body. True when it is complete. */
bool body_read(struct conn *c);

/* ---- answers (server_routes.c) ---- */

/* Answers the request whose head and body are complete. False: the connection is gone. */
bool respond(struct loop *loop, struct conn *c);

void reply_text(struct conn *c, unsigned status, const char *text);

/* Whole frames are sent back unmasked: messages as they are, PING as PONG, and a Close frame is the last. The text "drop"
 * ends the connection without one, "bad" is answered by a frame with a reserved bit, and "mute" by nothing ever after. */
void ws_run(struct conn *c);

#endif
