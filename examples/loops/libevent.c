/*
 * The queue's descriptor in a libevent loop: libevent URL [COUNT [IO_THREADS [TIMEOUT_MS [TICK_MS]]]]
 *
 * Particular here: without EV_PERSIST the event is over after one call; EV_ET may be added. event_add() gets no time,
 * because the library's own timeouts make the descriptor readable. event_free() before the queue is destroyed.
 */
#include <chttpcore.h>

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

static chttp_engine *engine;
static chttp_queue *queue;
static const char *url;
static long left, flying, answers, errors, ticks;

static void submit_more(void)
{
    chttp_request request = {.size = sizeof request, .url = url, .url_len = CHTTP_NUL_TERMINATED};
    request.flags = CHTTP_REQ_COLLECT; /* each answer as one event */
    for (; flying < 4 && left > 0; left--) {
        *(chttp_submit(engine, queue, &request, 1, 0, NULL, NULL) == 0 ? &flying : &errors) += 1;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *base)
{
    (void)fd, (void)what;
    chttp_event events[64];
    int32_t n = chttp_queue_drain(queue, events, 64, 0);
    for (int32_t i = 0; i < n; i++) {
        if (events[i].flags & CHTTP_EF_TERMINAL) flying--, *(events[i].error == 0 ? &answers : &errors) += 1;
    }
    if (n > 0) chttp_events_release(events, (uint32_t)n, 0);
    submit_more();
    if (flying == 0) event_base_loopbreak(base);
}

static void on_tick(evutil_socket_t fd, short what, void *base)
{
    (void)fd, (void)what, (void)base;
    ticks++;
}

int main(int argc, char **argv)
{
    long options[] = {20, 1, 30000, 10}; /* COUNT, IO_THREADS, TIMEOUT_MS, TICK_MS */
    if (argc < 2) return 2;
    for (int i = 2; i < argc && i < 6; i++) options[i - 2] = strtol(argv[i], NULL, 10);
    url = argv[1], left = options[0];
    chttp_config *config = NULL;
    int32_t code = chttp_config_new(&config);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, options[1], NULL);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_TOTAL_TIMEOUT_NS, options[2] * 1000000, NULL);
    if (code == 0) code = chttp_engine_new(config, &engine, NULL);
    if (code == 0) code = chttp_queue_new(engine, &queue);
    chttp_config_free(config);
    if (code != 0) return fprintf(stderr, "%s\n", chttp_error_name(code)), 1;

    struct event_base *base = event_base_new();
    struct event *timer = event_new(base, -1, EV_PERSIST, on_tick, base);
    if (options[3] > 0) event_add(timer, &(struct timeval){options[3] / 1000, options[3] % 1000 * 1000});
    struct event *watch = event_new(base, chttp_queue_fd(queue), EV_READ | EV_PERSIST, on_readable, base);
    event_add(watch, NULL);
    submit_more();
    if (flying > 0) event_base_dispatch(base);
    event_free(watch);
    event_free(timer);
    event_base_free(base);
    chttp_queue_destroy(queue);
    chttp_engine_destroy(engine);
    printf("%ld answers, %ld errors, %ld ticks\n", answers, errors, ticks);
    return errors != 0;
}
