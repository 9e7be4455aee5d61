/*
 * The queue's descriptor in a libuv loop: libuv URL [COUNT [IO_THREADS [TIMEOUT_MS [TICK_MS]]]]
 *
 * Particular here: a handle is closed only when the loop has run once more, and its memory is the loop's until then.
 * uv_poll_t stays level-triggered: one drain for each call is enough. Close it before the queue is destroyed.
 */
#include <chttpcore.h>

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static chttp_engine *engine;
static chttp_queue *queue;
static const char *url;
static long left, flying, answers, errors, ticks;
static uv_poll_t watch;
static uv_timer_t timer;

static void submit_more(void)
{
    chttp_request request = {.size = sizeof request, .url = url, .url_len = CHTTP_NUL_TERMINATED};
    request.flags = CHTTP_REQ_COLLECT; /* each answer as one event */
    for (; flying < 4 && left > 0; left--) {
        *(chttp_submit(engine, queue, &request, 1, 0, NULL, NULL) == 0 ? &flying : &errors) += 1;
    }
}

static void on_readable(uv_poll_t *handle, int status, int what)
{
    (void)status, (void)what;
    chttp_event events[64];
    int32_t n = chttp_queue_drain(queue, events, 64, 0);
    for (int32_t i = 0; i < n; i++) {
        if (events[i].flags & CHTTP_EF_TERMINAL) flying--, *(events[i].error == 0 ? &answers : &errors) += 1;
    }
    if (n > 0) chttp_events_release(events, (uint32_t)n, 0);
    submit_more();
    if (flying == 0) uv_stop(handle->loop);
}

static void on_tick(uv_timer_t *handle)
{
    (void)handle;
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

    uv_loop_t *loop = uv_default_loop();
    uv_timer_init(loop, &timer);
    if (options[3] > 0) uv_timer_start(&timer, on_tick, (uint64_t)options[3], (uint64_t)options[3]);
    uv_poll_init(loop, &watch, chttp_queue_fd(queue));
    uv_poll_start(&watch, UV_READABLE, on_readable);
    submit_more();
    if (flying > 0) uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&watch, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    chttp_queue_destroy(queue);
    chttp_engine_destroy(engine);
    printf("%ld answers, %ld errors, %ld ticks\n", answers, errors, ticks);
    return errors != 0;
}
