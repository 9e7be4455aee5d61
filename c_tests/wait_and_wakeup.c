/*
 * chttp_queue_wait() and chttp_queue_wakeup(): times, wake-ups before, during and after a wait, from another thread and
 * from a signal handler, and several threads in wait at once.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <pthread.h>
#include <signal.h>

#define WAITERS 3

static chttp_queue *volatile to_wake;
static _Atomic int handled;

static void on_signal(int number)
{
    (void)number;
    if (chttp_queue_wakeup(to_wake) == 0)
        handled++;
}

static void *wake_once(void *queue)
{
    CHECK_EQ(chttp_queue_wakeup(queue), 0);
    return NULL;
}

static void *signal_once(void *victim)
{
    CHECK_EQ(pthread_kill(*(pthread_t *)victim, SIGUSR2), 0);
    return NULL;
}

static _Atomic int returned;
static _Atomic unsigned taken;

static void *wait_until_one(void *queue)
{
    chttp_event event;
    int32_t n;
    /* Another waiter's wake-up or turn may end this one's wait with 0. */
    while ((n = chttp_queue_wait(queue, &event, 1, 0, CHTTP_UNLIMITED)) == 0) {
    }
    CHECK_EQ(n, 1);
    CHECK(is_terminal(&event));
    taken |= 1u << event.token;
    event_free(&event);
    returned++;
    return NULL;
}

int main(void)
{
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    CHECK_EQ(sigaction(SIGUSR2, &action, NULL), 0);
    pthread_t self = pthread_self(), thread;

    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        chttp_event events[4];
        to_wake = queue;

        CHECK_EQ(chttp_queue_wait(queue, events, 4, 0, 0), 0);
        CHECK_EQ(chttp_queue_wait(queue, events, 4, 0, 1), 0);
        CHECK_EQ(chttp_queue_wait(queue, events, 4, 0, 10 * MS_NS), 0);

        /* Before the wait: it returns at once. Two wake-ups are one; the next wait waits again. */
        CHECK_EQ(chttp_queue_wakeup(queue), 0);
        CHECK_EQ(chttp_queue_wakeup(queue), 0);
        CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
        CHECK_EQ(chttp_queue_wait(queue, events, 4, 0, CHTTP_UNLIMITED), 0);
        CHECK_EQ(chttp_queue_wait(queue, events, 4, 0, 10 * MS_NS), 0);

        /* From another thread, at any moment around the wait. */
        for (int i = 0; i < 200; i++) {
            CHECK_EQ(pthread_create(&thread, NULL, wake_once, queue), 0);
            CHECK_EQ(chttp_queue_wait(queue, events, 4, 0, CHTTP_UNLIMITED), 0);
            CHECK_EQ(pthread_join(thread, NULL), 0);
        }
        /* From a signal handler on the waiting thread: the wait ends with 0 or as interrupted, but it ends. */
        for (int i = 0; i < 200; i++) {
            int before = handled;
            CHECK_EQ(pthread_create(&thread, NULL, signal_once, &self), 0);
            int32_t n = chttp_queue_wait(queue, events, 4, 0, CHTTP_UNLIMITED);
            CHECK(n == 0 || n == CHTTP_E_INTERRUPTED);
            CHECK_EQ(pthread_join(thread, NULL), 0);
            CHECK_EQ(handled, before + 1);
            CHECK_EQ(chttp_queue_drain(queue, events, 4, 0), 0); /* takes the wake-up, if the signal was quicker */
        }
        /* A wake-up loses no event. */
        submit_get(engine, queue, test_server_url(&server, "/delay/20", url, sizeof url), CHTTP_REQ_COLLECT, 9);
        unsigned got = 0;
        while (got == 0) {
            CHECK_EQ(chttp_queue_wakeup(queue), 0);
            int32_t n = chttp_queue_wait(queue, events, 4, 0, CHTTP_UNLIMITED);
            CHECK(n == 0 || n == 1);
            got += (unsigned)n;
        }
        CHECK_EQ(events[0].token, 9);
        event_free(&events[0]);

        /* Events that are there already are given at once, more than fit in several calls. */
        submit_get(engine, queue, test_server_url(&server, "/chunked/10/5", url, sizeof url), 0, 1);
        for (int ended = 0; !ended;) {
            int32_t n = chttp_queue_wait(queue, events, 1, 0, CHTTP_UNLIMITED);
            CHECK_EQ(n, 1);
            ended = is_terminal(&events[0]);
            event_free(&events[0]);
        }

        /* Several threads wait, for exchanges that end in another order than they began. */
        for (int round = 0; round < 10; round++) {
            pthread_t waiters[WAITERS];
            returned = 0;
            taken = 0;
            for (int i = 0; i < WAITERS; i++)
                CHECK_EQ(pthread_create(&waiters[i], NULL, wait_until_one, queue), 0);
            static const char *const paths[WAITERS] = {"/delay/12", "/delay/4", "/"};
            for (int i = 0; i < WAITERS; i++)
                submit_get(engine, queue, test_server_url(&server, paths[i], url, sizeof url), CHTTP_REQ_COLLECT,
                           (uint64_t)i);
            for (int i = 0; i < WAITERS; i++)
                CHECK_EQ(pthread_join(waiters[i], NULL), 0);
            CHECK_EQ(returned, WAITERS);
            CHECK_EQ(taken, (1u << WAITERS) - 1);
        }
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
