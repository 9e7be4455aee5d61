/*
 * Events on the library's thread: callback URL [COUNT].
 *
 * There is no loop and no descriptor here: on_events() is called on the engine's own thread as events come, and submits the
 * next request itself, so that 8 are under way until COUNT (default 1000) are answered. The main thread sleeps meanwhile.
 * What may be called inside is tagged [any-ctx] in chttpcore.h. It must not block: nothing else moves until it returns.
 * Were it to take longer than 5 ms, a line of the log would say so, and name it.
 */
#include <chttpcore.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define AT_A_TIME 8

struct client {
    chttp_engine *engine;
    chttp_queue *queue;
    chttp_request request;
    /* Of the engine's thread alone, until `finished`. */
    uint32_t to_begin, under_way, answered, failed;
    uint64_t bytes;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int finished;
};

static void on_line(const chttp_log_record *record, void *user)
{
    (void)user;
    fprintf(stderr, "%.*s\n", (int)record->text_len, record->text);
}

static void begin(struct client *client)
{
    for (; client->under_way < AT_A_TIME && client->to_begin > 0; client->to_begin--) {
        int32_t code = chttp_submit(client->engine, client->queue, &client->request, 1, 0, NULL, NULL);
        if (code == 0) client->under_way++;
        if (code != 0 && client->failed++ == 0) fprintf(stderr, "submit: %s\n", chttp_error_name(code));
    }
}

/* What is not taken out of an event (`obj` = NULL) is released when this returns. */
static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct client *client = user;
    (void)stride; /* sizeof events[0] */
    for (uint32_t i = 0; i < n; i++) {
        client->bytes += events[i].len; /* `data` holds so many bytes of the body */
        if (!(events[i].flags & CHTTP_EF_TERMINAL)) continue;
        client->under_way--;
        if (events[i].error == 0) {
            client->answered++;
        } else if (client->failed++ == 0) {
            fprintf(stderr, "%s\n", chttp_error_name(events[i].error));
        }
    }
    begin(client);
    if (client->under_way > 0) return;
    pthread_mutex_lock(&client->lock);
    client->finished = 1;
    pthread_cond_signal(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000;
    if (argc < 2 || count == 0) {
        fprintf(stderr, "usage: callback URL [COUNT]\n");
        return 2;
    }
    struct client client = {.to_begin = count - 1, .under_way = 1};
    client.request = (chttp_request){.size = sizeof client.request, .flags = CHTTP_REQ_COLLECT};
    client.request.url = argv[1];
    client.request.url_len = CHTTP_NUL_TERMINATED;
    pthread_mutex_init(&client.lock, NULL);
    pthread_cond_init(&client.changed, NULL);

    chttp_config *config;
    int32_t code = chttp_config_new(&config);
    if (code == 0) code = chttp_config_set_log(config, CHTTP_LOG_WARNING, on_line, NULL, NULL);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_SLOW_CALLBACK_NS, 5000000, NULL);
    if (code == 0) code = chttp_engine_new(config, &client.engine, NULL);
    if (code == 0)
        code = chttp_queue_new_callback(client.engine, on_events, &client, "example", CHTTP_NUL_TERMINATED, &client.queue,
                                        NULL);
    /* The first one: those behind it are submitted inside. */
    if (code == 0) code = chttp_submit(client.engine, client.queue, &client.request, 1, 0, NULL, NULL);
    if (code != 0) {
        fprintf(stderr, "%s\n", chttp_error_name(code));
        return 1;
    }
    chttp_config_free(config);

    pthread_mutex_lock(&client.lock);
    while (!client.finished) pthread_cond_wait(&client.changed, &client.lock);
    pthread_mutex_unlock(&client.lock);
    /* From here on nobody is called, and `client` may go. */
    chttp_queue_destroy(client.queue);
    chttp_engine_destroy(client.engine);
    printf("%u answers, %u failures, %llu bytes\n", client.answered, client.failed, (unsigned long long)client.bytes);
    return client.failed != 0;
}
