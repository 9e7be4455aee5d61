/*
 * A unit test of a function that talks HTTP, without a network: the peers are scripts, and the waiting takes no time.
 *
 *     cc mock_test.c $(pkg-config --cflags --libs chttpcore) -o mock_test && ./mock_test
 */
#include <chttpcore.h>
#include <stdio.h>
#include <string.h>

#define LEN ((size_t)CHTTP_NUL_TERMINATED)
#define SECOND 1000000000ull
#define CHECK(what) ((what) ? (void)0 : (void)(failures++, printf("line %d: %s\n", __LINE__, #what)))

static int failures;

/* ---- what is tested: a function of some program ---- */

/*
 * The text behind a URL. A server that is overloaded, or says nothing for two seconds, is asked up to three times.
 * Returns the status, or the code of the last failure.
 */
static int get_text(chttp_engine *engine, const char *url, char *text, size_t size)
{
    int outcome = 0;
    for (int attempt = 0; attempt < 3; attempt++) {
        chttp_response *response = NULL;
        chttp_request request = {
            .size = sizeof request, .url = url, .url_len = LEN, .read_timeout_ns = 2 * SECOND};
        outcome = chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL);
        if (outcome == 0) {
            const char *data = NULL;
            size_t len = 0;
            outcome = chttp_response_status(response);
            chttp_response_body(response, &data, &len);
            snprintf(text, size, "%.*s", (int)len, len > 0 ? data : "");
            chttp_release(response);
        }
        if (outcome != 503 && outcome != CHTTP_E_TIMEOUT_READ) break;
    }
    return outcome;
}

/* ---- its test ---- */

#define SERVICE "http://service.test/greeting"
#define HEAD "GET /greeting HTTP/1.1\r\nHost: service.test\r\n\r\n"

static const chttp_mock_step overloaded[] = {
    {.kind = CHTTP_MOCK_EXPECT, .data = HEAD, .len = LEN},
    {.kind = CHTTP_MOCK_SEND, .data = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", .len = LEN},
    {.kind = CHTTP_MOCK_CLOSE},
};
static const chttp_mock_step silent[] = {
    {.kind = CHTTP_MOCK_EXPECT, .data = HEAD, .len = LEN},
};
/* Byte by byte, for whoever believes that one read is one answer. */
static const chttp_mock_step well[] = {
    {.kind = CHTTP_MOCK_EXPECT, .data = HEAD, .len = LEN},
    {.kind = CHTTP_MOCK_DELAY, .number = SECOND},
    {.kind = CHTTP_MOCK_SEND, .data = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", .len = LEN, .number = 1},
};

static void put(chttp_backend *mock, const chttp_mock_step *steps, size_t n, uint32_t flags)
{
    CHECK(chttp_mock_listen(mock, "192.0.2.1:80", LEN, steps, n, flags, NULL) == 0);
}

#define LISTEN(mock, steps, flags) put(mock, steps, sizeof(steps) / sizeof *(steps), flags)

int main(void)
{
    chttp_backend *mock = NULL;
    chttp_config *config = NULL;
    chttp_engine *engine = NULL;
    char text[64] = "";
    CHECK(chttp_mock_new(&mock, NULL) == 0);
    CHECK(chttp_config_new(&config) == 0);
    CHECK(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 0, NULL) == 0);
    CHECK(chttp_config_set_obj(config, CHTTP_OPT_BACKEND, mock, NULL) == 0);
    CHECK(chttp_engine_new(config, &engine, NULL) == 0);
    chttp_config_free(config);
    CHECK(chttp_mock_resolve(mock, "service.test", LEN, "192.0.2.1", LEN, NULL) == 0);

    LISTEN(mock, overloaded, 0);
    LISTEN(mock, silent, 0);
    LISTEN(mock, well, 0);
    uint64_t began = chttp_mock_now(mock);
    CHECK(get_text(engine, SERVICE, text, sizeof text) == 200);
    CHECK(strcmp(text, "hello") == 0);
    CHECK(chttp_mock_connection_count(mock) == 3);
    uint64_t took = chttp_mock_now(mock) - began;
    CHECK(took >= 3 * SECOND && took < 4 * SECOND);

    /* It gives up after three times. The connection that was kept has no script left, and says nothing either. */
    LISTEN(mock, silent, CHTTP_MOCK_ALWAYS);
    CHECK(get_text(engine, SERVICE, text, sizeof text) == CHTTP_E_TIMEOUT_READ);

    char wrong[1024];
    CHECK(chttp_mock_mismatches(mock, wrong, sizeof wrong) == 0);
    chttp_engine_destroy(engine);
    chttp_release(mock);
    puts(failures == 0 ? "passed" : "failed");
    return failures != 0;
}
