/*
 * The demo: what the library does, shown on a server on loopback.
 *
 *   demo BASE          talk to the demo server at BASE, for example http://127.0.0.1:8080
 *   demo --fetch URL   fetch one address and print status, headers, size and timings
 *
 * It ends by itself: 0 when everything was as expected. CHTTP_DEMO_SECONDS is how long each of the two runs under load
 * takes (3). Colour only on a terminal, and not when NO_COLOR is set.
 */
#define _POSIX_C_SOURCE 200809L
#include <chttpcore.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SECOND 1000000000u
#define WIDTH 80
#define IN_FLIGHT 64
#define BATCH 256

static const char *base;
static int on_terminal;
static int unexpected; /* how many things were not as they should be */

/* ---- printing ---- */

static const char *colour(const char *code)
{
    return on_terminal && getenv("NO_COLOR") == NULL ? code : "";
}

#define BOLD colour("\033[1m")
#define RED colour("\033[31m")
#define GREEN colour("\033[32m")
#define DIM colour("\033[2m")
#define PLAIN colour("\033[0m")

static void title(const char *text)
{
    printf("\n%s%s%s\n", BOLD, text, PLAIN);
}

/* Text between two words of which no line gets longer than WIDTH. */
static void wrapped(int indent, const char *text)
{
    int column = 0;
    while (*text != '\0') {
        int word = (int)strcspn(text, " ");
        if (column > indent && column + 1 + word > WIDTH) {
            putchar('\n');
            column = 0;
        }
        column += column == 0 ? printf("%*s%.*s", indent, "", word, text) : printf(" %.*s", word, text);
        text += word + (text[word] == ' ');
    }
    putchar('\n');
}

/* 1234567 as "1,234,567", in one of a few static buffers. */
static const char *grouped(uint64_t number)
{
    static char buffers[4][32];
    static unsigned turn;
    char digits[24], *out = buffers[turn++ % COUNT(buffers)], *end = out;
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) *end++ = ',';
        *end++ = digits[i];
    }
    *end = '\0';
    return out;
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static void expect(int is_so, const char *what)
{
    if (!is_so) {
        unexpected++;
        printf("  %snot as expected: %s%s\n", RED, what, PLAIN);
    }
}

static _Noreturn void give_up(const char *what, int32_t code, chttp_error *error)
{
    char message[512] = "";
    chttp_error_message(error, message, sizeof message);
    fprintf(stderr, "demo: %s: %s %s\n", what, code == 0 ? strerror(errno) : chttp_error_name(code), message);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* ---- an engine and a queue ---- */

typedef struct {
    chttp_engine *engine;
    chttp_queue *queue;
} client;

static client client_open(int io_threads)
{
    client c;
    chttp_config *config;
    chttp_error *error = NULL;
    int32_t code = chttp_config_new(&config);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, io_threads, &error);
    if (code == 0) code = chttp_engine_new(config, &c.engine, &error);
    if (code == 0) code = chttp_queue_new(c.engine, &c.queue);
    if (code != 0) give_up("no engine", code, error);
    chttp_config_free(config);
    return c;
}

static void client_close(client *c)
{
    chttp_engine_destroy(c->engine);
    chttp_queue_destroy(c->queue);
}

static chttp_request request_for(const char *method, const char *url)
{
    return (chttp_request){
        .size = sizeof(chttp_request),
        .method = method,
        .method_len = strlen(method),
        .url = url,
        .url_len = strlen(url),
        .total_timeout_ns = 30ull * SECOND, /* the demo ends, whatever the server does */
    };
}

/* ---- one exchange ---- */

typedef struct {
    int32_t error;
    chttp_error *why;         /* NULL after success */
    chttp_response *response; /* NULL if no head came */
    chttp_response *trailers; /* NULL if none came */
    uint64_t bytes, pieces, total_ns;
    char start[32]; /* the first bytes of the body */
} outcome;

static void outcome_release(outcome *o)
{
    chttp_release(o->why);
    chttp_release(o->response);
    chttp_release(o->trailers);
}

