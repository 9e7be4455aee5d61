/*
 * The log: lines by level, through a function or as events; no secret at any level; what nobody takes is counted.
 */
#include "support/engine.h"

#include <pthread.h>

static struct test_server server;

struct lines {
    pthread_mutex_t lock;
    char text[64 * 1024];
    size_t len;
    unsigned count, above, with_xid;
    uint32_t level;
};

static void on_line(const chttp_log_record *record, void *user)
{
    struct lines *lines = user;
    pthread_mutex_lock(&lines->lock);
    CHECK_EQ(record->size, sizeof *record);
    lines->count++;
    lines->above += record->level > lines->level || record->level == CHTTP_LOG_OFF;
    lines->with_xid += record->xid != 0;
    CHECK(record->time_ns > 0 && record->text_len > 0);
    CHECK(memchr(record->text, '\n', record->text_len) == NULL);
    CHECK(lines->len + record->text_len + 2 < sizeof lines->text);
    memcpy(lines->text + lines->len, record->text, record->text_len);
    lines->len += record->text_len;
    memcpy(lines->text + lines->len, "\n", 2);
    lines->len++;
    pthread_mutex_unlock(&lines->lock);
}

static void start(struct lines *lines, uint32_t level)
{
    memset(lines, 0, sizeof *lines);
    pthread_mutex_init(&lines->lock, NULL);
    lines->level = level;
}

static chttp_engine *logging_engine(int drive, struct lines *lines, uint32_t level)
{
    chttp_config *config = NULL;
    chttp_engine *engine = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, drive, NULL), 0);
    CHECK_EQ(chttp_config_set_log(config, level, on_line, lines, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, NULL), 0);
    chttp_config_free(config);
    return engine;
}

/* A request full of secrets, and one that fails. */
static void ask(chttp_engine *engine, chttp_queue *queue, int with_failure)
{
    char url[128], base[64];
    snprintf(url, sizeof url, "%s?key=s3cret", test_server_url(&server, "/", base, sizeof base));
    chttp_request request = request_for(url);
    const char fields[] = "Authorization: Bearer s3cret\r\nCookie: id=s3cret\r\nX-Api-Key: s3cret\r\nX-Plain: shown\r\n";
    request.header_block = fields;
    request.header_block_len = sizeof fields - 1;
    request.flags = CHTTP_REQ_COLLECT;
    submit_one(engine, queue, &request);
    if (with_failure) {
        request = request_for("http://127.0.0.1/");
        request.unix_path = "/nonexistent/socket";
        request.unix_path_len = (size_t)CHTTP_NUL_TERMINATED;
        submit_one(engine, queue, &request);
    }
    for (int ended = 0; ended < 1 + with_failure;) {
        chttp_event event = next_event(queue);
        ended += is_terminal(&event);
        event_free(&event);
    }
}

static void by_function(int drive)
{
    static struct lines lines;
    for (uint32_t level = CHTTP_LOG_OFF; level <= CHTTP_LOG_TRACE; level++) {
        start(&lines, level);
        chttp_engine *engine = logging_engine(drive, &lines, level);
        chttp_queue *queue = queue_make(engine);
        ask(engine, queue, 1);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        chttp_queue_destroy(queue);
        /* Nobody calls from here on. */
        CHECK_EQ(lines.above, 0);
        CHECK(strstr(lines.text, "s3cret") == NULL);
        if (level < CHTTP_LOG_INFO) CHECK_EQ(lines.count, 0);
        if (level >= CHTTP_LOG_INFO) {
            CHECK(strstr(lines.text, "connected to 127.0.0.1:") != NULL);
            CHECK(strstr(lines.text, "failed: ") != NULL);
            CHECK(lines.with_xid > 0);
        }
        if (level >= CHTTP_LOG_DEBUG) CHECK(strstr(lines.text, "GET /?[redacted] at 127.0.0.1:") != NULL);
        if (level >= CHTTP_LOG_TRACE) {
            CHECK(strstr(lines.text, "Authorization: [redacted]") != NULL);
            CHECK(strstr(lines.text, "X-Plain: shown") != NULL);
            CHECK(strstr(lines.text, "< 200 ") != NULL);
        }
        pthread_mutex_destroy(&lines.lock);
    }
}

static void by_queue(int drive)
{
    chttp_engine *engine = engine_make(drive, NULL);
    chttp_queue *queue = queue_make(engine);
    CHECK_EQ(chttp_engine_log_to(engine, queue, CHTTP_LOG_TRACE + 1), CHTTP_E_OPTION_RANGE);
    CHECK_EQ(chttp_engine_log_to(engine, NULL, CHTTP_LOG_INFO), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_log_to(NULL, queue, CHTTP_LOG_INFO), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_log_to(engine, queue, CHTTP_LOG_DEBUG), 0);
    char url[64];
    chttp_xid xid = submit_get(engine, queue, test_server_url(&server, "/", url, sizeof url), CHTTP_REQ_COLLECT, 7);
    unsigned lines = 0, answers = 0;
    while (lines < 3 || answers < 1) {
        chttp_event event = next_event(queue);
        if (event.kind == CHTTP_EV_LOG) {
            lines++;
            CHECK(event.arg >= CHTTP_LOG_ERROR && event.arg <= CHTTP_LOG_DEBUG);
            CHECK(event.len > 0 && event.data != NULL && event.obj != NULL && event.aux > 0);
            CHECK(event.xid == xid || event.xid == 0);
            CHECK(!is_terminal(&event) && event.token == 0 && event.error == 0);
        } else {
            answers += is_terminal(&event);
        }
        event_free(&event);
    }
    CHECK_EQ(chttp_engine_log_to(engine, queue, CHTTP_LOG_OFF), 0);
    /* From here on answers alone. */
    for (;;) {
        submit_get(engine, queue, url, CHTTP_REQ_COLLECT, 8);
        chttp_event event = next_event(queue);
        int quiet = event.kind == CHTTP_EV_RESPONSE && event.token == 8;
        while (event.kind == CHTTP_EV_LOG) {
            event_free(&event);
            event = next_event(queue);
        }
        event_free(&event);
        if (quiet) break;
    }
    chttp_queue_destroy(queue);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
}

int main(void)
{
    chttp_config *config = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(test_server_start(&server), 0);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_log(config, CHTTP_LOG_TRACE + 1, on_line, NULL, &error), CHTTP_E_OPTION_RANGE);
    chttp_release(error);
    CHECK_EQ(chttp_config_set_log(config, CHTTP_LOG_INFO, NULL, NULL, NULL), 0);
    CHECK_EQ(chttp_config_set_log(NULL, CHTTP_LOG_INFO, on_line, NULL, NULL), CHTTP_E_INVALID_ARG);
    chttp_config_free(config);
    for (int drive = 0; drive < DRIVES; drive++) {
        by_function(drive);
        by_queue(drive);
    }
    test_server_stop(&server);
    return 0;
}
