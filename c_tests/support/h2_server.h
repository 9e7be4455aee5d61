/*
 * An HTTP/2 server that does as it is told, right or wrong: frames by hand (RFC 9113 section 4), field sections of literals
 * without an index (RFC 7541 section 6.2.2), so that nobody has to keep a table. It is a forked child of the test, as the
 * other server is. Which of its ways it has now is a number that the test sets; the server looks at it when a request begins.
 */
#ifndef H2_SERVER_H
#define H2_SERVER_H

#include "check.h"
#include "test_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DATA = 0, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_CONNECTIONS 64

struct h2_frame {
    uint32_t len, stream;
    uint8_t kind, flags;
    const uint8_t *payload;
};

struct h2_conn {
    int fd, greeted, shuts;
    uint32_t number; /* of the connection, from 0 */
    uint8_t *in, *out;
    size_t in_len, in_cap, out_len, out_cap, out_at;
};

/* What to do about a frame of the client's; SETTINGS and PING are answered already. */
typedef void (*h2_answer)(struct h2_conn *c, const struct h2_frame *frame, uint32_t way);
/* The first words, if they are others than an empty SETTINGS. */
typedef void (*h2_hello)(struct h2_conn *c, uint32_t way);

struct h2_server {
    uint16_t port;
    _Atomic uint32_t *way;
    pid_t pid;
    int lifeline;
};

static inline void h2_grow(uint8_t **bytes, size_t *cap, size_t least)
{
    if (least <= *cap)
        return;
    *cap = least * 2;
    *bytes = realloc(*bytes, *cap);
    CHECK(*bytes != NULL);
}

static inline void h2_put(struct h2_conn *c, const void *bytes, size_t len)
{
    h2_grow(&c->out, &c->out_cap, c->out_len + len);
    if (len > 0)
        memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
}

