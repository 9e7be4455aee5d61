/*
 * Every function on engines, queues and exchanges, abused, in both drives: NULL for each pointer, impossible sizes,
 * counts and kinds, ids that are stale or random, handles of another engine, calls in the wrong state; and all of it at
 * once from several threads. Each call gets its documented code, and the engine serves on.
 */
#define _GNU_SOURCE

#include "support/hostile.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define EACH(array) for (size_t i = 0; i < COUNT(array); i++)

static struct test_server server;

static const size_t bad_strides[] = {1, 32, 63, 65, 68, 4104, SIZE_MAX, SIZE_MAX - 7};

/* ---- engines ---- */

HOSTILE(chttp_engine_new)
{
    chttp_error *error = NULL;
    CHECK_EQ(chttp_engine_new(w->config, NULL, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_engine_new(NULL, NULL, NULL), CHTTP_E_INVALID_ARG);
}

HOSTILE(chttp_engine_destroy)
{
    CHECK_EQ(chttp_engine_destroy(NULL), 0);
    chttp_engine *engine = NULL;
    CHECK_EQ(chttp_engine_new(w->config, &engine, NULL), 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
}

HOSTILE(chttp_engine_release)
{
    CHECK_EQ(chttp_engine_release(NULL), 0);
    chttp_engine *engine = NULL;
    CHECK_EQ(chttp_engine_new(w->config, &engine, NULL), 0);
    CHECK_EQ(chttp_engine_release(engine), 0);
}

/* Nobody here has forked. */
HOSTILE(chttp_engine_reset_after_fork)
{
    chttp_error *error = NULL;
    CHECK_EQ(chttp_engine_reset_after_fork(NULL, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_engine_reset_after_fork(NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_reset_after_fork(w->engine, NULL), 0);
}

HOSTILE(chttp_engine_stats)
{
    chttp_stats stats;
    static const size_t sizes[] = {0, 7, 4097, SIZE_MAX};
    CHECK_EQ(chttp_engine_stats(NULL, &stats, sizeof stats), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_stats(w->engine, NULL, sizeof stats), CHTTP_E_INVALID_ARG);
    EACH(sizes) CHECK_EQ(chttp_engine_stats(w->engine, &stats, sizes[i]), CHTTP_E_INVALID_SIZE);
}

/* An engine and a queue of others. */
struct others {
    chttp_engine *engine;
    chttp_queue *queue;
};

static struct others others_make(void)
{
    struct others others;
    others.engine = engine_make(1, NULL);
    others.queue = queue_make(others.engine);
    return others;
}

static void others_end(struct others others)
{
    CHECK_EQ(chttp_engine_destroy(others.engine), 0);
    chttp_queue_destroy(others.queue);
}

HOSTILE(chttp_engine_log_to)
{
    struct others others = others_make();
    CHECK_EQ(chttp_engine_log_to(NULL, w->queue, CHTTP_LOG_INFO), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_log_to(w->engine, NULL, CHTTP_LOG_INFO), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_log_to(w->engine, others.queue, CHTTP_LOG_INFO), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_log_to(w->engine, w->queue, CHTTP_LOG_TRACE + 1), CHTTP_E_OPTION_RANGE);
    CHECK_EQ(chttp_engine_log_to(w->engine, w->queue, UINT32_MAX), CHTTP_E_OPTION_RANGE);
    CHECK_EQ(chttp_engine_log_to(w->engine, w->queue, CHTTP_LOG_OFF), 0);
    others_end(others);
}

HOSTILE(chttp_engine_preconnect)
{
    chttp_request request = request_for(w->url), bad = request_for("ftp://127.0.0.1/");
    chttp_error *error = NULL;
    CHECK_EQ(chttp_engine_preconnect(NULL, &request, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_preconnect(w->engine, NULL, 1, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_engine_preconnect(w->engine, &bad, 1, NULL), CHTTP_E_UNSUPPORTED_SCHEME);
    bad.size = 0;
    CHECK_EQ(chttp_engine_preconnect(w->engine, &bad, 1, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_engine_preconnect(w->engine, &request, 0, NULL), 0);
    /* As many as the limit for one host allows, to where nobody listens. */
    request = request_for("http://127.0.0.1/");
    request.unix_path = "/nonexistent/socket";
    request.unix_path_len = Z;
    CHECK_EQ(chttp_engine_preconnect(w->engine, &request, UINT32_MAX, NULL), 0);
}

/* ---- queues ---- */

HOSTILE(chttp_queue_new)
{
    chttp_queue *queue = NULL;
    CHECK_EQ(chttp_queue_new(NULL, &queue), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new(w->engine, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new(NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK(queue == NULL);
}

HOSTILE(chttp_queue_new_kind)
{
    chttp_queue *queue = NULL;
    chttp_error *error = NULL;
    char payload[513] = "";
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_EQ(chttp_queue_new_kind(NULL, CHTTP_NOTIFY_EPOLL, -1, NULL, 0, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_kind(w->engine, CHTTP_NOTIFY_EPOLL, -1, NULL, 0, NULL, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    static const uint32_t kinds[] = {1000, INT32_MAX, UINT32_MAX};
    EACH(kinds)
        CHECK_EQ(chttp_queue_new_kind(w->engine, kinds[i], ends[1], payload, 1, &queue, NULL), CHTTP_E_INVALID_ARG);
    static const size_t sizes[] = {0, 513};
    EACH(sizes)
        CHECK_EQ(chttp_queue_new_kind(w->engine, CHTTP_NOTIFY_USER, ends[1], payload, sizes[i], &queue, NULL),
                 CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_queue_new_kind(w->engine, CHTTP_NOTIFY_USER, ends[1], payload, SIZE_MAX - 1, &queue, NULL),
             CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_queue_new_kind(w->engine, CHTTP_NOTIFY_USER, ends[1], NULL, 1, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_kind(w->engine, CHTTP_NOTIFY_USER, ends[1], NULL, 0, &queue, NULL), CHTTP_E_INVALID_SIZE);
    /* Closed, or for reading. */
    const int32_t fds[] = {-1, INT32_MIN, INT32_MAX, ends[0]};
    EACH(fds)
        CHECK_EQ(chttp_queue_new_kind(w->engine, CHTTP_NOTIFY_USER, fds[i], payload, 1, &queue, NULL),
                 CHTTP_E_INVALID_ARG);
    CHECK(queue == NULL);
    close(ends[0]);
    close(ends[1]);
}

static void no_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    (void)events, (void)n, (void)stride, (void)user;
    CHECK(!"there is no event");
}

HOSTILE(chttp_queue_new_callback)
{
    chttp_queue *queue = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_queue_new_callback(NULL, no_events, NULL, NULL, 0, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_callback(w->engine, NULL, NULL, NULL, 0, &queue, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_queue_new_callback(w->engine, no_events, NULL, NULL, 0, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_callback(w->engine, no_events, NULL, NULL, 1, &queue, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_new_callback(w->engine, no_events, NULL, "x", SIZE_MAX - 1, &queue, NULL),
             CHTTP_E_INVALID_SIZE);
    CHECK(queue == NULL);
}

HOSTILE(chttp_queue_fd)
{
    CHECK_EQ(chttp_queue_fd(NULL), CHTTP_E_INVALID_ARG);
    CHECK(chttp_queue_fd(w->queue) >= 0);
}

HOSTILE(chttp_queue_drain)
{
    chttp_event event;
    CHECK_EQ(chttp_queue_drain(NULL, &event, 1, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_drain(w->queue, NULL, 1, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_drain(w->queue, NULL, UINT32_MAX, 0), CHTTP_E_INVALID_ARG);
    EACH(bad_strides) CHECK_EQ(chttp_queue_drain(w->queue, &event, 1, bad_strides[i]), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_queue_drain(w->queue, NULL, 0, 0), 0);
    /* As many as there are, and no more is written. */
    CHECK_EQ(chttp_queue_drain(w->queue, &event, UINT32_MAX, 0), 0);
}

HOSTILE(chttp_queue_wait)
{
    chttp_event event;
    CHECK_EQ(chttp_queue_wait(NULL, &event, 1, 0, CHTTP_UNLIMITED), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_wait(w->queue, NULL, 1, 0, CHTTP_UNLIMITED), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_wait(w->queue, &event, 0, 0, CHTTP_UNLIMITED), CHTTP_E_INVALID_ARG);
    EACH(bad_strides) CHECK_EQ(chttp_queue_wait(w->queue, &event, 1, bad_strides[i], 0), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_queue_wait(w->queue, &event, UINT32_MAX, 0, 0), 0);
    /* The longest times that are no "for ever". */
    static const uint64_t times[] = {UINT64_MAX - 1, INT64_MAX, (uint64_t)INT64_MAX + 1};
    EACH(times)
    {
        CHECK_EQ(chttp_queue_wakeup(w->queue), 0);
        CHECK_EQ(chttp_queue_wait(w->queue, &event, 1, 0, times[i]), 0);
    }
}

HOSTILE(chttp_queue_dispatch)
{
    CHECK_EQ(chttp_queue_dispatch(NULL, 1, no_events, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_dispatch(w->queue, 0, no_events, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_dispatch(w->queue, 1, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_queue_dispatch(w->queue, UINT32_MAX, no_events, NULL), 0);
}

HOSTILE(chttp_queue_wakeup)
{
    chttp_event event;
    CHECK_EQ(chttp_queue_wakeup(NULL), CHTTP_E_INVALID_ARG);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(chttp_queue_wakeup(w->queue), 0);
    CHECK_EQ(chttp_queue_wait(w->queue, &event, 1, 0, CHTTP_UNLIMITED), 0);
}

HOSTILE(chttp_queue_destroy)
{
    (void)w;
    CHECK_EQ(chttp_queue_destroy(NULL), 0);
    struct others others = others_make();
    submit_get(others.engine, others.queue, "http://127.0.0.1:1/", 0, 0);
    others_end(others);
}

/* ---- exchanges ---- */

HOSTILE(chttp_submit)
{
    struct others others = others_make();
    chttp_request two[2] = {request_for(w->url), request_for(w->url)};
    chttp_xid xids[2] = {0, 0};
    CHECK_EQ(chttp_submit(NULL, w->queue, two, 1, 0, xids, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_submit(w->engine, NULL, two, 1, 0, xids, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_submit(w->engine, others.queue, two, 1, 0, xids, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_submit(others.engine, w->queue, two, 1, 0, xids, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_submit(w->engine, w->queue, NULL, 1, 0, xids, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_submit(w->engine, w->queue, NULL, UINT32_MAX, 0, xids, NULL), CHTTP_E_TOO_MANY_EXCHANGES);
    CHECK_EQ(chttp_submit(w->engine, w->queue, two, UINT32_MAX, 0, xids, NULL), CHTTP_E_TOO_MANY_EXCHANGES);
    CHECK_EQ(chttp_submit(w->engine, w->queue, NULL, 0, SIZE_MAX, NULL, NULL), 0);
    static const size_t strides[] = {1, 8, 15, 20, SIZE_MAX, SIZE_MAX - 7, (size_t)1 << 62, (size_t)1 << 32};
    EACH(strides)
        CHECK_EQ(chttp_submit(w->engine, w->queue, two, 2, strides[i], xids, NULL), CHTTP_E_INVALID_SIZE);
    two[1].tls = (const chttp_tls *)w->error;
    two[1].url = "https://127.0.0.1/";
    CHECK_EQ(chttp_submit(w->engine, w->queue, two, 2, 0, xids, NULL), CHTTP_E_INVALID_ARG);
    CHECK(xids[0] == 0 && xids[1] == 0);
    others_end(others);
}

HOSTILE(chttp_submit_packed)
{
    chttp_request request = request_for(w->url);
    chttp_xid xid = 0;
    chttp_submission s = {.size = sizeof s, .n = 1, .requests = &request, .xids = &xid};
    CHECK_EQ(chttp_submit_packed(NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_submit_packed(&s), CHTTP_E_INVALID_ARG);
    s.engine = w->engine;
    CHECK_EQ(chttp_submit_packed(&s), CHTTP_E_INVALID_ARG);
    s.queue = w->queue;
    s.n = UINT32_MAX;
    CHECK_EQ(chttp_submit_packed(&s), CHTTP_E_TOO_MANY_EXCHANGES);
    static const uint32_t sizes[] = {0, 1, 8, sizeof s - 1, 4097, UINT32_MAX};
    EACH(sizes) {
        s.size = sizes[i];
        CHECK_EQ(chttp_submit_packed(&s), CHTTP_E_INVALID_SIZE);
    }
    CHECK(xid == 0);

    struct others others = others_make();
    chttp_error *error = NULL;
    request.url = "nothing";
    s = (chttp_submission){sizeof s, 1, others.engine, others.queue, &request, 0, &xid, &error};
    CHECK_EQ(chttp_submit_packed(&s), CHTTP_E_INVALID_URL);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_URL);
    chttp_release(error);
    CHECK(xid == 0);
    request.url = "http://127.0.0.1:1/";
    CHECK_EQ(chttp_submit_packed(&s), 0);
    CHECK(xid != 0);
    others_end(others);
}

HOSTILE(chttp_cancel)
{
    struct others others = others_make();
    CHECK_EQ(chttp_cancel(NULL, w->open), CHTTP_E_INVALID_ARG);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_cancel(w->engine, stale_xid(w, i)), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_cancel(others.engine, w->open), CHTTP_E_NOT_FOUND);
    others_end(others);
}

HOSTILE(chttp_body_write)
{
    struct others others = others_make();
    CHECK_EQ(chttp_body_write(NULL, w->open, "x", 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_write(w->engine, w->open, NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_write(w->engine, w->open, "x", SIZE_MAX - 1), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_body_write(w->engine, w->open, NULL, 0), 0);
    for (unsigned i = 0; i < STALE_XIDS; i++) {
        CHECK_EQ(chttp_body_write(w->engine, stale_xid(w, i), "x", 1), CHTTP_E_NOT_FOUND);
        CHECK_EQ(chttp_body_write(w->engine, stale_xid(w, i), NULL, 0), CHTTP_E_NOT_FOUND);
    }
    CHECK_EQ(chttp_body_write(others.engine, w->open, "x", 1), CHTTP_E_NOT_FOUND);
    others_end(others);
}

HOSTILE(chttp_body_end)
{
    chttp_field field = {"A", 1, "b", 1};
    static const chttp_field bad[] = {
        {NULL, 1, "b", 1},  {"A", 1, NULL, 1},    {"A", SIZE_MAX - 1, "b", 1},       {"A b", 3, "b", 1},
        {"A", 1, "\r\n", 2}, {"", 0, "", 0}, {"Content-Length", 14, "1", 1},
    };
    CHECK_EQ(chttp_body_end(NULL, w->open, NULL, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_end(w->engine, w->open, NULL, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_end(w->engine, w->open, NULL, SIZE_MAX, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_body_end(w->engine, w->open, &field, SIZE_MAX, NULL), CHTTP_E_INVALID_ARG);
    EACH(bad) CHECK(chttp_body_end(w->engine, w->open, &bad[i], 1, NULL) < 0);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_body_end(w->engine, stale_xid(w, i), &field, 1, NULL), CHTTP_E_NOT_FOUND);
    /* An exchange whose body was no stream, and has ended. */
    CHECK_EQ(chttp_body_end(w->engine, w->over, NULL, 0, NULL), CHTTP_E_NOT_FOUND);
}

HOSTILE(chttp_perform)
{
    chttp_request request = request_for(w->url), bad = request_for(w->url);
    chttp_response *response = NULL;
    CHECK_EQ(chttp_perform(NULL, &request, 0, &response, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_perform(w->engine, NULL, 0, &response, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_perform(w->engine, &request, 0, NULL, NULL), CHTTP_E_INVALID_ARG);
    bad.flags = CHTTP_REQ_STREAM_BODY;
    CHECK_EQ(chttp_perform(w->engine, &bad, 0, &response, NULL), CHTTP_E_INVALID_BODY);
    bad.flags = UINT32_MAX;
    CHECK_EQ(chttp_perform(w->engine, &bad, 0, &response, NULL), CHTTP_E_UNKNOWN_FLAG);
    CHECK(response == NULL);
    CHECK_EQ(chttp_perform(w->engine, &request, UINT64_MAX - 1, &response, NULL), 0);
    chttp_release(response);
    /* Every time-out as long as can be said. */
    request.total_timeout_ns = request.pool_timeout_ns = request.dns_timeout_ns = request.connect_timeout_ns =
        request.write_timeout_ns = request.first_byte_timeout_ns = request.read_timeout_ns = request.expect_timeout_ns =
            request.tls_timeout_ns = UINT64_MAX - 1;
    request.recv_credit = request.collect_max = UINT64_MAX - 1;
    CHECK_EQ(chttp_perform(w->engine, &request, INT64_MAX, &response, NULL), 0);
    chttp_release(response);
}

HOSTILE(chttp_stream_start_tls)
{
    struct others others = others_make();
    CHECK_EQ(chttp_stream_start_tls(NULL, w->open, w->tls, NULL, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_start_tls(w->engine, w->open, (chttp_tls *)w->error, NULL, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_start_tls(w->engine, w->open, (chttp_tls *)w->body, NULL, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_start_tls(w->engine, w->open, w->tls, NULL, 5, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_start_tls(w->engine, w->open, w->tls, "\xff\xfe", 2, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_start_tls(w->engine, w->open, w->tls, "a", Z, NULL), CHTTP_E_BAD_STATE);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_stream_start_tls(w->engine, stale_xid(w, i), w->tls, NULL, 0, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_stream_start_tls(others.engine, w->open, w->tls, NULL, 0, NULL), CHTTP_E_NOT_FOUND);
    others_end(others);
}

HOSTILE(chttp_stream_fd)
{
    struct others others = others_make();
    CHECK_EQ(chttp_stream_fd(NULL, w->open), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_fd(w->engine, w->open), CHTTP_E_BAD_STATE);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_stream_fd(w->engine, stale_xid(w, i)), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_stream_fd(others.engine, w->open), CHTTP_E_NOT_FOUND);
    others_end(others);
}

static const struct attempt attempts[] = {
    TRY(chttp_engine_new),
    TRY(chttp_engine_destroy),
    TRY(chttp_engine_release),
    TRY(chttp_engine_reset_after_fork),
    TRY(chttp_engine_stats),
    TRY(chttp_engine_log_to),
    TRY(chttp_engine_preconnect),
    TRY(chttp_queue_new),
    TRY(chttp_queue_new_kind),
    TRY(chttp_queue_new_callback),
    TRY(chttp_queue_fd),
    TRY(chttp_queue_drain),
    TRY(chttp_queue_wait),
    TRY(chttp_queue_dispatch),
    TRY(chttp_queue_wakeup),
    TRY(chttp_queue_destroy),
    TRY(chttp_submit),
    TRY(chttp_submit_packed),
    TRY(chttp_cancel),
    TRY(chttp_body_write),
    TRY(chttp_body_end),
    TRY(chttp_perform),
    TRY(chttp_stream_start_tls),
    TRY(chttp_stream_fd),
};

/* ---- the wrong state ---- */

/* The engine is gone, by either way, and its queue lives. */
static void without_engine(int drive)
{
    for (int way = 0; way < 2; way++) {
        char url[64];
        chttp_event event;
        struct world w = world_make(drive, &server, url, sizeof url);
        chttp_xid open = w.open;
        struct others others = others_make();
        CHECK_EQ(way ? chttp_engine_release(w.engine) : chttp_engine_destroy(w.engine), 0);
        CHECK(chttp_queue_fd(w.queue) >= 0);
        CHECK_EQ(chttp_queue_wakeup(w.queue), 0);
        await_terminals(w.queue, 1);
        CHECK_EQ(chttp_queue_drain(w.queue, &event, 1, 0), 0);
        CHECK_EQ(chttp_queue_dispatch(w.queue, UINT32_MAX, no_events, NULL), 0);
        int32_t code;
        while ((code = chttp_queue_wait(w.queue, &event, 1, 0, CHTTP_UNLIMITED)) == 0) {
        }
        CHECK_EQ(code, CHTTP_E_ENGINE_DOWN);
        /* On another engine neither the queue nor the id means anything. */
        chttp_request request = request_for(url);
        CHECK_EQ(chttp_submit(others.engine, w.queue, &request, 1, 0, NULL, NULL), CHTTP_E_INVALID_ARG);
        CHECK_EQ(chttp_engine_log_to(others.engine, w.queue, CHTTP_LOG_INFO), CHTTP_E_INVALID_ARG);
        CHECK_EQ(chttp_cancel(others.engine, open), CHTTP_E_NOT_FOUND);
        chttp_queue_destroy(w.queue);
        others_end(others);
        chttp_config_free(w.config);
        chttp_release(w.error);
        chttp_release(w.response);
        chttp_release(w.body);
        chttp_release(w.line);
        chttp_tls_release(w.tls);
        chttp_release(w.mock);
    }
}

/* An upload that has ended, was cancelled, or was never one. */
static void ended_streams(struct world *w)
{
    char url[64];
    chttp_field field = {"A", 1, "b", 1};
    chttp_request request = request_for(test_server_url(&server, "/hang", url, sizeof url));
    chttp_xid plain = submit_one(w->engine, w->queue, &request);
    CHECK_EQ(chttp_body_write(w->engine, plain, "x", 1), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_body_write(w->engine, plain, NULL, 0), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_body_end(w->engine, plain, NULL, 0, NULL), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_body_end(w->engine, plain, &field, 1, NULL), CHTTP_E_BAD_STATE);
    request.method = "POST";
    request.method_len = 4;
    request.flags = CHTTP_REQ_STREAM_BODY;
    request.body_len = 5; /* of known length: no place for trailers */
    chttp_xid known = submit_one(w->engine, w->queue, &request);
    CHECK_EQ(chttp_body_end(w->engine, known, &field, 1, NULL), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_body_write(w->engine, known, "1234", 4), 0);
    request.body_len = CHTTP_LENGTH_UNKNOWN;
    chttp_xid chunked = submit_one(w->engine, w->queue, &request);
    CHECK_EQ(chttp_body_end(w->engine, chunked, &field, 1, NULL), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(chttp_body_write(w->engine, chunked, "x", 1), CHTTP_E_BAD_STATE);
        CHECK_EQ(chttp_body_end(w->engine, chunked, NULL, 0, NULL), CHTTP_E_BAD_STATE);
    }
    const chttp_xid xids[] = {plain, known, chunked};
    EACH(xids)
        for (int twice = 0; twice < 2; twice++) {
            int32_t code = chttp_cancel(w->engine, xids[i]);
            CHECK(code == 0 || (twice && code == CHTTP_E_NOT_FOUND));
        }
    await_terminals(w->queue, 3);
    EACH(xids)
    {
        CHECK_EQ(chttp_cancel(w->engine, xids[i]), CHTTP_E_NOT_FOUND);
        CHECK_EQ(chttp_body_write(w->engine, xids[i], "x", 1), CHTTP_E_NOT_FOUND);
        CHECK_EQ(chttp_body_end(w->engine, xids[i], NULL, 0, NULL), CHTTP_E_NOT_FOUND);
    }
}

/* ---- all at once ---- */

#define THREADS 4
#define ROUNDS 400

static struct world *shared;
static _Atomic uint64_t submitted, ended;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void count(chttp_event *events, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (is_terminal(&events[i])) ended++;
}

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    CHECK(stride == sizeof *events && user == shared);
    count(events, n);
}

/* What a code may be when anything may happen at the same time; never a panic. */
static void sane(int32_t code)
{
    CHECK(code >= 0 || chttp_error_name(code) != NULL);
    CHECK(code != CHTTP_E_PANIC && code != CHTTP_E_ENGINE_DOWN);
}

static void submit_anything(uint64_t r, const char *hang)
{
    chttp_request request = request_for(r & 1 ? hang : shared->url);
    chttp_xid xid;
    request.flags = (uint32_t)(r >> 8 & 31);
    request.method = r & 2 ? "POST" : NULL;
    request.method_len = r & 2 ? 4 : 0;
    request.body = r & 4 ? "0123456789" : NULL;
    request.body_len = (r >> 16) % 11;
    request.recv_credit = r >> 20 & 1023;
    request.total_timeout_ns = (r >> 32 & 63) * MS_NS / 8;
    request.headers_len = r >> 40 & 1;
    if (chttp_submit(shared->engine, shared->queue, &request, 1, 0, &xid, NULL) != 0) return;
    submitted++;
    if (r & 8) sane(chttp_cancel(shared->engine, xid));
    if (r & 16) sane(chttp_body_write(shared->engine, xid, "x", 1));
    if (r & 32) sane(chttp_body_end(shared->engine, xid, NULL, 0, NULL));
}

static void *hammer(void *seed)
{
    uint64_t state = *(const uint64_t *)seed;
    char hang[64];
    test_server_url(&server, "/hang", hang, sizeof hang);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t r = next_random(&state);
        chttp_event events[8];
        chttp_stats stats;
        int32_t n;
        switch (next_random(&state) % 12) {
        case 0:
            n = chttp_queue_drain(shared->queue, events, (uint32_t)(r % 9), 0);
            sane(n);
            count(events, (uint32_t)n);
            chttp_events_release(events, (uint32_t)n, 0);
            break;
        case 1:
            n = chttp_queue_wait(shared->queue, events, 8, 0, r % MS_NS);
            sane(n);
            count(events, (uint32_t)n);
            chttp_events_release(events, (uint32_t)n, 0);
            break;
        case 2:
            sane(chttp_queue_dispatch(shared->queue, (uint32_t)(r % 9), on_events, shared));
            break;
        case 3:
            sane(chttp_queue_wakeup(shared->queue));
            break;
        case 4:
            CHECK_EQ(chttp_engine_stats(shared->engine, &stats, 8 + r % (sizeof stats - 7)), 0);
            break;
        case 5:
            sane(chttp_cancel(shared->engine, r));
            break;
        case 6:
            sane(chttp_body_write(shared->engine, r >> r % 64, "x", 1));
            break;
        case 7:
            sane(chttp_body_end(shared->engine, r >> r % 64, NULL, 0, NULL));
            break;
        case 8: {
            chttp_request request = request_for(shared->url);
            sane(chttp_engine_preconnect(shared->engine, &request, (uint32_t)(r % 3), NULL));
            break;
        }
        default:
            submit_anything(r, hang);
        }
    }
    return NULL;
}

static void at_once(struct world *w)
{
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS];
    shared = w;
    submitted = ended = 0;
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = 0x9e3779b97f4a7c15ull * (uint64_t)(i + 1);
        CHECK_EQ(pthread_create(&threads[i], NULL, hammer, &seeds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK(submitted > 0);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        char url[64];
        struct world w = world_make(drive, &server, url, sizeof url);
        hostile_run(attempts, COUNT(attempts), &w);
        ended_streams(&w);
        world_end(&w);
        without_engine(drive);

        w = world_make(drive, &server, url, sizeof url);
        at_once(&w);
        /* Each that was accepted has its end, and only one. */
        CHECK_EQ(chttp_engine_destroy(w.engine), 0);
        for (;;) {
            chttp_event events[64];
            int32_t n = chttp_queue_wait(w.queue, events, 64, 0, CHTTP_UNLIMITED);
            if (n == CHTTP_E_ENGINE_DOWN) break;
            CHECK(n >= 0);
            count(events, (uint32_t)n);
            chttp_events_release(events, (uint32_t)n, 0);
        }
        CHECK_EQ(ended, submitted + 1); /* the world's own upload */
        chttp_queue_destroy(w.queue);
        chttp_config_free(w.config);
        chttp_release(w.error);
        chttp_release(w.response);
        chttp_release(w.body);
        chttp_release(w.line);
        chttp_tls_release(w.tls);
        chttp_release(w.mock);
    }
    test_server_stop(&server);
    return 0;
}
