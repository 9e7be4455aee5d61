/*
 * https through the poll-fd, in both drives: what was agreed on, settings of the engine and of a request, who is trusted and
 * who we are, sessions that go on, bodies in both directions and one that is cut off, and an engine that is destroyed in the
 * middle of a handshake. The server is the harness's (tests/tls_server): the environment says where it is.
 */
#define _GNU_SOURCE

#include "support/engine.h"

static struct test_server plain;

static const char *told(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fprintf(stderr, "%s is not set: `cargo test --test c_api` runs this\n", name);
    CHECK(value != NULL);
    return value;
}

static const char *url_of(const char *path, char *buffer, size_t size)
{
    snprintf(buffer, size, "https://127.0.0.1:%s%s", told("CHTTP_TEST_TLS_PORT"), path);
    return buffer;
}

static void trust(chttp_config *config, const char *whom)
{
    const char *ca = told(whom);
    CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, ca, strlen(ca), NULL), 0);
}

/* An engine that trusts the server. */
static chttp_engine *trusting(int io_threads)
{
    chttp_config *config = NULL;
    chttp_engine *engine = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, io_threads, NULL), 0);
    trust(config, "CHTTP_TEST_TLS_CA");
    CHECK_EQ(chttp_engine_new(config, &engine, NULL), 0);
    chttp_config_free(config);
    return engine;
}

/* Settings with one more option; `identity`: we show who we are. */
static chttp_tls *settings(const char *whom, uint32_t option, int64_t value, int identity)
{
    chttp_config *config = NULL;
    chttp_tls *tls = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    trust(config, whom);
    if (option != 0)
        CHECK_EQ(chttp_config_set_i64(config, option, value, NULL), 0);
    if (identity) {
        const char *me = told("CHTTP_TEST_TLS_IDENTITY");
        CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CERT_PEM, me, strlen(me), NULL), 0);
    }
    CHECK_EQ(chttp_tls_new(config, &tls, NULL), 0);
    chttp_config_free(config);
    return tls;
}

/* What came of one request, with what was agreed on. */
struct outcome {
    struct answer answer;
    chttp_tls_info tls;
    int secured, reused;
    char message[512];
};

/* Runs a request under `tls`, which is released as soon as it is submitted. */
static struct outcome run(chttp_engine *engine, chttp_queue *queue, chttp_request request, chttp_tls *tls)
{
    struct outcome o;
    memset(&o, 0, sizeof o);
    request.tls = tls;
    chttp_xid xid = submit_one(engine, queue, &request);
    chttp_tls_release(tls);
    for (int last = 0; !last;) {
        chttp_event event = next_event(queue);
        CHECK_EQ(event.xid, xid);
        if (event.kind == CHTTP_EV_HEADERS || event.kind == CHTTP_EV_RESPONSE) {
            int32_t code = chttp_response_tls(event.obj, &o.tls, sizeof o.tls);
            CHECK(code == 0 || code == CHTTP_E_NOT_FOUND);
            o.secured = code == 0;
            o.reused = chttp_response_connection_reused(event.obj);
        }
        if (event.error != 0)
            CHECK(chttp_error_message(event.obj, o.message, sizeof o.message) > 0);
        last = answer_add(&o.answer, &event);
        event_free(&event);
    }
    return o;
}

static struct outcome get(chttp_engine *engine, chttp_queue *queue, const char *path, uint32_t flags, chttp_tls *tls)
{
    char url[128];
    chttp_request request = request_for(url_of(path, url, sizeof url));
    request.flags = flags;
    return run(engine, queue, request, tls);
}

