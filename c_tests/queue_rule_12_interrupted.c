/*
 * Rule 12 of the poll-fd: wait and perform return CHTTP_E_INTERRUPTED after a signal handler ran, in both drives, with
 * SA_RESTART or without, so that a language runtime can look at its own pending signals. Nothing is lost by it.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static _Atomic int handled;

static void on_signal(int number)
{
    (void)number;
    handled++;
}

static void install(int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = flags;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

/* Signals one thread again and again: a signal that comes just before the sleep ends nothing. */
struct pest {
    pthread_t victim, thread;
    _Atomic int stop;
};

static void *pester(void *arg)
{
    struct pest *pest = arg;
    while (!pest->stop) {
        pthread_kill(pest->victim, SIGUSR1);
        poll(NULL, 0, 5);
    }
    return NULL;
}

static void pest_start(struct pest *pest)
{
    pest->victim = pthread_self();
    pest->stop = 0;
    CHECK_EQ(pthread_create(&pest->thread, NULL, pester, pest), 0);
}

static void pest_stop(struct pest *pest)
{
    pest->stop = 1;
    pthread_join(pest->thread, NULL);
}

int main(void)
{
    struct test_server server;
    char url[64];
    struct pest pest;
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        for (int restart = 0; restart < 2; restart++) {
            install(restart ? SA_RESTART : 0);
            chttp_engine *engine = engine_make(drive, NULL);
            chttp_queue *queue = queue_make(engine);
            chttp_event event;

            /* Nothing under way, for ever and with a time. */
            pest_start(&pest);
            CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, CHTTP_UNLIMITED), CHTTP_E_INTERRUPTED);
            CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, 600 * SECOND_NS), CHTTP_E_INTERRUPTED);
            pest_stop(&pest);

            /* An exchange under way survives, and its answer arrives by more calls. */
            test_server_url(&server, "/delay/500", url, sizeof url);
            submit_get(engine, queue, url, CHTTP_REQ_COLLECT, 5);
            int before = handled, interrupted = 0, n;
            pest_start(&pest);
            while ((n = chttp_queue_wait(queue, &event, 1, 0, CHTTP_UNLIMITED)) != 1) {
                CHECK_EQ(n, CHTTP_E_INTERRUPTED);
                interrupted++;
            }
            pest_stop(&pest);
            CHECK(interrupted > 0 && interrupted <= handled - before);
            CHECK_EQ(event.kind, CHTTP_EV_RESPONSE);
            CHECK_EQ(event.token, 5);
            event_free(&event);

            /* perform gives up: the exchange is cancelled, nothing stays behind, and the engine is as good as new. */
            chttp_request request = request_for(test_server_url(&server, "/hang", url, sizeof url));
            chttp_response *response = NULL;
            chttp_error *error = NULL;
            for (int i = 0; i < 5; i++) {
                pest_start(&pest);
                CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, &error), CHTTP_E_INTERRUPTED);
                pest_stop(&pest);
                CHECK(response == NULL);
                CHECK_EQ(chttp_error_code(error), CHTTP_E_INTERRUPTED);
                chttp_release(error);
                error = NULL;
                CHECK_EQ(stats_of(engine).exchanges, 0);
            }
            request = request_for(test_server_url(&server, "/", url, sizeof url));
            CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, &error), 0);
            CHECK_EQ(chttp_response_status(response), 200);
            chttp_release(response);

            /* drain never waits, and so is never interrupted. */
            pest_start(&pest);
            for (int i = 0; i < 1000; i++)
                CHECK_EQ(chttp_queue_drain(queue, &event, 1, 0), 0);
            pest_stop(&pest);
            chttp_engine_destroy(engine);
            chttp_queue_destroy(queue);
        }
    }
    /* Library threads block all signals: one sent to the process is handled by the application's thread. */
    install(0);
    chttp_engine *engine = engine_make(1, NULL);
    int before = handled;
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(handled, before + 1);
    chttp_engine_destroy(engine);
    test_server_stop(&server);
    return 0;
}
