/*
 * Structs grow at their end, and either side may be the older one: for each struct that has a size, the sizes that are
 * impossible, one that is shorter, the one of today, and one that is longer, with zeros behind it and with something
 * else.
 */
#include "support/engine.h"

#define LATER 64 /* bytes of a later version */
#define IMPOSSIBLE 5

static const size_t impossible[IMPOSSIBLE] = {0, 1, 7, 4097, SIZE_MAX};
static chttp_engine *engine;
static chttp_queue *queue;
static chttp_response *response, *secured;
static chttp_backend *mock;

/* ---- structs that the library fills in ---- */

static int32_t fill_option(void *out, size_t size)
{
    return chttp_option_describe(0, out, size);
}

static int32_t fill_stats(void *out, size_t size)
{
    return chttp_engine_stats(engine, out, size);
}

static int32_t fill_timing(void *out, size_t size)
{
    return chttp_response_timing(response, out, size);
}

static int32_t fill_tls_info(void *out, size_t size)
{
    return chttp_response_tls(secured, out, size);
}

static int32_t fill_mock_record(void *out, size_t size)
{
    return chttp_mock_connection(mock, 0, out, size);
}

static const struct filled {
    const char *name;
    uint32_t id;
    size_t size;
    int has_size; /* its first field says how much was filled in */
    int32_t (*fill)(void *out, size_t size);
} filled[] = {
    {"chttp_mock_record", CHTTP_STRUCT_MOCK_RECORD, sizeof(chttp_mock_record), 1, fill_mock_record},
    {"chttp_option", CHTTP_STRUCT_OPTION, sizeof(chttp_option), 0, fill_option},
    {"chttp_stats", CHTTP_STRUCT_STATS, sizeof(chttp_stats), 1, fill_stats},
    {"chttp_timing", CHTTP_STRUCT_TIMING, sizeof(chttp_timing), 1, fill_timing},
    {"chttp_tls_info", CHTTP_STRUCT_TLS_INFO, sizeof(chttp_tls_info), 1, fill_tls_info},
};

static int all(const unsigned char *bytes, size_t len, unsigned char value)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != value) return 0;
    return 1;
}

static void fills(const struct filled *row)
{
    static union {
        unsigned char bytes[4096 + LATER];
        uint64_t aligned;
    } room;
    uint32_t told;
    CHECK_EQ(chttp_struct_size(row->id), row->size);
    CHECK_EQ(row->fill(NULL, row->size), CHTTP_E_INVALID_ARG);
    for (size_t i = 0; i < IMPOSSIBLE; i++) {
        memset(room.bytes, 0xee, sizeof room.bytes);
        CHECK_EQ(row->fill(room.bytes, impossible[i]), CHTTP_E_INVALID_SIZE);
        CHECK(all(room.bytes, sizeof room.bytes, 0xee));
    }
    /* From the shortest to one of a later version: nothing is written behind it, and zeros where nothing is known. */
    for (size_t size = 8; size <= row->size + LATER; size += 8) {
        memset(room.bytes, 0xee, sizeof room.bytes);
        CHECK_EQ(row->fill(room.bytes, size), 0);
        CHECK(all(room.bytes + size, sizeof room.bytes - size, 0xee));
        if (size > row->size) CHECK(all(room.bytes + row->size, size - row->size, 0));
        memcpy(&told, room.bytes, sizeof told);
        if (row->has_size) CHECK_EQ(told, size < row->size ? size : row->size);
    }
    CHECK_EQ(row->fill(room.bytes, 4096), 0);
}

/* ---- the struct that it reads ---- */

static int32_t by_submit(const chttp_request *request, chttp_error **error)
{
    int32_t code = chttp_submit(engine, queue, request, 1, 0, NULL, error);
    if (code == 0) await_terminals(queue, 1);
    return code;
}

static int32_t by_perform(const chttp_request *request, chttp_error **error)
{
    chttp_response *answer = NULL;
    int32_t code = chttp_perform(engine, request, CHTTP_UNLIMITED, &answer, error);
    chttp_release(answer);
    return code;
}

static int32_t by_preconnect(const chttp_request *request, chttp_error **error)
{
    return chttp_engine_preconnect(engine, request, 1, error);
}

static const struct reader {
    const char *name;
    int32_t (*read)(const chttp_request *request, chttp_error **error);
} readers[] = {
    {"chttp_submit", by_submit},
    {"chttp_perform", by_perform},
    {"chttp_engine_preconnect", by_preconnect},
};

