/*
 * WebSockets and streams of events, many at once on one engine, to a server that does not stay (tests/soak_streams.rs).
 *
 *   client thread|caller WS-URL SSE-URL COUNT
 *
 * COUNT of each. A WebSocket has one message under way, which has to come back as it was; when it has ended it is opened again.
 * Events of a stream are numbered: none may be missing, and none come twice, over however many connections. Streams with an
 * even number go on by themselves whatever happens; the others end at times, and are asked for again from where they were.
 *
 * Each line on standard input is answered by a line of figures, once all are open and every one has heard something new. Its
 * end closes everything: the last line is written when nothing is left.
 */
#define _GNU_SOURCE
#include "../../c_tests/support/engine.h"

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* One WebSocket or stream gets its turn in each of these steps. */
#define STEP_NS (2 * MS_NS)
/* No timing: it turns a hang into a failure that says where. */
#define SETTLE_NS (300 * SECOND_NS)
#define BATCH 256
#define LONGEST 20000
#define CODES 64

struct socket {
    chttp_xid xid; /* 0: to be opened again */
    unsigned sent;
    int open, awaits, heard;
};

struct stream {
    chttp_xid xid;
    uint64_t last; /* the number of its last event */
    int open, heard;
};

/* How often each error was told. */
struct counts {
    struct {
        int32_t code;
        uint64_t n;
    } of[CODES];
    size_t len;
};

static const char *ws_url, *sse_url;
static unsigned count;
static chttp_engine *engine;
static chttp_queue *queue;
static struct socket *sockets;
static struct stream *streams;
static struct counts ws_ends, sse_rests, sse_ends;
static uint64_t ws_opens, messages, events_seen;
static unsigned live; /* exchanges under way */
static int settling, closing;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static long rss_kb(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kb = 0;
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        sscanf(line, "VmRSS: %ld", &kb);
    fclose(f);
    return kb;
}

static unsigned descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n - 1; /* without that of the directory */
}

static void add(struct counts *counts, int32_t code)
{
    size_t i = 0;
    while (i < counts->len && counts->of[i].code != code)
        i++;
    CHECK(i < CODES);
    if (i == counts->len) {
        counts->of[i].code = code;
        counts->len++;
    }
    counts->of[i].n++;
}

static void print_counts(const char *key, const struct counts *counts)
{
    printf(",\"%s\":{", key);
    for (size_t i = 0; i < counts->len; i++)
        printf("%s\"%s\":%" PRIu64, i ? "," : "", chttp_error_name(counts->of[i].code), counts->of[i].n);
    printf("}");
}

static void print_figures(void)
{
    chttp_stats s = {.size = sizeof s};
    CHECK_EQ(chttp_engine_stats(engine, &s, sizeof s), 0);
    printf("{\"rss_kb\":%ld,\"fds\":%u,\"ws_opens\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"events\":%" PRIu64, rss_kb(),
           descriptors(), ws_opens, messages, events_seen);
    print_counts("ws_ends", &ws_ends);
    print_counts("sse_rests", &sse_rests);
    print_counts("sse_ends", &sse_ends);
    printf(",\"submitted\":%" PRIu64 ",\"succeeded\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"cancelled\":%" PRIu64
           ",\"connections_opened\":%" PRIu64 ",\"connect_failures\":%" PRIu64 ",\"exchanges\":%" PRIu64
           ",\"connections\":%" PRIu64 ",\"dials\":%" PRIu64 "}\n",
           s.submitted, s.succeeded, s.failed, s.cancelled, s.connections_opened, s.connect_failures, s.exchanges,
           s.connections, s.dials);
    fflush(stdout);
}

/* ---- WebSockets ---- */

/* What the message of this number says, and how long it is. Few are large. */
static size_t message(unsigned i, unsigned number, char *bytes)
{
    unsigned mixed = (i * 2654435761u) ^ (number * 40503u);
    size_t len = (size_t)snprintf(bytes, LONGEST, "%u %u ", i, number);
    size_t end = len + (mixed % 64 == 0 ? LONGEST - 64 : mixed % 600);
    for (; len < end; len++)
        bytes[len] = (char)('a' + (len + mixed) % 26);
    return len;
}

