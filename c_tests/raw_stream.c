/*
 * Raw streams, in both drives: over TCP with HTTP spoken by hand, both sides closed for themselves, TLS from the start and
 * after a word in the clear (STARTTLS), what is told of the connection, credit and WRITABLE, cancelling, and what is refused.
 * The secured server is the harness's (tests/tls_server): the environment says where it is.
 */
#define _GNU_SOURCE

#include "support/echo.h"

#include <sys/socket.h>

static struct test_server server;

static const char *told(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fprintf(stderr, "%s is not set: `cargo test --test c_api` runs this\n", name);
    CHECK(value != NULL);
    return value;
}

static chttp_tls *trust(const char *whom)
{
    chttp_config *config = NULL;
    chttp_tls *tls = NULL;
    const char *ca = told(whom);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, ca, strlen(ca), NULL), 0);
    CHECK_EQ(chttp_tls_new(config, &tls, NULL), 0);
    chttp_config_free(config);
    return tls;
}

static chttp_request raw(const char *url)
{
    chttp_request request = request_for(url);
    request.flags = CHTTP_REQ_RAW;
    request.token = 7;
    return request;
}

/* The next event is of this kind; the caller releases it. */
static chttp_event expect(chttp_queue *queue, uint32_t kind)
{
    chttp_event event = next_event(queue);
    if (event.kind != kind)
        fprintf(stderr, "event %u with error %s\n", event.kind, chttp_error_name(event.error));
    CHECK_EQ(event.kind, kind);
    CHECK_EQ(event.token, 7);
    CHECK_EQ(event.arg, 0);
    return event;
}

static chttp_xid open_raw(chttp_engine *engine, chttp_queue *queue, const chttp_request *request)
{
    chttp_xid xid = submit_one(engine, queue, request);
    chttp_event event = expect(queue, CHTTP_EV_HEADERS);
    char text[128];
    CHECK((event.flags & CHTTP_EF_TUNNEL) != 0 && !is_terminal(&event));
    CHECK_EQ(chttp_response_status(event.obj), 0);
    CHECK_EQ(chttp_response_version(event.obj), 0);
    CHECK_EQ(chttp_response_header_count(event.obj), 0);
    CHECK(chttp_response_peer(event.obj, text, sizeof text) > 0 && strncmp(text, "127.0.0.1:", 10) == 0);
    CHECK(chttp_response_local(event.obj, text, sizeof text) > 0 && strncmp(text, "127.0.0.1:", 10) == 0);
    event_free(&event);
    return xid;
}

static void say(chttp_engine *engine, chttp_xid xid, const char *text)
{
    CHECK_EQ(chttp_body_write(engine, xid, text, strlen(text)), 0);
}

/* Waits until everything that was written is the system's. */
static void flush(chttp_engine *engine, chttp_queue *queue, chttp_xid xid)
{
    int32_t code;
    while ((code = chttp_body_write(engine, xid, "", 0)) == CHTTP_E_AGAIN) {
        chttp_event event = expect(queue, CHTTP_EV_WRITABLE);
        event_free(&event);
    }
    CHECK_EQ(code, 0);
}

/* Reads until the text ends with `end`. */
static void hear(chttp_queue *queue, const char *end)
{
    char text[4096] = "";
    size_t len = 0, want = strlen(end);
    while (len < want || memcmp(text + len - want, end, want) != 0) {
        chttp_event event = expect(queue, CHTTP_EV_BODY);
        CHECK(len + event.len < sizeof text);
        memcpy(text + len, event.data, (size_t)event.len);
        len += (size_t)event.len;
        event_free(&event);
    }
}

static void expect_done(chttp_queue *queue, int32_t error)
{
    chttp_event event = expect(queue, CHTTP_EV_DONE);
    CHECK(is_terminal(&event));
    CHECK_EQ(event.error, error);
    event_free(&event);
}

/* What the object of a secured connection tells. */
static void look(const chttp_response *connection)
{
    chttp_tls_info info;
    const char *data = NULL;
    size_t len = 0;
    CHECK_EQ(chttp_response_tls(connection, &info, sizeof info), 0);
    CHECK(info.version == 12 || info.version == 13);
    CHECK(info.cipher_suite[0] != 0);
    CHECK_EQ(chttp_stream_alpn(connection, &data, &len), 0);
    CHECK(len == 8 && memcmp(data, "http/1.1", 8) == 0);
    CHECK_EQ(chttp_stream_certificate(connection, 0, &data, &len), 0);
    CHECK(len > 100 && (unsigned char)data[0] == 0x30);
    uint32_t count = 1;
    while (chttp_stream_certificate(connection, count, &data, &len) == 0)
        count++;
    CHECK_EQ(chttp_stream_certificate(connection, count, &data, &len), CHTTP_E_NOT_FOUND);
    CHECK(count < 5);
}

