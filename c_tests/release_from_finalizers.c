/*
 * Finalizer style: a garbage collector lets go of engine, queue and objects on a thread of its own, in any order and at
 * any moment, and chttp_engine_release() must not make it wait. Here one thread uses what it got while another drops
 * the rest.
 */
#include "support/engine.h"

#include <pthread.h>

#define ROUNDS 40
#define OBJECTS 64

static struct test_server server;

struct garbage {
    chttp_engine *engine;
    chttp_queue *queue;
    void *objects[OBJECTS];
    unsigned n, order;
};

static void *finalize(void *arg)
{
    struct garbage *g = arg;
    if (g->order & 1)
        CHECK_EQ(chttp_engine_release(g->engine), 0);
    for (unsigned i = 0; i < g->n; i++)
        chttp_release(g->objects[i]);
    if (g->order & 2)
        chttp_queue_destroy(g->queue);
    if ((g->order & 1) == 0)
        CHECK_EQ(chttp_engine_release(g->engine), 0);
    if ((g->order & 2) == 0)
        chttp_queue_destroy(g->queue);
    return NULL;
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++)
        for (unsigned round = 0; round < ROUNDS; round++) {
            struct garbage g = {.engine = engine_make(drive, NULL), .order = round};
            char url[64];
            g.queue = queue_make(g.engine);
            submit_get(g.engine, g.queue, test_server_url(&server, "/bytes/500000", url, sizeof url), 0, 0);
            submit_get(g.engine, g.queue, test_server_url(&server, "/", url, sizeof url), CHTTP_REQ_COLLECT, 0);
            submit_get(g.engine, g.queue, test_server_url(&server, "/hang", url, sizeof url), 0, 0);
            /* Keeps the objects of what comes, with a reference more for every other one. */
            uint64_t kept[OBJECTS], len[OBJECTS];
            const char *data[OBJECTS];
            void *ours[OBJECTS];
            unsigned ours_n = 0;
            uint64_t at = 0;
            while (g.n < round % 6) {
                chttp_event event = next_event(g.queue);
                if (event.kind == CHTTP_EV_BODY) {
                    if (g.n % 2 == 0) {
                        chttp_retain(event.obj);
                        ours[ours_n] = event.obj;
                        data[ours_n] = event.data;
                        len[ours_n] = event.len;
                        kept[ours_n++] = at;
                    }
                    at += event.len;
                }
                if (event.obj != NULL)
                    g.objects[g.n++] = event.obj;
            }
            pthread_t thread;
            CHECK_EQ(pthread_create(&thread, NULL, finalize, &g), 0);
            for (unsigned i = 0; i < ours_n; i++) {
                for (uint64_t j = 0; j < len[i]; j++)
                    CHECK_EQ(data[i][j], test_server_pattern(kept[i] + j));
                chttp_release(ours[i]);
            }
            CHECK_EQ(pthread_join(thread, NULL), 0);
        }
    test_server_stop(&server);
    /* A released engine's thread ends by itself soon: until then its descriptors are open. */
    char tasks[64];
    snprintf(tasks, sizeof tasks, "/proc/self/status");
    for (int threads = 0; threads != 1;) {
        FILE *file = fopen(tasks, "re");
        char line[128];
        CHECK(file != NULL);
        while (fgets(line, sizeof line, file) != NULL)
            if (sscanf(line, "Threads: %d", &threads) == 1)
                break;
        fclose(file);
        poll(NULL, 0, 1);
    }
    return 0;
}