/* Note what an event says. Objects that the outcome keeps are taken out of the event. Returns whether it was the last. */
static int note(outcome *o, chttp_event *event)
{
    if (event->len > 0) {
        size_t room = sizeof o->start - 1 - strlen(o->start);
        strncat(o->start, event->data, event->len < room ? (size_t)event->len : room);
        o->pieces++;
        o->bytes += event->len;
    }
    switch (event->kind) {
    case CHTTP_EV_HEADERS:
    case CHTTP_EV_RESPONSE:
        o->response = event->obj;
        event->obj = NULL;
        break;
    case CHTTP_EV_TRAILERS:
        o->trailers = event->obj;
        event->obj = NULL;
        break;
    case CHTTP_EV_DONE:
        o->error = event->error;
        o->why = event->obj;
        event->obj = NULL;
        break;
    }
    if (event->flags & CHTTP_EF_TERMINAL) o->total_ns = event->aux;
    return event->flags & CHTTP_EF_TERMINAL;
}

/* Wait for events and give each to `handle`, until it returns non-zero. */
static void until(client *c, int (*handle)(void *, chttp_event *), void *context)
{
    chttp_event events[BATCH];
    int over = 0;
    while (!over) {
        int32_t n = chttp_queue_wait(c->queue, events, BATCH, sizeof events[0], 60ull * SECOND);
        if (n <= 0) give_up("no event came", n == 0 ? CHTTP_E_TIMED_OUT : n, NULL);
        for (int32_t i = 0; i < n; i++) over |= handle(context, &events[i]);
        chttp_events_release(events, (uint32_t)n, sizeof events[0]);
    }
}

static int note_it(void *context, chttp_event *event)
{
    return note(context, event);
}

static outcome fetch(client *c, const chttp_request *request)
{
    outcome o = {0};
    o.error = chttp_submit(c->engine, c->queue, request, 1, 0, NULL, &o.why);
    if (o.error == 0) until(c, note_it, &o);
    return o;
}

static int32_t status_of(const outcome *o)
{
    return o->response == NULL ? 0 : chttp_response_status(o->response);
}

static const char *url_of(const char *path)
{
    static char url[512];
    snprintf(url, sizeof url, "%s%s", base, path);
    return url;
}

/* ---- the parts of the demo ---- */

static void single_requests(client *c)
{
    static const char *const requests[][3] = {
        {"GET", "/", NULL},
        {"GET", "/", NULL},
        {"GET", "/bytes/1000000", NULL},
        {"HEAD", "/bytes/1000000", NULL},
        {"POST", "/echo", "a body of 21 bytes..."},
        {"GET", "/delay/50", NULL},
        {"GET", "/status/404", NULL},
    };
    title("Single requests");
    printf("  %s%-6s %-15s %6s %9s %6s   milliseconds since submit%s\n", DIM, "", "", "", "", "", PLAIN);
    printf("  %s%-6s %-15s %6s %9s %6s %8s %6s %7s %7s%s\n", DIM, "method", "URL", "status", "bytes", "conn.",
           "connect", "sent", "1stbyte", "total", PLAIN);
    for (size_t i = 0; i < COUNT(requests); i++) {
        const char *method = requests[i][0], *path = requests[i][1], *body = requests[i][2];
        chttp_request request = request_for(method, url_of(path));
        request.flags = CHTTP_REQ_COLLECT;
        request.body = body;
        request.body_len = body == NULL ? 0 : strlen(body);
        outcome o = fetch(c, &request);
        chttp_timing t = {.size = sizeof t};
        chttp_response_timing(o.response, &t, sizeof t);
        int reused = o.response != NULL && chttp_response_connection_reused(o.response) == 1;
        printf("  %-6s %-15s %6d %9s %6s %8.2f %6.2f %7.2f %7.2f\n", method, path, (int)status_of(&o),
               grouped(o.bytes), reused ? "reused" : "new", ms(t.connected_ns), ms(t.sent_ns), ms(t.first_byte_ns),
               ms(o.total_ns));
        expect(o.error == 0, "it succeeds");
        expect(reused == (i > 0), "the second request and those after it find a connection");
        outcome_release(&o);
    }
}

