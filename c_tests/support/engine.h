/*
 * An engine and a queue for a test, in either drive, and the ways to walk through what a queue delivers.
 *
 * Everything here waits with poll on the queue's descriptor and nothing else, so that every test is one of the
 * contract's rules 2 and 3 too. GUARD_MS is no timing: it turns a hang into a failed check that says where.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include "check.h"
#include "chttpcore.h"
#include "test_server.h"

#include <errno.h>
#include <poll.h>

#define GUARD_MS 240000
#define SECOND_NS 1000000000ull
#define MS_NS 1000000ull

/* The length of a text that ends with NUL. */
#define Z ((size_t)CHTTP_NUL_TERMINATED)
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Both drives, for `for (int drive = 0; drive < 2; drive++)`: the value is `io_threads`. */
#define DRIVES 2

struct setting {
    uint32_t option;
    int64_t value;
};

/* `settings` ends with option 0, or is NULL. */
static inline chttp_engine *engine_make(int io_threads, const struct setting *settings)
{
    chttp_config *config = NULL;
    chttp_engine *engine = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, io_threads, &error), 0);
    for (; settings != NULL && settings->option != 0; settings++)
        CHECK_EQ(chttp_config_set_i64(config, settings->option, settings->value, &error), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, &error), 0);
    CHECK(engine != NULL && error == NULL);
    chttp_config_free(config);
    return engine;
}

static inline chttp_queue *queue_make(chttp_engine *engine)
{
    chttp_queue *queue = NULL;
    CHECK_EQ(chttp_queue_new(engine, &queue), 0);
    CHECK(queue != NULL);
    return queue;
}

/* A queue whose events go to `on_events`. */
static inline chttp_queue *callback_make(chttp_engine *engine, chttp_events_fn on_events, void *user, const char *name)
{
    chttp_queue *queue = NULL;
    chttp_error *error = NULL;
    size_t len = name == NULL ? 0 : (size_t)CHTTP_NUL_TERMINATED;
    CHECK_EQ(chttp_queue_new_callback(engine, on_events, user, name, len, &queue, &error), 0);
    CHECK(queue != NULL && error == NULL);
    return queue;
}

/* Waits for another thread to count up to `least`. */
static inline void await_count(const _Atomic unsigned *count, unsigned least)
{
    for (unsigned ms = 0; *count < least; ms++) {
        CHECK(ms < GUARD_MS);
        poll(NULL, 0, 1);
    }
}

/* A GET; the other fields are the caller's to fill. */
static inline chttp_request request_for(const char *url)
{
    chttp_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.url = url;
    request.url_len = (size_t)CHTTP_NUL_TERMINATED;
    return request;
}

/* Submits one request and shows why, if it is refused. */
static inline chttp_xid submit_one(chttp_engine *engine, chttp_queue *queue, const chttp_request *request)
{
    chttp_xid xid = 0;
    chttp_error *error = NULL;
    int32_t code = chttp_submit(engine, queue, request, 1, 0, &xid, &error);
    if (code != 0) {
        char text[256];
        chttp_error_message(error, text, sizeof text);
        fprintf(stderr, "submit: %s: %s\n", chttp_error_name(code), text);
    }
    CHECK_EQ(code, 0);
    CHECK(xid != 0 && error == NULL);
    return xid;
}

static inline chttp_xid submit_get(chttp_engine *engine, chttp_queue *queue, const char *url, uint32_t flags,
                                   uint64_t token)
{
    chttp_request request = request_for(url);
    request.flags = flags;
    request.token = token;
    return submit_one(engine, queue, &request);
}

/* What poll says about a descriptor now, or after at most `ms`. */
static inline short polled(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    while ((n = poll(&p, 1, ms)) < 0 && errno == EINTR) {
    }
    CHECK(n >= 0);
    return p.revents;
}

static inline int is_readable(int fd)
{
    return polled(fd, 0) == POLLIN;
}

/* Waits until the descriptor is readable, and takes up to `cap` events: perhaps none. */
static inline uint32_t pump(chttp_queue *queue, chttp_event *events, uint32_t cap)
{
    CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
    int32_t n = chttp_queue_drain(queue, events, cap, sizeof *events);
    CHECK(n >= 0 && (uint32_t)n <= cap);
    return (uint32_t)n;
}

