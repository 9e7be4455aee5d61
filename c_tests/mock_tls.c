/*
 * TLS of scripted peers: a handshake that succeeds, and what was agreed on; each one that fails; STARTTLS; an end in due form
 * and a cut; all with the certificates that the mock makes, and the client's own verification.
 */
#include "support/mock_bench.h"

#define URL "https://service.test/"
#define AT "192.0.2.1:443"
#define GET "GET / HTTP/1.1\r\nHost: service.test\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
/* Its end is the end of the connection. */
#define UNBOUNDED "HTTP/1.1 200 OK\r\n\r\nhi"

#define TLS(settings) {.kind = CHTTP_MOCK_TLS, .data = (const char *)(settings), .len = sizeof *(settings)}

/* An engine that trusts the mock's authority. */
static struct bench trusting(void)
{
    chttp_backend *mock = NULL;
    chttp_config *config = NULL;
    char pem[2048], cut[8];
    CHECK_EQ(chttp_mock_new(&mock, NULL), 0);
    int32_t len = chttp_mock_authority(mock, pem, sizeof pem);
    CHECK(len > 0 && (size_t)len < sizeof pem);
    CHECK_EQ(strncmp(pem, "-----BEGIN CERTIFICATE-----\n", 28), 0);
    CHECK_EQ(chttp_mock_authority(mock, cut, sizeof cut), len);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, pem, (size_t)len, NULL), 0);
    CHECK_EQ(chttp_mock_resolve(mock, "service.test", Z, "192.0.2.1", Z, NULL), 0);
    return bench_on(mock, config);
}

static void sent_is(const struct bench *b, uint32_t n, const char *expected)
{
    char bytes[1024];
    size_t len = 0;
    CHECK_EQ(chttp_mock_sent(b->mock, n, bytes, sizeof bytes, &len), 0);
    CHECK_MEM(bytes, len, expected, strlen(expected));
}

/* Performs a request; `response`, if there is one, is the caller's. */
static chttp_response *perform(const struct bench *b, const char *url, int32_t code, const char *why)
{
    chttp_request request = request_for(url);
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    char text[1024] = "";
    int32_t got = chttp_perform(b->engine, &request, CHTTP_UNLIMITED, &response, &error);
    if (error != NULL) chttp_error_message(error, text, sizeof text);
    if (got != code) fprintf(stderr, "%s: %s\n", chttp_error_name(got), text);
    CHECK_EQ(got, code);
    if (strstr(text, why) == NULL) fprintf(stderr, "\"%s\" instead of \"%s\"\n", text, why);
    CHECK(strstr(text, why) != NULL);
    chttp_release(error);
    return response;
}

static void body_is(chttp_response *response, const char *expected)
{
    const char *data = NULL;
    size_t len = 0;
    CHECK_EQ(chttp_response_body(response, &data, &len), 0);
    CHECK_MEM(data, len, expected, strlen(expected));
}

static void an_exchange_in_plaintext(void)
{
    struct bench b = trusting();
    chttp_tls_info info;
    LISTEN(&b, AT, 0, STEP(TLS), EXPECT(GET), SEND(OK), STEP(AGAIN));
    for (int i = 0; i < 3; i++) {
        chttp_response *response = perform(&b, URL, 0, "");
        body_is(response, "hi");
        CHECK_EQ(chttp_response_tls(response, &info, sizeof info), 0);
        CHECK_EQ(info.version, 13);
        CHECK_STR(info.alpn, "http/1.1");
        CHECK_STR(info.cipher_suite, "TLS_AES_128_GCM_SHA256");
        CHECK_EQ(info.resumed, 0);
        chttp_release(response);
    }
    CHECK_EQ(chttp_mock_connection_count(b.mock), 1);
    sent_is(&b, 0, GET GET GET);
    /* An address is certified as such. */
    LISTEN(&b, "192.0.2.7:443", 0, STEP(TLS), STEP(EXPECT_HEAD), SEND(OK));
    chttp_release(perform(&b, "https://192.0.2.7/", 0, ""));
    LISTEN(&b, "[2001:db8::1]:443", 0, STEP(TLS), STEP(EXPECT_HEAD), SEND(OK));
    chttp_release(perform(&b, "https://[2001:db8::1]/", 0, ""));
    bench_end_as_scripted(&b);
}