static void chunked_with_trailers(client *c)
{
    title("A chunked answer with trailers, piece by piece");
    chttp_request request = request_for("GET", url_of("/chunked/200000/5000"));
    outcome o = fetch(c, &request);
    chttp_field field = {0};
    int32_t found = chttp_response_header(o.trailers, "x-length", CHTTP_NUL_TERMINATED, &field);
    printf("  GET /chunked/200000/5000: %s bytes in %s BODY events\n", grouped(o.bytes), grouped(o.pieces));
    if (found >= 0) {
        printf("  trailer %.*s: %.*s\n", (int)field.name_len, field.name, (int)field.value_len, field.value);
    }
    expect(o.error == 0 && o.bytes == 200000 && found >= 0, "the body and its trailer");
    outcome_release(&o);
}

typedef struct {
    client *c;
    chttp_xid xid;
    outcome o;
    uint64_t left, refused, cancelled_at;
} exchange;

/* Write until the buffer is full or everything is written. */
static void upload(exchange *x)
{
    static const char piece[64 * 1024];
    int32_t code = 0;
    while (x->left > 0 && (code = chttp_body_write(x->c->engine, x->xid, piece, sizeof piece)) == 0) {
        x->left -= sizeof piece;
        if (x->left == 0) code = chttp_body_end(x->c->engine, x->xid, NULL, 0, NULL);
    }
    if (code == CHTTP_E_AGAIN) {
        x->refused++;
    } else if (code != 0) {
        give_up("upload", code, NULL);
    }
}

static int upload_event(void *context, chttp_event *event)
{
    exchange *x = context;
    if (event->kind == CHTTP_EV_WRITABLE) upload(x);
    return note(&x->o, event);
}

static void streamed_upload(client *c)
{
    const uint64_t size = 16u << 20;
    title("A streamed upload of unknown length");
    exchange x = {.c = c, .left = size};
    chttp_request request = request_for("POST", url_of("/count"));
    request.flags = CHTTP_REQ_COLLECT | CHTTP_REQ_STREAM_BODY;
    request.body_len = CHTTP_LENGTH_UNKNOWN;
    int32_t code = chttp_submit(c->engine, c->queue, &request, 1, 0, &x.xid, &x.o.why);
    if (code != 0) give_up("submit", code, x.o.why);
    upload(&x);
    until(c, upload_event, &x);
    printf("  POST /count: %s bytes written; the server has counted %s\n", grouped(size),
           grouped(strtoull(x.o.start, NULL, 10)));
    printf("  back-pressure: %s times CHTTP_E_AGAIN, then a WRITABLE event\n", grouped(x.refused));
    expect(x.o.error == 0 && strtoull(x.o.start, NULL, 10) == size, "the server got all of it");
    outcome_release(&x.o);
}

/* Cancels when the first bytes of the body are there. */
static int cancel_event(void *context, chttp_event *event)
{
    exchange *x = context;
    if (event->kind == CHTTP_EV_BODY && x->cancelled_at == 0) {
        x->cancelled_at = now_ns();
        chttp_cancel(x->c->engine, x->xid);
    }
    return note(&x->o, event);
}

static void cancelled(client *c)
{
    title("Cancel, in the middle of a slow answer");
    exchange x = {.c = c};
    chttp_request request = request_for("GET", url_of("/drip/1000/20"));
    int32_t code = chttp_submit(c->engine, c->queue, &request, 1, 0, &x.xid, &x.o.why);
    if (code != 0) give_up("submit", code, x.o.why);
    until(c, cancel_event, &x);
    printf("  GET /drip/1000/20: status %d, %s of 1,000 bytes, then %s\n", (int)status_of(&x.o), grouped(x.o.bytes),
           x.o.error == 0 ? "the end" : chttp_error_name(x.o.error));
    printf("  the terminal event came %.2f ms after chttp_cancel()\n", ms(now_ns() - x.cancelled_at));
    expect(x.o.error == CHTTP_E_CANCELLED, "CHTTP_E_CANCELLED");
    outcome_release(&x.o);
}

