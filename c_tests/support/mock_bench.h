/*
 * A mock, an engine on it without a thread, and a queue; and the steps of a script in few words. Nothing but a call of the
 * test's lets time pass.
 */
#ifndef MOCK_BENCH_H
#define MOCK_BENCH_H

#include "engine.h"

#define EXPECT_HEAD {.kind = CHTTP_MOCK_EXPECT_HEAD}
#define EXPECT(text) {.kind = CHTTP_MOCK_EXPECT, .data = (text), .len = Z}
#define SEND(text) {.kind = CHTTP_MOCK_SEND, .data = (text), .len = Z}
#define DELAY(ns) {.kind = CHTTP_MOCK_DELAY, .number = (ns)}
#define AGAIN {.kind = CHTTP_MOCK_AGAIN}
#define STEP(name) {.kind = CHTTP_MOCK_##name}
#define NUMBER(name, n) {.kind = CHTTP_MOCK_##name, .number = (n)}

struct bench {
    chttp_backend *mock;
    chttp_engine *engine;
    chttp_queue *queue;
};

/* A peer at this address, who does these steps. */
#define LISTEN(b, at, flags, ...)                                                                                      \
    do {                                                                                                               \
        const chttp_mock_step steps_[] = {__VA_ARGS__};                                                                \
        CHECK_EQ(chttp_mock_listen((b)->mock, (at), Z, steps_, COUNT(steps_), (flags), NULL), 0);                      \
    } while (0)

/* `config` has whatever else the engine is to be told, and is freed. */
static inline struct bench bench_on(chttp_backend *mock, chttp_config *config)
{
    struct bench b = {.mock = mock};
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 0, NULL), 0);
    CHECK_EQ(chttp_config_set_obj(config, CHTTP_OPT_BACKEND, mock, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &b.engine, NULL), 0);
    chttp_config_free(config);
    b.queue = queue_make(b.engine);
    return b;
}

static inline struct bench bench_make(void)
{
    chttp_backend *mock = NULL;
    chttp_config *config = NULL;
    CHECK_EQ(chttp_mock_new(&mock, NULL), 0);
    CHECK_EQ(chttp_config_new(&config), 0);
    return bench_on(mock, config);
}

static inline void mismatches(const struct bench *b, const char *expected)
{
    char text[512];
    CHECK(chttp_mock_mismatches(b->mock, text, sizeof text) >= 0);
    CHECK_STR(text, expected);
}

static inline void bench_stop(const struct bench *b)
{
    CHECK_EQ(chttp_engine_destroy(b->engine), 0);
    CHECK_EQ(chttp_queue_destroy(b->queue), 0);
    /* What was sent can be read after the engine is gone. */
    CHECK(chttp_mock_connection_count(b->mock) >= 0);
}

static inline void bench_end(const struct bench *b)
{
    bench_stop(b);
    chttp_release(b->mock);
}

/* The same, and every peer has heard what its script expected. */
static inline void bench_end_as_scripted(const struct bench *b)
{
    bench_stop(b);
    mismatches(b, "");
    chttp_release(b->mock);
}

#endif
