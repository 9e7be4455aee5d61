/*
 * The demo: what the library does, shown on servers on loopback.
 *
 *   demo BASE [CERTIFICATES PORT MUTUAL_PORT]
 *                      talk to the demo server at BASE, for example http://127.0.0.1:8080, and to the demo's server for
 *                      https at these ports, with the certificates in that directory
 *   demo --fetch URL   fetch one address and print status, headers, size, timings and what was agreed on for TLS
 *
 * It ends by itself: 0 when everything was as expected. CHTTP_DEMO_SECONDS is how long each of the runs under load takes
 * (3). Colour only on a terminal, and not when NO_COLOR is set.
 */
#define _POSIX_C_SOURCE 200809L
#include "demo_kit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *base;

static const char *url_of(const char *path)
{
    static char url[512];
    snprintf(url, sizeof url, "%s%s", base, path);
    return url;
}

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
        {"a scheme that this version does not speak", "GET", "ftp://127.0.0.1/", CHTTP_E_UNSUPPORTED_SCHEME},
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

static int fetch_url(const char *url)
{
    client c = client_open(1, 8);
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
        split_timing t = timing_of(&o);
        printf("\n  body: %s bytes%s\n", grouped(o.bytes), o.error == 0 ? "" : ", and not whole");
        print_tls("", o.response);
        printf("  dns %.2f ms, connect %.2f, tls %.2f, first byte %.2f, total %.2f\n", t.dns, t.connect, t.tls,
               t.first_byte, t.total);
        if (status_of(&o) / 100 == 3 && chttp_response_header(o.response, "location", 8, &field) >= 0) {
            printf("  The library does not follow redirects yet; the next address is under Location.\n");
        }
    }
    if (o.error != 0) print_error(o.error, o.why);
    if (o.error == CHTTP_E_UNSUPPORTED_SCHEME) wrapped(4, "try an http:// or https:// address.");
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
    if (argc != 2 && argc != 5) {
        fprintf(stderr, "usage: demo BASE [CERTIFICATES PORT MUTUAL_PORT] | demo --fetch URL\n");
        return 2;
    }
    base = argv[1];
    const char *wanted = getenv("CHTTP_DEMO_SECONDS");
    double seconds = wanted == NULL ? 3 : strtod(wanted, NULL);
    printf("the demo's own servers are at %s%s%s\n", base, argc == 5 ? " and https://127.0.0.1:" : "",
           argc == 5 ? argv[3] : "");

    client c = client_open(1, 8);
    single_requests(&c);
    chunked_with_trailers(&c);
    streamed_upload(&c);
    cancelled(&c);
    failures(&c);
    client_close(&c);
    under_load("Under load: the engine's own thread, poll() on the queue's descriptor", 1, url_of("/"), NULL, seconds);
    under_load("Under load: no thread, epoll_wait() on the queue's descriptor", 0, url_of("/"), NULL, seconds);
    if (argc == 5) over_tls(argv[2], argv[3], argv[4], seconds);

    if (unexpected == 0) {
        printf("\n%sEverything was as expected.%s\n", GREEN, PLAIN);
    } else {
        printf("\n%s%d things were not as expected.%s\n", RED, unexpected, PLAIN);
    }
    return unexpected != 0;
}
