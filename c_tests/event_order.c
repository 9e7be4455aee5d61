/*
 * The order of events within an exchange, INFORMATIONAL* HEADERS BODY* TRAILERS? DONE or one RESPONSE, for every kind of
 * answer, streamed and collected; the cases in which a collected answer falls back to the stream; what a response tells.
 */
#include "support/engine.h"

struct expectation {
    const char *path;
    uint32_t status;
    uint64_t len;
    unsigned informational, trailers;
    int32_t error;
    int one_event; /* when it is collected */
};

static struct test_server server;

static void look_at(chttp_engine *engine, chttp_queue *queue)
{
    char url[64], text[64];
    chttp_field field;
    chttp_timing timing;
    submit_get(engine, queue, test_server_url(&server, "/", url, sizeof url), CHTTP_REQ_COLLECT, 0);
    chttp_event event = next_event(queue);
    const chttp_response *response = event.obj;
    const char *data;
    size_t len;
    CHECK_EQ(event.kind, CHTTP_EV_RESPONSE);
    CHECK(event.aux > 0);
    CHECK_EQ(chttp_response_status(response), 200);
    CHECK_EQ(chttp_response_version(response), 11);
    CHECK_EQ(chttp_response_reason(response, text, sizeof text), 2);
    CHECK_STR(text, "OK");
    CHECK_EQ(chttp_response_reason(response, text, 2), 2); /* cut off, with its NUL */
    CHECK_STR(text, "O");
    int32_t at = chttp_response_header(response, "CONTENT-type", (size_t)CHTTP_NUL_TERMINATED, &field);
    CHECK(at >= 0);
    CHECK_MEM(field.name, field.name_len, "Content-Type", 12);
    CHECK_MEM(field.value, field.value_len, "text/plain", 10);
    CHECK_EQ(chttp_response_header_at(response, (uint32_t)at, &field), 0);
    CHECK_MEM(field.value, field.value_len, "text/plain", 10);
    CHECK_EQ(chttp_response_body(response, &data, &len), 0);
    CHECK(data == event.data && len == event.len);
    CHECK_EQ(chttp_response_timing(response, &timing, sizeof timing), 0);
    CHECK(timing.size == sizeof timing && timing.connected_ns <= timing.sent_ns);
    CHECK(timing.sent_ns > 0 && timing.first_byte_ns >= timing.sent_ns && event.aux >= timing.first_byte_ns);
    snprintf(url, sizeof url, "127.0.0.1:%u", server.port);
    CHECK_EQ(chttp_response_peer(response, text, sizeof text), strlen(url));
    CHECK_STR(text, url);
    CHECK_EQ(chttp_response_connection_reused(response), (event.flags & CHTTP_EF_REUSED) != 0);
    CHECK_EQ(chttp_response_attempt(response), 1);
    CHECK_EQ(chttp_response_content_length(response), 6);
    event_free(&event);
    submit_get(engine, queue, test_server_url(&server, "/close/6", url, sizeof url), CHTTP_REQ_COLLECT, 0);
    event = next_event(queue);
    CHECK_EQ(chttp_response_content_length(event.obj), CHTTP_E_NOT_FOUND);
    event_free(&event);
}

int main(void)
{
    static const struct expectation all[] = {
        {"/", 200, 6, 0, 0, 0, 1},
        {"/bytes/0", 200, 0, 0, 0, 0, 1},
        {"/bytes/5000", 200, 5000, 0, 0, 0, 1},
        {"/bytes/5001", 200, 5001, 0, 0, 0, 0}, /* over collect_max */
        {"/bytes/100000", 200, 100000, 0, 0, 0, 0},
        {"/close/5000", 200, 5000, 0, 0, 0, 1}, /* of unknown length, and yet within */
        {"/close/5001", 200, 5001, 0, 0, 0, 0},
        {"/chunked/3000/7", 200, 3000, 0, 1, 0, 0}, /* trailers do not fit into one event */
        {"/hints", 200, 6, 1, 0, 0, 1},
        {"/hints/4", 200, 6, 4, 0, 0, 1},
        {"/status/204", 204, 0, 0, 0, 0, 1},
        {"/status/304", 304, 0, 0, 0, 0, 1},
        {"/status/404", 404, 4, 0, 0, 0, 1},
        {"/redirect/3", 302, 0, 0, 0, 0, 1},
        {"/drip/4/1", 200, 4, 0, 0, 0, 1},
        {"/head/8000", 200, 0, 0, 0, 0, 1},
        {"/cut/1000/10", 200, 10, 0, 0, CHTTP_E_TRUNCATED_BODY, 0}, /* what came is delivered before the error */
        {"/garbage", 0, 0, 0, 0, CHTTP_E_STATUS_LINE, 0},
    };
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        for (int collect = 0; collect < 2; collect++)
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
                char url[64];
                chttp_request request = request_for(test_server_url(&server, all[i].path, url, sizeof url));
                request.flags = collect ? CHTTP_REQ_COLLECT : 0;
                request.collect_max = 5000;
                struct answer a = fetch(engine, queue, &request);
                CHECK_EQ(a.status, all[i].status);
                CHECK_EQ(a.len, all[i].len);
                CHECK_EQ(a.informational, all[i].informational);
                CHECK_EQ(a.trailers, all[i].trailers);
                CHECK_EQ(a.error, all[i].error);
                CHECK_EQ(a.one_event, collect && all[i].one_event);
                CHECK(a.writable == 0 && a.write_done == 0);
                /* HEAD has the head of it, and no body. */
                if (all[i].error == 0 && all[i].status == 200 && a.informational == 0) {
                    request.method = "HEAD";
                    request.method_len = 4;
                    a = fetch(engine, queue, &request);
                    CHECK(a.status == 200 && a.len == 0 && a.error == 0);
                    CHECK_EQ(a.one_event, collect);
                }
            }
        look_at(engine, queue);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
