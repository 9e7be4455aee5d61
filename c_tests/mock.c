/*
 * The mock: each step of a script, names, the virtual clock, and the record. No socket is opened, and an hour takes no
 * time.
 */
#include "support/mock_bench.h"

#define HERE "127.0.0.1:80"
#define URL "http://127.0.0.1/"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define GET "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
#define HOUR_NS (3600 * SECOND_NS)

#define SPLIT(text, n) {.kind = CHTTP_MOCK_SEND, .data = (text), .len = Z, .number = (n)}

static chttp_mock_record record_of(const struct bench *b, uint32_t n)
{
    chttp_mock_record record;
    CHECK_EQ(chttp_mock_connection(b->mock, n, &record, sizeof record), 0);
    CHECK_EQ(record.size, sizeof record);
    return record;
}

static void sent_is(const struct bench *b, uint32_t n, const char *expected)
{
    char bytes[1024];
    size_t len = 0;
    CHECK_EQ(chttp_mock_sent(b->mock, n, bytes, sizeof bytes, &len), 0);
    CHECK_MEM(bytes, len, expected, strlen(expected));
    CHECK_EQ(record_of(b, n).sent, len);
}

/* Performs a request, and compares the body or the code. */
static void perform(const struct bench *b, const chttp_request *request, int32_t code, const char *body)
{
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    const char *data = NULL;
    size_t len = 0;
    CHECK_EQ(chttp_perform(b->engine, request, CHTTP_UNLIMITED, &response, &error), code);
    if (code == 0) {
        CHECK_EQ(chttp_response_body(response, &data, &len), 0);
        CHECK_MEM(data, len, body, strlen(body));
    }
    chttp_release(response);
    chttp_release(error);
}

static void get(const struct bench *b, const char *url, int32_t code)
{
    chttp_request request = request_for(url);
    perform(b, &request, code, "hi");
}

/* ---- steps ---- */

static void exchange_with_exact_bytes(void)
{
    struct bench b = bench_make();
    LISTEN(&b, HERE, 0, EXPECT(GET), SEND(OK), AGAIN);
    for (int i = 0; i < 3; i++) get(&b, URL, 0);
    CHECK_EQ(chttp_mock_connection_count(b.mock), 1);
    sent_is(&b, 0, GET GET GET);
    CHECK_EQ(record_of(&b, 0).unread, 0);
    CHECK_EQ(record_of(&b, 0).closed, CHTTP_MOCK_OPEN);
    CHECK_EQ(record_of(&b, 0).step, 0);
    mismatches(&b, "");
    CHECK_EQ(chttp_mock_now(b.mock), SECOND_NS);
    bench_end(&b);
}

static void what_is_not_expected_is_told(void)
{
    struct bench b = bench_make();
    LISTEN(&b, HERE, 0, EXPECT("POST"));
    chttp_request request = request_for(URL);
    request.flags = CHTTP_REQ_CLOSE;
    perform(&b, &request, CHTTP_E_CONNECTION_LOST, NULL);
    char text[512];
    CHECK(chttp_mock_mismatches(b.mock, text, sizeof text) > 0);
    CHECK(strstr(text, "connection 0, step 0: expected \"POST\", got \"GET / HTTP/1.1") == text);
    bench_end(&b);
}

static void pieces(void)
{
    struct bench b = bench_make();
    LISTEN(&b, HERE, CHTTP_MOCK_ALWAYS, EXPECT_HEAD, NUMBER(SHORT_WRITES, 3), NUMBER(EXPECT_BYTES, 10),
           NUMBER(SHORT_WRITES, 0), SPLIT(OK, 1), AGAIN);
    chttp_request request = request_for(URL);
    request.method = "POST";
    request.method_len = 4;
    request.body = "0123456789";
    request.body_len = 10;
    perform(&b, &request, 0, "hi");
    perform(&b, &request, 0, "hi");
    CHECK_EQ(chttp_mock_connection_count(b.mock), 1);
    mismatches(&b, "");
    bench_end(&b);
}

