/*
 * A body as it comes: download URL FILE. Fetches a http URL into a new file.
 *
 * Shows a poll(2) loop around the queue's descriptor; BODY events under back-pressure (at most RECV_CREDIT bytes are on
 * their way to the disk, and the server is slowed down to its pace); cancelling on Ctrl-C; telling failures apart.
 *
 *   cc -std=c11 -Wall -Wextra -o download download.c $(pkg-config --cflags --libs chttpcore)
 *
 * Exit status: 0 done, 1 internal, 2 usage or URL, 3 file, 4 name, 5 connection, 6 HTTP status, 7 truncated, 8 timeout,
 * 9 other failure of the exchange, 130 interrupted.
 */
#define _POSIX_C_SOURCE 200809L
#include <chttpcore.h>

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define RECV_CREDIT (64 * 1024)

enum { OK, INTERNAL, USAGE, DISK, NAME, CONNECTION, STATUS, TRUNCATED, TIMEOUT, OTHER, INTERRUPTED = 130 };

struct download {
    const char *path;
    FILE *file;
    uint64_t got, length; /* length: 0 if not known */
    struct chttp_timing timing;
    int result; /* the first failure, or OK */
    int done;
};

static chttp_queue *queue;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
    chttp_queue_wakeup(queue); /* the one call that handlers may make: poll() returns, now or next time */
}

static int complain(int32_t code, const chttp_error *error)
{
    int result = OTHER;
    switch (-code / 100) { /* the hundreds are the group */
    case 1: result = USAGE; break;
    case 2: case 9: result = INTERNAL; break;
    case 3: result = NAME; break;
    case 4: result = CONNECTION; break;
    case 6: result = code <= CHTTP_E_CLOSED_BEFORE_HEAD && code >= CHTTP_E_TRUNCATED_TRAILERS ? TRUNCATED : OTHER; break;
    case 7: result = TIMEOUT; break;
    case 8: result = code == CHTTP_E_CONNECTION_LOST ? TRUNCATED : OTHER; break;
    }
    static const char *const what[] = {"", "internal error", "bad request", "", "cannot resolve", "cannot connect", "",
                                       "truncated", "timed out", "failed"};
    char text[512];
    if (chttp_error_message(error, text, sizeof text) < 0) snprintf(text, sizeof text, "%s", chttp_error_describe(code));
    fprintf(stderr, "download: %s: %s\n", what[result], text);
    return result;
}

static int on_headers(struct download *d, const chttp_event *ev)
{
    chttp_response_timing(ev->obj, &d->timing, sizeof d->timing);
    if (ev->arg < 200 || ev->arg > 299) { /* a redirect is for the application to follow */
        fprintf(stderr, "download: HTTP status %" PRIu32 "\n", ev->arg);
        return STATUS;
    }
    int64_t length = chttp_response_content_length(ev->obj);
    if (length >= 0) d->length = (uint64_t)length;
    d->file = fopen(d->path, "wbx"); /* never overwrites: what is removed on failure is ours */
    return d->file ? OK : (perror(d->path), DISK);
}

static int on_body(struct download *d, const chttp_event *ev)
{
    if (fwrite(ev->data, 1, (size_t)ev->len, d->file) != ev->len) {
        perror(d->path);
        return DISK;
    }
    uint64_t mib = d->got >> 20;
    d->got += ev->len;
    if (d->got >> 20 == mib && d->got != d->length) return OK; /* shown for each MiB, and at the end */
    fprintf(stderr, "\r%" PRIu64 " bytes", d->got);
    if (d->length) fprintf(stderr, ", %.0f %%", 100.0 * (double)d->got / (double)d->length);
    return OK;
}

static void on_done(struct download *d, const chttp_event *ev)
{
    d->done = 1;
    if (d->got) fputc('\n', stderr);
    if (d->file && fclose(d->file) != 0 && d->result == OK) {
        perror(d->path);
        d->result = DISK;
    }
    if (d->result == OK && ev->error == CHTTP_E_CANCELLED) {
        fprintf(stderr, "download: interrupted\n");
        d->result = INTERRUPTED;
    } else if (d->result == OK && ev->error) {
        d->result = complain(ev->error, ev->obj);
    }
    if (d->result == OK)
        fprintf(stderr, "%" PRIu64 " bytes; connected %.1f ms, sent %.1f ms, answered %.1f ms, done %.1f ms\n", d->got,
                (double)d->timing.connected_ns / 1e6, (double)d->timing.sent_ns / 1e6,
                (double)d->timing.first_byte_ns / 1e6, (double)ev->aux / 1e6);
    else if (d->file)
        remove(d->path);
}

int main(int argc, char **argv)
{
    if (argc != 3) return fprintf(stderr, "usage: download URL FILE\n"), USAGE;
    struct download d = {.path = argv[2]};
    chttp_request request = {.size = sizeof request, .url = argv[1], .url_len = CHTTP_NUL_TERMINATED,
        .recv_credit = RECV_CREDIT, .connect_timeout_ns = 10000000000u, .read_timeout_ns = 5000000000u};
    chttp_engine *engine = NULL;
    chttp_error *error = NULL;
    chttp_xid xid;
    int32_t code = chttp_engine_new(NULL, &engine, &error);
    if (code == 0) code = chttp_queue_new(engine, &queue);
    if (code == 0) sigaction(SIGINT, &(struct sigaction){.sa_handler = on_interrupt}, NULL);
    if (code == 0) code = chttp_submit(engine, queue, &request, 1, 0, &xid, &error);
    if (code != 0) d.result = complain(code, error);
    chttp_release(error);

    struct pollfd pfd = {.fd = chttp_queue_fd(queue), .events = POLLIN};
    while (code == 0 && !d.done) {
        chttp_event events[16];
        poll(&pfd, 1, -1);
        int32_t n = chttp_queue_drain(queue, events, 16, 0);
        for (int32_t i = 0; i < n; i++) {
            if (events[i].kind == CHTTP_EV_HEADERS) d.result = on_headers(&d, &events[i]);
            if (events[i].kind == CHTTP_EV_BODY && d.result == OK) d.result = on_body(&d, &events[i]);
            if (events[i].kind == CHTTP_EV_DONE) on_done(&d, &events[i]);
            chttp_events_release(&events[i], 1, 0); /* the bytes are written: credit for as many more */
        }
        if (interrupted || d.result != OK) chttp_cancel(engine, xid); /* DONE comes all the same */
    }
    signal(SIGINT, SIG_DFL);
    chttp_queue_destroy(queue);
    chttp_engine_destroy(engine);
    return d.result;
}