static void reads(const struct reader *row, const char *url)
{
    struct {
        chttp_request request;
        unsigned char later[LATER];
    } larger;
    chttp_error *error = NULL;
    for (size_t i = 0; i < IMPOSSIBLE; i++) {
        chttp_request request = request_for(url);
        request.size = (uint32_t)impossible[i];
        CHECK_EQ(row->read(&request, &error), CHTTP_E_INVALID_SIZE);
        CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_SIZE);
        chttp_release(error);
    }
    /* What is missing is zero, whatever stands there. */
    for (uint32_t size = 32; size <= sizeof(chttp_request); size += 8) {
        memset(&larger, 0xff, sizeof larger);
        chttp_request known = request_for(url);
        memcpy(&larger.request, &known, size);
        larger.request.size = size;
        CHECK_EQ(row->read(&larger.request, NULL), 0);
    }
    /* Before the URL: there is none. */
    for (uint32_t size = 16; size < 32; size += 8) {
        chttp_request request = request_for(url);
        request.size = size;
        CHECK_EQ(row->read(&request, NULL), CHTTP_E_INVALID_URL);
    }
    for (uint32_t more = 1; more <= LATER; more++) {
        memset(&larger, 0xff, sizeof larger);
        larger.request = request_for(url);
        larger.request.size = (uint32_t)sizeof(chttp_request) + more;
        memset(larger.later, 0, more);
        CHECK_EQ(row->read(&larger.request, NULL), 0);
        larger.later[more - 1] = 1;
        error = NULL;
        CHECK_EQ(row->read(&larger.request, &error), CHTTP_E_UNSUPPORTED_FIELD);
        CHECK_EQ(chttp_error_code(error), CHTTP_E_UNSUPPORTED_FIELD);
        chttp_release(error);
    }
}

/* ---- arrays of a struct that may become larger ---- */

static void strides(const char *url)
{
    struct larger {
        chttp_request request;
        unsigned char later[LATER];
    } requests[3];
    struct {
        chttp_event event;
        uint64_t later[2];
    } events[8];
    memset(requests, 0, sizeof requests);
    for (int i = 0; i < 3; i++) {
        requests[i].request = request_for(url);
        requests[i].request.flags = CHTTP_REQ_COLLECT;
        requests[i].request.size = sizeof *requests;
    }
    static const size_t wrong[] = {1, 8, 15, 20, SIZE_MAX, SIZE_MAX - 7, (size_t)1 << 40};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQ(chttp_submit(engine, queue, &requests->request, 3, wrong[i], NULL, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_submit(engine, queue, &requests->request, 3, sizeof *requests, NULL, NULL), 0);
    for (unsigned left = 3; left > 0;) {
        CHECK_EQ(polled(chttp_queue_fd(queue), GUARD_MS), POLLIN);
        memset(events, 0xee, sizeof events);
        int32_t n = chttp_queue_drain(queue, &events->event, 8, sizeof *events);
        CHECK(n >= 0 && (unsigned)n <= left);
        for (int32_t i = 0; i < n; i++) {
            CHECK(events[i].event.kind == CHTTP_EV_RESPONSE);
            CHECK(events[i].later[0] == 0xeeeeeeeeeeeeeeeeull && events[i].later[1] == 0xeeeeeeeeeeeeeeeeull);
            left--;
        }
        CHECK_EQ(chttp_events_release(&events->event, (uint32_t)n, sizeof *events), 0);
    }
}

/* A mock with a connection, which was refused. */
static chttp_backend *connected_mock(void)
{
    chttp_backend *made = NULL;
    chttp_config *config = NULL;
    chttp_engine *on_mock = NULL;
    chttp_response *answer = NULL;
    chttp_request request = request_for("http://127.0.0.1/");
    CHECK_EQ(chttp_mock_new(&made, NULL), 0);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, 0, NULL), 0);
    CHECK_EQ(chttp_config_set_obj(config, CHTTP_OPT_BACKEND, made, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &on_mock, NULL), 0);
    chttp_config_free(config);
    CHECK_EQ(chttp_perform(on_mock, &request, CHTTP_UNLIMITED, &answer, NULL), CHTTP_E_CONNECT_REFUSED);
    CHECK_EQ(chttp_engine_destroy(on_mock), 0);
    return made;
}

/* An answer over TLS, so that there is something to tell. */
static chttp_response *ask_secured(void)
{
    char url[64];
    const char *ca = getenv("CHTTP_TEST_TLS_CA"), *port = getenv("CHTTP_TEST_TLS_PORT");
    chttp_config *config = NULL;
    chttp_tls *tls = NULL;
    chttp_response *answer = NULL;
    CHECK(ca != NULL && port != NULL);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, ca, strlen(ca), NULL), 0);
    CHECK_EQ(chttp_tls_new(config, &tls, NULL), 0);
    chttp_config_free(config);
    snprintf(url, sizeof url, "https://127.0.0.1:%s/", port);
    chttp_request request = request_for(url);
    request.tls = tls;
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &answer, NULL), 0);
    chttp_tls_release(tls);
    return answer;
}

int main(void)
{
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", url, sizeof url);
    engine = engine_make(1, NULL);
    queue = queue_make(engine);
    chttp_request request = request_for(url);
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL), 0);
    secured = ask_secured();
    mock = connected_mock();
    for (size_t i = 0; i < sizeof filled / sizeof *filled; i++)
        fills(&filled[i]);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        reads(&readers[i], url);
    strides(url);
    chttp_release(response);
    chttp_release(secured);
    chttp_release(mock);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
    test_server_stop(&server);
    return 0;
}