static void peers_that_end(void)
{
    struct bench b = bench_make();
    /* An answer without a length ends with the connection. */
    LISTEN(&b, HERE, 0, EXPECT_HEAD, SEND("HTTP/1.1 200 OK\r\n\r\nh"), DELAY(SECOND_NS), SEND("i"), STEP(CLOSE));
    get(&b, URL, 0);
    CHECK_EQ(chttp_mock_now(b.mock), 2 * SECOND_NS);
    CHECK_EQ(record_of(&b, 0).closed, CHTTP_MOCK_CLOSED);
    CHECK(record_of(&b, 0).flags & CHTTP_MOCK_DONE);
    /* One that is reset does not. */
    LISTEN(&b, HERE, 0, EXPECT_HEAD, SEND("HTTP/1.1 200 OK\r\n\r\nh"), STEP(RESET));
    get(&b, URL, CHTTP_E_CONNECTION_LOST);
    LISTEN(&b, HERE, 0, EXPECT_HEAD, SEND("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi"), STEP(CLOSE));
    get(&b, URL, CHTTP_E_TRUNCATED_BODY);
    CHECK_EQ(chttp_mock_connection_count(b.mock), 3);
    mismatches(&b, "");
    bench_end(&b);
}

static void a_kept_connection_that_dies_is_tried_again(void)
{
    struct bench b = bench_make();
    chttp_stats stats;
    LISTEN(&b, HERE, 0, EXPECT_HEAD, SEND(OK), EXPECT_HEAD, STEP(RESET));
    LISTEN(&b, HERE, 0, EXPECT(GET), SEND(OK));
    get(&b, URL, 0);
    get(&b, URL, 0);
    CHECK_EQ(chttp_mock_connection_count(b.mock), 2);
    sent_is(&b, 0, GET GET);
    sent_is(&b, 1, GET);
    CHECK_EQ(chttp_engine_stats(b.engine, &stats, sizeof stats), 0);
    CHECK_EQ(stats.retried, 1);
    bench_end(&b);
}

static void attempts_to_connect(void)
{
    struct bench b = bench_make();
    /* Nobody listens. */
    get(&b, URL, CHTTP_E_CONNECT_REFUSED);
    LISTEN(&b, HERE, 0, NUMBER(CONNECT_DELAY, SECOND_NS), STEP(REFUSE));
    get(&b, URL, CHTTP_E_CONNECT_REFUSED);
    CHECK_EQ(chttp_mock_now(b.mock), 2 * SECOND_NS);
    LISTEN(&b, HERE, 0, STEP(HANG));
    get(&b, URL, CHTTP_E_TIMEOUT_CONNECT);
    CHECK_EQ(chttp_mock_now(b.mock), 32 * SECOND_NS);
    LISTEN(&b, HERE, 0, NUMBER(CONNECT_DELAY, 29 * SECOND_NS), EXPECT_HEAD, SEND(OK));
    get(&b, URL, 0);
    CHECK_EQ(chttp_mock_now(b.mock), 61 * SECOND_NS);
    CHECK_EQ(chttp_mock_connection_count(b.mock), 4);
    bench_end(&b);
}