/* HTTP by hand; the server closes behind its answer, and we only then. */
static void by_hand(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    chttp_request request = raw(url);
    chttp_xid xid = open_raw(engine, queue, &request);
    int type = 0;
    socklen_t size = sizeof type;
    int fd = chttp_stream_fd(engine, xid);
    CHECK(fd >= 0);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size), 0);
    CHECK_EQ(type, SOCK_STREAM);
    say(engine, xid, "GET / HTTP/1.1\r\nHost: x\r\n");
    flush(engine, queue, xid);
    say(engine, xid, "Connection: close\r\n\r\n");
    hear(queue, "hello\n");
    chttp_event event = expect(queue, CHTTP_EV_STREAM_END);
    event_free(&event);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
    expect_done(queue, 0);
    CHECK_EQ(chttp_stream_fd(engine, xid), CHTTP_E_NOT_FOUND);
}

/* More than fits at once in either direction: an echo behind an Upgrade that is spoken by hand. */
static void bulk(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    chttp_request request = raw(url);
    request.recv_credit = 20000;
    chttp_xid xid = open_raw(engine, queue, &request);
    say(engine, xid, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    hear(queue, "\r\n\r\n");
    echo_bulk(engine, queue, xid, 3 << 18);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
    chttp_event event = expect(queue, CHTTP_EV_STREAM_END);
    event_free(&event);
    expect_done(queue, 0);
}

/* STARTTLS, then a request inside; `end` is the path that ends it. */
static void midway(chttp_engine *engine, chttp_queue *queue, const char *url, const char *path, int32_t error)
{
    chttp_tls *tls = trust("CHTTP_TEST_TLS_CA");
    chttp_request request = raw(url);
    char text[128];
    chttp_xid xid = open_raw(engine, queue, &request);
    say(engine, xid, "STARTTLS\r\n");
    hear(queue, "220 go\r\n");
    CHECK_EQ(chttp_stream_start_tls(engine, xid, tls, NULL, 0, NULL), 0);
    chttp_tls_release(tls);
    /* It waits for the handshake. */
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n\r\n", path);
    say(engine, xid, text);
    chttp_event event = expect(queue, CHTTP_EV_STREAM_TLS);
    look(event.obj);
    event_free(&event);
    if (error == 0)
        flush(engine, queue, xid);
    /* One that the server cuts may have ended by now. */
    int32_t again = chttp_stream_start_tls(engine, xid, NULL, NULL, 0, NULL);
    CHECK(again == CHTTP_E_BAD_STATE || (error != 0 && again == CHTTP_E_NOT_FOUND));
    hear(queue, "hello\n");
    if (error == 0) {
        event = expect(queue, CHTTP_EV_STREAM_END);
        event_free(&event);
        CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
    }
    expect_done(queue, error);
}

/* Whom we do not trust, a name that is not the server's, and a server that answers nothing. */
static void no_secret(chttp_engine *engine, chttp_queue *queue, const char *url, const char *plain)
{
    static const int32_t codes[] = {CHTTP_E_TLS_CERT_UNKNOWN_CA, CHTTP_E_TLS_CERT_NAME};
    for (int i = 0; i < 2; i++) {
        chttp_tls *tls = trust(i == 0 ? "CHTTP_TEST_TLS_OTHER_CA" : "CHTTP_TEST_TLS_CA");
        chttp_request request = raw(url);
        chttp_xid xid = open_raw(engine, queue, &request);
        const char *name = i == 0 ? NULL : "other.example";
        CHECK_EQ(chttp_stream_start_tls(engine, xid, tls, name, i == 0 ? 0 : 13, NULL), 0);
        /* The handshake may have failed by now. */
        int32_t code = chttp_body_write(engine, xid, "secret", 6);
        CHECK(code == 0 || code == CHTTP_E_NOT_FOUND);
        chttp_tls_release(tls);
        expect_done(queue, codes[i]);
    }
    chttp_tls *tls = trust("CHTTP_TEST_TLS_CA");
    chttp_request request = raw(plain);
    request.tls_timeout_ns = 50 * MS_NS;
    chttp_xid xid = open_raw(engine, queue, &request);
    CHECK_EQ(chttp_stream_start_tls(engine, xid, tls, NULL, 0, NULL), 0);
    chttp_tls_release(tls);
    chttp_event event = expect(queue, CHTTP_EV_DONE);
    CHECK_EQ(event.error, CHTTP_E_TIMEOUT_TLS);
    CHECK_EQ(chttp_error_phase(event.obj), CHTTP_PHASE_TLS);
    event_free(&event);
}

static void from_the_start(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    chttp_tls *tls = trust("CHTTP_TEST_TLS_CA");
    chttp_request request = raw(url);
    request.tls = tls;
    chttp_xid xid = submit_one(engine, queue, &request);
    chttp_tls_release(tls);
    chttp_event event = expect(queue, CHTTP_EV_HEADERS);
    look(event.obj);
    event_free(&event);
    CHECK_EQ(chttp_stream_start_tls(engine, xid, NULL, NULL, 0, NULL), CHTTP_E_BAD_STATE);
    say(engine, xid, "GET / HTTP/1.1\r\n\r\n");
    hear(queue, "hello\n");
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    expect_done(queue, CHTTP_E_CANCELLED);
}

static void refused(chttp_engine *engine, chttp_queue *queue, const char *url)
{
    chttp_request request = raw(url);
    chttp_response *response = NULL;
    chttp_xid xid = 0;
    CHECK_EQ(chttp_perform(engine, &request, 0, &response, NULL), CHTTP_E_INVALID_ARG);
    request.flags |= CHTTP_REQ_COLLECT;
    CHECK_EQ(chttp_submit(engine, queue, &request, 1, 0, &xid, NULL), CHTTP_E_INVALID_ARG);
    request = raw(url);
    request.method = "GET";
    request.method_len = 3;
    chttp_error *error = NULL;
    char text[128];
    CHECK_EQ(chttp_submit(engine, queue, &request, 1, 0, &xid, &error), CHTTP_E_INVALID_ARG);
    CHECK(chttp_error_message(error, text, sizeof text) > 0 && strstr(text, "method") != NULL);
    chttp_release(error);
    request = raw(url);
    request.body_len = 1;
    CHECK_EQ(chttp_submit(engine, queue, &request, 1, 0, &xid, NULL), CHTTP_E_INVALID_ARG);
    /* No stream, or none any more. */
    request = request_for(url);
    request.token = 7;
    char hang[128];
    request.url = test_server_url(&server, "/hang", hang, sizeof hang);
    xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_stream_start_tls(engine, xid, NULL, NULL, 0, &error), CHTTP_E_BAD_STATE);
    CHECK(chttp_error_message(error, text, sizeof text) > 0 && strstr(text, "stream") != NULL);
    chttp_release(error);
    CHECK_EQ(chttp_stream_fd(engine, xid), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_cancel(engine, xid), 0);
    expect_done(queue, CHTTP_E_CANCELLED);
    CHECK_EQ(chttp_stream_start_tls(engine, xid, NULL, NULL, 0, NULL), CHTTP_E_NOT_FOUND);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    char plain[64], clear[64], secure[64];
    test_server_url(&server, "/", plain, sizeof plain);
    snprintf(clear, sizeof clear, "http://127.0.0.1:%s", told("CHTTP_TEST_TLS_PORT"));
    snprintf(secure, sizeof secure, "https://127.0.0.1:%s", told("CHTTP_TEST_TLS_PORT"));
    for (int drive = 0; drive < DRIVES; drive++) {
        const struct setting settings[] = {{CHTTP_OPT_SEND_BUFFER, 30000}, {0, 0}};
        chttp_engine *engine = engine_make(drive, settings);
        chttp_queue *queue = queue_make(engine);
        by_hand(engine, queue, plain);
        bulk(engine, queue, plain);
        midway(engine, queue, clear, "/close", 0);
        /* An end without close_notify may be anybody's. */
        midway(engine, queue, clear, "/cut", CHTTP_E_TRUNCATED_BODY);
        no_secret(engine, queue, clear, plain);
        from_the_start(engine, queue, secure);
        refused(engine, queue, plain);
        /* The engine's end in the middle of a stream and of a handshake. */
        chttp_request request = raw(plain);
        open_raw(engine, queue, &request);
        request = raw(clear);
        chttp_xid xid = open_raw(engine, queue, &request);
        chttp_tls *tls = trust("CHTTP_TEST_TLS_CA");
        CHECK_EQ(chttp_stream_start_tls(engine, xid, tls, NULL, 0, NULL), 0);
        chttp_tls_release(tls);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
