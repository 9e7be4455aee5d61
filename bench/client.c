/* Benchmark client: the library behind the command line of the harness that runs the peers.
 *
 *   client --url U --mode get|churn|download|upload|idle|sse|ws --conns N --streams S --seconds T --warmup W
 *          [--h2] [--drive thread|caller] [--via fd|wait] [--requests N] [--upload-bytes N] [--ca PEM] [--resume]
 *
 * get: N x S requests always in flight. churn: the same, a new connection for each. download: a body, delivered piece by
 * piece. upload: a POST of --upload-bytes out of memory. idle: N connections are asked for at once, used by N requests in
 * flight at once, and kept; memory is looked at a second later. sse: N x S streams of events, each asked for anew when it
 * ends; what is counted are events, whose type and id are looked at. ws: N WebSockets to a server that sends messages back,
 * one of 32 bytes under way on each. The last line on stdout is a JSON object. --requests ends
 * a run by count instead of by time; then `counters` says what a request cost in system calls, and `rss` how memory went.
 *
 * --h2: HTTP/2, without TLS by prior knowledge, and up to S streams on a connection; else HTTP/1.1.
 *
 * --ca: a file of authorities to trust, for https. --resume: TLS sessions are resumed; without it, churn makes a full
 * handshake each time.
 *
 * --drive: the engine's own thread, or this one (default). --via: epoll on the queue's descriptor (default), or wait.
 * CHTTP_BENCH_DRIVE and CHTTP_BENCH_VIA are the same as environment variables.
 */
#define _GNU_SOURCE
#include "chttpcore.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BATCH 256

static struct {
    const char *url, *mode, *drive, *via, *ca;
    int conns, streams, h2, resume;
    double seconds, warmup;
    uint64_t requests, upload_bytes;
} args = {.mode = "get", .drive = "caller", .via = "fd", .conns = 1, .streams = 1, .seconds = 2, .warmup = 0.3,
          .upload_bytes = 100 * 1000 * 1000};

static chttp_engine *engine;
static chttp_queue *queue;
static chttp_request request;

/* ---- clocks and counters ---- */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t micros(struct timeval t) { return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec; }

static void cpu_us(uint64_t *user, uint64_t *sys) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    *user = micros(r.ru_utime);
    *sys = micros(r.ru_stime);
}

static long status_kb(const char *key) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key))) kb = atol(line + strlen(key));
    if (f) fclose(f);
    return kb;
}

/* Log-linear histogram of nanoseconds, 32 steps for each power of two. */
static uint64_t hist[64 * 32];

static void hist_add(uint64_t ns) {
    int e = ns < 32 ? 0 : 58 - __builtin_clzll(ns);
    hist[e * 32 + (int)((ns >> e) & 31)]++;
}

static double hist_us(double q, uint64_t n) {
    uint64_t want = (uint64_t)(q * (double)n), seen = 0;
    for (int i = 0; i < 64 * 32; i++) {
        seen += hist[i];
        if (hist[i] && seen > want) {
            int e = i / 32;
            return (double)((uint64_t)(e ? 32 | (i & 31) : i) << e) / 1e3;
        }
    }
    return 0;
}

/* ---- a run ---- */

static struct {
    uint64_t n, errors, bytes, begin, end, user0, sys0;
    int counting, over;
} run;

static void die(const char *what, int code) {
    fprintf(stderr, "%s: %s\n", what, chttp_error_name(code));
    exit(1);
}

static void submit(unsigned n) {
    static chttp_request many[BATCH];
    while (n > 0) {
        unsigned k = n < BATCH ? n : BATCH;
        for (unsigned i = 0; i < k; i++) many[i] = request;
        int code = chttp_submit(engine, queue, many, k, sizeof many[0], NULL, NULL);
        if (code < 0) die("submit", code);
        n -= k;
    }
}

static void begin_window(uint64_t now) {
    run.counting = 1;
    run.n = run.errors = run.bytes = 0;
    memset(hist, 0, sizeof hist);
    run.begin = now;
    cpu_us(&run.user0, &run.sys0);
}

