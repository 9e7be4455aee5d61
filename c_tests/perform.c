/*
 * chttp_perform(): the whole answer, failures with their objects, a time, too large an answer, and what it refuses.
 */
#include "support/engine.h"

#include <unistd.h>

static struct test_server server;

static int32_t perform(chttp_engine *engine, const chttp_request *request, uint64_t timeout_ns, chttp_error **error)
{
    chttp_response *response = NULL;
    int32_t code = chttp_perform(engine, request, timeout_ns, &response, error);
    CHECK_EQ(response != NULL, code == 0);
    CHECK_EQ(*error != NULL, code != 0);
    if (code != 0)
        CHECK_EQ(chttp_error_code(*error), code);
    chttp_release(response);
    return code;
}

static void expect(chttp_engine *engine, const chttp_request *request, uint64_t timeout_ns, int32_t code)
{
    chttp_error *error = NULL;
    CHECK_EQ(perform(engine, request, timeout_ns, &error), code);
    if (error != NULL) {
        char text[256];
        CHECK(chttp_error_message(error, text, sizeof text) > 0);
        chttp_release(error);
    }
    /* No exchange is left behind, whatever happened. */
    CHECK_EQ(stats_of(engine).exchanges, 0);
}

static void answers(chttp_engine *engine)
{
    char url[64];
    chttp_request request = request_for(test_server_url(&server, "/bytes/100000", url, sizeof url));
    chttp_response *response = NULL;
    const char *data;
    size_t len;
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL), 0);
    CHECK_EQ(chttp_response_status(response), 200);
    CHECK_EQ(chttp_response_body(response, &data, &len), 0);
    CHECK_EQ(len, 100000);
    for (size_t i = 0; i < len; i++)
        CHECK_EQ(data[i], test_server_pattern(i));
    chttp_release(response);

    request = request_for(test_server_url(&server, "/echo", url, sizeof url));
    request.method = "POST";
    request.method_len = 4;
    request.body = "a body";
    request.body_len = 6;
    CHECK_EQ(chttp_perform(engine, &request, 60 * SECOND_NS, &response, NULL), 0);
    CHECK_EQ(chttp_response_body(response, &data, &len), 0);
    CHECK_MEM(data, len, "a body", 6);
    chttp_release(response);

    /* A status is no failure. Informational answers are passed over. */
    static const char *const paths[] = {"/status/404", "/status/500", "/status/204", "/hints/5", "/close/5000"};
    static const int32_t statuses[] = {404, 500, 204, 200, 200};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        request = request_for(test_server_url(&server, paths[i], url, sizeof url));
        CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL), 0);
        CHECK_EQ(chttp_response_status(response), statuses[i]);
        chttp_release(response);
    }
}

static void failures(chttp_engine *engine)
{
    char url[64];
    uint16_t closed_port;
    int listener = test_server_listen(&closed_port);
    close(listener);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", closed_port);
    chttp_request request = request_for(url);
    chttp_error *error = NULL;
    CHECK_EQ(perform(engine, &request, CHTTP_UNLIMITED, &error), CHTTP_E_CONNECT_REFUSED);
    CHECK_EQ(chttp_error_phase(error), CHTTP_PHASE_CONNECTING);
    CHECK_EQ(chttp_error_os_errno(error), ECONNREFUSED);
    CHECK_EQ(chttp_error_request_bytes_sent(error), 0);
    CHECK_EQ(chttp_error_is_retryable(error), 1);
    chttp_release(error);

    request = request_for(test_server_url(&server, "/hang", url, sizeof url));
    expect(engine, &request, 20 * MS_NS, CHTTP_E_TIMED_OUT);
    expect(engine, &request, 0, CHTTP_E_TIMED_OUT);
    request.total_timeout_ns = 20 * MS_NS;
    expect(engine, &request, CHTTP_UNLIMITED, CHTTP_E_TIMEOUT_TOTAL);

    request = request_for(test_server_url(&server, "/garbage", url, sizeof url));
    expect(engine, &request, CHTTP_UNLIMITED, CHTTP_E_STATUS_LINE);
    request = request_for(test_server_url(&server, "/cut/100/50", url, sizeof url));
    expect(engine, &request, CHTTP_UNLIMITED, CHTTP_E_TRUNCATED_BODY);

    /* Too large: announced, announced too late, and with trailers within the limit. */
    request = request_for(test_server_url(&server, "/bytes/5000", url, sizeof url));
    request.collect_max = 4999;
    expect(engine, &request, CHTTP_UNLIMITED, CHTTP_E_TOO_LARGE);
    request.collect_max = 5000;
    chttp_response *response = NULL;
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL), 0);
    chttp_release(response);
    request = request_for(test_server_url(&server, "/close/5000", url, sizeof url));
    request.collect_max = 4999;
    expect(engine, &request, CHTTP_UNLIMITED, CHTTP_E_TOO_LARGE);

    /* Refused before anything happens. */
    request = request_for("http://");
    expect(engine, &request, CHTTP_UNLIMITED, CHTTP_E_INVALID_URL);
    request = request_for(url);
    request.flags = CHTTP_REQ_STREAM_BODY;
    request.body_len = CHTTP_LENGTH_UNKNOWN;
    expect(engine, &request, CHTTP_UNLIMITED, CHTTP_E_INVALID_BODY);
    static const struct {
        uint32_t flags;
        const char *word;
    } need_a_queue[] = {{CHTTP_REQ_WEBSOCKET, "CHTTP_REQ_WEBSOCKET"},
                        {CHTTP_REQ_WEBSOCKET | CHTTP_REQ_HTTP2, "CHTTP_REQ_WEBSOCKET"},
                        {CHTTP_REQ_RAW, "CHTTP_REQ_RAW"},
                        {CHTTP_REQ_SSE, "CHTTP_REQ_SSE"}};
    for (size_t i = 0; i < sizeof need_a_queue / sizeof *need_a_queue; i++) {
        char text[256];
        request = request_for(url);
        request.flags = need_a_queue[i].flags;
        error = NULL;
        CHECK_EQ(perform(engine, &request, CHTTP_UNLIMITED, &error), CHTTP_E_INVALID_ARG);
        CHECK(chttp_error_message(error, text, sizeof text) > 0 && strstr(text, need_a_queue[i].word) != NULL);
        chttp_release(error);
    }
    request = request_for(url);
    error = NULL;
    CHECK_EQ(chttp_perform(engine, &request, 0, NULL, &error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        answers(engine);
        failures(engine);
        /* Beside a queue: neither takes the other's events. */
        chttp_queue *queue = queue_make(engine);
        char slow[64];
        chttp_xid xid = submit_get(engine, queue, test_server_url(&server, "/delay/20", slow, sizeof slow), 0, 3);
        answers(engine);
        struct answer a = read_answer(queue, xid);
        CHECK_EQ(a.status, 200);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