static void ws_step(unsigned i)
{
    static char bytes[LONGEST];
    struct socket *s = &sockets[i];
    if (s->xid == 0) {
        /* Compression is for some, without windows that are kept, which would be most of the memory. */
        static const chttp_websocket plain = {.size = sizeof plain, .heartbeat_ns = 20 * SECOND_NS};
        static const chttp_websocket small = {.size = sizeof small,
                                              .flags = CHTTP_WS_DEFLATE | CHTTP_WS_CLIENT_NO_TAKEOVER |
                                                       CHTTP_WS_SERVER_NO_TAKEOVER};
        chttp_request request = request_for(ws_url);
        request.flags = CHTTP_REQ_WEBSOCKET;
        request.token = i;
        request.websocket = i % 4 == 0 ? &small : &plain;
        s->xid = submit_one(engine, queue, &request);
        live++;
    } else if (s->open && !s->awaits) {
        size_t len = message(i, ++s->sent, bytes);
        uint32_t opcode = s->sent % 2 ? CHTTP_WS_TEXT : CHTTP_WS_BINARY;
        int32_t code = chttp_ws_send(engine, s->xid, opcode, 0, bytes, len);
        /* Its end may be on the way to us. */
        CHECK(code == 0 || code == CHTTP_E_BAD_STATE || code == CHTTP_E_NOT_FOUND);
        s->awaits = code == 0;
    }
}

static void ws_take(struct socket *s, const chttp_event *event)
{
    static char bytes[LONGEST];
    unsigned i = (unsigned)event->token;
    switch (event->kind) {
    case CHTTP_EV_WS_OPEN:
        CHECK(!s->open);
        s->open = 1;
        ws_opens++;
        break;
    case CHTTP_EV_WS_MESSAGE:
        CHECK(s->open && s->awaits);
        CHECK_EQ(event->arg, s->sent % 2 ? CHTTP_WS_TEXT : CHTTP_WS_BINARY);
        CHECK_MEM(event->data, (size_t)event->len, bytes, message(i, s->sent, bytes));
        s->awaits = 0;
        s->heard = 1;
        messages++;
        break;
    case CHTTP_EV_WS_CLOSE:
        CHECK(s->open);
        break;
    case CHTTP_EV_DONE:
        add(&ws_ends, event->error);
        *s = (struct socket){.sent = s->sent};
        break;
    default:
        CHECK(!"an event of a WebSocket");
    }
}

/* ---- streams of events ---- */

static void sse_step(unsigned i)
{
    struct stream *s = &streams[i];
    if (s->xid != 0) return;
    char url[128], id[32];
    snprintf(url, sizeof url, "%s%u", sse_url, i);
    snprintf(id, sizeof id, "%" PRIu64, s->last);
    chttp_sse settings = {.size = sizeof settings, .retry_ns = 200 * MS_NS, .retry_max_ns = 2 * SECOND_NS};
    if (i % 2)
        settings.max_attempts = 3;
    else
        settings.flags = CHTTP_SSE_RETRY_STATUS;
    if (s->last > 0) {
        settings.last_event_id = id;
        settings.last_event_id_len = strlen(id);
    }
    chttp_request request = request_for(url);
    request.flags = CHTTP_REQ_SSE;
    request.token = count + i;
    request.sse = &settings;
    s->xid = submit_one(engine, queue, &request);
    live++;
}

static void sse_take(struct stream *s, const chttp_event *event)
{
    static char text[LONGEST];
    unsigned i = (unsigned)event->token - count;
    chttp_sse_event fields;
    char id[32];
    switch (event->kind) {
    case CHTTP_EV_HEADERS:
        CHECK(!s->open);
        CHECK_EQ(event->error, event->arg == 200 ? 0 : CHTTP_E_SSE_STATUS);
        CHECK(event->arg == 200 || event->arg == 503);
        s->open = event->error == 0;
        break;
    case CHTTP_EV_BODY:
        CHECK(!s->open);
        break;
    case CHTTP_EV_SSE:
        CHECK(s->open);
        s->last++;
        snprintf(id, sizeof id, "%" PRIu64, s->last);
        snprintf(text, sizeof text, "%u %s\n%0*d", i, id, (int)(s->last * 7 % 300) + 1, 0);
        CHECK_EQ(chttp_sse_fields(event, &fields, sizeof fields), 0);
        CHECK_MEM(fields.id, fields.id_len, id, strlen(id));
        CHECK_MEM(fields.event_type, fields.event_type_len, "tick", 4);
        CHECK_MEM(event->data, (size_t)event->len, text, strlen(text));
        s->heard = 1;
        events_seen++;
        break;
    case CHTTP_EV_SSE_RECONNECT:
        add(&sse_rests, event->error);
        s->open = s->heard = 0;
        break;
    case CHTTP_EV_DONE:
        CHECK(i % 2 == 1 || (closing && event->error == CHTTP_E_CANCELLED));
        add(&sse_ends, event->error);
        *s = (struct stream){.last = s->last};
        break;
    default:
        CHECK(!"an event of a stream");
    }
}

