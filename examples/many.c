/*
 * 1,000 requests in flight at once, on one thread: many URL [COUNT].
 *
 * The engine has no thread of its own (io_threads = 0): its work is done inside chttp_queue_drain(), and its descriptor
 * stands in a poll() as it would beside an application's own. The exchanges share at most 256 connections, which is
 * the default of CHTTP_OPT_MAX_CONNECTIONS_PER_HOST; the others wait their turn inside the engine.
 */
#include <chttpcore.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 256

static _Noreturn void die(const char *what, int32_t code)
{
    fprintf(stderr, "%s: %s\n", what, chttp_error_name(code));
    exit(1);
}

static void submit(chttp_engine *engine, chttp_queue *queue, const char *url, uint32_t count)
{
    chttp_request *requests = calloc(count, sizeof *requests);
    if (requests == NULL) die("requests", CHTTP_E_NOMEM);
    for (uint32_t i = 0; i < count; i++) {
        requests[i].size = sizeof requests[i];
        requests[i].flags = CHTTP_REQ_COLLECT; /* the answer as one event */
        requests[i].token = i;                 /* comes back in each event */
        requests[i].url = url;
        requests[i].url_len = CHTTP_NUL_TERMINATED;
    }
    /* Everything is copied in the call: the array may go. */
    int32_t code = chttp_submit(engine, queue, requests, count, sizeof requests[0], NULL, NULL);
    free(requests);
    if (code != 0) die("submit", code);
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000, ended = 0, answered = 0, failed = 0;
    uint64_t bytes = 0;
    if (argc < 2 || count == 0) {
        fprintf(stderr, "usage: many URL [COUNT]\n");
        return 2;
    }
    chttp_config *config;
    chttp_engine *engine;
    chttp_queue *queue;
    int32_t code = chttp_config_new(&config);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 0, NULL);
    if (code == 0) code = chttp_engine_new(config, &engine, NULL);
    if (code == 0) code = chttp_queue_new(engine, &queue);
    if (code != 0) die("engine", code);
    chttp_config_free(config);

    submit(engine, queue, argv[1], count);
    while (ended < count) {
        struct pollfd fds[] = {{.fd = chttp_queue_fd(queue), .events = POLLIN}}; /* and the application's own */
        if (poll(fds, 1, -1) < 0 && errno != EINTR) die("poll", CHTTP_E_IO);

        chttp_event events[BATCH];
        int32_t n = chttp_queue_drain(queue, events, BATCH, sizeof events[0]);
        if (n < 0) die("drain", n);
        for (int32_t i = 0; i < n; i++) {
            const chttp_event *event = &events[i];
            bytes += event->len; /* `data` holds so many bytes of the body, until the event is released */
            if (!(event->flags & CHTTP_EF_TERMINAL)) continue;
            ended++;
            if (event->error == 0) {
                answered++;
            } else if (failed++ == 0) {
                fprintf(stderr, "request %llu: %s\n", (unsigned long long)event->token, chttp_error_name(event->error));
            }
        }
        chttp_events_release(events, (uint32_t)n, sizeof events[0]);
    }
    printf("%u answers, %u failures, %llu bytes\n", answered, failed, (unsigned long long)bytes);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
    return failed != 0;
}
