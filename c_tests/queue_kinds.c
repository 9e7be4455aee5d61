/*
 * Rule 9 of the poll-fd: an eventfd, a pipe, or a descriptor of the application's. Rules 1, 3, 5, 6, 7, 8 and 10 for each,
 * by an application that reads the descriptor and by one that does not, level- and edge-triggered.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum how { EVENTFD, PIPE, USER_EVENTFD, USER_PIPE, USER_SOCKET, HOWS };

struct side {
    chttp_engine *engine;
    chttp_queue *queue;
    int poll_fd, write_fd; /* write_fd: the application's, or -1 */
};

static struct test_server server;
static char url[64];

static struct side side_make(enum how how)
{
    struct side side = {engine_make(1, NULL), NULL, -1, -1};
    chttp_error *error = NULL;
    uint64_t one = 1;
    const char *payload = how == USER_EVENTFD ? (const char *)&one : "x";
    int ends[2] = {-1, -1};
    uint32_t kind = how == EVENTFD ? CHTTP_NOTIFY_EVENTFD : how == PIPE ? CHTTP_NOTIFY_PIPE : CHTTP_NOTIFY_USER;
    if (how == USER_EVENTFD) ends[0] = ends[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (how == USER_PIPE) CHECK_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    if (how == USER_SOCKET) CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    size_t len = how == USER_EVENTFD ? 8 : 1;
    CHECK_EQ(chttp_queue_new_kind(side.engine, kind, ends[1], payload, len, &side.queue, &error), 0);
    CHECK(side.queue != NULL && error == NULL);
    side.poll_fd = chttp_queue_fd(side.queue);
    if (kind == CHTTP_NOTIFY_USER) {
        CHECK_EQ(side.poll_fd, CHTTP_E_BAD_STATE);
        side.poll_fd = ends[0];
        side.write_fd = ends[1];
    } else {
        CHECK_EQ(fcntl(side.poll_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        CHECK_EQ(fcntl(side.poll_fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    }
    return side;
}

static void side_end(struct side *side)
{
    CHECK_EQ(chttp_engine_destroy(side->engine), 0);
    chttp_queue_destroy(side->queue);
    if (side->write_fd < 0) return;
    /* It was left open, and can be written to. */
    uint64_t one = 1;
    CHECK(fcntl(side->write_fd, F_GETFD) >= 0);
    CHECK(write(side->write_fd, &one, 8) == 8 || errno == EAGAIN);
    close(side->write_fd);
    if (side->poll_fd != side->write_fd) close(side->poll_fd);
}

/* What the descriptor holds: a counter, or bytes. */
static uint64_t take(int fd)
{
    uint64_t word = 0, all = 0;
    char bytes[64];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        if (n == 8) {
            memcpy(&word, bytes, 8);
            if (word < 1000) return word;
        }
        all += (uint64_t)n;
    }
    CHECK(n == -1 && errno == EAGAIN);
    return all;
}

static unsigned drain(chttp_queue *queue, uint32_t cap, int until_empty)
{
    chttp_event events[16];
    unsigned terminals = 0;
    int32_t n;
    do {
        n = chttp_queue_drain(queue, events, cap, 0);
        CHECK(n >= 0);
        for (int32_t i = 0; i < n; i++) terminals += (unsigned)is_terminal(&events[i]);
        CHECK_EQ(chttp_events_release(events, (uint32_t)n, 0), 0);
    } while (until_empty && n > 0);
    return terminals;
}

/* Nothing but the descriptor makes this loop go on. A user's descriptor has to be read by somebody, and that is us. */
static void loop(struct side *side, int reads, int edge, uint32_t cap)
{
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event interest = {.events = EPOLLIN | (edge ? (uint32_t)EPOLLET : 0)}, seen;
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, side->poll_fd, &interest), 0);
    for (unsigned round = 0; round < 30; round++) {
        unsigned begun = 1 + round % 5, ended = 0;
        for (unsigned i = 0; i < begun; i++) submit_get(side->engine, side->queue, url, round % 2 ? CHTTP_REQ_COLLECT : 0, i);
        while (ended < begun) {
            CHECK_EQ(epoll_wait(set, &seen, 1, GUARD_MS), 1);
            CHECK_EQ(seen.events, EPOLLIN);
            if (reads) take(side->poll_fd);
            ended += drain(side->queue, cap, reads);
        }
        CHECK_EQ(ended, begun);
    }
    close(set);
}

/* One write for each non-empty period. */
static void coalesced(struct side *side)
{
    drain(side->queue, 16, 1);
    take(side->poll_fd);
    for (int i = 0; i < 20; i++) submit_get(side->engine, side->queue, url, 0, 0);
    while (stats_of(side->engine).exchanges > 0) poll(NULL, 0, 1);
    CHECK_EQ(polled(side->poll_fd, GUARD_MS), POLLIN);
    poll(NULL, 0, 20);
    CHECK_EQ(take(side->poll_fd), 1);
    CHECK_EQ(polled(side->poll_fd, 0), 0);
    /* One for each drain that leaves something. */
    CHECK_EQ(drain(side->queue, 1, 0), 0);
    CHECK_EQ(take(side->poll_fd), 1);
    CHECK_EQ(drain(side->queue, 16, 1), 20);
    if (side->write_fd < 0) CHECK_EQ(polled(side->poll_fd, 0), 0);
    take(side->poll_fd);
}

static _Atomic unsigned taken;

static void *waiter(void *arg)
{
    struct side *side = arg;
    chttp_event events[4];
    while (taken < 200) {
        int32_t n = chttp_queue_wait(side->queue, events, 4, 0, 20 * MS_NS);
        CHECK(n >= 0);
        for (int32_t i = 0; i < n; i++) taken += (unsigned)is_terminal(&events[i]);
        chttp_events_release(events, (uint32_t)n, 0);
    }
    return NULL;
}

static void waited(struct side *side)
{
    pthread_t threads[3];
    taken = 0;
    for (int i = 0; i < 3; i++) CHECK_EQ(pthread_create(&threads[i], NULL, waiter, side), 0);
    for (int i = 0; i < 200; i++) submit_get(side->engine, side->queue, url, CHTTP_REQ_COLLECT, 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    CHECK_EQ(taken, 200);
    chttp_event event;
    CHECK_EQ(chttp_queue_wakeup(side->queue), 0);
    CHECK_EQ(polled(side->poll_fd, GUARD_MS), POLLIN);
    CHECK_EQ(chttp_queue_wait(side->queue, &event, 1, 0, CHTTP_UNLIMITED), 0);
}

/* A descriptor that is full, and one without a reader: no error, and no signal. */
static void troubled(enum how how)
{
    struct side side = side_make(how);
    uint64_t most = UINT64_MAX - 1;
    char pad[4096] = {0};
    if (how == USER_EVENTFD)
        CHECK_EQ(write(side.write_fd, &most, 8), 8);
    else
        while (write(side.write_fd, pad, sizeof pad) > 0 || write(side.write_fd, pad, 1) > 0) {
        }
    waited(&side);
    if (how != USER_EVENTFD) {
        close(side.poll_fd);
        taken = 0;
        for (int i = 0; i < 10; i++) {
            submit_get(side.engine, side.queue, url, CHTTP_REQ_COLLECT, 0);
            while (drain(side.queue, 1, 0) == 0) poll(NULL, 0, 1);
            CHECK_EQ(chttp_queue_wakeup(side.queue), 0);
        }
    }
    CHECK_EQ(chttp_engine_destroy(side.engine), 0);
    chttp_queue_destroy(side.queue);
    close(side.write_fd);
}

static void forked(struct side *side)
{
    submit_get(side->engine, side->queue, url, CHTTP_REQ_COLLECT, 0);
    CHECK_EQ(polled(side->poll_fd, GUARD_MS), POLLIN);
    pid_t child = fork();
    if (child == 0) {
        chttp_event event;
        int code = chttp_queue_drain(side->queue, &event, 1, 0);
        int woken = chttp_queue_wakeup(side->queue);
        chttp_queue_destroy(side->queue);
        execl("/bin/sh", "sh", "-c", code == CHTTP_E_FORKED && woken == CHTTP_E_FORKED ? "exit 0" : "exit 1", (char *)NULL);
        _exit(2);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(take(side->poll_fd), 1);
    CHECK_EQ(drain(side->queue, 16, 1), 1);
}

static void refusals(void)
{
    chttp_engine *engine = engine_make(1, NULL), *driven = engine_make(0, NULL);
    chttp_queue *queue = NULL;
    chttp_error *error = NULL;
    char text[600];
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    for (uint32_t kind = CHTTP_NOTIFY_EVENTFD; kind <= CHTTP_NOTIFY_PIPE; kind++) {
        CHECK_EQ(chttp_queue_new_kind(driven, kind, -1, NULL, 0, &queue, &error), CHTTP_E_BAD_STATE);
        CHECK(chttp_error_message(error, text, sizeof text) > 0 && strstr(text, "io_threads = 1") != NULL);
        chttp_release(error);
    }
    CHECK_EQ(chttp_queue_new_kind(engine, 4, -1, NULL, 0, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_kind(engine, CHTTP_NOTIFY_PIPE, -1, NULL, 0, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_kind(NULL, CHTTP_NOTIFY_PIPE, -1, NULL, 0, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_kind(engine, CHTTP_NOTIFY_USER, -1, "x", 1, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_kind(engine, CHTTP_NOTIFY_USER, ends[0], "x", 1, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_kind(engine, CHTTP_NOTIFY_USER, ends[1], "x", 1, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_kind(engine, CHTTP_NOTIFY_USER, ends[1], NULL, 0, &queue, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_queue_new_kind(engine, CHTTP_NOTIFY_USER, ends[1], text, 513, &queue, NULL), CHTTP_E_INVALID_SIZE);
    CHECK(queue == NULL);
    CHECK_EQ(chttp_queue_new_kind(driven, CHTTP_NOTIFY_EPOLL, -1, NULL, 0, &queue, NULL), 0);
    chttp_queue_destroy(queue);
    close(ends[0]);
    close(ends[1]);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_engine_destroy(driven), 0);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", url, sizeof url);
    refusals();
    for (enum how how = EVENTFD; how < HOWS; how++) {
        struct side side = side_make(how);
        int fd = chttp_queue_fd(side.queue);
        for (int edge = 0; edge < 2; edge++)
            for (uint32_t cap = 1; cap <= 16; cap += 15) {
                loop(&side, 1, edge, cap);
                /* Rule 1: it need not be read. Nobody but us can empty what is ours. */
                if (side.write_fd < 0) loop(&side, 0, edge, cap);
            }
        coalesced(&side);
        forked(&side);
        waited(&side);
        CHECK_EQ(chttp_queue_fd(side.queue), fd);
        side_end(&side);
        if (how >= USER_EVENTFD) troubled(how);
    }
    test_server_stop(&server);
    return 0;
}
