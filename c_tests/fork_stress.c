/* run: plain */
/*
 * 200 forks of a process whose threads are everywhere in the library: they submit, drain, perform, connect, make and
 * destroy queues, cancel, let the log go here and there. Each child resets the engines, makes a request with each, and ends;
 * every fourth gives them up instead. None of them hangs, and the parent's requests all end well.
 *
 * No names: getaddrinfo() has locks that a fork may leave held in the child (docs/c-guide.md).
 * Without valgrind, which has one thread run at a time, so that nothing is under way when it forks.
 */
#define _GNU_SOURCE

#include "support/engine.h"
#include "support/forked.h"

#include <pthread.h>

#define FORKS 200
#define ENGINES 3 /* with a thread and one queue, which may stand by; with one and many queues; driven by callers */

static struct test_server server;
static char hello[64];
static _Atomic int over;
static _Atomic uint64_t ended;

struct side {
    chttp_engine *engine;
    chttp_queue *queue;
};

static struct side sides[ENGINES];

/* One request at a time, or eight. */
static void *drains(void *user)
{
    struct side *s = user;
    for (unsigned round = 0; !over; round++) {
        unsigned n = round % 64 < 48 ? 1 : 8;
        for (unsigned i = 0; i < n; i++)
            submit_get(s->engine, s->queue, hello, i % 2 ? CHTTP_REQ_COLLECT : 0, i);
        while (n > 0) {
            chttp_event event = next_event(s->queue);
            if (is_terminal(&event)) {
                CHECK_EQ(event.error, 0);
                ended++;
                n--;
            }
            event_free(&event);
        }
    }
    return NULL;
}

static void *performs(void *user)
{
    struct side *s = user;
    while (!over) {
        chttp_request request = request_for(hello);
        chttp_response *response = NULL;
        CHECK_EQ(chttp_perform(s->engine, &request, CHTTP_UNLIMITED, &response, NULL), 0);
        CHECK_EQ(chttp_response_status(response), 200);
        chttp_release(response);
        ended++;
    }
    return NULL;
}

/* Queues come and go; their exchanges are cancelled. */
static void *changes(void *user)
{
    struct side *s = user;
    for (uint32_t i = 0; !over; i++) {
        chttp_queue *queue = NULL;
        CHECK_EQ(chttp_queue_new_kind(s->engine, i % 3, -1, NULL, 0, &queue, NULL), 0);
        CHECK_EQ(chttp_engine_log_to(s->engine, queue, CHTTP_LOG_DEBUG), 0);
        chttp_xid xid = submit_get(s->engine, queue, hello, 0, 0);
        if (i % 2)
            CHECK_EQ(chttp_queue_wakeup(queue), 0);
        else
            chttp_cancel(s->engine, xid);
        CHECK_EQ(chttp_queue_destroy(queue), 0);
    }
    return NULL;
}

static void child(int how)
{
    for (int i = 0; i < ENGINES; i++) {
        struct side *s = &sides[i];
        if (how % 4 == 3) {
            CHECK_EQ(chttp_engine_destroy(s->engine), 0);
            CHECK_EQ(chttp_queue_destroy(s->queue), 0);
            continue;
        }
        CHECK_EQ(chttp_engine_reset_after_fork(s->engine, NULL), 0);
        chttp_request request = request_for(hello);
        CHECK_EQ(fetch(s->engine, s->queue, &request).status, 200);
        if (how % 4 == 2) {
            CHECK_EQ(chttp_queue_destroy(s->queue), 0);
            CHECK_EQ(chttp_engine_destroy(s->engine), 0);
        }
    }
    /* By exit, too: what the library does at the end of a process must not hang either. */
    if (how % 2)
        exit(0);
    _exit(0);
}

int main(void)
{
    pthread_t threads[ENGINES * 2 + 1];
    int n = 0;
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", hello, sizeof hello);
    /* Connections come and go. */
    static const struct setting anew[] = {{CHTTP_OPT_IDLE_TIMEOUT_NS, MS_NS / 10}, {0, 0}};
    for (int i = 0; i < ENGINES; i++) {
        sides[i].engine = engine_make(i < 2, i == 1 ? anew : NULL);
        sides[i].queue = queue_make(sides[i].engine);
    }
    for (int i = 0; i < ENGINES; i++) {
        CHECK_EQ(pthread_create(&threads[n++], NULL, drains, &sides[i]), 0);
        if (i > 0)
            CHECK_EQ(pthread_create(&threads[n++], NULL, performs, &sides[i]), 0);
    }
    CHECK_EQ(pthread_create(&threads[n++], NULL, changes, &sides[1]), 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork_guarded();
        if (pid == 0)
            child(i);
        /* The parent moves on between two forks. */
        uint64_t so_far = ended;
        await_child(pid);
        while (ended < so_far + 8)
            usleep(100);
    }
    over = 1;
    for (int i = 0; i < n; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < ENGINES; i++) {
        chttp_stats stats = stats_of(sides[i].engine);
        CHECK_EQ(stats.failed, 0);
        CHECK_EQ(chttp_engine_destroy(sides[i].engine), 0);
        CHECK_EQ(chttp_queue_destroy(sides[i].queue), 0);
    }
    test_server_stop(&server);
    return 0;
}