static void a_tunnel_to_its_end(void)
{
    struct bench b = bench_make();
    LISTEN(&b, HERE, 0, EXPECT_HEAD, SEND("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
           STEP(STOP_READING), DELAY(SECOND_NS), STEP(RESUME_READING), EXPECT("ping"), SEND("pong"), STEP(EXPECT_END),
           STEP(CLOSE));
    const chttp_field headers[] = {{"Connection", Z, "upgrade", Z}, {"Upgrade", Z, "x", Z}};
    chttp_request request = request_for(URL);
    char body[16] = "";
    request.headers = headers;
    request.headers_len = 2;
    request.flags = CHTTP_REQ_STREAM_BODY;
    chttp_xid xid = submit_one(b.engine, b.queue, &request);
    for (int over = 0; !over;) {
        chttp_event event;
        CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
        CHECK_EQ(event.error, 0);
        if (event.kind == CHTTP_EV_HEADERS) {
            CHECK_EQ(event.arg, 101);
            CHECK_EQ(chttp_stream_fd(b.engine, xid), CHTTP_E_BAD_STATE);
            CHECK_EQ(chttp_body_write(b.engine, xid, "ping", 4), 0);
        } else if (event.kind == CHTTP_EV_BODY) {
            strncat(body, event.data, (size_t)event.len);
            CHECK_EQ(chttp_body_end(b.engine, xid, NULL, 0, NULL), 0);
        }
        over = is_terminal(&event);
        event_free(&event);
    }
    CHECK_STR(body, "pong");
    CHECK(record_of(&b, 0).flags & CHTTP_MOCK_FINISHED);
    CHECK(chttp_mock_now(b.mock) >= 2 * SECOND_NS);
    mismatches(&b, "");
    bench_end(&b);
}

static void unix_sockets_and_ipv6(void)
{
    struct bench b = bench_make();
    LISTEN(&b, "unix:/run/service", 0, EXPECT_HEAD, SEND(OK));
    LISTEN(&b, "[::1]:8080", 0, EXPECT_HEAD, SEND(OK));
    chttp_request request = request_for(URL);
    request.unix_path = "/run/service";
    request.unix_path_len = Z;
    perform(&b, &request, 0, "hi");
    get(&b, "http://[::1]:8080/", 0);
    mismatches(&b, "");
    bench_end(&b);
}

static void names(void)
{
    struct bench b = bench_make();
    CHECK_EQ(chttp_mock_resolve(b.mock, "Service.Test", Z, "192.0.2.1, 2001:db8::1", Z, NULL), 0);
    LISTEN(&b, "[2001:db8::1]:80", 0, STEP(HANG));
    LISTEN(&b, "192.0.2.1:80", 0, EXPECT("GET / HTTP/1.1\r\nHost: service.test\r\n\r\n"), SEND(OK));
    /* The address of the other family is tried a quarter of a second later (RFC 8305). */
    get(&b, "http://service.test/", 0);
    CHECK_EQ(chttp_mock_now(b.mock), SECOND_NS + 250 * MS_NS);
    get(&b, "http://localhost/", CHTTP_E_NAME_NOT_FOUND);
    CHECK_EQ(chttp_mock_resolve(b.mock, "localhost", Z, "127.0.0.1", Z, NULL), 0);
    LISTEN(&b, HERE, 0, EXPECT_HEAD, SEND(OK));
    get(&b, "http://localhost/", 0);
    mismatches(&b, "");
    bench_end(&b);
}

static void a_handshake_without_an_answer(void)
{
    struct bench b = bench_make();
    char byte = 0;
    /* A ClientHello comes, and nobody answers. */
    LISTEN(&b, "127.0.0.1:443", 0, NUMBER(EXPECT_BYTES, 5));
    chttp_request request = request_for("https://127.0.0.1/");
    request.tls_timeout_ns = HOUR_NS;
    chttp_config *config = NULL;
    chttp_tls *tls = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, 1, NULL), 0);
    CHECK_EQ(chttp_tls_new(config, &tls, NULL), 0);
    chttp_config_free(config);
    request.tls = tls;
    perform(&b, &request, CHTTP_E_TIMEOUT_TLS, NULL);
    CHECK_EQ(chttp_mock_now(b.mock), SECOND_NS + HOUR_NS);
    CHECK_EQ(chttp_mock_sent(b.mock, 0, &byte, 1, NULL), 0);
    CHECK_EQ(byte, 22);
    chttp_release(tls);
    bench_end(&b);
}

/* ---- the clock ---- */

static void waits_take_no_time(void)
{
    struct bench b = bench_make();
    chttp_event event;
    LISTEN(&b, HERE, 0, EXPECT_HEAD, DELAY(10 * HOUR_NS), SEND(OK));
    chttp_request request = request_for(URL);
    request.read_timeout_ns = CHTTP_UNLIMITED;
    request.flags = CHTTP_REQ_COLLECT;
    submit_one(b.engine, b.queue, &request);
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, 0), 0);
    CHECK_EQ(chttp_mock_now(b.mock), SECOND_NS);
    /* The timeout passes, and no more. */
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, HOUR_NS), 0);
    CHECK_EQ(chttp_mock_now(b.mock), SECOND_NS + HOUR_NS);
    /* As far as it has to. */
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    CHECK_EQ(chttp_mock_now(b.mock), SECOND_NS + 10 * HOUR_NS);
    CHECK_EQ(event.kind, CHTTP_EV_RESPONSE);
    CHECK_EQ(event.aux, 10 * HOUR_NS);
    event_free(&event);
    /* A wake-up ends a wait before any time has passed. */
    CHECK_EQ(chttp_queue_wakeup(b.queue), 0);
    uint64_t before = chttp_mock_now(b.mock);
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, HOUR_NS), 0);
    CHECK_EQ(chttp_mock_now(b.mock), before);
    /* The kept connection is closed in its time; then there is nothing that could come. */
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, CHTTP_UNLIMITED), CHTTP_E_BAD_STATE);
    CHECK_EQ(record_of(&b, 0).closed, CHTTP_MOCK_CLOSED);
    bench_end(&b);
}

