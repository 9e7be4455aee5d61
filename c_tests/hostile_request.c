/*
 * Requests that are hostile but of the right types. Each is refused with the documented code, by submit and by perform
 * alike, with an object that names the field; nothing was sent, and the engine is as good as before.
 */
#include "support/engine.h"

#include <unistd.h>

#define HUGE_LEN (SIZE_MAX / 2 + 1)

static chttp_engine *engine;
static chttp_queue *queue;
static struct test_server server;
static char good[64];

/* `word` has to be in the message. */
static void refused_at(int line, const chttp_request *request, int32_t code, const char *word)
{
    chttp_xid xid = 0;
    chttp_error *error = NULL, *again = NULL;
    chttp_response *response = NULL;
    char text[512];
    int32_t got = chttp_submit(engine, queue, request, 1, 0, &xid, &error);
    int32_t performed = chttp_perform(engine, request, SECOND_NS, &response, &again);
    text[0] = 0;
    if (error != NULL)
        CHECK(chttp_error_message(error, text, sizeof text) > 0);
    if (got != code || performed != code || strstr(text, word) == NULL) {
        fprintf(stderr, "%s:%d: submit %d, perform %d, not %d; \"%s\" without \"%s\"\n", __FILE__, line, (int)got,
                (int)performed, (int)code, text, word);
        CHECK_FAIL_();
    }
    CHECK(xid == 0 && response == NULL);
    CHECK_EQ(chttp_error_code(error), code);
    CHECK_EQ(chttp_error_code(again), code);
    CHECK_EQ(chttp_error_phase(error), CHTTP_PHASE_QUEUED);
    CHECK_EQ(chttp_error_attempt(error), 0);
    CHECK_EQ(chttp_error_request_bytes_sent(error), 0);
    CHECK_EQ(chttp_error_peer(error, NULL, 0), 0);
    chttp_release(error);
    chttp_release(again);
    /* And without anybody who wants to know why. */
    CHECK_EQ(chttp_submit(engine, queue, request, 1, 0, NULL, NULL), code);
}

#define REFUSED(request, code, word) refused_at(__LINE__, (request), (code), (word))
/* One field set. */
#define WITH(assignment, code, word)                                                                                   \
    do {                                                                                                               \
        chttp_request r = request_for(good);                                                                           \
        assignment;                                                                                                    \
        REFUSED(&r, (code), (word));                                                                                   \
    } while (0)
#define TEXT(field, value, code) WITH((r.field = (value), r.field##_len = Z), (code), #field)
#define BYTES(field, value, code) WITH((r.field = (value), r.field##_len = sizeof(value) - 1), (code), #field)

