/*
 * Rule 1 of the poll-fd: made with the queue, the same number until chttp_queue_destroy(), non-blocking, close-on-exec;
 * the application may poll, dup and register it anywhere.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A dup and an epoll set see what the descriptor itself shows. */
static void seen_everywhere(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    int fd = chttp_queue_fd(queue);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int set = epoll_create1(EPOLL_CLOEXEC);
    CHECK(copy >= 0 && set >= 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1}, twin = {.events = EPOLLIN, .data.u64 = 2}, got[2];
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, copy, &twin), 0);

    submit_get(engine, queue, url, CHTTP_REQ_COLLECT, 0);
    for (;;) {
        CHECK_EQ(polled(copy, GUARD_MS), POLLIN);
        CHECK_EQ(epoll_wait(set, got, 2, GUARD_MS), 2);
        chttp_event e;
        if (chttp_queue_drain(queue, &e, 1, 0) == 1) {
            CHECK(is_terminal(&e));
            event_free(&e);
            break;
        }
    }
    /* Closing the copy leaves the original alone. */
    close(set);
    close(copy);
    CHECK(fcntl(fd, F_GETFD) >= 0);
}

int main(void)
{
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", url, sizeof url);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        int fd = chttp_queue_fd(queue);
        CHECK(fd >= 0);
        CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        for (int i = 0; i < 20; i++) {
            seen_everywhere(engine, queue, url);
            CHECK_EQ(chttp_queue_fd(queue), fd);
        }
        /* The end of the engine does not change it: queues stay drainable. */
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        CHECK_EQ(chttp_queue_fd(queue), fd);
        CHECK(fcntl(fd, F_GETFD) >= 0);
        CHECK((polled(fd, 0) & ~POLLIN) == 0);
        chttp_queue_destroy(queue);
        CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
    }
    test_server_stop(&server);
    return 0;
}