static void time_by_hand(void)
{
    struct bench b = bench_make();
    chttp_event event;
    uint64_t at = 0;
    LISTEN(&b, HERE, 0, EXPECT_HEAD);
    chttp_request request = request_for(URL);
    request.read_timeout_ns = 5 * SECOND_NS;
    submit_one(b.engine, b.queue, &request);
    for (int i = 0; chttp_mock_next_event(b.mock, &at) == 0 && at <= chttp_mock_now(b.mock); i++) {
        CHECK(i < 100);
        CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 0);
    }
    CHECK_EQ(chttp_mock_now(b.mock), SECOND_NS);
    CHECK_EQ(chttp_mock_advance(b.mock, 5 * SECOND_NS - 1), 0);
    CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 0);
    CHECK_EQ(chttp_mock_advance(b.mock, MS_NS * 10), 0);
    CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 1);
    CHECK_EQ(event.error, CHTTP_E_TIMEOUT_READ);
    event_free(&event);
    bench_end(&b);
}

static void nothing_would_ever_come(void)
{
    struct bench b = bench_make();
    LISTEN(&b, HERE, 0, EXPECT_HEAD);
    chttp_request request = request_for(URL);
    request.read_timeout_ns = CHTTP_UNLIMITED;
    perform(&b, &request, CHTTP_E_BAD_STATE, NULL);
    CHECK_EQ(record_of(&b, 0).closed, CHTTP_MOCK_CLOSED_RESET);
    bench_end(&b);
}

/* ---- peers that answer what they were asked ---- */

static int32_t extend(const struct bench *b, uint32_t n, chttp_mock_step step)
{
    return chttp_mock_extend(b->mock, n, &step, 1, NULL);
}

static void a_peer_answers_what_it_was_asked(void)
{
    struct bench b = bench_make();
    chttp_event event;
    CHECK_EQ(chttp_mock_listen(b.mock, HERE, Z, NULL, 0, CHTTP_MOCK_ALWAYS, NULL), 0);
    chttp_request request = request_for(URL);
    request.flags = CHTTP_REQ_COLLECT;
    /* Twice on one connection: the script goes on behind its end. */
    for (uint64_t i = 1; i <= 2; i++) {
        submit_one(b.engine, b.queue, &request);
        CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 0);
        CHECK_EQ(record_of(&b, 0).sent, i * strlen(GET));
        CHECK_EQ(extend(&b, 0, (chttp_mock_step)EXPECT(GET)), 0);
        CHECK_EQ(record_of(&b, 0).unread, 0);
        CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 0);
        CHECK_EQ(extend(&b, 0, (chttp_mock_step)SEND(OK)), 0);
        CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 1);
        CHECK_EQ(event.kind, CHTTP_EV_RESPONSE);
        event_free(&event);
    }
    /* In its own time. */
    submit_one(b.engine, b.queue, &request);
    CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 0);
    CHECK_EQ(extend(&b, 0, (chttp_mock_step)NUMBER(DELAY, SECOND_NS)), 0);
    CHECK_EQ(extend(&b, 0, (chttp_mock_step)SEND(OK)), 0);
    CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 0);
    CHECK_EQ(chttp_queue_wait(b.queue, &event, 1, 0, CHTTP_UNLIMITED), 1);
    CHECK_EQ(event.error, 0);
    event_free(&event);
    CHECK_EQ(chttp_mock_now(b.mock), 2 * SECOND_NS);
    /* A connection that is over has nobody to speak to. */
    CHECK_EQ(extend(&b, 0, (chttp_mock_step)STEP(RESET)), 0);
    CHECK_EQ(extend(&b, 0, (chttp_mock_step)SEND(OK)), 0);
    CHECK_EQ(chttp_queue_drain(b.queue, &event, 1, 0), 0);
    CHECK_EQ(extend(&b, 0, (chttp_mock_step)SEND(OK)), 0);
    CHECK_EQ(chttp_mock_connection_count(b.mock), 1);
    CHECK(record_of(&b, 0).closed != CHTTP_MOCK_OPEN);

    const chttp_mock_step connected[] = {STEP(REFUSE), STEP(HANG), NUMBER(CONNECT_DELAY, 1), AGAIN};
    for (size_t i = 0; i < COUNT(connected); i++) CHECK_EQ(extend(&b, 0, connected[i]), CHTTP_E_INVALID_ARG);
    CHECK_EQ(extend(&b, 1, (chttp_mock_step)STEP(CLOSE)), CHTTP_E_NOT_FOUND);
    mismatches(&b, "");
    bench_end(&b);
}