static inline void h2_frame(struct h2_conn *c, uint8_t kind, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
    const uint8_t head[9] = {(uint8_t)(len >> 16),    (uint8_t)(len >> 8),    (uint8_t)len, kind, flags,
                             (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    h2_put(c, head, sizeof head);
    h2_put(c, payload, len);
}

static inline void h2_word(struct h2_conn *c, uint8_t kind, uint32_t stream, uint32_t word)
{
    const uint8_t bytes[4] = {(uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
    h2_frame(c, kind, 0, stream, bytes, sizeof bytes);
}

static inline void h2_setting(struct h2_conn *c, uint16_t id, uint32_t value)
{
    const uint8_t bytes[6] = {(uint8_t)(id >> 8),     (uint8_t)id,           (uint8_t)(value >> 24),
                              (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    h2_frame(c, SETTINGS, 0, 0, bytes, sizeof bytes);
}

static inline void h2_goaway(struct h2_conn *c, uint32_t last, uint32_t code)
{
    const uint8_t bytes[8] = {(uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last,
                              (uint8_t)(code >> 24), (uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code};
    h2_frame(c, GOAWAY, 0, 0, bytes, sizeof bytes);
}

/* A field section out of names and values, NULL behind the last; every text is shorter than 127 bytes. Returns its length. */
static inline size_t h2_section(uint8_t *into, size_t cap, const char *const *texts)
{
    size_t at = 0;
    for (int i = 0; texts[i] != NULL; i++) {
        size_t len = strlen(texts[i]);
        CHECK(len < 127 && at + len + 2 <= cap);
        if (i % 2 == 0)
            into[at++] = 0;
        into[at++] = (uint8_t)len;
        memcpy(into + at, texts[i], len);
        at += len;
    }
    return at;
}

static inline void h2_headers(struct h2_conn *c, uint32_t stream, int end, const char *const *texts)
{
    uint8_t section[2048];
    size_t len = h2_section(section, sizeof section, texts);
    h2_frame(c, HEADERS, (uint8_t)(END_HEADERS | (end ? END_STREAM : 0)), stream, section, len);
}

#define H2_HEADERS(c, stream, end, ...) h2_headers((c), (stream), (end), (const char *const[]){__VA_ARGS__, NULL})

static inline void h2_data(struct h2_conn *c, uint32_t stream, int end, const void *bytes, size_t len)
{
    h2_frame(c, DATA, end ? END_STREAM : 0, stream, bytes, len);
}

static inline void h2_ok(struct h2_conn *c, uint32_t stream)
{
    H2_HEADERS(c, stream, 0, ":status", "200");
    h2_data(c, stream, 1, "hi", 2);
}

/* A request begins. */
static inline int h2_asks(const struct h2_frame *frame)
{
    return frame->kind == HEADERS && frame->stream != 0;
}

static inline int h2_ends(const struct h2_frame *frame)
{
    return (frame->kind == HEADERS || frame->kind == DATA) && (frame->flags & END_STREAM) != 0;
}

/* The connection is closed once everything is sent. */
static inline void h2_shut(struct h2_conn *c)
{
    c->shuts = 1;
}

static inline void h2_serve_frames(struct h2_conn *c, h2_hello hello, h2_answer answer, uint32_t way)
{
    size_t at = 0;
    const size_t preface = sizeof H2_PREFACE - 1;
    if (!c->greeted) {
        if (c->in_len < preface)
            return;
        CHECK(memcmp(c->in, H2_PREFACE, preface) == 0);
        at = preface;
        c->greeted = 1;
        if (hello != NULL)
            hello(c, way);
        else
            h2_frame(c, SETTINGS, 0, 0, NULL, 0);
    }
    while (c->in_len - at >= 9) {
        const uint8_t *head = c->in + at;
        struct h2_frame frame = {.len = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2],
                                 .kind = head[3],
                                 .flags = head[4],
                                 .stream = (uint32_t)(head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 |
                                           (uint32_t)head[7] << 8 | head[8],
                                 .payload = head + 9};
        if (c->in_len - at - 9 < frame.len)
            break;
        at += 9 + frame.len;
        if (frame.kind == SETTINGS && (frame.flags & ACK) == 0)
            h2_frame(c, SETTINGS, ACK, 0, NULL, 0);
        if (frame.kind == PING && (frame.flags & ACK) == 0)
            h2_frame(c, PING, ACK, 0, frame.payload, frame.len);
        answer(c, &frame, way);
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
}

static inline void h2_drop(struct h2_conn *c)
{
    close(c->fd);
    free(c->in);
    free(c->out);
    memset(c, 0, sizeof *c);
    c->fd = -1;
}

static inline void h2_turn(struct h2_conn *c, short events, h2_hello hello, h2_answer answer, uint32_t way)
{
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) {
        h2_grow(&c->in, &c->in_cap, c->in_len + 65536);
        ssize_t n = recv(c->fd, c->in + c->in_len, 65536, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            h2_drop(c);
            return;
        }
        if (n > 0) {
            c->in_len += (size_t)n;
            h2_serve_frames(c, hello, answer, way);
        }
    }
    while (c->out_at < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            h2_drop(c);
            return;
        }
        if (n < 0)
            return;
        c->out_at += (size_t)n;
    }
    c->out_at = c->out_len = 0;
    if (c->shuts)
        h2_drop(c);
}

static inline void h2_serve(int listener, int lifeline, h2_hello hello, h2_answer answer, const _Atomic uint32_t *way)
{
    static struct h2_conn conns[H2_CONNECTIONS];
    uint32_t accepted = 0;
    for (int i = 0; i < H2_CONNECTIONS; i++)
        conns[i].fd = -1;
    for (;;) {
        struct pollfd polled[H2_CONNECTIONS + 2] = {{.fd = listener, .events = POLLIN}, {.fd = lifeline, .events = POLLIN}};
        for (int i = 0; i < H2_CONNECTIONS; i++) {
            polled[i + 2].fd = conns[i].fd;
            polled[i + 2].events = (short)(POLLIN | (conns[i].out_at < conns[i].out_len ? POLLOUT : 0));
        }
        if (poll(polled, H2_CONNECTIONS + 2, -1) < 0 && errno != EINTR)
            return;
        if (polled[1].revents != 0)
            return;
        for (int i = 0; i < H2_CONNECTIONS; i++)
            if (conns[i].fd >= 0 && polled[i + 2].revents != 0)
                h2_turn(&conns[i], polled[i + 2].revents, hello, answer, *way);
        for (int i = 0; i < H2_CONNECTIONS && polled[0].revents != 0; i++) {
            if (conns[i].fd >= 0)
                continue;
            conns[i].fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (conns[i].fd < 0)
                break;
            conns[i].number = accepted++;
        }
    }
}

/* Call it before threads exist. */
static inline void h2_server_start(struct h2_server *server, h2_hello hello, h2_answer answer)
{
    int ends[2];
    int listener = test_server_listen(&server->port);
    CHECK(listener >= 0 && pipe2(ends, O_CLOEXEC) == 0);
    void *shared = mmap(NULL, sizeof *server->way, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    server->way = shared;
    server->pid = fork();
    CHECK(server->pid >= 0);
    if (server->pid == 0) {
        close(ends[1]);
        signal(SIGINT, SIG_IGN);
        h2_serve(listener, ends[0], hello, answer, server->way);
        _exit(0);
    }
    close(listener);
    close(ends[0]);
    server->lifeline = ends[1];
}

static inline void h2_server_stop(struct h2_server *server)
{
    kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    close(server->lifeline);
    munmap((void *)server->way, sizeof *server->way);
}

static inline const char *h2_server_url(const struct h2_server *server, const char *path, char *buffer, size_t size)
{
    snprintf(buffer, size, "http://127.0.0.1:%u%s", server->port, path);
    return buffer;
}

#endif
