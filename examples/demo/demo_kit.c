/* What the parts of the demo share; see demo_kit.h. */
#define _POSIX_C_SOURCE 200809L
#include "demo_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int on_terminal;
int unexpected;

/* ---- printing ---- */

const char *colour(const char *code)
{
    return on_terminal && getenv("NO_COLOR") == NULL ? code : "";
}

void title(const char *text)
{
    printf("\n%s%s%s\n", BOLD, text, PLAIN);
}

void wrapped(int indent, const char *text)
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

const char *grouped(uint64_t number)
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

double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

void expect(int is_so, const char *what)
{
    if (!is_so) {
        unexpected++;
        printf("  %snot as expected: %s%s\n", RED, what, PLAIN);
    }
}

_Noreturn void give_up(const char *what, int32_t code, chttp_error *error)
{
    char message[512] = "";
    chttp_error_message(error, message, sizeof message);
    fprintf(stderr, "demo: %s: %s %s\n", what, code == 0 ? strerror(errno) : chttp_error_name(code), message);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* ---- an engine and a queue ---- */

client client_open(int io_threads, int connections)
{
    client c;
    chttp_config *config;
    chttp_error *error = NULL;
    int32_t code = chttp_config_new(&config);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, io_threads, &error);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, connections, &error);
    if (code == 0) code = chttp_engine_new(config, &c.engine, &error);
    if (code == 0) code = chttp_queue_new(c.engine, &c.queue);
    if (code != 0) give_up("no engine", code, error);
    chttp_config_free(config);
    return c;
}

void client_close(client *c)
{
    chttp_engine_destroy(c->engine);
    chttp_queue_destroy(c->queue);
}

chttp_request request_for(const char *method, const char *url)
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

void outcome_release(outcome *o)
{
    chttp_release(o->why);
    chttp_release(o->response);
    chttp_release(o->trailers);
}

int note(outcome *o, chttp_event *event)
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

void until(client *c, int (*handle)(void *, chttp_event *), void *context)
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

outcome fetch(client *c, const chttp_request *request)
{
    outcome o = {0};
    o.error = chttp_submit(c->engine, c->queue, request, 1, 0, NULL, &o.why);
    if (o.error == 0) until(c, note_it, &o);
    return o;
}

int32_t status_of(const outcome *o)
{
    return o->response == NULL ? 0 : chttp_response_status(o->response);
}

void print_error(int32_t code, const chttp_error *why)
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

void print_tls(const char *before, const chttp_response *response)
{
    chttp_tls_info tls = {.size = sizeof tls};
    if (chttp_response_tls(response, &tls, sizeof tls) != 0) return;
    char text[512];
    snprintf(text, sizeof text, "%sTLS 1.%d, %s, %s, key exchange %s, ALPN %s", before, tls.version == 12 ? 2 : 3,
             tls.resumed ? "a session that went on" : "a full handshake", tls.cipher_suite,
             *tls.group == '\0' ? "as before" : tls.group, *tls.alpn == '\0' ? "none" : tls.alpn);
    wrapped(2, text);
}

split_timing timing_of(const outcome *o)
{
    chttp_timing t = {.size = sizeof t};
    chttp_response_timing(o->response, &t, sizeof t);
    uint64_t others = t.dns_took_ns + t.tls_took_ns;
    return (split_timing){
        .dns = ms(t.dns_took_ns),
        .connect = ms(t.connect_took_ns > others ? t.connect_took_ns - others : 0),
        .tls = ms(t.tls_took_ns),
        .first_byte = ms(t.first_byte_ns - t.sent_ns),
        .total = ms(o->total_ns),
    };
}
