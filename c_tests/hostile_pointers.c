/*
 * Every function of the header with NULL for each pointer in turn, impossible sizes and strides, and objects of the wrong
 * kind: each gets its documented code, and nothing is written where nothing was promised.
 */
#include "support/engine.h"

static struct test_server server;
static char url[64];

static void of_config(void)
{
    chttp_config *config = NULL;
    chttp_error *error = NULL;
    chttp_option option;
    CHECK_EQ(chttp_config_new(NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(NULL, CHTTP_OPT_IO_THREADS, 1, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_config_set_i64(NULL, CHTTP_OPT_IO_THREADS, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_i64(config, 0, 1, NULL), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(chttp_config_set_i64(config, UINT32_MAX, 1, NULL), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(chttp_config_set_named(NULL, "io_threads", Z, "1", Z, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_named(config, NULL, 0, "1", Z, NULL), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(chttp_config_set_named(config, NULL, 3, "1", Z, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_named(config, "io_threads", Z, NULL, 0, NULL), CHTTP_E_OPTION_TYPE);
    CHECK_EQ(chttp_config_set_named(config, "io_threads", Z, NULL, 3, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_named(config, "io_threads", SIZE_MAX - 1, "1", Z, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_config_set_named(config, "io_threads", Z, "1", SIZE_MAX / 2 + 1, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_option_describe(0, NULL, sizeof option), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_option_describe(0, &option, 0), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_option_describe(UINT32_MAX, &option, sizeof option), CHTTP_E_UNKNOWN_OPTION);
    chttp_config_free(config);
    chttp_config_free(NULL);
    CHECK_EQ(chttp_engine_new(NULL, NULL, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_engine_new(NULL, NULL, NULL), CHTTP_E_INVALID_ARG);
}

static void of_engine(chttp_engine *engine, chttp_queue *queue)
{
    chttp_request request = request_for(url);
    chttp_queue *none = NULL;
    chttp_stats stats;
    chttp_xid xid = 0;
    chttp_error *error = NULL;
    chttp_response *response = NULL;
    CHECK_EQ(chttp_queue_new(NULL, &none), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new(engine, NULL), CHTTP_E_INVALID_ARG);
    CHECK(none == NULL);
    CHECK_EQ(chttp_submit(NULL, queue, &request, 1, 0, &xid, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_submit(engine, NULL, &request, 1, 0, &xid, &error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_submit(engine, queue, NULL, 1, 0, &xid, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_submit(engine, queue, NULL, 2, 0, &xid, NULL), CHTTP_E_INVALID_ARG);
    CHECK(xid == 0);
    CHECK_EQ(chttp_perform(NULL, &request, 0, &response, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_perform(engine, NULL, 0, &response, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_perform(engine, &request, 0, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK(response == NULL);
    CHECK_EQ(chttp_cancel(NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_write(NULL, 1, "x", 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_write(engine, 1, NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_end(NULL, 1, NULL, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_end(engine, 1, NULL, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_stats(NULL, &stats, sizeof stats), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_stats(engine, NULL, sizeof stats), CHTTP_E_INVALID_ARG);
    for (size_t size = 0; size < 8; size++)
        CHECK_EQ(chttp_engine_stats(engine, &stats, size), CHTTP_E_INVALID_SIZE);
    /* As much as there is room for: of an earlier version, of a later one. */
    memset(&stats, 0xee, sizeof stats);
    CHECK_EQ(chttp_engine_stats(engine, &stats, 16), 0);
    CHECK_EQ(stats.size, 16);
    CHECK_EQ(stats.succeeded, 0xeeeeeeeeeeeeeeeeull);
    struct {
        chttp_stats stats;
        uint64_t later;
    } larger = {.later = 1};
    CHECK_EQ(chttp_engine_stats(engine, &larger.stats, sizeof larger), 0);
    CHECK(larger.stats.size == sizeof stats && larger.later == 0);
}

static void of_queue(chttp_queue *queue)
{
    chttp_event event;
    static const size_t strides[] = {1, 8, 63, 65, 68, SIZE_MAX, SIZE_MAX - 7};
    memset(&event, 0, sizeof event);
    CHECK_EQ(chttp_queue_fd(NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_drain(NULL, &event, 1, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_drain(queue, NULL, 1, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_drain(queue, NULL, 0, 0), 0);
    CHECK_EQ(chttp_queue_wait(NULL, &event, 1, 0, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_wait(queue, NULL, 1, 0, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_wait(queue, &event, 0, 0, CHTTP_UNLIMITED), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_wakeup(NULL), CHTTP_E_INVALID_ARG);
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
        CHECK_EQ(chttp_queue_drain(queue, &event, 1, strides[i]), CHTTP_E_INVALID_SIZE);
        CHECK_EQ(chttp_queue_wait(queue, &event, 1, strides[i], 0), CHTTP_E_INVALID_SIZE);
        CHECK_EQ(chttp_events_release(&event, 1, strides[i]), CHTTP_E_INVALID_SIZE);
    }
    CHECK_EQ(chttp_events_release(NULL, 1, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_events_release(NULL, 0, 0), 0);
    CHECK_EQ(chttp_events_release(&event, 1, 0), 0);
}

/* `response` may be of another kind, or NULL. */
static void no_response(const chttp_response *response)
{
    chttp_field field = {NULL, 0, NULL, 0};
    chttp_timing timing;
    const char *data = NULL;
    size_t len = 1;
    char text[8];
    CHECK_EQ(chttp_response_status(response), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_version(response), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_reason(response, text, sizeof text), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header_count(response), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header_at(response, 0, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(response, "A", 1, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_body(response, &data, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_timing(response, &timing, sizeof timing), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_peer(response, text, sizeof text), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_local(response, text, sizeof text), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_connection_reused(response), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_attempt(response), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_content_length(response), CHTTP_E_INVALID_ARG);
    CHECK(field.name == NULL && data == NULL && len == 1);
}

static void no_error(const chttp_error *error)
{
    char text[8];
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_os_errno(error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_phase(error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_attempt(error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_is_retryable(error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_connection_reused(error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_request_bytes_sent(error), 0);
    CHECK_EQ(chttp_error_message(error, text, sizeof text), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_peer(error, text, sizeof text), CHTTP_E_INVALID_ARG);
    chttp_error_native(error); /* of no meaning, but harmless */
}

static void of_response(const chttp_response *response)
{
    chttp_field field;
    chttp_timing timing;
    const char *data;
    size_t len;
    CHECK_EQ(chttp_response_reason(response, NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_reason(response, NULL, 0), 2);
    CHECK_EQ(chttp_response_header_at(response, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header_at(response, UINT32_MAX, &field), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_response_header_at(response, (uint32_t)chttp_response_header_count(response), &field),
             CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_response_header(response, NULL, 3, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(response, NULL, 0, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(response, "Content-Length", Z, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(response, "", 0, &field), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_response_header(response, "No-Such", Z, &field), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_response_body(response, NULL, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_body(response, &data, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_timing(response, NULL, sizeof timing), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_timing(response, &timing, 7), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_response_peer(response, NULL, 1), CHTTP_E_INVALID_ARG);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", url, sizeof url);
    of_config();
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine), *second = NULL;
        of_engine(engine, queue);
        of_queue(queue);
        if (drive == 0)
            CHECK_EQ(chttp_queue_new(engine, &second), CHTTP_E_BAD_STATE);
        CHECK(second == NULL);

        /* Each kind of object, passed as each other kind. */
        submit_get(engine, queue, url, 0, 0);
        chttp_event head = next_event(queue), body = next_event(queue), done = next_event(queue);
        CHECK(head.kind == CHTTP_EV_HEADERS && body.kind == CHTTP_EV_BODY && done.kind == CHTTP_EV_DONE);
        chttp_request bad = request_for("");
        chttp_error *error = NULL;
        CHECK_EQ(chttp_submit(engine, queue, &bad, 1, 0, NULL, &error), CHTTP_E_INVALID_URL);
        no_response(NULL);
        no_response((chttp_response *)error);
        no_response(body.obj);
        no_error(NULL);
        no_error(head.obj);
        no_error(body.obj);
        of_response(head.obj);

        /* References: the last one counts, on whatever function it is given up. */
        for (int i = 0; i < 3; i++) {
            chttp_retain(error);
            chttp_retain(body.obj);
        }
        void *object = body.obj;
        event_free(&body);
        event_free(&body); /* it holds NULL now: releasing again is nothing */
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_URL);
            chttp_release(error);
            chttp_release(object);
        }
        CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_URL);
        chttp_release(error);
        event_free(&head);
        event_free(&done);
        for (int i = 0; i < 2; i++) {
            chttp_release(NULL);
            chttp_retain(NULL);
        }
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
