/*
 * A whole event loop on one thread: event_loop, with URLs on standard input, one on each line (a pipe, a terminal or a socket:
 * files cannot be watched). Each is fetched as it comes, and every second a timer tells how far it is. When the input has ended
 * and everything is answered, nothing is left to wait for: the loop returns. Ctrl-C stops it.
 */
#include <chttpcore.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { INPUT, CLOCK, FETCH }; /* tokens */

static chttp_engine *engine;
static chttp_queue *queue;
static chttp_xid input, timer;
static unsigned under_way, answered, failed, seconds, ended;

static void fetch(const char *url, size_t len)
{
    chttp_request request = {.size = sizeof request, .flags = CHTTP_REQ_COLLECT, .token = FETCH, .url = url, .url_len = len};
    chttp_submit(engine, queue, &request, 1, 0, NULL, NULL) == 0 ? under_way++ : failed++;
}

/* One read for each event: it does not block, and what is left makes the next event. */
static void read_input(void)
{
    static char line[4096];
    static size_t have;
    ssize_t n = read(STDIN_FILENO, line + have, sizeof line - have);
    if ((ended = n <= 0) != 0) chttp_cancel(engine, input);
    else have += (size_t)n;
    for (char *end; (end = memchr(line, '\n', have)) != NULL;) {
        fetch(line, (size_t)(end - line));
        have -= (size_t)(end + 1 - line);
        memmove(line, end + 1, have);
    }
}

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    (void)stride, (void)user;
    for (uint32_t i = 0; i < n; i++) {
        const chttp_event *event = &events[i];
        int last = (event->flags & CHTTP_EF_TERMINAL) != 0;
        if (event->token == INPUT && !last) read_input();
        if (event->token == CLOCK && !last) printf("%u s, %u to go\n", seconds += event->arg, under_way);
        if (event->token != FETCH || !last) continue;
        under_way--;
        event->error == 0 ? answered++ : failed++;
    }
    if (ended && under_way == 0) chttp_cancel(engine, timer);
}

static void on_interrupt(int number)
{
    (void)number;
    chttp_queue_stop(queue);
}

int main(void)
{
    chttp_config *config;
    int32_t code = chttp_config_new(&config);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 0, NULL);
    if (code == 0) code = chttp_engine_new(config, &engine, NULL);
    if (code == 0) code = chttp_queue_new(engine, &queue);
    if (code == 0) code = chttp_watch_fd(engine, queue, STDIN_FILENO, CHTTP_WATCH_READ, INPUT, &input, NULL);
    if (code == 0) code = chttp_timer_start(engine, queue, 1000000000, 1000000000, CLOCK, &timer, NULL);
    if (code == 0) {
        signal(SIGINT, on_interrupt);
        while ((code = chttp_queue_run(queue, 0, on_events, NULL)) == CHTTP_E_INTERRUPTED) continue;
        printf("%s: %u answers, %u failures\n", code == 0 ? "stopped" : "done", answered, failed);
    }
    if (code < 0) puts(chttp_error_describe(code));
    chttp_config_free(config);
    chttp_engine_destroy(engine);
    return chttp_queue_destroy(queue) != 0 || code < 0 || failed > 0;
}
