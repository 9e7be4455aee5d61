/*
 * A table of attempts to break the library by calls that compile: one for each function, by its name. `cargo test
 * --test contract` compares the names with the list of exports, so that no function is without one.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "engine.h"

/* What there is to abuse. */
struct world {
    const char *url;
    chttp_engine *engine;
    chttp_queue *queue;
    chttp_config *config;
    /* One of each kind of object. */
    chttp_error *error;
    chttp_response *response;
    void *body, *line;
    chttp_tls *tls;
    chttp_backend *mock;
    /* Exchanges: one that is over, and an upload that is open. */
    chttp_xid over, open;
};

struct attempt {
    const char *name;
    void (*run)(struct world *w);
};

/* An attempt on `function`, and its row in the table. */
#define HOSTILE(function) static void try_##function(struct world *w)
#define TRY(function) {#function, try_##function}

#define STALE_XIDS 7

/* Ids of no exchange that is under way. */
static inline chttp_xid stale_xid(const struct world *w, unsigned i)
{
    const chttp_xid xids[STALE_XIDS] = {
        0, 1, UINT64_MAX, w->over, w->open ^ 1ull << 60, w->open + (1ull << 32), 0xdeadbeefdeadbeefull};
    return i < STALE_XIDS ? xids[i] : 0;
}

static inline void hostile_run(const struct attempt *attempts, size_t n, struct world *w)
{
    for (size_t i = 0; i < n; i++) {
        attempts[i].run(w);
        /* It has done no harm. */
        chttp_response *response = NULL;
        chttp_request request = request_for(w->url);
        int32_t code = chttp_perform(w->engine, &request, CHTTP_UNLIMITED, &response, NULL);
        if (code != 0) fprintf(stderr, "after the attempts on %s: %s\n", attempts[i].name, chttp_error_name(code));
        CHECK_EQ(code, 0);
        CHECK_EQ(chttp_response_status(response), 200);
        chttp_release(response);
        CHECK_EQ(chttp_error_code(w->error), CHTTP_E_UNKNOWN_OPTION);
    }
}

static inline struct world world_make(int drive, const struct test_server *server, char *url, size_t size)
{
    struct world w;
    char other[128];
    memset(&w, 0, sizeof w);
    w.url = test_server_url(server, "/", url, size);
    CHECK_EQ(chttp_config_new(&w.config), 0);
    CHECK_EQ(chttp_config_set_i64(w.config, 0, 0, &w.error), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(chttp_config_set_i64(w.config, CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, 1, NULL), 0);
    CHECK_EQ(chttp_tls_new(w.config, &w.tls, NULL), 0);
    CHECK_EQ(chttp_mock_new(&w.mock, NULL), 0);
    CHECK_EQ(chttp_config_set_i64(w.config, CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, 0, NULL), 0);
    CHECK_EQ(chttp_config_set_i64(w.config, CHTTP_OPT_IO_THREADS, drive, NULL), 0);
    CHECK_EQ(chttp_engine_new(w.config, &w.engine, NULL), 0);
    w.queue = queue_make(w.engine);
    CHECK_EQ(chttp_engine_log_to(w.engine, w.queue, CHTTP_LOG_DEBUG), 0);
    w.over = submit_get(w.engine, w.queue, w.url, 0, 0);
    for (int last = 0; !last || w.line == NULL;) {
        chttp_event event = next_event(w.queue);
        void **kept = event.kind == CHTTP_EV_BODY  ? &w.body
                      : event.kind == CHTTP_EV_LOG ? &w.line
                      : event.kind == CHTTP_EV_HEADERS ? (void **)&w.response : NULL;
        last |= is_terminal(&event);
        if (kept != NULL && *kept == NULL) {
            *kept = event.obj;
            event.obj = NULL;
        }
        chttp_events_release(&event, 1, 0);
    }
    CHECK_EQ(chttp_engine_log_to(w.engine, w.queue, CHTTP_LOG_OFF), 0);
    for (chttp_event event; chttp_queue_drain(w.queue, &event, 1, 0) == 1;)
        chttp_events_release(&event, 1, 0);
    CHECK(w.response != NULL && w.body != NULL);
    chttp_request request = request_for(test_server_url(server, "/count", other, sizeof other));
    request.method = "POST";
    request.method_len = 4;
    request.flags = CHTTP_REQ_STREAM_BODY;
    request.body_len = CHTTP_LENGTH_UNKNOWN;
    w.open = submit_one(w.engine, w.queue, &request);
    return w;
}

/* Whatever was tried, the upload goes on to its end. */
static inline void world_end(struct world *w)
{
    CHECK_EQ(chttp_body_write(w->engine, w->open, "12345", 5), 0);
    CHECK_EQ(chttp_body_end(w->engine, w->open, NULL, 0, NULL), 0);
    for (int last = 0; !last;) {
        chttp_event event = next_event(w->queue);
        last = is_terminal(&event) && event.xid == w->open;
        CHECK_EQ(event.error, 0);
        event_free(&event);
    }
    chttp_engine_destroy(w->engine);
    chttp_queue_destroy(w->queue);
    chttp_config_free(w->config);
    chttp_release(w->error);
    chttp_release(w->response);
    chttp_release(w->body);
    chttp_release(w->line);
    chttp_tls_release(w->tls);
    chttp_release(w->mock);
}

#endif
