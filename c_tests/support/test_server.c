/*
 * One connection is one `struct conn`: bytes that came in, bytes that are to go out, and a `producer` that makes more
 * of the latter when they are gone, so that a body of any size costs a bounded buffer. Everything is level-triggered;
 * EPOLLOUT is asked for only while a write is short, which keeps the quick path at recv + send for each request.
 */
#define _GNU_SOURCE

#include "server_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PATTERN_PERIOD 61
#define PATTERN_BYTES (64 * 1024)
#define REFILL_BELOW (64 * 1024)
#define EVENTS_MAX 256
#define INHERITED_MAX 1024

/* A tunnel stops reading while this much of its echo is unsent. */
#define TUNNEL_BACKLOG_MAX (1024 * 1024)

static char pattern[PATTERN_BYTES + PATTERN_PERIOD];
static const char alphabet[PATTERN_PERIOD + 1] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678";

char test_server_pattern(uint64_t index)
{
    return alphabet[index % PATTERN_PERIOD];
}

void bytes_pattern(struct bytes *b, uint64_t from, uint64_t len)
{
    while (len > 0) {
        size_t piece = len < PATTERN_BYTES ? (size_t)len : PATTERN_BYTES;
        bytes_put(b, pattern + from % PATTERN_PERIOD, piece);
        from += piece;
        len -= piece;
    }
}

static void conn_want(struct loop *loop, struct conn *c, uint32_t interest)
{
    if (interest == c->interest)
        return;
    struct epoll_event event = {.events = interest, .data.ptr = c};
    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, c->fd, &event);
    c->interest = interest;
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