/* Handle what was drained; returns how many exchanges ended. */
static unsigned handle(chttp_event *events, int n) {
    unsigned ended = 0;
    for (int i = 0; i < n; i++) {
        chttp_event *e = &events[i];
        run.bytes += e->len;
        if (e->kind == CHTTP_EV_SSE) {
            chttp_sse_event fields;
            if (chttp_sse_fields(e, &fields, sizeof fields) != 0 || fields.event_type_len == 0) run.errors++;
            run.n++;
            continue;
        }
        if (!(e->flags & CHTTP_EF_TERMINAL)) continue;
        ended++;
        run.n += request.sse == NULL;
        if (e->error || e->arg != 200) {
            char text[512] = "";
            if (e->error && e->obj) chttp_error_message(e->obj, text, sizeof text);
            if (run.errors++ == 0)
                fprintf(stderr, "%s, status %u, %s\n", e->error ? chttp_error_name(e->error) : "answer", e->arg, text);
        }
        hist_add(e->aux);
    }
    chttp_events_release(events, (uint32_t)n, sizeof *events);
    return ended;
}

static int epoll_fd = -1;

/* Wait for events in the way that was asked for; at most a second. */
static int next(chttp_event *events) {
    if (!strcmp(args.via, "wait")) return chttp_queue_wait(queue, events, BATCH, sizeof *events, 1000000000u);
    struct epoll_event ready;
    int n = epoll_wait(epoll_fd, &ready, 1, 1000);
    if (n < 0 && errno != EINTR) exit(1);
    return n <= 0 ? 0 : chttp_queue_drain(queue, events, BATCH, sizeof *events);
}

static void parse(int argc, char **argv) {
    const char *env;
    if ((env = getenv("CHTTP_BENCH_DRIVE"))) args.drive = env;
    if ((env = getenv("CHTTP_BENCH_VIA"))) args.via = env;
    for (int i = 1; i < argc; i += 2) {
        const char *k = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(k, "--resume") || !strcmp(k, "--h2")) {
            *(k[2] == 'h' ? &args.h2 : &args.resume) = 1;
            i--;
        } else if (!strcmp(k, "--ca")) args.ca = v;
        else if (!strcmp(k, "--url")) args.url = v;
        else if (!strcmp(k, "--mode")) args.mode = v;
        else if (!strcmp(k, "--drive")) args.drive = v;
        else if (!strcmp(k, "--via")) args.via = v;
        else if (!strcmp(k, "--conns")) args.conns = atoi(v);
        else if (!strcmp(k, "--streams")) args.streams = atoi(v);
        else if (!strcmp(k, "--seconds")) args.seconds = atof(v);
        else if (!strcmp(k, "--warmup")) args.warmup = atof(v);
        else if (!strcmp(k, "--requests")) args.requests = strtoull(v, NULL, 10);
        else if (!strcmp(k, "--upload-bytes")) args.upload_bytes = strtoull(v, NULL, 10);
        else {
            fprintf(stderr, "unknown argument %s\n", k);
            exit(2);
        }
    }
    if (!args.url) {
        fprintf(stderr, "usage: client --url U --mode get|churn|download|upload|idle|sse|ws ...\n");
        exit(2);
    }
}

static void open_engine(void) {
    chttp_config *config;
    int code = chttp_config_new(&config);
    if (code < 0) die("config", code);
    chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, !strcmp(args.drive, "thread"), NULL);
    chttp_config_set_i64(config, CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, args.conns, NULL);
    chttp_config_set_i64(config, CHTTP_OPT_MAX_CONNECTIONS, args.conns, NULL);
    chttp_config_set_i64(config, CHTTP_OPT_HTTP_VERSION, args.h2 ? 2 : 1, NULL);
    if (args.h2) chttp_config_set_i64(config, CHTTP_OPT_H2_MAX_STREAMS, args.streams, NULL);
    if (args.ca) chttp_config_set_str(config, CHTTP_OPT_TLS_CA_FILE, args.ca, CHTTP_NUL_TERMINATED, NULL);
    if (!strcmp(args.mode, "churn") && !args.resume) chttp_config_set_i64(config, CHTTP_OPT_TLS_SESSION_CACHE, 0, NULL);
    chttp_error *error = NULL;
    code = chttp_engine_new(config, &engine, &error);
    if (code < 0) {
        char text[512];
        chttp_error_message(error, text, sizeof text);
        fprintf(stderr, "%s\n", text);
        die("engine", code);
    }
    chttp_config_free(config);
    code = chttp_queue_new(engine, &queue);
    if (code < 0) die("queue", code);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    /* The descriptor of a queue allows it, and a level would be looked at once more before each sleep. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, chttp_queue_fd(queue), &ev)) exit(1);
}

/* As many connections as there will be requests. */
static void connect_all(void) {
    chttp_event events[BATCH];
    chttp_stats stats = {.size = sizeof stats};
    int code = chttp_engine_preconnect(engine, &request, (uint32_t)args.conns, NULL);
    if (code < 0) die("preconnect", code);
    do {
        handle(events, chttp_queue_wait(queue, events, BATCH, sizeof *events, 1000000));
        if (chttp_engine_stats(engine, &stats, sizeof stats) < 0 || stats.connect_failures > 0) die("connections", -1);
    } while (stats.connections_idle < (uint64_t)args.conns);
}

