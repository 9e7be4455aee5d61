/*
 * chttp_perform() on many threads of one engine at a time, with a queue in use beside them: everybody gets their own
 * answer, in both drives, also when there are fewer connections than threads and some give up early.
 */
#include "support/engine.h"

#include <pthread.h>

#define THREADS 8
#define EACH 40

static struct test_server server;
static chttp_engine *engine;

static void *performer(void *arg)
{
    unsigned self = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < EACH; i++) {
        char path[64], url[96], body[32];
        chttp_response *response = NULL;
        chttp_error *error = NULL;
        chttp_request request;
        const char *data;
        size_t len;
        if (i % 10 == 9) {
            request = request_for(test_server_url(&server, "/hang", url, sizeof url));
            CHECK_EQ(chttp_perform(engine, &request, 2 * MS_NS, &response, &error), CHTTP_E_TIMED_OUT);
            CHECK(response == NULL && error != NULL);
            chttp_release(error);
            continue;
        }
        int body_len = snprintf(body, sizeof body, "thread %u call %u", self, i);
        snprintf(path, sizeof path, "/echo?%u.%u", self, i);
        request = request_for(test_server_url(&server, path, url, sizeof url));
        request.method = "PUT";
        request.method_len = 3;
        request.body = body;
        request.body_len = (uint64_t)body_len;
        int32_t code = chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, &error);
        CHECK_EQ(code, 0);
        CHECK_EQ(chttp_response_status(response), 200);
        CHECK_EQ(chttp_response_body(response, &data, &len), 0);
        CHECK_MEM(data, len, body, (size_t)body_len);
        chttp_release(response);
    }
    return NULL;
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        for (int few = 0; few < 2; few++) {
            const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, few ? 2 : 64}, {0, 0}};
            engine = engine_make(drive, settings);
            chttp_queue *queue = queue_make(engine);
            pthread_t threads[THREADS];
            for (uintptr_t i = 0; i < THREADS; i++)
                CHECK_EQ(pthread_create(&threads[i], NULL, performer, (void *)i), 0);
            char url[64];
            for (unsigned i = 0; i < 50; i++) {
                chttp_request request = request_for(test_server_url(&server, "/bytes/3000", url, sizeof url));
                struct answer a = fetch(engine, queue, &request);
                CHECK_EQ(a.error, 0);
                CHECK_EQ(a.len, 3000);
            }
            for (int i = 0; i < THREADS; i++)
                CHECK_EQ(pthread_join(threads[i], NULL), 0);
            CHECK_EQ(stats_of(engine).exchanges, 0);
            chttp_engine_destroy(engine);
            chttp_queue_destroy(queue);
        }
    }
    test_server_stop(&server);
    return 0;
}
