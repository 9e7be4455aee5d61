/* Requests a second, through the descriptor of the queue. */
#define _POSIX_C_SOURCE 200809L
#include "demo_kit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define IN_FLIGHT 64

/* Latencies, log-linear: 16 steps for each power of two. */
static uint64_t latencies[64 * 16];

static void latency_add(uint64_t ns)
{
    unsigned shift = 0;
    while (ns >> shift >= 32) shift++;
    latencies[shift * 16 + (ns >> shift)]++;
}

static double latency_us(double quantile, uint64_t count)
{
    uint64_t seen = 0;
    for (uint64_t i = 0; i < COUNT(latencies); i++) {
        seen += latencies[i];
        if (latencies[i] > 0 && (double)seen >= quantile * (double)count) {
            uint64_t shift = i < 32 ? 0 : i / 16 - 1;
            return (double)((i - shift * 16) << shift) / 1e3;
        }
    }
    return 0;
}

typedef struct {
    client c;
    const char *url;
    const chttp_tls *tls;
    int poll_fd; /* an epoll descriptor; -1 to use poll */
    uint64_t begin, end, shown, waits;
    uint64_t submitted, finished, failed;
} load;

static void load_submit(load *l, uint32_t n)
{
    chttp_request requests[BATCH];
    chttp_error *error = NULL;
    for (uint32_t i = 0; i < n; i++) {
        requests[i] = request_for("GET", l->url);
        requests[i].tls = l->tls;
        requests[i].flags = CHTTP_REQ_COLLECT;
    }
    int32_t code = chttp_submit(l->c.engine, l->c.queue, requests, n, sizeof requests[0], NULL, &error);
    if (code != 0) give_up("submit", code, error);
    l->submitted += n;
}

/* Sleep until the queue's descriptor is readable, as any event loop does; ours watches nothing else. */
static void load_sleep(load *l)
{
    int n;
    l->waits++;
    if (l->poll_fd < 0) {
        struct pollfd fd = {.fd = chttp_queue_fd(l->c.queue), .events = POLLIN};
        n = poll(&fd, 1, 30000);
    } else {
        struct epoll_event ready;
        n = epoll_wait(l->poll_fd, &ready, 1, 30000);
    }
    if (n < 0 && errno != EINTR) give_up("poll", 0, NULL);
    if (n == 0) give_up("the descriptor stays silent", CHTTP_E_TIMED_OUT, NULL);
}

/* Take what has arrived; returns how many exchanges have ended. */
static uint32_t load_take(load *l)
{
    chttp_event events[BATCH];
    uint32_t ended = 0;
    int32_t n = chttp_queue_drain(l->c.queue, events, BATCH, sizeof events[0]);
    if (n < 0) give_up("drain", n, NULL);
    for (int32_t i = 0; i < n; i++) {
        if (!(events[i].flags & CHTTP_EF_TERMINAL)) continue;
        ended++;
        l->failed += events[i].error != 0 || events[i].arg != 200;
        latency_add(events[i].aux);
    }
    chttp_events_release(events, (uint32_t)n, sizeof events[0]);
    l->finished += ended;
    return ended;
}

/* On a terminal one line that is written over, else a line for each second. */
static void load_progress(load *l, uint64_t now)
{
    if (now - l->shown < (on_terminal ? SECOND / 10 : SECOND)) return;
    l->shown = now;
    double seconds = (double)(now - l->begin) / 1e9;
    printf("%s  %4.1f s  %10s requests  %10s a second%s", on_terminal ? "\r" : "", seconds, grouped(l->finished),
           grouped((uint64_t)((double)l->finished / seconds)), on_terminal ? "   " : "\n");
    fflush(stdout);
}

/* Processor time of this process, user and system. */
static double cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

void under_load(const char *what, int io_threads, const char *url, const chttp_tls *tls, double seconds)
{
    title(what);
    memset(latencies, 0, sizeof latencies);
    load l = {.c = client_open(io_threads, IN_FLIGHT), .url = url, .tls = tls, .poll_fd = -1};
    if (!io_threads) {
        struct epoll_event watch = {.events = EPOLLIN};
        l.poll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (l.poll_fd < 0 || epoll_ctl(l.poll_fd, EPOLL_CTL_ADD, chttp_queue_fd(l.c.queue), &watch) < 0) {
            give_up("epoll", 0, NULL);
        }
    }
    chttp_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    chttp_engine_stats(l.c.engine, &before, sizeof before);
    double used = cpu_us();
    uint64_t now = l.begin = l.shown = now_ns();
    l.end = l.begin + (uint64_t)(seconds * 1e9);
    load_submit(&l, IN_FLIGHT);
    while (l.finished < l.submitted) {
        load_sleep(&l);
        uint32_t ended = load_take(&l);
        now = now_ns();
        if (ended > 0 && now < l.end) load_submit(&l, ended);
        load_progress(&l, now);
    }
    chttp_engine_stats(l.c.engine, &after, sizeof after);
    used = cpu_us() - used;
    uint64_t rate = (uint64_t)((double)l.finished * 1e9 / (double)(now - l.begin));
    double n = (double)l.finished;
    double socket = (double)(after.socket_calls - before.socket_calls) / n;
    double notifier = (double)(after.notifier_calls - before.notifier_calls) / n;
    double waits = (double)(after.poll_calls - before.poll_calls) / n, mine = (double)l.waits / n;
    double control = (double)(after.epoll_ctl_calls - before.epoll_ctl_calls) / n;
    printf("%s", on_terminal ? "\r\033[K" : "");
    printf("  %s%s requests a second%s  (%s, %d in flight, %s connections, %s failed)\n", BOLD, grouped(rate), PLAIN,
           grouped(l.finished), IN_FLIGHT, grouped(after.connections_opened), grouped(l.failed));
    printf("  latency: median %.0f us, 99 %% within %.0f us\n", latency_us(.5, l.finished), latency_us(.99, l.finished));
    printf("  processor time of this process: %.1f us a request\n", used / n);
    printf("  system calls a request: %.2f\n", socket + notifier + waits + control + mine);
    printf("    %ssockets %.2f, wake-ups %.2f, waits %.2f, epoll_ctl %.2f, our own poll %.2f%s\n", DIM, socket, notifier,
           waits, control, mine, PLAIN);
    expect(l.failed == 0, "no request fails");
    expect(after.connections_opened <= IN_FLIGHT, "connections are used again");
    if (l.poll_fd >= 0) close(l.poll_fd);
    client_close(&l.c);
}