static void texts(void)
{
    /* NULL with a length, and lengths that cannot be. */
    WITH((r.url = NULL, r.url_len = 5), CHTTP_E_INVALID_ARG, "url");
    WITH((r.url = NULL, r.url_len = 0), CHTTP_E_INVALID_URL, "url");
    WITH((r.url = NULL, r.url_len = Z), CHTTP_E_INVALID_URL, "url");
    WITH(r.url_len = HUGE_LEN, CHTTP_E_INVALID_SIZE, "url");
    WITH((r.method = NULL, r.method_len = 1), CHTTP_E_INVALID_ARG, "method");
    WITH((r.method = "GET", r.method_len = HUGE_LEN), CHTTP_E_INVALID_SIZE, "method");
    WITH((r.target = NULL, r.target_len = 1), CHTTP_E_INVALID_ARG, "target");
    WITH((r.target = "/", r.target_len = HUGE_LEN), CHTTP_E_INVALID_SIZE, "target");
    WITH((r.header_block = NULL, r.header_block_len = HUGE_LEN), CHTTP_E_INVALID_ARG, "header_block");
    WITH((r.header_block = "A: b", r.header_block_len = HUGE_LEN), CHTTP_E_INVALID_SIZE, "header_block");
    WITH((r.unix_path = NULL, r.unix_path_len = 9), CHTTP_E_INVALID_ARG, "unix_path");
    WITH((r.unix_path = "/x", r.unix_path_len = HUGE_LEN), CHTTP_E_INVALID_SIZE, "unix_path");
    WITH(r.headers_len = 1, CHTTP_E_INVALID_ARG, "header");
    WITH(r.headers_len = SIZE_MAX, CHTTP_E_INVALID_ARG, "header");

    static const char *const urls[] = {"", "http", "http:", "http:/", "http://", "//127.0.0.1/", "/", "127.0.0.1/",
                                       "http://:80/", "http://user@h/", "http://user:pass@h/", "http://h:65536/",
                                       "http://h:x/", "http://h h/", "http://h/a b", "http://[::1/", "http://h\r\n/",
                                       "http://h/\r\nA: b", "http://h/\n", "http://h/\t", "\x01http://h/",
                                       " http://h/", "http://h/ "};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        TEXT(url, urls[i], CHTTP_E_INVALID_URL);
    BYTES(url, "http://h/\0x", CHTTP_E_INVALID_URL);
    BYTES(url, "http://h\0.com/", CHTTP_E_INVALID_URL);

    static const char *const methods[] = {"", " ", "GET ", " GET", "G T", "GET\r\n", "GET\n", "G\tT", "\x80", "GET /x"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        TEXT(method, methods[i], CHTTP_E_INVALID_METHOD);
    BYTES(method, "GE\0T", CHTTP_E_INVALID_METHOD);

    static const char *const targets[] = {"", " ", "/a b", "/\r\n", "/\n", "/\t", "/ HTTP/1.1\r\nA: b\r\n\r\nGET /"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        TEXT(target, targets[i], CHTTP_E_INVALID_TARGET);
    BYTES(target, "/\0", CHTTP_E_INVALID_TARGET);

    /* A path of a socket that no kernel takes. */
    TEXT(unix_path, "", CHTTP_E_INVALID_ARG);
    BYTES(unix_path, "/tmp/a\0b", CHTTP_E_INVALID_ARG);
    char long_path[4096];
    memset(long_path, 'a', sizeof long_path);
    BYTES(unix_path, long_path, CHTTP_E_INVALID_ARG);
}

static void headers(void)
{
    static const chttp_field bad[] = {
        {"", 0, "v", 1},        {NULL, 0, "v", 1},          {"A B", 3, "v", 1},    {"A:", 2, "v", 1},
        {"A\r\n", 3, "v", 1},   {"A\0", 2, "v", 1},         {"\xc3\xa4", 2, "v", 1}, {"A", 1, "a\r\nB: c", 7},
        {"A", 1, "a\nb", 3},    {"A", 1, "a\rb", 3},        {"A", 1, "a\0b", 3},   {"A", 1, "a\x7f", 2},
        {"Host", 4, "", 0},     {"Host", 4, "a/b", 3},      {" A", 2, "v", 1},     {"A ", 2, "v", 1},
        {"Content-Length", 14, "5", 1}, {"Transfer-Encoding", 17, "chunked", 7}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        chttp_field both[2] = {{"Fine", 4, "v", 1}, bad[i]};
        WITH((r.headers = both, r.headers_len = 2), CHTTP_E_INVALID_HEADER, "header");
    }
    static const chttp_field null_name = {NULL, 1, "v", 1}, null_value = {"A", 1, NULL, 1}, huge = {"A", HUGE_LEN, "", 0};
    WITH((r.headers = &null_name, r.headers_len = 1), CHTTP_E_INVALID_ARG, "header 0: name");
    WITH((r.headers = &null_value, r.headers_len = 1), CHTTP_E_INVALID_ARG, "header 0: value");
    WITH((r.headers = &huge, r.headers_len = 1), CHTTP_E_INVALID_SIZE, "header 0: name");
    WITH((r.headers = &huge, r.headers_len = SIZE_MAX / 2), CHTTP_E_INVALID_ARG, "header");

    static const char *const blocks[] = {"A", "A: b\r\nC", ": b", "A : b", "A: b\n", "A: b\rC: d", "\r\n", "A: b\r\n\r\n",
                                         "A: b\r\n folded", "Host: a\r\nHost: b", "Content-Length: 1"};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        WITH((r.header_block = blocks[i], r.header_block_len = Z), CHTTP_E_INVALID_HEADER, "header");
    WITH((r.header_block = "A: \0", r.header_block_len = 4), CHTTP_E_INVALID_HEADER, "header");
    static const chttp_field fine = {"A", 1, "b", 1};
    WITH((r.header_block = "A: b", r.header_block_len = Z, r.headers = &fine, r.headers_len = 1), CHTTP_E_INVALID_HEADER,
         "header_block");
    WITH((r.header_block = "", r.header_block_len = 0, r.headers = &fine, r.headers_len = 1), CHTTP_E_INVALID_HEADER,
         "header_block");
}

static void bodies(void)
{
    WITH(r.body_len = 1, CHTTP_E_INVALID_BODY, "body");
    WITH(r.body_len = CHTTP_LENGTH_UNKNOWN, CHTTP_E_INVALID_BODY, "body_len");
    WITH((r.body = "x", r.body_len = CHTTP_LENGTH_UNKNOWN), CHTTP_E_INVALID_BODY, "body_len");
    WITH((r.body = "x", r.body_len = 1ull << 63), CHTTP_E_INVALID_BODY, "body_len");
    WITH((r.flags = CHTTP_REQ_STREAM_BODY, r.body = "x"), CHTTP_E_INVALID_BODY, "body");
    WITH((r.flags = CHTTP_REQ_STREAM_BODY, r.body_len = 1ull << 63), CHTTP_E_INVALID_BODY, "body_len");
    WITH((r.flags = CHTTP_REQ_FILE_BODY, r.body = "x", r.body_len = 1), CHTTP_E_INVALID_BODY, "body");
    WITH((r.flags = CHTTP_REQ_FILE_BODY | CHTTP_REQ_STREAM_BODY), CHTTP_E_INVALID_BODY, "body");
    WITH((r.flags = CHTTP_REQ_FILE_BODY, r.body_fd = -1, r.body_len = 1), CHTTP_E_INVALID_BODY, "body_fd");
    WITH((r.flags = CHTTP_REQ_FILE_BODY, r.body_fd = -1, r.body_len = 0), CHTTP_E_INVALID_BODY, "body_fd");
    WITH((r.flags = CHTTP_REQ_FILE_BODY, r.body_fd = INT32_MIN, r.body_len = 1), CHTTP_E_INVALID_BODY, "body_fd");
    WITH((r.flags = CHTTP_REQ_FILE_BODY, r.body_fd = INT32_MAX, r.body_len = 1), CHTTP_E_INVALID_BODY, "body_fd");
    WITH((r.flags = CHTTP_REQ_FILE_BODY, r.body_len = 2, r.body_offset = INT64_MAX), CHTTP_E_INVALID_BODY, "body_offset");
    WITH((r.flags = CHTTP_REQ_FILE_BODY, r.body_len = 2, r.body_offset = UINT64_MAX), CHTTP_E_INVALID_BODY, "body_offset");
    WITH((r.method = "CONNECT", r.method_len = 7, r.body = "x", r.body_len = 1), CHTTP_E_INVALID_BODY, "body");
    WITH((r.method = "TRACE", r.method_len = 5, r.body = "x", r.body_len = 1), CHTTP_E_INVALID_BODY, "body");
}

static void structs(void)
{
    for (unsigned bit = 9; bit < 32; bit++)
        if (1u << bit != CHTTP_REQ_SSE)
            WITH(r.flags = 1u << bit, CHTTP_E_UNKNOWN_FLAG, "flags");
    WITH(r.reserved = 1, CHTTP_E_UNSUPPORTED_FIELD, "reserved");
    static const uint32_t sizes[] = {0, 1, 15, 4097, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        WITH(r.size = sizes[i], CHTTP_E_INVALID_SIZE, "size");
    /* A smaller struct ends before its url. */
    WITH(r.size = 16, CHTTP_E_INVALID_URL, "url");
    struct {
        chttp_request request;
        char tail[64];
    } larger;
    for (size_t i = 0; i < sizeof larger.tail; i += 7) {
        memset(&larger, 0, sizeof larger);
        larger.request = request_for(good);
        larger.request.size = sizeof larger;
        larger.tail[i] = 1;
        REFUSED(&larger.request, CHTTP_E_UNSUPPORTED_FIELD, "fields");
    }
    REFUSED(NULL, CHTTP_E_INVALID_ARG, "request");
    TEXT(url, "ftp://127.0.0.1/", CHTTP_E_UNSUPPORTED_SCHEME);
    TEXT(url, "ftp://127.0.0.1/", CHTTP_E_UNSUPPORTED_SCHEME);
}

/* One field of the settings of a stream of events. */
#define EVENTS(assignment, code, word)                                                                                 \
    do {                                                                                                               \
        chttp_sse s;                                                                                                   \
        memset(&s, 0, sizeof s);                                                                                       \
        s.size = sizeof s;                                                                                             \
        WITH((r.flags = CHTTP_REQ_SSE, r.sse = &s, assignment), (code), (word));                                       \
    } while (0)

static void streams_of_events(void)
{
    static const uint32_t sizes[] = {0, 1, 7, 4097, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        EVENTS(s.size = sizes[i], CHTTP_E_INVALID_SIZE, "chttp_sse.size");
    for (unsigned bit = 4; bit < 32; bit++)
        EVENTS(s.flags = 1u << bit, CHTTP_E_UNKNOWN_FLAG, "sse.flags");
    EVENTS(s.flags = CHTTP_SSE_RECONNECT | CHTTP_SSE_NO_RECONNECT, CHTTP_E_INVALID_ARG, "sse.flags");
    EVENTS(s.last_event_id_len = 1, CHTTP_E_INVALID_ARG, "sse.last_event_id");
    EVENTS((s.last_event_id = "1", s.last_event_id_len = HUGE_LEN), CHTTP_E_INVALID_SIZE, "sse.last_event_id");
    char long_id[8193];
    memset(long_id, '1', sizeof long_id);
    EVENTS((s.last_event_id = long_id, s.last_event_id_len = sizeof long_id), CHTTP_E_TOO_LARGE, "sse.last_event_id");
    EVENTS((s.last_event_id = "1\n", s.last_event_id_len = 2), CHTTP_E_INVALID_HEADER, "Last-Event-ID");
    EVENTS((s.last_event_id = "1\0", s.last_event_id_len = 2), CHTTP_E_INVALID_HEADER, "Last-Event-ID");
    static const uint64_t bounds[] = {1, 63, 0x40000001, UINT32_MAX, 1ull << 32, UINT64_MAX};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        EVENTS(s.line_max = bounds[i], CHTTP_E_INVALID_ARG, "sse.line_max");
        EVENTS(s.event_max = bounds[i], CHTTP_E_INVALID_ARG, "sse.event_max");
    }
    EVENTS((r.header_block = "Last-Event-ID: 5", r.header_block_len = Z), CHTTP_E_INVALID_HEADER, "Last-Event-ID");
    EVENTS((r.header_block = "last-event-id: 5", r.header_block_len = Z, s.last_event_id = "5", s.last_event_id_len = 1),
           CHTTP_E_INVALID_HEADER, "Last-Event-ID");
    EVENTS((r.header_block = "Connection: upgrade\r\nUpgrade: x", r.header_block_len = Z), CHTTP_E_INVALID_ARG, "Upgrade");
    EVENTS((r.method = "HEAD", r.method_len = 4), CHTTP_E_INVALID_ARG, "method");
    EVENTS((r.method = "CONNECT", r.method_len = 7), CHTTP_E_INVALID_ARG, "method");
    EVENTS(r.flags |= CHTTP_REQ_COLLECT, CHTTP_E_INVALID_ARG, "flags");
    EVENTS(r.flags |= CHTTP_REQ_RAW, CHTTP_E_INVALID_ARG, "flags");
    EVENTS(r.flags = 0, CHTTP_E_INVALID_ARG, "sse");
    EVENTS((r.flags |= CHTTP_REQ_STREAM_BODY, s.flags = CHTTP_SSE_RECONNECT, r.method = "POST", r.method_len = 4),
           CHTTP_E_NOT_REWINDABLE, "flags");
    EVENTS(r.flags |= CHTTP_REQ_STREAM_BODY, CHTTP_E_NOT_REWINDABLE, "flags");
    /* It needs a queue. */
    chttp_request r = request_for(good);
    chttp_response *response = NULL;
    r.flags = CHTTP_REQ_SSE;
    CHECK_EQ(chttp_perform(engine, &r, CHTTP_UNLIMITED, &response, NULL), CHTTP_E_INVALID_ARG);
    CHECK(response == NULL);
}

/* What looks odd and is allowed. */
static void accepted(void)
{
    struct {
        chttp_request request;
        char tail[64];
    } larger;
    memset(&larger, 0, sizeof larger);
    larger.request = request_for(good);
    larger.request.size = sizeof larger;
    CHECK_EQ(fetch(engine, queue, &larger.request).status, 200);
    chttp_request r = request_for(good);
    r.size = 32; /* of a time when there was no method yet: what stands behind is not looked at */
    r.method = "b a d";
    r.method_len = 5;
    r.reserved = 1;
    CHECK_EQ(fetch(engine, queue, &r).status, 200);
    r = request_for(good);
    r.url_len = strlen(good);
    r.recv_credit = r.collect_max = r.total_timeout_ns = r.dns_timeout_ns = r.read_timeout_ns = UINT64_MAX;
    r.headers_len = 0;
    r.header_block = "";
    r.flags = CHTTP_REQ_COLLECT | CHTTP_REQ_CLOSE;
    CHECK_EQ(fetch(engine, queue, &r).status, 200);
    r.recv_credit = r.collect_max = 1;
    CHECK_EQ(fetch(engine, queue, &r).len, 6);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", good, sizeof good);
    for (int drive = 0; drive < DRIVES; drive++) {
        engine = engine_make(drive, NULL);
        queue = queue_make(engine);
        texts();
        headers();
        bodies();
        structs();
        streams_of_events();
        chttp_event event;
        CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, MS_NS), 0);
        CHECK_EQ(stats_of(engine).submitted, 0);
        CHECK_EQ(server.counters->requests, (uint64_t)drive * 4);
        accepted();
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
