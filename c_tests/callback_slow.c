/*
 * A callback that takes longer than slow_callback_ns is told in the log, by name, with how long it took and for how many
 * events; to the log's function and as an event. One that is told of its own slowness is not told of that again.
 */
#include "support/engine.h"

#include <pthread.h>

static struct test_server server;

struct lines {
    pthread_mutex_t lock;
    char text[4096];
    unsigned count;
};

struct client {
    int ms;
    _Atomic unsigned ended, lines;
    char line[256];
};

static void on_line(const chttp_log_record *record, void *user)
{
    struct lines *lines = user;
    pthread_mutex_lock(&lines->lock);
    CHECK_EQ(record->level, CHTTP_LOG_WARNING);
    CHECK(record->xid == 0 && record->time_ns > 0);
    CHECK(record->text_len < sizeof lines->text);
    memcpy(lines->text, record->text, record->text_len);
    lines->text[record->text_len] = 0;
    lines->count++;
    pthread_mutex_unlock(&lines->lock);
}

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct client *client = user;
    (void)stride;
    poll(NULL, 0, client->ms);
    for (uint32_t i = 0; i < n; i++) {
        if (events[i].kind == CHTTP_EV_LOG) {
            CHECK(events[i].len < sizeof client->line);
            memcpy(client->line, events[i].data, (size_t)events[i].len);
            client->line[events[i].len] = 0;
            client->lines++;
        }
        client->ended += (unsigned)is_terminal(&events[i]);
    }
}

static chttp_engine *engine_with(struct lines *lines, int64_t limit_ns)
{
    chttp_config *config = NULL;
    chttp_engine *engine = NULL;
    memset(lines, 0, sizeof *lines);
    CHECK_EQ(pthread_mutex_init(&lines->lock, NULL), 0);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_log(config, CHTTP_LOG_WARNING, on_line, lines, NULL), 0);
    if (limit_ns >= 0) CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_SLOW_CALLBACK_NS, limit_ns, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, NULL), 0);
    chttp_config_free(config);
    return engine;
}

/* How many lines there are for two slow calls. */
static unsigned by_function(int64_t limit_ns, int ms, const char *name, const char *shown)
{
    struct lines lines;
    struct client client = {.ms = ms};
    char url[64];
    chttp_engine *engine = engine_with(&lines, limit_ns);
    chttp_queue *queue = callback_make(engine, on_events, &client, name);
    for (unsigned i = 1; i <= 2; i++) {
        submit_get(engine, queue, test_server_url(&server, "/", url, sizeof url), CHTTP_REQ_COLLECT, 0);
        await_count(&client.ended, i);
    }
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    if (lines.count > 0) {
        char start[64];
        snprintf(start, sizeof start, "the callback %s", shown);
        CHECK(strncmp(lines.text, start, strlen(start)) == 0);
        CHECK(strstr(lines.text, " ms, over ") != NULL);
        CHECK(strstr(lines.text, " for 1 event:") != NULL);
    }
    return lines.count;
}

static void by_queue(void)
{
    struct lines lines;
    struct client slow = {.ms = 5};
    char url[64];
    chttp_engine *engine = engine_with(&lines, 1000000);
    chttp_queue *queue = callback_make(engine, on_events, &slow, "self");
    test_server_url(&server, "/", url, sizeof url);
    CHECK_EQ(chttp_engine_log_to(engine, queue, CHTTP_LOG_WARNING), 0);
    for (unsigned i = 1; i <= 5; i++) {
        submit_get(engine, queue, url, CHTTP_REQ_COLLECT, 0);
        await_count(&slow.ended, i);
        await_count(&slow.lines, i);
        CHECK(strncmp(slow.line, "the callback \"self\" took ", 25) == 0);
    }
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    /* One line for each answer, none for a line. */
    CHECK_EQ(slow.lines, 5);
    CHECK_EQ(lines.count, 5);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    CHECK_EQ(by_function(1000000, 5, "worker", "\"worker\" took "), 2);
    CHECK_EQ(by_function(1000000, 5, NULL, "0x"), 2);
    CHECK_EQ(by_function(1000000, 5, "", "0x"), 2);
    /* 50 ms unless it was set. */
    CHECK_EQ(by_function(-1, 60, "default", "\"default\" took "), 2);
    CHECK_EQ(by_function(0, 60, "never", ""), 0);
    CHECK_EQ(by_function(3600000000000, 60, "patient", ""), 0);
    by_queue();
    test_server_stop(&server);
    return 0;
}