static void idle(void) {
    chttp_event events[BATCH];
    uint64_t user, sys, user1, sys1, start = now_ns();
    long before = status_kb("VmRSS:");
    cpu_us(&user, &sys);
    connect_all();
    submit((unsigned)args.conns);
    while (run.n < (uint64_t)args.conns) {
        int n = next(events);
        if (n < 0) die("wait", n);
        handle(events, n);
    }
    cpu_us(&user1, &sys1);
    double opened = (double)(now_ns() - start) / 1e9, opens = (double)(user1 + sys1 - user - sys) / 1e6;
    long peak = status_kb("VmHWM:");
    /* What the requests needed is given back within a second. */
    uint64_t until = now_ns() + 1000000000u;
    while (now_ns() < until) handle(events, next(events));
    long after = status_kb("VmRSS:");
    until = now_ns() + (uint64_t)(args.seconds * 1e9);
    cpu_us(&user, &sys);
    while (now_ns() < until) handle(events, next(events));
    cpu_us(&user1, &sys1);
    printf("{\"idle\":%d,\"opened_in_s\":%.3f,\"opened_cpu_s\":%.3f,\"rss0_kb\":%ld,\"rss_peak_kb\":%ld,\"rss_kb\":%ld,"
           "\"b_per_conn\":%.0f,\"idle_cpu_us_per_s\":%.1f,\"errors\":%llu}\n",
           args.conns, opened, opens, before, peak, after, (double)(after - before) * 1024.0 / args.conns,
           (double)(user1 + sys1 - user - sys) / args.seconds, (unsigned long long)run.errors);
}

static void counted(void) {
    chttp_stats s = {.size = sizeof s};
    chttp_engine_stats(engine, &s, sizeof s);
    double n = (double)s.succeeded;
    printf("{\"counters\":{\"requests\":%llu,\"socket_calls\":%.4f,\"notifier_calls\":%.4f,\"poll_calls\":%.4f,"
           "\"epoll_ctl_calls\":%.4f,\"opened\":%llu,\"retried\":%llu,\"failed\":%llu}}\n",
           (unsigned long long)s.succeeded, (double)s.socket_calls / n, (double)s.notifier_calls / n, (double)s.poll_calls / n,
           (double)s.epoll_ctl_calls / n, (unsigned long long)s.connections_opened, (unsigned long long)s.retried,
           (unsigned long long)s.failed);
}

/* A message comes back: count it, and send the next. Latencies are by the number of the WebSocket, which is its token. */
static void ws(void) {
    static const char message[] = "hello websocket, 32 bytes long!!";
    uint64_t *sent = calloc((size_t)args.conns, sizeof *sent);
    chttp_event events[BATCH];
    request.flags = CHTTP_REQ_WEBSOCKET;
    for (int i = 0; i < args.conns; i++) {
        request.token = (uint64_t)i;
        int code = chttp_submit(engine, queue, &request, 1, 0, NULL, NULL);
        if (code < 0) die("submit", code);
    }
    uint64_t start = now_ns(), warm = start + (uint64_t)(args.warmup * 1e9), stop = warm + (uint64_t)(args.seconds * 1e9);
    if (args.requests) begin_window(start);
    for (int over = 0; !over;) {
        int n = next(events);
        if (n < 0) die("wait", n);
        uint64_t now = now_ns();
        for (int i = 0; i < n; i++) {
            chttp_event *e = &events[i];
            if (e->kind == CHTTP_EV_WS_MESSAGE) {
                run.n++;
                run.bytes += e->len;
                run.errors += e->len != sizeof message - 1;
                hist_add(now - sent[e->token]);
                if (run.n == args.requests) over = 1;
            } else if (e->kind != CHTTP_EV_WS_OPEN) {
                die("WebSocket", e->error);
            }
            sent[e->token] = now;
            int code = chttp_ws_send(engine, e->xid, CHTTP_WS_TEXT, 0, message, sizeof message - 1);
            if (code < 0) die("send", code);
        }
        chttp_events_release(events, (uint32_t)n, sizeof *events);
        if (!args.requests) {
            if (!run.counting && now >= warm) begin_window(now);
            else if (run.counting && now >= stop) over = 1;
        }
    }
}