static void agreement(chttp_engine *engine, chttp_queue *queue)
{
    char url[128];
    for (int i = 0; i < 2; i++) {
        struct outcome o = get(engine, queue, "/", i == 0 ? 0 : CHTTP_REQ_COLLECT | CHTTP_REQ_CLOSE, NULL);
        CHECK_STR(o.answer.text, "hello\n");
        CHECK(o.answer.error == 0 && o.secured && o.reused == i);
        CHECK(o.tls.size == sizeof o.tls && o.tls.version == 13 && o.tls.resumed == 0);
        CHECK(strncmp(o.tls.cipher_suite, "TLS_", 4) == 0 && o.tls.group[0] != 0);
        CHECK_STR(o.tls.alpn, "http/1.1");
    }
    /* The connection was closed; its session goes on. */
    struct outcome o = get(engine, queue, "/", 0, NULL);
    CHECK(o.answer.error == 0 && !o.reused && o.tls.resumed == 1);
    /* Not under other settings, though, and not where none is kept. */
    for (int i = 0; i < 2; i++) {
        o = get(engine, queue, "/", 0, settings("CHTTP_TEST_TLS_CA", CHTTP_OPT_TLS_SESSION_CACHE, 0, 0));
        CHECK(o.answer.error == 0 && !o.reused && o.tls.resumed == 0);
    }
    o = get(engine, queue, "/", 0, settings("CHTTP_TEST_TLS_CA", CHTTP_OPT_TLS_MAX_VERSION, 12, 0));
    CHECK(o.answer.error == 0 && o.tls.version == 12 && o.tls.resumed == 0);
    o = run(engine, queue, request_for(test_server_url(&plain, "/", url, sizeof url)), NULL);
    CHECK(o.answer.error == 0 && !o.secured);
}

static void identities(chttp_engine *engine, chttp_queue *queue)
{
    struct outcome o = get(engine, queue, "/who", 0, settings("CHTTP_TEST_TLS_CA", 0, 0, 1));
    CHECK_STR(o.answer.text, "known\n");
    o = get(engine, queue, "/who", 0, NULL);
    CHECK_STR(o.answer.text, "nobody\n");
    o = get(engine, queue, "/who", 0, settings("CHTTP_TEST_TLS_OTHER_CA", 0, 0, 0));
    CHECK_EQ(o.answer.error, CHTTP_E_TLS_CERT_UNKNOWN_CA);
    CHECK(o.answer.heads == 0 && strstr(o.message, "127.0.0.1") != NULL && strstr(o.message, "not trusted") != NULL);
    o = get(engine, queue, "/who", 0,
            settings("CHTTP_TEST_TLS_OTHER_CA", CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, 1, 0));
    CHECK_STR(o.answer.text, "nobody\n");
}

static void bodies(chttp_engine *engine, chttp_queue *queue)
{
    static char large[300000];
    char url[128];
    struct outcome o = get(engine, queue, "/bytes/3000000", 0, NULL);
    CHECK(o.answer.error == 0 && o.answer.len == 3000000);
    memset(large, 'y', sizeof large);
    chttp_request request = request_for(url_of("/echo", url, sizeof url));
    request.method = "POST";
    request.method_len = 4;
    request.body = large;
    request.body_len = sizeof large;
    o = run(engine, queue, request, NULL);
    CHECK(o.answer.error == 0 && o.answer.len == sizeof large && o.answer.text[0] == 'y' && o.answer.write_done == 1);
    o = get(engine, queue, "/close", 0, NULL);
    CHECK(o.answer.error == 0 && o.answer.len == 6);
    o = get(engine, queue, "/cut", 0, NULL);
    CHECK_EQ(o.answer.error, CHTTP_E_TRUNCATED_BODY);
    CHECK_STR(o.answer.text, "hello\n");
}

/* The handshake has begun when the engine goes. */
static void abandoned(int io_threads)
{
    char url[128];
    chttp_engine *engine = trusting(io_threads);
    chttp_queue *queue = queue_make(engine);
    for (int i = 0; i < 4; i++)
        submit_get(engine, queue, url_of("/", url, sizeof url), 0, 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    await_terminals(queue, 4);
    chttp_queue_destroy(queue);
}

int main(void)
{
    CHECK_EQ(test_server_start(&plain), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = trusting(drive);
        chttp_queue *queue = queue_make(engine);
        agreement(engine, queue);
        identities(engine, queue);
        bodies(engine, queue);
        CHECK_EQ(stats_of(engine).exchanges, 0);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        chttp_queue_destroy(queue);
        abandoned(drive);
    }
    test_server_stop(&plain);
    return 0;
}