/* ---- the run ---- */

static void take(const chttp_event *event)
{
    CHECK(event->token < 2 * (uint64_t)count);
    chttp_xid xid = event->token < count ? sockets[event->token].xid : streams[event->token - count].xid;
    CHECK_EQ(event->xid, xid);
    CHECK_EQ(is_terminal(event), event->kind == CHTTP_EV_DONE);
    if (event->token < count)
        ws_take(&sockets[event->token], event);
    else
        sse_take(&streams[event->token - count], event);
    live -= (unsigned)is_terminal(event);
}

/* Waits for events, a line, or the next step; true: there is something on standard input. */
static int turn(int ms)
{
    struct pollfd fds[] = {{.fd = chttp_queue_fd(queue), .events = POLLIN},
                           {.fd = settling || closing ? -1 : 0, .events = POLLIN}};
    chttp_event events[BATCH];
    CHECK(poll(fds, 2, ms) >= 0 || errno == EINTR);
    int32_t n = chttp_queue_drain(queue, events, BATCH, sizeof *events);
    CHECK(n >= 0);
    for (int32_t i = 0; i < n; i++)
        take(&events[i]);
    CHECK_EQ(chttp_events_release(events, (uint32_t)n, sizeof *events), 0);
    return fds[1].revents != 0;
}

static unsigned unsettled(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        n += (unsigned)(!sockets[i].open || !sockets[i].heard) + (unsigned)(!streams[i].open || !streams[i].heard);
    return n;
}

/* True: a line; false: the end. */
static int read_line(void)
{
    char byte = 0;
    ssize_t n;
    do
        n = read(0, &byte, 1);
    while (n > 0 && byte != '\n');
    CHECK(n >= 0);
    return n > 0;
}

static void run(void)
{
    uint64_t started = now_ns(), steps = 0, since = 0;
    for (;;) {
        uint64_t now = now_ns();
        /* Steps that a busy machine has missed are not made up for at once. */
        uint64_t due = (now - started) / STEP_NS;
        for (unsigned n = 0; steps < due && n < count; n++, steps++) {
            ws_step((unsigned)(steps % count));
            sse_step((unsigned)(steps % count));
        }
        if (turn(2)) {
            if (!read_line()) return;
            settling = 1;
            since = now;
            for (unsigned i = 0; i < count; i++)
                sockets[i].heard = streams[i].heard = 0;
        }
        if (settling && unsettled() == 0) {
            print_figures();
            settling = 0;
        } else if (settling && now - since > SETTLE_NS) {
            fprintf(stderr, "%u of %u are not open again\n", unsettled(), 2 * count);
            CHECK(!"all are open again");
        }
    }
}

/* Each ends once, and in order: nothing is cut off any more. */
static void close_all(void)
{
    closing = 1;
    for (unsigned i = 0; i < count; i++) {
        if (sockets[i].xid != 0) {
            int32_t code = sockets[i].open ? chttp_ws_close(engine, sockets[i].xid, 1000, NULL, 0, NULL)
                                           : chttp_cancel(engine, sockets[i].xid);
            CHECK(code == 0 || code == CHTTP_E_BAD_STATE || code == CHTTP_E_NOT_FOUND);
        }
        if (streams[i].xid != 0) chttp_cancel(engine, streams[i].xid);
    }
    uint64_t since = now_ns();
    while (live > 0) {
        turn(1000);
        CHECK(now_ns() - since < SETTLE_NS);
    }
}

int main(int argc, char **argv)
{
    CHECK_EQ(argc, 5);
    ws_url = argv[2];
    sse_url = argv[3];
    count = (unsigned)atoi(argv[4]);
    sockets = calloc(count, sizeof *sockets);
    streams = calloc(count, sizeof *streams);
    CHECK(count > 0 && sockets != NULL && streams != NULL);
    struct rlimit files;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    unsigned before = descriptors();
    const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, count}, {0, 0}};
    engine = engine_make(strcmp(argv[1], "thread") == 0, settings);
    queue = queue_make(engine);
    run();
    close_all();
    chttp_stats stats = stats_of(engine);
    CHECK_EQ(stats.exchanges + stats.waiting + stats.queued + stats.dials, 0);
    CHECK_EQ(stats.connections, stats.connections_idle);
    CHECK_EQ(stats.submitted, stats.succeeded + stats.failed + stats.cancelled);
    print_figures();
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    CHECK_EQ(descriptors(), before);
    free(sockets);
    free(streams);
    return 0;
}