static void what_a_peer_insists_on(void)
{
    static const struct {
        chttp_mock_tls tls;
        uint32_t version;
        const char *alpn, *cipher;
    } rows[] = {
        {{.version = 12}, 12, "http/1.1", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
        {{.version = 13, .alpn = "", .alpn_len = 0}, 13, "", "TLS_AES_128_GCM_SHA256"},
        {{.cipher = "TLS_CHACHA20_POLY1305_SHA256", .cipher_len = Z}, 13, "http/1.1", "TLS_CHACHA20_POLY1305_SHA256"},
        {{.version = 12, .cipher = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", .cipher_len = Z},
         12, "http/1.1", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct bench b = trusting();
        chttp_mock_tls tls = rows[i].tls;
        chttp_tls_info info;
        tls.size = sizeof tls;
        LISTEN(&b, AT, 0, TLS(&tls), EXPECT(GET), SEND(OK));
        chttp_response *response = perform(&b, URL, 0, "");
        CHECK_EQ(chttp_response_tls(response, &info, sizeof info), 0);
        CHECK_EQ(info.version, rows[i].version);
        CHECK_STR(info.alpn, rows[i].alpn);
        CHECK_STR(info.cipher_suite, rows[i].cipher);
        chttp_release(response);
        bench_end_as_scripted(&b);
    }
}

static void handshakes_that_fail(void)
{
    static const struct {
        chttp_mock_tls tls;
        int32_t code;
        const char *why;
    } rows[] = {
        {{.flags = CHTTP_MOCK_TLS_EXPIRED}, CHTTP_E_TLS_CERT_EXPIRED, "valid until 2001-01-01"},
        {{.flags = CHTTP_MOCK_TLS_NOT_YET_VALID}, CHTTP_E_TLS_CERT_NOT_YET_VALID, "from 9999-01-01"},
        {{.flags = CHTTP_MOCK_TLS_UNKNOWN_CA}, CHTTP_E_TLS_CERT_UNKNOWN_CA, "vouches for it"},
        {{.name = "other.test", .name_len = Z}, CHTTP_E_TLS_CERT_NAME, "service.test"},
        {{.name = "192.0.2.1", .name_len = Z}, CHTTP_E_TLS_CERT_NAME, "service.test"},
        {{.alert = 40}, CHTTP_E_TLS_ALERT, "alert 40 (handshake_failure)"},
        {{.alert = 112}, CHTTP_E_TLS_ALERT, "it does not know that name"},
        {{.alert = 70}, CHTTP_E_TLS_INCOMPATIBLE, "protocol_version"},
        {{.alpn = "spdy/3", .alpn_len = Z}, CHTTP_E_TLS_ALPN, "no_application_protocol"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct bench b = trusting();
        chttp_mock_tls tls = rows[i].tls;
        chttp_mock_record record;
        tls.size = sizeof tls;
        LISTEN(&b, AT, CHTTP_MOCK_ALWAYS, TLS(&tls), EXPECT(GET), SEND(OK));
        CHECK(perform(&b, URL, rows[i].code, rows[i].why) == NULL);
        CHECK_EQ(chttp_mock_connection(b.mock, 0, &record, sizeof record), 0);
        CHECK(record.closed != CHTTP_MOCK_OPEN);
        /* Nothing was sent in plaintext, nor to a server that is not who it should be. */
        CHECK_EQ(record.sent, 0);
        bench_end_as_scripted(&b);
    }
    /* A peer that closes, without a word of TLS or in the middle of it. */
    struct bench b = trusting();
    LISTEN(&b, AT, CHTTP_MOCK_ALWAYS, NUMBER(EXPECT_BYTES, 1), STEP(CLOSE));
    CHECK(perform(&b, URL, CHTTP_E_TLS_CLOSED, "without an answer") == NULL);
    bench_end_as_scripted(&b);
}

static void ends(void)
{
    struct bench b = trusting();
    LISTEN(&b, AT, 0, STEP(TLS), EXPECT(GET), SEND(UNBOUNDED), STEP(CLOSE));
    chttp_response *response = perform(&b, URL, 0, "");
    body_is(response, "hi");
    chttp_release(response);
    /* Without close_notify anybody could have cut it (RFC 9112 section 9.8). */
    LISTEN(&b, AT, 0, STEP(TLS), EXPECT(GET), SEND(UNBOUNDED), NUMBER(CLOSE, 1));
    chttp_release(perform(&b, URL, CHTTP_E_TRUNCATED_BODY, ""));
    /* In pieces, each in a record and a read of its own. */
    const chttp_mock_step pieces[] = {STEP(TLS), EXPECT(GET),
                                      {.kind = CHTTP_MOCK_SEND, .data = OK, .len = Z, .number = 3}};
    CHECK_EQ(chttp_mock_listen(b.mock, AT, Z, pieces, COUNT(pieces), 0, NULL), 0);
    response = perform(&b, URL, 0, "");
    body_is(response, "hi");
    chttp_release(response);
    bench_end_as_scripted(&b);
}

/* The next event, taken by waits or by drains with the clock moved on by hand. */
static chttp_event next(const struct bench *b, int by_hand)
{
    chttp_event event;
    if (!by_hand) {
        CHECK_EQ(chttp_queue_wait(b->queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
        return event;
    }
    for (int i = 0; i < 100; i++) {
        uint64_t at = 0;
        if (chttp_queue_drain(b->queue, &event, 1, 0) == 1) return event;
        CHECK_EQ(chttp_mock_next_event(b->mock, &at), 0);
        if (at > chttp_mock_now(b->mock)) CHECK_EQ(chttp_mock_advance(b->mock, at - chttp_mock_now(b->mock)), 0);
    }
    CHECK(0 && "no event");
    return event;
}

static void starttls(int by_hand)
{
    struct bench b = trusting();
    const chttp_mock_tls postgres = {.size = sizeof postgres, .alpn = "", .name = "service.test", .name_len = Z};
    LISTEN(&b, "192.0.2.1:5432", 0, EXPECT("STARTTLS\r\n"), SEND("220 go\r\n"), NUMBER(DELAY, SECOND_NS), TLS(&postgres),
           EXPECT("ping"), SEND("pong"), STEP(EXPECT_END), STEP(CLOSE));
    chttp_request request = request_for("http://service.test:5432");
    request.flags = CHTTP_REQ_RAW;
    chttp_xid xid = submit_one(b.engine, b.queue, &request);
    char heard[64] = "";
    int secured = 0;
    for (int over = 0; !over;) {
        chttp_event event = next(&b, by_hand);
        if (event.error != 0) fprintf(stderr, "event %u: %s\n", event.kind, chttp_error_name(event.error));
        CHECK_EQ(event.error, 0);
        if (event.kind == CHTTP_EV_HEADERS) {
            CHECK_EQ(chttp_body_write(b.engine, xid, "STARTTLS\r\n", 10), 0);
        } else if (event.kind == CHTTP_EV_STREAM_TLS) {
            secured = 1;
            CHECK_EQ(chttp_body_write(b.engine, xid, "ping", 4), 0);
        } else if (event.kind == CHTTP_EV_BODY) {
            strncat(heard, event.data, (size_t)event.len);
            if (strcmp(heard, "220 go\r\n") == 0)
                CHECK_EQ(chttp_stream_start_tls(b.engine, xid, NULL, "service.test", Z, NULL), 0);
            if (strcmp(heard, "220 go\r\npong") == 0) CHECK_EQ(chttp_body_end(b.engine, xid, NULL, 0, NULL), 0);
        }
        over = is_terminal(&event);
        event_free(&event);
    }
    CHECK(secured);
    CHECK_STR(heard, "220 go\r\npong");
    sent_is(&b, 0, "STARTTLS\r\nping");
    bench_end_as_scripted(&b);
}

static void bad_settings(void)
{
    static const char long_name[300];
    static const struct {
        chttp_mock_tls tls;
        int32_t code;
        const char *rule;
    } rows[] = {
        {{.flags = 8}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.flags"},
        {{.flags = CHTTP_MOCK_TLS_EXPIRED | CHTTP_MOCK_TLS_NOT_YET_VALID}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.flags"},
        {{.version = 11}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.version is 11"},
        {{.alert = 256}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.alert is 256"},
        {{.alpn = long_name, .alpn_len = sizeof long_name}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.alpn has 300 bytes"},
        {{.alpn_len = 3}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.alpn: NULL"},
        {{.name = "", .name_len = 0}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.name"},
        {{.name = "\xc3\xa4.test", .name_len = Z}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.name"},
        {{.cipher = "TLS_NULL_WITH_NULL_NULL", .cipher_len = Z}, CHTTP_E_INVALID_ARG, "chttp_mock_tls.cipher"},
        {{.version = 12, .cipher = "TLS_AES_128_GCM_SHA256", .cipher_len = Z}, CHTTP_E_INVALID_ARG, "cipher"},
        {{.cipher = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", .cipher_len = Z}, CHTTP_E_INVALID_ARG, "cipher"},
    };
    struct bench b = trusting();
    char text[512];
    for (size_t i = 0; i < COUNT(rows); i++) {
        chttp_mock_tls tls = rows[i].tls;
        chttp_error *error = NULL;
        tls.size = sizeof tls;
        const chttp_mock_step step = TLS(&tls);
        CHECK_EQ(chttp_mock_listen(b.mock, AT, Z, &step, 1, 0, &error), rows[i].code);
        chttp_error_message(error, text, sizeof text);
        if (strstr(text, rows[i].rule) == NULL) fprintf(stderr, "\"%s\" instead of \"%s\"\n", text, rows[i].rule);
        CHECK(strstr(text, rows[i].rule) != NULL);
        CHECK(strstr(text, "step 0") != NULL);
        chttp_release(error);
    }
    /* The size is that of the step, and of the struct. */
    chttp_mock_tls tls = {.size = sizeof tls};
    for (size_t len = 1; len < sizeof tls; len++) {
        const chttp_mock_step step = {.kind = CHTTP_MOCK_TLS, .data = (const char *)&tls, .len = len};
        CHECK_EQ(chttp_mock_listen(b.mock, AT, Z, &step, 1, 0, NULL), CHTTP_E_INVALID_SIZE);
    }
    tls.size = 8;
    const chttp_mock_step step = TLS(&tls), no_close = NUMBER(CLOSE, 2), nowhere = {.kind = CHTTP_MOCK_TLS, .len = 4};
    CHECK_EQ(chttp_mock_listen(b.mock, AT, Z, &step, 1, 0, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_mock_listen(b.mock, AT, Z, &no_close, 1, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_listen(b.mock, AT, Z, &nowhere, 1, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_authority(NULL, text, sizeof text), CHTTP_E_INVALID_ARG);
    bench_end_as_scripted(&b);
}

int main(void)
{
    an_exchange_in_plaintext();
    what_a_peer_insists_on();
    handshakes_that_fail();
    ends();
    starttls(0);
    starttls(1);
    bad_settings();
    return 0;
}