/* The next event; the caller releases it. */
static inline chttp_event next_event(chttp_queue *queue)
{
    chttp_event event;
    while (pump(queue, &event, 1) == 0) {
    }
    return event;
}

static inline void event_free(chttp_event *event)
{
    CHECK_EQ(chttp_events_release(event, 1, sizeof *event), 0);
    CHECK(event->obj == NULL && event->data == NULL);
}

static inline int is_terminal(const chttp_event *event)
{
    return (event->flags & CHTTP_EF_TERMINAL) != 0;
}

/* Takes events until `n` terminal ones have come, and releases all of them. */
static inline void await_terminals(chttp_queue *queue, unsigned n)
{
    chttp_event events[64];
    while (n > 0) {
        uint32_t got = pump(queue, events, 64);
        for (uint32_t i = 0; i < got; i++)
            if (is_terminal(&events[i])) {
                CHECK(n > 0);
                n--;
            }
        CHECK_EQ(chttp_events_release(events, got, sizeof *events), 0);
    }
}

/* What one exchange brought. */
struct answer {
    uint32_t status;
    int32_t error;
    unsigned informational, heads, bodies, trailers, write_done, writable;
    int one_event; /* it came as RESPONSE */
    uint64_t len;
    char text[512]; /* the first bytes of the body, with a NUL */
};

/* One more event of an exchange: checks its place in the order, and that it is whole. True: it was the last. */
static inline int answer_add(struct answer *a, const chttp_event *event)
{
    switch (event->kind) {
    case CHTTP_EV_INFORMATIONAL:
        CHECK(a->heads == 0 && event->obj != NULL);
        a->informational++;
        break;
    case CHTTP_EV_HEADERS:
        CHECK(a->heads == 0 && event->obj != NULL);
        CHECK_EQ(chttp_response_status(event->obj), event->arg);
        a->heads++;
        a->status = event->arg;
        break;
    case CHTTP_EV_RESPONSE:
        CHECK(a->heads == 0 && event->obj != NULL && is_terminal(event));
        a->status = event->arg;
        a->one_event = 1;
        /* fall through */
    case CHTTP_EV_BODY:
        CHECK(a->one_event || (a->heads == 1 && event->len > 0));
        CHECK(a->trailers == 0 && event->obj != NULL && (event->data != NULL) == (event->len > 0));
        for (uint64_t i = 0; i < event->len && a->len + i < sizeof a->text - 1; i++)
            a->text[a->len + i] = event->data[i];
        a->len += event->len;
        a->bodies++;
        break;
    case CHTTP_EV_TRAILERS:
        CHECK(a->heads == 1 && a->trailers == 0 && event->obj != NULL);
        a->trailers++;
        break;
    case CHTTP_EV_WRITABLE:
        a->writable++;
        break;
    case CHTTP_EV_WRITE_DONE:
        CHECK_EQ(a->write_done, 0);
        a->write_done++;
        break;
    case CHTTP_EV_DONE:
        CHECK(is_terminal(event) && (event->error != 0) == (event->obj != NULL));
        CHECK(event->error != 0 || a->heads == 1);
        a->error = event->error;
        break;
    default:
        CHECK(!"an event of a known kind");
    }
    CHECK_EQ(is_terminal(event), event->kind == CHTTP_EV_DONE || event->kind == CHTTP_EV_RESPONSE);
    return is_terminal(event);
}

/* Reads the only exchange of a queue to its end. */
static inline struct answer read_answer(chttp_queue *queue, chttp_xid xid)
{
    struct answer a;
    memset(&a, 0, sizeof a);
    for (int last = 0; !last;) {
        chttp_event event = next_event(queue);
        CHECK_EQ(event.xid, xid);
        last = answer_add(&a, &event);
        event_free(&event);
    }
    return a;
}

static inline struct answer fetch(chttp_engine *engine, chttp_queue *queue, const chttp_request *request)
{
    return read_answer(queue, submit_one(engine, queue, request));
}

/* Counters and gauges. */
static inline chttp_stats stats_of(chttp_engine *engine)
{
    chttp_stats stats;
    CHECK_EQ(chttp_engine_stats(engine, &stats, sizeof stats), 0);
    return stats;
}

#endif
