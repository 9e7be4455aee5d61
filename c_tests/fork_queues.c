/* run: plain valgrind */
/*
 * chttp_engine_reset_after_fork() for queues of each kind: epoll, eventfd and pipe have descriptors of the child's own, of the
 * same kind; one with the application's descriptor writes nothing to that, whose other end is the parent's, and is one with an
 * epoll set; a callback is called on the thread of the child's engine. A queue that the child has destroyed before stays that.
 * And a child that comes into being inside a function which chttp_queue_dispatch() has called returns from there.
 *
 * Not with the address sanitizer: fork_reset says why.
 */
#define _GNU_SOURCE

#include "support/engine.h"
#include "support/forked.h"

#include <pthread.h>

#define KINDS 5 /* those of CHTTP_NOTIFY_..., and a callback */
#define CALLBACK 4
#define EACH 2

static struct test_server server;
static char hello[64];
static _Atomic unsigned called;
static _Atomic int caller; /* the process */

struct side {
    chttp_engine *engine;
    chttp_queue *queues[KINDS][EACH];
    int read_end[EACH]; /* of the pipe whose other end CHTTP_NOTIFY_USER has */
    struct open_fds before;
};

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    char name[16] = "";
    CHECK(stride == sizeof *events && user == &called);
    CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    CHECK_STR(name, "chttp-io-0");
    for (uint32_t i = 0; i < n; i++)
        if (is_terminal(&events[i])) {
            CHECK_EQ(events[i].error, 0);
            caller = getpid();
            called++;
        }
}

/* What a descriptor is, as /proc tells it. */
static void check_kind(int fd, const char *what)
{
    char link[64], text[128] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    CHECK(readlink(link, text, sizeof text - 1) > 0);
    CHECK(strstr(text, what) != NULL);
}

static void works(struct side *s, int kind, int which)
{
    static const char *const what[] = {"eventpoll", "eventfd", "pipe:", "eventpoll"};
    chttp_queue *queue = s->queues[kind][which];
    if (kind == CALLBACK) {
        unsigned before = called;
        CHECK_EQ(chttp_queue_fd(queue), CHTTP_E_BAD_STATE);
        submit_get(s->engine, queue, hello, CHTTP_REQ_COLLECT, 0);
        while (called == before)
            usleep(1000);
        CHECK_EQ(caller, getpid());
        return;
    }
    check_kind(chttp_queue_fd(queue), what[kind]);
    chttp_request request = request_for(hello);
    CHECK_EQ(fetch(s->engine, queue, &request).status, 200);
    CHECK_EQ(chttp_queue_wakeup(queue), 0);
    CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
}

static void child(struct side *s, int first)
{
    char byte;
    /* Given up before, and after another took its place; the handle is not valid any more. */
    CHECK_EQ(chttp_queue_destroy(s->queues[first][0]), 0);
    CHECK_EQ(chttp_engine_reset_after_fork(s->engine, NULL), 0);
    for (int kind = 0; kind < KINDS; kind++)
        for (int which = kind == first; which < EACH; which++)
            works(s, kind, which);
    for (int i = 0; i < EACH; i++)
        CHECK(read(s->read_end[i], &byte, 1) < 0 && errno == EAGAIN);
    s->queues[first][0] = queue_make(s->engine);
    chttp_request request = request_for(hello);
    CHECK_EQ(fetch(s->engine, s->queues[first][0], &request).status, 200);
    CHECK_EQ(chttp_engine_destroy(s->engine), 0);
    for (int kind = 0; kind < KINDS; kind++)
        for (int which = 0; which < EACH; which++)
            CHECK_EQ(chttp_queue_destroy(s->queues[kind][which]), 0);
    check_no_more_than(&s->before);
    child_is_done();
}