static void result(void) {
    uint64_t user, sys, now = now_ns();
    cpu_us(&user, &sys);
    user -= run.user0;
    sys -= run.sys0;
    printf("{\"n\":%llu,\"errors\":%llu,\"sec\":%.6f,\"cpu_us\":%llu,\"user_us\":%llu,\"sys_us\":%llu,\"bytes\":%llu,"
           "\"p50\":%.1f,\"p99\":%.1f,\"rss_kb\":%ld}\n",
           (unsigned long long)run.n, (unsigned long long)run.errors, (double)(now - run.begin) / 1e9,
           (unsigned long long)(user + sys), (unsigned long long)user, (unsigned long long)sys, (unsigned long long)run.bytes,
           hist_us(.5, run.n), hist_us(.99, run.n), status_kb("VmHWM:"));
}

int main(int argc, char **argv) {
    parse(argc, argv);
    open_engine();
    request = (chttp_request){.size = sizeof request, .url = args.url, .url_len = strlen(args.url), .flags = CHTTP_REQ_COLLECT};
    unsigned in_flight = (unsigned)(args.conns * args.streams);
    if (!strcmp(args.mode, "churn")) {
        /* The harness's server closes after each answer; so that the request is like the peers', nothing is added. */
    } else if (!strcmp(args.mode, "download")) {
        request.flags = 0;
    } else if (!strcmp(args.mode, "upload")) {
        request.method = "POST";
        request.method_len = 4;
        request.body = calloc(1, args.upload_bytes);
        request.body_len = args.upload_bytes;
    } else if (!strcmp(args.mode, "idle")) {
        idle();
        return 0;
    } else if (!strcmp(args.mode, "sse")) {
        static const chttp_sse once = {.size = sizeof once, .flags = CHTTP_SSE_NO_RECONNECT};
        request.flags = CHTTP_REQ_SSE;
        request.sse = &once;
    } else if (!strcmp(args.mode, "ws")) {
        ws();
        result();
        return run.errors != 0;
    } else if (strcmp(args.mode, "get")) {
        fprintf(stderr, "unsupported mode %s\n", args.mode);
        return 2;
    }
    int upload = !strcmp(args.mode, "upload");
    chttp_event events[BATCH];
    uint64_t start = now_ns(), sent = in_flight, finished = 0;
    uint64_t warm = start + (uint64_t)(args.warmup * 1e9), stop = warm + (uint64_t)(args.seconds * 1e9);
    long rss20 = 0;
    if (args.requests) begin_window(start);
    submit(in_flight);
    for (;;) {
        int n = next(events);
        if (n < 0) die("wait", n);
        unsigned ended = handle(events, n);
        if (upload) run.bytes += ended * args.upload_bytes;
        if (args.requests) {
            uint64_t before = finished;
            finished += ended;
            if (before < args.requests / 5 && finished >= args.requests / 5) rss20 = status_kb("VmRSS:");
            if (finished >= args.requests) break;
            if (sent + ended > args.requests) ended = (unsigned)(args.requests - sent);
        } else {
            uint64_t now = now_ns();
            if (!run.counting && now >= warm) begin_window(now);
            else if (run.counting && now >= stop) break;
        }
        sent += ended;
        submit(ended);
    }
    if (args.requests) {
        counted();
        printf("{\"rss\":{\"at_20_percent_kb\":%ld,\"at_end_kb\":%ld}}\n", rss20, status_kb("VmRSS:"));
    }
    result();
    fflush(stdout);
    if (args.requests) {
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
        return run.errors != 0;
    }
    _exit(0);
}