/* An error as a user meets it: the code, the message, and whether the request may be sent again. */
static void print_error(int32_t code, const chttp_error *why)
{
    char message[512] = "";
    chttp_error_message(why, message, sizeof message);
    printf("    %s%s%s\n", RED, chttp_error_name(code), PLAIN);
    wrapped(4, message);
    uint64_t sent = chttp_error_request_bytes_sent(why);
    int retry = chttp_error_is_retryable(why) == 1;
    printf("    may I retry? %s%s%s (bytes of the request that were sent: %s)\n", retry ? GREEN : RED,
           retry ? "yes" : "no", PLAIN, grouped(sent));
}

/* A URL that is refused: the port is bound and nobody listens, so that nobody else gets it meanwhile. */
static int refusing_port(char *url, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        give_up("socket", 0, NULL);
    }
    snprintf(url, size, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    return fd;
}

static void failures(client *c)
{
    char refusing[64];
    int fd = refusing_port(refusing, sizeof refusing);
    const struct {
        const char *what, *method, *url;
        int32_t code;
    } cases[] = {
        {"nobody listens", "GET", refusing, CHTTP_E_CONNECT_REFUSED},
        {"the answer is cut short", "GET", "/cut/1000/400", CHTTP_E_TRUNCATED_BODY},
        {"no answer in 100 ms", "GET", "/hang", CHTTP_E_TIMEOUT_TOTAL},
        {"the same, and POST is not idempotent", "POST", "/hang", CHTTP_E_TIMEOUT_TOTAL},
        {"the answer is not HTTP", "GET", "/garbage", CHTTP_E_STATUS_LINE},
        {"a scheme that this version does not speak", "GET", "https://127.0.0.1/", CHTTP_E_UNSUPPORTED_SCHEME},
    };
    title("Errors, as a user meets them");
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *url = cases[i].url[0] == '/' ? url_of(cases[i].url) : cases[i].url;
        chttp_request request = request_for(cases[i].method, url);
        if (cases[i].code == CHTTP_E_TIMEOUT_TOTAL) request.total_timeout_ns = SECOND / 10;
        outcome o = fetch(c, &request);
        printf("%s  %s %s  %s(%s)%s\n", i == 0 ? "" : "\n", cases[i].method, url, DIM, cases[i].what, PLAIN);
        if (o.error != 0) print_error(o.error, o.why);
        expect(o.error == cases[i].code, chttp_error_name(cases[i].code));
        outcome_release(&o);
    }
    close(fd);
}

/* ---- requests a second, through the descriptor ---- */

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
    int poll_fd; /* an epoll descriptor; -1 to use poll */
    uint64_t begin, end, shown, waits;
    uint64_t submitted, finished, failed;
} load;