/* ---- who may use it ---- */

static void one_engine_at_a_time_without_a_thread(void)
{
    struct bench b = bench_make();
    chttp_config *config = NULL;
    chttp_engine *engine = NULL;
    chttp_error *error = NULL;
    char text[256];
    CHECK_EQ(chttp_queue_fd(b.queue), CHTTP_E_BAD_STATE);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_obj(config, CHTTP_OPT_BACKEND, b.mock, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, &error), CHTTP_E_INVALID_ARG);
    chttp_error_message(error, text, sizeof text);
    CHECK(strstr(text, "io_threads") != NULL);
    chttp_release(error);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 0, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, NULL), CHTTP_E_BAD_STATE);
    /* Another one when the first is gone: the mock goes on. */
    CHECK_EQ(chttp_engine_destroy(b.engine), 0);
    CHECK_EQ(chttp_queue_destroy(b.queue), 0);
    CHECK_EQ(chttp_engine_new(config, &b.engine, NULL), 0);
    b.queue = queue_make(b.engine);
    chttp_config_free(config);
    LISTEN(&b, HERE, 0, EXPECT_HEAD, SEND(OK));
    get(&b, URL, 0);
    bench_end(&b);
}

static void bad_steps(void)
{
    static const struct {
        chttp_mock_step steps[2];
        size_t n;
        const char *rule;
    } rows[] = {
        {{{.kind = 0}}, 1, "step 0: kind 0: there is no such kind"},
        {{{.kind = 99}}, 1, "step 0: kind 99: there is no such kind"},
        {{{.kind = CHTTP_MOCK_CLOSE, .flags = 1}}, 1, "flags are not 0"},
        {{EXPECT("")}, 1, "no bytes are expected"},
        {{NUMBER(EXPECT_BYTES, 0)}, 1, "no bytes are expected"},
        {{STEP(CLOSE), STEP(REFUSE)}, 2, "step 1: "},
        {{STEP(HANG), STEP(CLOSE)}, 2, "step 0: "},
        {{STEP(CLOSE), NUMBER(CONNECT_DELAY, 1)}, 2, "the connection is there already"},
        {{AGAIN, EXPECT_HEAD}, 2, "it is not the last"},
        {{SEND("x"), AGAIN}, 2, "nothing before it waits"},
        {{{.kind = CHTTP_MOCK_SEND, .data = NULL, .len = 3}}, 1, "NULL with a length of 3"},
    };
    struct bench b = bench_make();
    for (size_t i = 0; i < COUNT(rows); i++) {
        chttp_error *error = NULL;
        char text[256];
        CHECK_EQ(chttp_mock_listen(b.mock, HERE, Z, rows[i].steps, rows[i].n, 0, &error), CHTTP_E_INVALID_ARG);
        chttp_error_message(error, text, sizeof text);
        if (strstr(text, rows[i].rule) == NULL) fprintf(stderr, "\"%s\" instead of \"%s\"\n", text, rows[i].rule);
        CHECK(strstr(text, rows[i].rule) != NULL);
        chttp_release(error);
    }
    /* None of them listens. */
    get(&b, URL, CHTTP_E_CONNECT_REFUSED);
    bench_end(&b);
}

int main(void)
{
    exchange_with_exact_bytes();
    what_is_not_expected_is_told();
    pieces();
    peers_that_end();
    a_kept_connection_that_dies_is_tried_again();
    attempts_to_connect();
    a_tunnel_to_its_end();
    unix_sockets_and_ipv6();
    names();
    a_handshake_without_an_answer();
    waits_take_no_time();
    time_by_hand();
    nothing_would_ever_come();
    a_peer_answers_what_it_was_asked();
    one_engine_at_a_time_without_a_thread();
    bad_steps();
    return 0;
}
