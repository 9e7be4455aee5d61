/*
 * What would wait for the library's thread is CHTTP_E_WRONG_THREAD inside a callback, of whatever engine the object is, and
 * does no harm: all of it works afterwards, outside. Inside the log's function it is the same. A queue with a callback is not
 * waited on or drained, and needs an engine with a thread.
 */
#include "support/engine.h"

static struct test_server server;

struct client {
    chttp_engine *engine, *other_engine;
    chttp_queue *queue, *other_queue, *foreign_queue;
    char url[64];
    _Atomic unsigned ended, lines;
};

static void on_nothing(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    (void)events, (void)n, (void)stride, (void)user;
}

static void all_refused(struct client *client)
{
    chttp_event event;
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    chttp_request request = request_for(client->url);
    chttp_engine *engines[] = {client->engine, client->other_engine};
    chttp_queue *queues[] = {client->queue, client->other_queue, client->foreign_queue};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(chttp_perform(engines[i], &request, CHTTP_UNLIMITED, &response, &error), CHTTP_E_WRONG_THREAD);
        CHECK(response == NULL && error != NULL);
        CHECK_EQ(chttp_error_code(error), CHTTP_E_WRONG_THREAD);
        chttp_release(error);
        CHECK_EQ(chttp_engine_destroy(engines[i]), CHTTP_E_WRONG_THREAD);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(chttp_queue_drain(queues[i], &event, 1, 0), CHTTP_E_WRONG_THREAD);
        CHECK_EQ(chttp_queue_wait(queues[i], &event, 1, 0, CHTTP_UNLIMITED), CHTTP_E_WRONG_THREAD);
        CHECK_EQ(chttp_queue_dispatch(queues[i], 1, on_nothing, NULL), CHTTP_E_WRONG_THREAD);
        CHECK_EQ(chttp_queue_destroy(queues[i]), CHTTP_E_WRONG_THREAD);
    }
    CHECK_EQ(chttp_queue_destroy(NULL), 0);
    CHECK_EQ(chttp_engine_destroy(NULL), 0);
}

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct client *client = user;
    (void)stride;
    for (uint32_t i = 0; i < n; i++) {
        CHECK_EQ(events[i].error, 0);
        if (!is_terminal(&events[i])) continue;
        all_refused(client);
        client->ended++;
    }
}

static void on_line(const chttp_log_record *record, void *user)
{
    struct client *client = user;
    (void)record;
    if (client->queue != NULL) all_refused(client);
    client->lines++;
}

static void inside(void)
{
    static struct client client;
    chttp_config *config = NULL;
    test_server_url(&server, "/", client.url, sizeof client.url);
    client.other_engine = engine_make(1, NULL);
    client.foreign_queue = queue_make(client.other_engine);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_log(config, CHTTP_LOG_DEBUG, on_line, &client, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &client.engine, NULL), 0);
    chttp_config_free(config);
    client.other_queue = queue_make(client.engine);
    client.queue = callback_make(client.engine, on_events, &client, "refuses");
    for (unsigned i = 1; i <= 5; i++) {
        submit_get(client.engine, client.queue, client.url, i % 2 ? CHTTP_REQ_COLLECT : 0, i);
        await_count(&client.ended, i);
    }
    CHECK(client.lines > 0);
    /* No harm was done. */
    chttp_request request = request_for(client.url);
    CHECK_EQ(fetch(client.engine, client.other_queue, &request).status, 200);
    CHECK_EQ(fetch(client.other_engine, client.foreign_queue, &request).status, 200);
    CHECK_EQ(chttp_queue_destroy(client.other_queue), 0);
    client.other_queue = client.foreign_queue;
    CHECK_EQ(chttp_engine_destroy(client.engine), 0);
    CHECK_EQ(chttp_queue_destroy(client.queue), 0);
    CHECK_EQ(chttp_queue_destroy(client.foreign_queue), 0);
    CHECK_EQ(chttp_engine_destroy(client.other_engine), 0);
}

static void refused(chttp_engine *engine, chttp_events_fn function, const char *name, size_t len, int32_t code)
{
    chttp_queue *queue = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_queue_new_callback(engine, function, NULL, name, len, &queue, &error), code);
    CHECK(queue == NULL && error != NULL);
    CHECK_EQ(chttp_error_code(error), code);
    chttp_release(error);
    CHECK_EQ(chttp_queue_new_callback(engine, function, NULL, name, len, &queue, NULL), code);
    CHECK(queue == NULL);
}

static void outside(void)
{
    chttp_engine *engine = engine_make(1, NULL), *driven = engine_make(0, NULL);
    chttp_queue *queue = NULL;
    chttp_event event;
    char name[66];
    memset(name, 'x', sizeof name);
    refused(NULL, on_nothing, NULL, 0, CHTTP_E_INVALID_ARG);
    refused(engine, NULL, NULL, 0, CHTTP_E_INVALID_ARG);
    refused(engine, on_nothing, NULL, 3, CHTTP_E_INVALID_ARG);
    refused(engine, on_nothing, "two\nlines", 9, CHTTP_E_INVALID_ARG);
    refused(engine, on_nothing, "\xff", 1, CHTTP_E_INVALID_ARG);
    refused(engine, on_nothing, name, 65, CHTTP_E_INVALID_SIZE);
    refused(driven, on_nothing, NULL, 0, CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_queue_new_callback(engine, on_nothing, NULL, NULL, 0, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_callback(engine, on_nothing, NULL, name, 64, &queue, NULL), 0);
    CHECK_EQ(chttp_queue_fd(queue), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_queue_drain(queue, &event, 1, 0), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, CHTTP_UNLIMITED), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_queue_dispatch(queue, 1, on_nothing, NULL), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_queue_wakeup(queue), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    /* An engine without a thread can still have its one queue. */
    CHECK_EQ(chttp_queue_destroy(queue_make(driven)), 0);
    CHECK_EQ(chttp_engine_destroy(driven), 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    outside();
    inside();
    test_server_stop(&server);
    return 0;
}