static void load_submit(load *l, uint32_t n)
{
    chttp_request requests[BATCH];
    chttp_error *error = NULL;
    const char *url = url_of("/");
    for (uint32_t i = 0; i < n; i++) {
        requests[i] = request_for("GET", url);
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

static void under_load(int io_threads, double seconds)
{
    title(io_threads ? "Under load: the engine's own thread, poll() on the queue's descriptor"
                     : "Under load: no thread, epoll_wait() on the queue's descriptor");
    memset(latencies, 0, sizeof latencies);
    load l = {.c = client_open(io_threads), .poll_fd = -1};
    if (!io_threads) {
        struct epoll_event watch = {.events = EPOLLIN};
        l.poll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (l.poll_fd < 0 || epoll_ctl(l.poll_fd, EPOLL_CTL_ADD, chttp_queue_fd(l.c.queue), &watch) < 0) {
            give_up("epoll", 0, NULL);
        }
    }
    chttp_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    chttp_engine_stats(l.c.engine, &before, sizeof before);
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
    printf("  system calls a request: %.2f\n", socket + notifier + waits + control + mine);
    printf("    %ssockets %.2f, wake-ups %.2f, waits %.2f, epoll_ctl %.2f, our own poll %.2f%s\n", DIM, socket, notifier,
           waits, control, mine, PLAIN);
    expect(l.failed == 0, "no request fails");
    expect(after.connections_opened <= IN_FLIGHT, "connections are used again");
    if (l.poll_fd >= 0) close(l.poll_fd);
    client_close(&l.c);
}

/* ---- one address ---- */

static int fetch_url(const char *url)
{
    client c = client_open(1);
    chttp_request request = request_for("GET", url);
    const chttp_field headers[] = {
        {"User-Agent", CHTTP_NUL_TERMINATED, "chttpcore-demo", CHTTP_NUL_TERMINATED},
        {"Accept", CHTTP_NUL_TERMINATED, "*/*", CHTTP_NUL_TERMINATED},
    };
    request.headers = headers;
    request.headers_len = COUNT(headers);
    outcome o = fetch(&c, &request);
    printf("  GET %s\n", url);
    if (o.response != NULL) {
        char reason[128] = "", peer[64] = "";
        chttp_response_reason(o.response, reason, sizeof reason);
        chttp_response_peer(o.response, peer, sizeof peer);
        printf("  %s%d %s%s  %sfrom %s%s\n\n", BOLD, (int)status_of(&o), reason, PLAIN, DIM, peer, PLAIN);
        chttp_field field;
        for (uint32_t i = 0; chttp_response_header_at(o.response, i, &field) == 0; i++) {
            printf("  %.*s: %.*s\n", (int)field.name_len, field.name, (int)field.value_len, field.value);
        }
        chttp_timing t = {.size = sizeof t};
        chttp_response_timing(o.response, &t, sizeof t);
        printf("\n  body: %s bytes%s\n", grouped(o.bytes), o.error == 0 ? "" : ", and not whole");
        printf("  connected after %.2f ms, request sent %.2f, first byte %.2f, total %.2f\n", ms(t.connected_ns),
               ms(t.sent_ns), ms(t.first_byte_ns), ms(o.total_ns));
        if (status_of(&o) / 100 == 3 && chttp_response_header(o.response, "location", 8, &field) >= 0) {
            printf("  The library does not follow redirects yet; the next address is under Location.\n");
        }
    }
    if (o.error != 0) print_error(o.error, o.why);
    if (o.error == CHTTP_E_UNSUPPORTED_SCHEME) wrapped(4, "https and others come later; try an http:// address.");
    int failed = o.error != 0;
    outcome_release(&o);
    client_close(&c);
    return failed;
}

int main(int argc, char **argv)
{
    on_terminal = isatty(STDOUT_FILENO);
    printf("%slibchttpcore %s%s, HTTP/1.1\n", BOLD, chttp_version_string(), PLAIN);
    if (argc == 3 && strcmp(argv[1], "--fetch") == 0) return fetch_url(argv[2]);
    if (argc != 2) {
        fprintf(stderr, "usage: demo BASE | demo --fetch URL\n");
        return 2;
    }
    base = argv[1];
    const char *wanted = getenv("CHTTP_DEMO_SECONDS");
    double seconds = wanted == NULL ? 3 : strtod(wanted, NULL);
    printf("the demo's own server is at %s\n", base);

    client c = client_open(1);
    single_requests(&c);
    chunked_with_trailers(&c);
    streamed_upload(&c);
    cancelled(&c);
    failures(&c);
    client_close(&c);
    under_load(1, seconds);
    under_load(0, seconds);

    if (unexpected == 0) {
        printf("\n%sEverything was as expected.%s\n", GREEN, PLAIN);
    } else {
        printf("\n%s%d things were not as expected.%s\n", RED, unexpected, PLAIN);
    }
    return unexpected != 0;
}
