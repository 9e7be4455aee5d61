/*
 * chttp_queue_wait() says CHTTP_E_ENGINE_DOWN once every event was taken, and not before: a loop around it that ends with
 * this answer has seen the terminal event of each exchange, whenever the engine ends and however.
 */
#include "support/engine.h"

#include <pthread.h>

#define EXCHANGES 300

static chttp_queue *queue;
static unsigned terminals;

/* `arg`: how long a wait may take. */
static void *wait_for_all(void *arg)
{
    const uint64_t *time = arg;
    for (;;) {
        chttp_event events[8];
        int32_t n = chttp_queue_wait(queue, events, 8, 0, *time);
        if (n == CHTTP_E_ENGINE_DOWN) return NULL;
        CHECK(n >= 0);
        for (int32_t i = 0; i < n; i++)
            terminals += is_terminal(&events[i]);
        chttp_events_release(events, (uint32_t)n, 0);
    }
}

int main(void)
{
    static const uint64_t times[] = {0, MS_NS / 10, CHTTP_UNLIMITED};
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/hang", url, sizeof url);
    for (unsigned round = 0; round < 24; round++) {
        chttp_engine *engine = engine_make(round % 2, NULL);
        pthread_t thread;
        uint64_t time = times[round / 2 % 3];
        queue = queue_make(engine);
        terminals = 0;
        for (unsigned i = 0; i < EXCHANGES; i++)
            submit_get(engine, queue, url, 0, i);
        CHECK_EQ(pthread_create(&thread, NULL, wait_for_all, &time), 0);
        poll(NULL, 0, 2);
        CHECK_EQ(round / 6 % 2 ? chttp_engine_release(engine) : chttp_engine_destroy(engine), 0);
        pthread_join(thread, NULL);
        CHECK_EQ(terminals, EXCHANGES);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
