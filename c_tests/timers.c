/*
 * Timers: in the order of their moments, on a grid that lateness does not shift, one event at a time, and periods that pass
 * meanwhile are counted. Restarted, cancelled, at once and never. On virtual time to the nanosecond; then in both drives, where
 * the queue's descriptor is all that it takes.
 */
#define _GNU_SOURCE

#include "support/mock_bench.h"

#include <time.h>
#include <unistd.h>

#define HOUR_NS (3600 * SECOND_NS)

static chttp_xid start(const struct bench *b, uint64_t first_ns, uint64_t every_ns, uint64_t token)
{
    chttp_xid id = 0;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_timer_start(b->engine, b->queue, first_ns, every_ns, token, &id, &error), 0);
    CHECK(id != 0 && error == NULL);
    return id;
}

/* The next event, which comes now by virtual time. */
static chttp_event next(const struct bench *b, uint64_t token, uint64_t at, uint32_t periods)
{
    chttp_event event;
    CHECK_EQ(chttp_queue_wait(b->queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    CHECK_EQ(event.kind, CHTTP_EV_TIMER);
    CHECK_EQ(event.token, token);
    CHECK_EQ(event.aux, at);
    CHECK_EQ(event.arg, periods);
    CHECK_EQ(event.error, 0);
    CHECK_EQ(is_terminal(&event), event.obj == NULL);
    return event;
}

static void ended(const struct bench *b, uint64_t token, int32_t code)
{
    chttp_event event;
    CHECK_EQ(chttp_queue_wait(b->queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    CHECK_EQ(event.kind, CHTTP_EV_TIMER);
    CHECK_EQ(event.token, token);
    CHECK_EQ(event.error, code);
    CHECK(is_terminal(&event) && event.obj == NULL && event.arg == 0);
}

static void nothing(const struct bench *b, uint64_t for_ns)
{
    chttp_event event;
    uint64_t before = (uint64_t)chttp_mock_now(b->mock);
    CHECK_EQ(chttp_queue_wait(b->queue, &event, 1, 0, for_ns), 0);
    CHECK_EQ(chttp_mock_now(b->mock), before + for_ns);
}

static void in_order(void)
{
    struct bench b = bench_make();
    uint64_t t = (uint64_t)chttp_mock_now(b.mock);
    start(&b, 3 * MS_NS, 0, 3);
    start(&b, MS_NS, 0, 1);
    start(&b, HOUR_NS, 0, 9);
    start(&b, 2 * MS_NS, 0, 2);
    start(&b, 0, 0, 0);
    chttp_xid never = start(&b, CHTTP_UNLIMITED, 0, 10);
    chttp_event event = next(&b, 0, t, 1);
    CHECK(is_terminal(&event));
    CHECK_EQ(chttp_cancel(b.engine, event.xid), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_timer_restart(b.engine, event.xid, 0, 0, NULL), CHTTP_E_NOT_FOUND);
    next(&b, 1, t + MS_NS, 1);
    next(&b, 2, t + 2 * MS_NS, 1);
    next(&b, 3, t + 3 * MS_NS, 1);
    uint64_t at = 0;
    CHECK_EQ(chttp_mock_next_event(b.mock, &at), 0);
    CHECK(at > t + 3 * MS_NS && at <= t + HOUR_NS);
    next(&b, 9, t + HOUR_NS, 1);
    CHECK_EQ(chttp_mock_now(b.mock), t + HOUR_NS);
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, CHTTP_UNLIMITED), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_timer_restart(b.engine, never, 5, 0, NULL), 0);
    next(&b, 10, t + HOUR_NS + 5, 1);

    /* Overdue together, and in numbers: by moment, and those of one moment as they were started. */
    chttp_event events[64];
    t = (uint64_t)chttp_mock_now(b.mock);
    for (uint64_t i = 0; i < 40; i++)
        start(&b, (i * 7 % 40) / 2 * MS_NS, 0, i);
    CHECK_EQ(chttp_mock_advance(b.mock, HOUR_NS), 0);
    CHECK_EQ(chttp_queue_drain(b.queue, events, 64, 0), 40);
    for (int i = 1; i < 40; i++) {
        CHECK(events[i - 1].aux <= events[i].aux);
        if (events[i - 1].aux == events[i].aux) CHECK(events[i - 1].token < events[i].token);
    }
    CHECK_EQ(events[39].aux, t + 19 * MS_NS);
    bench_end(&b);
}

static void periods(void)
{
    struct bench b = bench_make();
    uint64_t t = (uint64_t)chttp_mock_now(b.mock);
    chttp_xid id = start(&b, 5, 100, 1);
    for (uint64_t i = 0; i < 50; i++) {
        chttp_event event = next(&b, 1, t + 5 + i * 100, 1);
        CHECK_EQ(event.xid, id);
        event_free(&event);
    }
    /* Late, but within the period: the grid stays. */
    chttp_event event = next(&b, 1, t + 5005, 1);
    CHECK_EQ(chttp_mock_advance(b.mock, 70), 0);
    event_free(&event);
    event = next(&b, 1, t + 5105, 1);
    /* Held for long: no event, and then one for all. */
    nothing(&b, 1000);
    event_free(&event);
    event = next(&b, 1, t + 6105, 10);
    event_free(&event);
    event = next(&b, 1, t + 6205, 1);
    event_free(&event);
    /* In the queue for long is the same. */
    CHECK_EQ(chttp_mock_advance(b.mock, 100), 0);
    CHECK_EQ(chttp_queue_drain(b.queue, &event, 0, 0), 0);
    CHECK_EQ(chttp_mock_advance(b.mock, 750), 0);
    event = next(&b, 1, t + 6305, 1);
    event_free(&event);
    event = next(&b, 1, t + 7005, 7);

    /* Another period, while an event is held; then none more. */
    t = (uint64_t)chttp_mock_now(b.mock);
    CHECK_EQ(chttp_timer_restart(b.engine, id, 50, 7, NULL), 0);
    nothing(&b, 20);
    event_free(&event);
    event = next(&b, 1, t + 50, 1);
    event_free(&event);
    event = next(&b, 1, t + 57, 1);
    CHECK_EQ(chttp_timer_restart(b.engine, id, 3, 0, NULL), 0);
    event_free(&event);
    event = next(&b, 1, t + 60, 1);
    CHECK(is_terminal(&event));

    /* Cancelled: between two, and while one is held. */
    id = start(&b, 10, 10, 2);
    CHECK_EQ(chttp_cancel(b.engine, id), 0);
    CHECK_EQ(chttp_cancel(b.engine, id), CHTTP_E_NOT_FOUND);
    ended(&b, 2, CHTTP_E_CANCELLED);
    id = start(&b, 10, 10, 3);
    event = next(&b, 3, t + 70, 1);
    CHECK_EQ(chttp_cancel(b.engine, id), 0);
    ended(&b, 3, CHTTP_E_CANCELLED);
    event_free(&event);
    nothing(&b, 1000);
    /* The shortest period there is floods nothing. */
    id = start(&b, 0, 1, 4);
    event = next(&b, 4, t + 1070, 1);
    CHECK_EQ(chttp_mock_advance(b.mock, HOUR_NS), 0);
    event_free(&event);
    event = next(&b, 4, t + 1070 + HOUR_NS, UINT32_MAX);
    CHECK_EQ(chttp_engine_destroy(b.engine), 0);
    ended(&b, 4, CHTTP_E_ENGINE_CLOSED);
    event_free(&event);
    CHECK_EQ(chttp_queue_destroy(b.queue), 0);
    chttp_release(b.mock);
}

/* What a mock has for a loop, and what not. */
static void on_a_mock(void)
{
    struct bench b = bench_make();
    chttp_event event;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_watch_fd(b.engine, b.queue, 0, CHTTP_WATCH_READ, 0, NULL, &error), CHTTP_E_UNSUPPORTED);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_UNSUPPORTED);
    chttp_release(error);
    start(&b, HOUR_NS, 0, 1);
    CHECK_EQ(chttp_queue_post(b.queue, 2, 3), 0);
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    CHECK(event.kind == CHTTP_EV_TASK && event.token == 2 && event.aux == 3);
    CHECK_EQ(chttp_mock_now(b.mock), SECOND_NS);
    next(&b, 1, SECOND_NS + HOUR_NS, 1);
    bench_end(&b);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* The kernel's clock: never early, and the descriptor tells. */
static void in_real_time(int drive)
{
    chttp_engine *engine = engine_make(drive, NULL);
    chttp_queue *queue = queue_make(engine);
    chttp_xid once = 0, every = 0;
    uint64_t began = now_ns(), last = 0, sum = 0;
    CHECK_EQ(chttp_timer_start(engine, queue, 20 * MS_NS, 0, 1, &once, NULL), 0);
    CHECK_EQ(chttp_timer_start(engine, queue, 0, MS_NS, 2, &every, NULL), 0);
    for (int seen = 0; !seen || sum < 30;) {
        chttp_event event = next_event(queue);
        CHECK(event.kind == CHTTP_EV_TIMER && event.error == 0 && event.arg >= 1);
        CHECK(event.aux >= began && event.aux <= now_ns());
        if (event.token == 1) {
            CHECK(event.xid == once && is_terminal(&event) && event.aux >= began + 20 * MS_NS);
            seen++;
        } else {
            CHECK(event.xid == every && !is_terminal(&event));
            /* On the grid, and no period is missing. */
            if (last != 0) CHECK_EQ(event.aux, last + event.arg * MS_NS);
            last = event.aux;
            sum += event.arg;
        }
        event_free(&event);
    }
    CHECK_EQ(chttp_cancel(engine, every), 0);
    await_terminals(queue, 1);
    /* Earlier than what is slept for. */
    CHECK_EQ(chttp_timer_start(engine, queue, HOUR_NS, 0, 3, &every, NULL), 0);
    CHECK_EQ(chttp_timer_start(engine, queue, MS_NS, 0, 4, NULL, NULL), 0);
    chttp_event event = next_event(queue);
    CHECK_EQ(event.token, 4);
    CHECK_EQ(chttp_timer_restart(engine, every, 0, 0, NULL), 0);
    event = next_event(queue);
    CHECK_EQ(event.token, 3);
    /* A wait is ended by a timer, and by nothing before. */
    began = now_ns();
    CHECK_EQ(chttp_timer_start(engine, queue, 5 * MS_NS, 0, 5, NULL, NULL), 0);
    CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    CHECK(event.token == 5 && now_ns() >= began + 5 * MS_NS);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
}

/* As many watches and timers as exchanges. */
static void bounded(int drive)
{
    const struct setting few[] = {{CHTTP_OPT_MAX_EXCHANGES, 3}, {0, 0}};
    chttp_engine *engine = engine_make(drive, few);
    chttp_queue *queue = queue_make(engine);
    chttp_xid ids[4] = {0};
    for (int i = 0; i < 4; i++)
        CHECK_EQ(chttp_timer_start(engine, queue, HOUR_NS, 0, 0, &ids[i], NULL), i < 3 ? 0 : CHTTP_E_TOO_MANY_EXCHANGES);
    CHECK_EQ(ids[3], 0);
    CHECK_EQ(chttp_cancel(engine, ids[0]), 0);
    CHECK_EQ(chttp_timer_start(engine, queue, 0, 0, 0, &ids[3], NULL), 0);
    CHECK(ids[3] != ids[0]);
    await_terminals(queue, 2);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_timer_start(engine = engine_make(drive, NULL), queue, 0, 0, 0, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    await_terminals(queue, 2);
    CHECK_EQ(chttp_queue_post(queue, 0, 0), CHTTP_E_ENGINE_DOWN);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
}

int main(void)
{
    in_order();
    periods();
    on_a_mock();
    for (int drive = 0; drive < DRIVES; drive++) {
        in_real_time(drive);
        bounded(drive);
    }
    return 0;
}
