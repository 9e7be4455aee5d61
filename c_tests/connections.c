/*
 * Which connection an exchange got and why, and connections that are there before anybody needs them: what heads and
 * errors tell, and the books of the pool, in both drives.
 */
#include "support/engine.h"

static struct test_server server;

struct told {
    int32_t status, reason, reused, attempt, fields;
};

static struct told ask(chttp_engine *engine, chttp_queue *queue, const char *path, uint32_t flags)
{
    struct told told = {0, 0, 0, 0, 0};
    char url[64];
    submit_get(engine, queue, test_server_url(&server, path, url, sizeof url), flags, 0);
    for (int last = 0; !last;) {
        chttp_event event = next_event(queue);
        if (event.kind == CHTTP_EV_HEADERS) {
            chttp_field field;
            told.status = chttp_response_status(event.obj);
            told.reason = chttp_response_connection_reason(event.obj);
            told.reused = chttp_response_connection_reused(event.obj);
            told.attempt = chttp_response_attempt(event.obj);
            told.fields = chttp_response_header_count(event.obj);
            CHECK_EQ((event.flags & CHTTP_EF_REUSED) != 0, told.reused);
            for (int32_t i = 0; i < told.fields; i++)
                CHECK(chttp_response_header_at(event.obj, (uint32_t)i, &field) == 0 && field.name_len > 0);
        }
        last = is_terminal(&event);
        CHECK_EQ(event.error, 0);
        event_free(&event);
    }
    CHECK_EQ(told.status, 200);
    CHECK(told.fields > 0);
    return told;
}

static void reasons(chttp_engine *engine, chttp_queue *queue)
{
    struct told told = ask(engine, queue, "/", 0);
    CHECK(told.reason == CHTTP_REUSE_NEW_FIRST && !told.reused && told.attempt == 1);
    told = ask(engine, queue, "/", CHTTP_REQ_CLOSE);
    CHECK(told.reason == CHTTP_REUSE_REUSED && told.reused && told.attempt == 1);
    told = ask(engine, queue, "/", 0);
    CHECK(told.reason == CHTTP_REUSE_NEW_NOT_REUSABLE && !told.reused);
    chttp_stats stats = stats_of(engine);
    CHECK(stats.connections_opened == 2 && stats.connections_reused == 1 && stats.closed_not_reusable == 1);
}

/* Waits until so many connections are idle. */
static void await_idle(chttp_engine *engine, chttp_queue *queue, uint64_t n)
{
    chttp_stats stats;
    do {
        chttp_event event;
        CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, MS_NS), 0);
        stats = stats_of(engine);
    } while (stats.connections_idle < n);
    CHECK(stats.connections_idle == n && stats.dials == 0);
}

static void ahead_of_time(int drive)
{
    static const struct setting four[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 4}, {0, 0}};
    char url[64];
    chttp_engine *engine = engine_make(drive, four);
    chttp_queue *queue = queue_make(engine);
    chttp_request request = request_for(test_server_url(&server, "/", url, sizeof url));
    uint64_t requests = server.counters->requests;
    CHECK_EQ(chttp_engine_preconnect(engine, &request, 3, NULL), 0);
    await_idle(engine, queue, 3);
    /* They are counted: no more are needed, and no more than the limit are made. */
    CHECK_EQ(chttp_engine_preconnect(engine, &request, 2, NULL), 0);
    await_idle(engine, queue, 3);
    CHECK_EQ(chttp_engine_preconnect(engine, &request, UINT32_MAX, NULL), 0);
    await_idle(engine, queue, 4);
    CHECK_EQ(server.counters->requests, requests);
    struct told told = ask(engine, queue, "/", 0);
    CHECK(told.reason == CHTTP_REUSE_PREPARED && !told.reused && told.attempt == 1);
    chttp_stats stats = stats_of(engine);
    CHECK(stats.connections_opened == 4 && stats.connections == 4 && stats.submitted == 1);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
}

/* What an error tells of the connection that was lost. */
static void lost(chttp_engine *engine, chttp_queue *queue)
{
    char url[64], peer[64], expected[64];
    chttp_request request = request_for(test_server_url(&server, "/reset", url, sizeof url));
    request.method = "POST"; /* not sent twice */
    request.method_len = 4;
    chttp_xid xid = submit_one(engine, queue, &request);
    chttp_event event = next_event(queue);
    CHECK(event.xid == xid && event.kind == CHTTP_EV_DONE && event.error != 0);
    CHECK_EQ(chttp_error_code(event.obj), event.error);
    CHECK_EQ(chttp_error_os_errno(event.obj), event.os_errno);
    CHECK_EQ(chttp_error_connection_reused(event.obj), (event.flags & CHTTP_EF_REUSED) != 0);
    CHECK_EQ(chttp_error_connection_reused(event.obj), 1);
    CHECK_EQ(chttp_error_attempt(event.obj), 1);
    CHECK_EQ(chttp_error_native(event.obj), 0);
    CHECK_EQ(chttp_error_is_retryable(event.obj), 0);
    CHECK(chttp_error_request_bytes_sent(event.obj) > 0);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", server.port);
    CHECK_EQ(chttp_error_peer(event.obj, peer, sizeof peer), strlen(expected));
    CHECK_STR(peer, expected);
    event_free(&event);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        reasons(engine, queue);
        lost(engine, queue);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
        ahead_of_time(drive);
    }
    test_server_stop(&server);
    return 0;
}