static void of_each_kind(void)
{
    struct side s;
    int ends[EACH][2];
    for (int i = 0; i < EACH; i++) {
        CHECK_EQ(pipe2(ends[i], O_CLOEXEC | O_NONBLOCK), 0);
        s.read_end[i] = ends[i][0];
    }
    s.before = fds_now();
    s.engine = engine_make(1, NULL);
    for (uint32_t kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < EACH; i++)
            if (kind == CALLBACK)
                CHECK_EQ(chttp_queue_new_callback(s.engine, on_events, &called, NULL, 0, &s.queues[kind][i], NULL), 0);
            else
                CHECK_EQ(chttp_queue_new_kind(s.engine, kind, ends[i][1], "!", 1, &s.queues[kind][i], NULL), 0);
    for (int first = 0; first < KINDS; first++) {
        /* Something waits in each queue of the parent's, but in that with the pipe, which is to be empty. */
        for (int kind = 0; kind < CALLBACK; kind++)
            if (kind != CHTTP_NOTIFY_USER)
                CHECK_EQ(chttp_queue_wakeup(s.queues[kind][0]), 0);
        pid_t pid = fork_guarded();
        if (pid == 0)
            child(&s, first);
        await_child(pid);
        for (int kind = 0; kind < CALLBACK; kind++)
            if (kind != CHTTP_NOTIFY_USER)
                CHECK(is_readable(chttp_queue_fd(s.queues[kind][0])));
    }
    /* The parent's write to where they always did. */
    submit_get(s.engine, s.queues[CHTTP_NOTIFY_USER][1], hello, CHTTP_REQ_COLLECT, 0);
    CHECK_EQ(polled(s.read_end[1], GUARD_MS), POLLIN);
    works(&s, CALLBACK, 0);
    CHECK_EQ(chttp_engine_destroy(s.engine), 0);
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < EACH; i++)
            CHECK_EQ(chttp_queue_destroy(s.queues[kind][i]), 0);
    check_no_more_than(&s.before);
    for (int i = 0; i < EACH; i++) {
        close(ends[i][0]);
        close(ends[i][1]);
    }
}

struct forking {
    chttp_engine *engine;
    int reset;
    pid_t pid; /* 0 in the child */
    unsigned seen;
};

static void forks(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct forking *f = user;
    CHECK_EQ(stride, sizeof *events);
    f->seen += n;
    if (f->pid != -1)
        return;
    f->pid = fork_guarded();
    if (f->pid == 0 && f->reset)
        CHECK_EQ(chttp_engine_reset_after_fork(f->engine, NULL), 0);
}

/* More events wait than one call gets. Submitting moves an engine without a thread, too. */
static void inside_dispatch(int drive, int reset)
{
    struct forking f = {.engine = engine_make(drive, NULL), .reset = reset, .pid = -1};
    chttp_queue *queue = queue_make(f.engine);
    for (int i = 0; i < 200; i++) {
        chttp_xid xid = submit_get(f.engine, queue, hello, CHTTP_REQ_COLLECT, 0);
        int32_t code = chttp_cancel(f.engine, xid);
        CHECK(code == 0 || code == CHTTP_E_NOT_FOUND);
    }
    /* An engine with a thread may have left some to that. */
    while (stats_of(f.engine).exchanges > 0)
        usleep(1000);
    int32_t n = chttp_queue_dispatch(queue, UINT32_MAX, forks, &f);
    if (f.pid == 0) {
        CHECK(n > 0 && n <= 128 && f.seen == (unsigned)n);
        if (!reset) {
            CHECK_EQ(chttp_queue_dispatch(queue, UINT32_MAX, forks, &f), CHTTP_E_FORKED);
            CHECK_EQ(chttp_engine_reset_after_fork(f.engine, NULL), 0);
        }
        chttp_request request = request_for(hello);
        CHECK_EQ(fetch(f.engine, queue, &request).status, 200);
        child_is_done();
    }
    CHECK(n == 200 && f.seen == 200);
    await_child(f.pid);
    CHECK_EQ(chttp_engine_destroy(f.engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
}

/* A scripted network stays the parent's. */
static void scripted(void)
{
    chttp_config *config = NULL;
    chttp_backend *backend = NULL;
    chttp_engine *engine = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_mock_new(&backend, NULL), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 0, NULL), 0);
    CHECK_EQ(chttp_config_set_obj(config, CHTTP_OPT_BACKEND, backend, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, NULL), 0);
    chttp_queue *queue = queue_make(engine);
    pid_t pid = fork_guarded();
    if (pid == 0) {
        CHECK_EQ(chttp_engine_reset_after_fork(engine, &error), CHTTP_E_BAD_STATE);
        CHECK_EQ(chttp_error_code(error), CHTTP_E_BAD_STATE);
        chttp_release(error);
        CHECK_EQ(chttp_queue_fd(queue), CHTTP_E_FORKED);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        CHECK_EQ(chttp_queue_destroy(queue), 0);
        child_is_done();
    }
    await_child(pid);
    CHECK_EQ(chttp_engine_reset_after_fork(engine, NULL), 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    chttp_release(backend);
    chttp_config_free(config);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", hello, sizeof hello);
    of_each_kind();
    for (int drive = 0; drive < DRIVES; drive++)
        for (int reset = 0; reset < 2; reset++)
            inside_dispatch(drive, reset);
    scripted();
    test_server_stop(&server);
    return 0;
}
