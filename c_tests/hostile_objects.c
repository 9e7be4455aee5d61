/*
 * Every function on configurations, objects and tables, abused: NULL for each pointer, objects of every other kind,
 * sizes, ids and lengths that cannot be. Each gets its documented code, and nothing is written where nothing was
 * promised.
 */
#include "support/hostile.h"

/* ---- texts by the rule of snprintf ---- */

static void any_text(const void *obj, int32_t (*tell)(const void *, char *, size_t))
{
    char room[2048], small[4] = "...";
    int32_t needed = tell(obj, NULL, 0);
    CHECK(needed >= 0);
    CHECK_EQ(tell(obj, NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(tell(obj, NULL, SIZE_MAX), CHTTP_E_INVALID_ARG);
    CHECK_EQ(tell(obj, small, 0), needed);
    CHECK_STR(small, "...");
    CHECK_EQ(tell(obj, small, 1), needed);
    CHECK_MEM(small, 3, "\0..", 3);
    /* As if there were room without end. */
    CHECK((size_t)needed < sizeof room);
    CHECK_EQ(tell(obj, room, SIZE_MAX), needed);
    CHECK_EQ(strlen(room), needed);
}

static int32_t tell_message(const void *obj, char *buf, size_t cap)
{
    return chttp_error_message(obj, buf, cap);
}

static int32_t tell_error_peer(const void *obj, char *buf, size_t cap)
{
    return chttp_error_peer(obj, buf, cap);
}

static int32_t tell_reason(const void *obj, char *buf, size_t cap)
{
    return chttp_response_reason(obj, buf, cap);
}

static int32_t tell_peer(const void *obj, char *buf, size_t cap)
{
    return chttp_response_peer(obj, buf, cap);
}

static int32_t tell_local(const void *obj, char *buf, size_t cap)
{
    return chttp_response_local(obj, buf, cap);
}

/* ---- an error, or what is none ---- */

/* A view of each object that is no error, NULL among them. */
#define NO_ERRORS(name)                                                                                                \
    const chttp_error *name[] = {NULL, (chttp_error *)w->response, w->body, w->line, (chttp_error *)w->tls}
#define EACH(array) for (size_t i = 0; i < COUNT(array); i++)

/* A function that asks an error for a number. */
#define ERROR_NUMBER(function, answer, invalid)                                                                        \
    HOSTILE(function)                                                                                                  \
    {                                                                                                                  \
        NO_ERRORS(others);                                                                                             \
        EACH(others) CHECK_EQ(function(others[i]), (invalid));                                                         \
        CHECK_EQ(function(w->error), (answer));                                                                        \
    }

ERROR_NUMBER(chttp_error_code, CHTTP_E_UNKNOWN_OPTION, CHTTP_E_INVALID_ARG)
ERROR_NUMBER(chttp_error_os_errno, 0, CHTTP_E_INVALID_ARG)
ERROR_NUMBER(chttp_error_phase, CHTTP_PHASE_QUEUED, CHTTP_E_INVALID_ARG)
ERROR_NUMBER(chttp_error_attempt, 0, CHTTP_E_INVALID_ARG)
ERROR_NUMBER(chttp_error_is_retryable, 0, CHTTP_E_INVALID_ARG)
ERROR_NUMBER(chttp_error_connection_reused, 0, CHTTP_E_INVALID_ARG)
ERROR_NUMBER(chttp_error_request_bytes_sent, 0, 0)

HOSTILE(chttp_error_native)
{
    NO_ERRORS(others);
    /* Of no meaning, and no harm. */
    EACH(others) (void)chttp_error_native(others[i]);
    CHECK_EQ(chttp_error_native(w->error), 0);
}

HOSTILE(chttp_error_message)
{
    NO_ERRORS(others);
    char text[8] = "....";
    EACH(others) CHECK_EQ(chttp_error_message(others[i], text, sizeof text), CHTTP_E_INVALID_ARG);
    CHECK_STR(text, "....");
    any_text(w->error, tell_message);
}

HOSTILE(chttp_error_peer)
{
    NO_ERRORS(others);
    char text[8] = "....";
    EACH(others) CHECK_EQ(chttp_error_peer(others[i], text, sizeof text), CHTTP_E_INVALID_ARG);
    CHECK_STR(text, "....");
    any_text(w->error, tell_error_peer);
}

static const int32_t no_codes[] = {1, -1, -99, -100, -999, -1000, 101, INT32_MAX, INT32_MIN};

HOSTILE(chttp_error_name)
{
    (void)w;
    EACH(no_codes) CHECK(chttp_error_name(no_codes[i]) == NULL);
    CHECK_STR(chttp_error_name(0), "CHTTP_OK");
}

HOSTILE(chttp_error_describe)
{
    (void)w;
    EACH(no_codes) CHECK(chttp_error_describe(no_codes[i]) == NULL);
}

HOSTILE(chttp_error_category)
{
    (void)w;
    EACH(no_codes) CHECK(chttp_error_category(no_codes[i]) == NULL);
    CHECK(chttp_error_category(0) == NULL);
}

HOSTILE(chttp_error_at)
{
    (void)w;
    CHECK_EQ(chttp_error_at(UINT32_MAX), 0);
    CHECK_EQ(chttp_error_at(INT32_MAX), 0);
    CHECK_EQ(chttp_error_at(1000), 0);
}

/* ---- a response, or what is none ---- */

#define NO_RESPONSES(name)                                                                                             \
    const chttp_response *name[] = {NULL, (chttp_response *)w->error, w->body, w->line, (chttp_response *)w->tls}

#define RESPONSE_NUMBER(function, answer)                                                                              \
    HOSTILE(function)                                                                                                  \
    {                                                                                                                  \
        NO_RESPONSES(others);                                                                                          \
        EACH(others) CHECK_EQ(function(others[i]), CHTTP_E_INVALID_ARG);                                               \
        CHECK_EQ(function(w->response), (answer));                                                                     \
    }

RESPONSE_NUMBER(chttp_response_status, 200)
RESPONSE_NUMBER(chttp_response_version, 11)
RESPONSE_NUMBER(chttp_response_connection_reused, 0)
RESPONSE_NUMBER(chttp_response_connection_reason, CHTTP_REUSE_NEW_FIRST)
RESPONSE_NUMBER(chttp_response_attempt, 1)
RESPONSE_NUMBER(chttp_response_content_length, 6)

HOSTILE(chttp_response_header_count)
{
    NO_RESPONSES(others);
    EACH(others) CHECK_EQ(chttp_response_header_count(others[i]), CHTTP_E_INVALID_ARG);
    CHECK(chttp_response_header_count(w->response) > 0);
}

#define RESPONSE_TEXT(function, tell)                                                                                  \
    HOSTILE(function)                                                                                                  \
    {                                                                                                                  \
        NO_RESPONSES(others);                                                                                          \
        char text[8] = "....";                                                                                         \
        EACH(others) CHECK_EQ(function(others[i], text, sizeof text), CHTTP_E_INVALID_ARG);                            \
        CHECK_STR(text, "....");                                                                                       \
        any_text(w->response, (tell));                                                                                 \
    }

RESPONSE_TEXT(chttp_response_reason, tell_reason)
RESPONSE_TEXT(chttp_response_peer, tell_peer)
RESPONSE_TEXT(chttp_response_local, tell_local)

HOSTILE(chttp_response_header_at)
{
    NO_RESPONSES(others);
    chttp_field field = {NULL, 7, NULL, 7};
    uint32_t count = (uint32_t)chttp_response_header_count(w->response);
    EACH(others) CHECK_EQ(chttp_response_header_at(others[i], 0, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header_at(w->response, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header_at(w->response, UINT32_MAX, NULL), CHTTP_E_INVALID_ARG);
    const uint32_t behind[] = {count, count + 1, INT32_MAX, UINT32_MAX};
    EACH(behind) CHECK_EQ(chttp_response_header_at(w->response, behind[i], &field), CHTTP_E_NOT_FOUND);
    CHECK(field.name == NULL && field.name_len == 7);
}

HOSTILE(chttp_response_header)
{
    NO_RESPONSES(others);
    chttp_field field = {NULL, 7, NULL, 7};
    EACH(others) CHECK_EQ(chttp_response_header(others[i], "A", 1, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(w->response, NULL, 0, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(w->response, NULL, Z, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(w->response, NULL, 9, &field), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(w->response, "Content-Length", Z, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_header(w->response, "Content-Length", SIZE_MAX - 1, &field), CHTTP_E_INVALID_SIZE);
    static const char *const none[] = {"", ":", "Content-Length:", "\xff", "Content-Lengt", " Content-Length"};
    EACH(none) CHECK_EQ(chttp_response_header(w->response, none[i], Z, &field), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_response_header(w->response, "Content-Length\0", 15, &field), CHTTP_E_NOT_FOUND);
    CHECK(field.name == NULL && field.name_len == 7);
    CHECK(chttp_response_header(w->response, "cONTENT-lENGTH", Z, &field) >= 0);
}

HOSTILE(chttp_response_body)
{
    NO_RESPONSES(others);
    const char *data = w->url;
    size_t len = 7;
    EACH(others) CHECK_EQ(chttp_response_body(others[i], &data, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_body(w->response, NULL, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_body(w->response, &data, NULL), CHTTP_E_INVALID_ARG);
    CHECK(data == w->url && len == 7);
    CHECK_EQ(chttp_response_body(w->response, &data, &len), 0);
    CHECK_EQ(len, 0);
}

HOSTILE(chttp_response_timing)
{
    NO_RESPONSES(others);
    chttp_timing timing;
    EACH(others) CHECK_EQ(chttp_response_timing(others[i], &timing, sizeof timing), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_response_timing(w->response, NULL, sizeof timing), CHTTP_E_INVALID_ARG);
    static const size_t sizes[] = {0, 7, 4097, SIZE_MAX};
    EACH(sizes) CHECK_EQ(chttp_response_timing(w->response, &timing, sizes[i]), CHTTP_E_INVALID_SIZE);
}

HOSTILE(chttp_response_tls)
{
    NO_RESPONSES(others);
    chttp_tls_info info;
    EACH(others) CHECK_EQ(chttp_response_tls(others[i], &info, sizeof info), CHTTP_E_INVALID_ARG);
    /* A plain connection has none to tell, in whatever size. */
    static const size_t sizes[] = {0, 7, sizeof info, 4097, SIZE_MAX};
    EACH(sizes) CHECK_EQ(chttp_response_tls(w->response, &info, sizes[i]), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_response_tls(w->response, NULL, sizeof info), CHTTP_E_NOT_FOUND);
}

HOSTILE(chttp_stream_alpn)
{
    NO_RESPONSES(others);
    const char *data = w->url;
    size_t len = 7;
    EACH(others) CHECK_EQ(chttp_stream_alpn(others[i], &data, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_alpn(w->response, NULL, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_alpn(w->response, &data, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_alpn(w->response, &data, &len), CHTTP_E_NOT_FOUND);
    CHECK(data == w->url && len == 7);
}

HOSTILE(chttp_stream_certificate)
{
    NO_RESPONSES(others);
    const char *data = w->url;
    size_t len = 7;
    static const uint32_t indexes[] = {0, 1, 0x7fffffff, UINT32_MAX};
    EACH(others) CHECK_EQ(chttp_stream_certificate(others[i], 0, &data, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_certificate(w->response, 0, NULL, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_stream_certificate(w->response, 0, &data, NULL), CHTTP_E_INVALID_ARG);
    EACH(indexes) CHECK_EQ(chttp_stream_certificate(w->response, indexes[i], &data, &len), CHTTP_E_NOT_FOUND);
    CHECK(data == w->url && len == 7);
}

HOSTILE(chttp_sse_fields)
{
    chttp_sse_event fields;
    void *objects[] = {NULL, w->error, w->response, w->body, w->line, w->tls, w->mock};
    static const uint16_t kinds[] = {0, CHTTP_EV_BODY, CHTTP_EV_DONE, CHTTP_EV_SSE, CHTTP_EV_SSE_RECONNECT, UINT16_MAX};
    CHECK_EQ(chttp_sse_fields(NULL, &fields, sizeof fields), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_sse_fields(NULL, NULL, 0), CHTTP_E_INVALID_ARG);
    EACH(objects) for (size_t k = 0; k < COUNT(kinds); k++) {
        chttp_event event;
        memset(&event, 0, sizeof event);
        event.kind = kinds[k];
        event.obj = objects[i];
        event.aux = UINT64_MAX;
        CHECK_EQ(chttp_sse_fields(&event, &fields, sizeof fields), CHTTP_E_INVALID_ARG);
        event.data = w->url;
        CHECK_EQ(chttp_sse_fields(&event, &fields, sizeof fields), CHTTP_E_INVALID_ARG);
    }
}

/* ---- references ---- */

HOSTILE(chttp_retain)
{
    void *const objects[] = {NULL, w->error, w->response, w->body, w->line, w->tls};
    for (int round = 0; round < 1000; round++)
        EACH(objects) chttp_retain(objects[i]);
    for (int round = 0; round < 1000; round++)
        EACH(objects) chttp_release(objects[i]);
}

HOSTILE(chttp_release)
{
    for (int i = 0; i < 3; i++)
        chttp_release(NULL);
    chttp_retain(w->body);
    chttp_release(w->body);
}

HOSTILE(chttp_events_release)
{
    chttp_event events[3];
    memset(events, 0, sizeof events);
    void *const objects[] = {w->error, w->tls, w->line};
    for (int i = 0; i < 3; i++) {
        chttp_retain(objects[i]);
        events[i].kind = 65535; /* of a later version */
        events[i].obj = objects[i];
    }
    static const size_t strides[] = {1, 32, 63, 65, 4104, SIZE_MAX, SIZE_MAX - 7};
    EACH(strides) CHECK_EQ(chttp_events_release(events, 3, strides[i]), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_events_release(NULL, 1, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_events_release(NULL, UINT32_MAX, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_events_release(NULL, 0, SIZE_MAX), 0);
    CHECK_EQ(chttp_events_release(events, 0, 0), 0);
    CHECK(events[0].obj == w->error);
    /* Twice the same array: the second time there is nothing in it. */
    CHECK_EQ(chttp_events_release(events, 3, sizeof *events), 0);
    CHECK_EQ(chttp_events_release(events, 3, 0), 0);
    CHECK(events[0].obj == NULL && events[2].obj == NULL);
}

/* ---- configurations and settings of TLS ---- */

HOSTILE(chttp_config_new)
{
    (void)w;
    CHECK_EQ(chttp_config_new(NULL), CHTTP_E_INVALID_ARG);
}

HOSTILE(chttp_config_free)
{
    chttp_config *config = NULL;
    (void)w;
    chttp_config_free(NULL);
    CHECK_EQ(chttp_config_new(&config), 0);
    chttp_config_free(config);
}

static const uint32_t no_options[] = {0, 1000, INT32_MAX, UINT32_MAX};

HOSTILE(chttp_config_set_i64)
{
    static const int64_t values[] = {INT64_MIN, -2, INT64_MAX};
    CHECK_EQ(chttp_config_set_i64(NULL, CHTTP_OPT_IO_THREADS, 1, NULL), CHTTP_E_INVALID_ARG);
    EACH(no_options) CHECK_EQ(chttp_config_set_i64(w->config, no_options[i], 1, NULL), CHTTP_E_UNKNOWN_OPTION);
    EACH(values) CHECK_EQ(chttp_config_set_i64(w->config, CHTTP_OPT_IO_THREADS, values[i], NULL), CHTTP_E_OPTION_RANGE);
    CHECK_EQ(chttp_config_set_i64(w->config, CHTTP_OPT_TLS_PINS, 0, NULL), CHTTP_E_OPTION_TYPE);
}

static void any_data(struct world *w, int32_t (*set)(chttp_config *, uint32_t, const char *, size_t, chttp_error **),
                     uint32_t option)
{
    CHECK_EQ(set(NULL, option, "", 0, NULL), CHTTP_E_INVALID_ARG);
    EACH(no_options) CHECK_EQ(set(w->config, no_options[i], "", 0, NULL), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(set(w->config, option, NULL, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(set(w->config, option, NULL, SIZE_MAX - 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(set(w->config, option, "x", SIZE_MAX - 1, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(set(w->config, option, "x", SIZE_MAX / 2 + 1, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(set(w->config, option, NULL, Z, NULL), 0);
    CHECK_EQ(set(w->config, CHTTP_OPT_IO_THREADS, "1", 1, NULL), CHTTP_E_OPTION_TYPE);
}

HOSTILE(chttp_config_set_str)
{
    any_data(w, chttp_config_set_str, CHTTP_OPT_TLS_PINS);
    /* Longer than the option may be, by the length alone: nothing of it is read. */
    CHECK_EQ(chttp_config_set_str(w->config, CHTTP_OPT_INTERFACE, "x", SIZE_MAX / 2, NULL), CHTTP_E_OPTION_RANGE);
}

HOSTILE(chttp_config_set_bytes)
{
    any_data(w, chttp_config_set_bytes, CHTTP_OPT_TLS_CA_PEM);
    CHECK_EQ(chttp_config_set_bytes(w->config, CHTTP_OPT_TLS_CA_PEM, "x", SIZE_MAX / 2, NULL), CHTTP_E_OPTION_RANGE);
}

HOSTILE(chttp_config_set_named)
{
    CHECK_EQ(chttp_config_set_named(NULL, "log_level", Z, "1", 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_named(w->config, NULL, 1, "1", 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_named(w->config, NULL, Z, "1", 1, NULL), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(chttp_config_set_named(w->config, "log_level", SIZE_MAX - 1, "1", 1, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_config_set_named(w->config, "log_level", Z, NULL, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_named(w->config, "log_level", Z, "1", SIZE_MAX - 1, NULL), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(chttp_config_set_named(w->config, "log", Z, "1", 1, NULL), CHTTP_E_OPTION_TYPE);
    CHECK_EQ(chttp_config_set_named(w->config, "tls", Z, NULL, 0, NULL), CHTTP_E_OPTION_TYPE);
}

HOSTILE(chttp_config_set_obj)
{
    const void *const others[] = {w->error, w->response, w->body, w->line};
    EACH(others)
    {
        CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_TLS, others[i], NULL), CHTTP_E_OPTION_TYPE);
        CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_BACKEND, others[i], NULL), CHTTP_E_OPTION_TYPE);
    }
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_TLS, w->mock, NULL), CHTTP_E_OPTION_TYPE);
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_BACKEND, w->tls, NULL), CHTTP_E_OPTION_TYPE);
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_BACKEND, w->mock, NULL), 0);
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_BACKEND, NULL, NULL), 0);
    EACH(no_options) CHECK_EQ(chttp_config_set_obj(w->config, no_options[i], w->tls, NULL), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_LOG, w->tls, NULL), CHTTP_E_OPTION_TYPE);
    CHECK_EQ(chttp_config_set_obj(NULL, CHTTP_OPT_TLS, w->tls, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_TLS, w->tls, NULL), 0);
    CHECK_EQ(chttp_config_set_obj(w->config, CHTTP_OPT_TLS, NULL, NULL), 0);
}

HOSTILE(chttp_config_set_fn)
{
    EACH(no_options)
        CHECK_EQ(chttp_config_set_fn(w->config, no_options[i], NULL, NULL, NULL), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(chttp_config_set_fn(w->config, CHTTP_OPT_TLS, NULL, NULL, NULL), CHTTP_E_OPTION_TYPE);
    CHECK_EQ(chttp_config_set_fn(NULL, CHTTP_OPT_LOG, NULL, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_fn(w->config, CHTTP_OPT_LOG, NULL, w, NULL), 0);
}

HOSTILE(chttp_config_set_log)
{
    CHECK_EQ(chttp_config_set_log(NULL, CHTTP_LOG_OFF, NULL, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_log(w->config, CHTTP_LOG_TRACE + 1, NULL, NULL, NULL), CHTTP_E_OPTION_RANGE);
    CHECK_EQ(chttp_config_set_log(w->config, UINT32_MAX, NULL, NULL, NULL), CHTTP_E_OPTION_RANGE);
    CHECK_EQ(chttp_config_set_log(w->config, CHTTP_LOG_TRACE, NULL, w, NULL), 0);
}

HOSTILE(chttp_option_count)
{
    (void)w;
    CHECK(chttp_option_count() > 0 && chttp_option_count() < 1000);
}

HOSTILE(chttp_option_describe)
{
    chttp_option option;
    static const size_t sizes[] = {0, 7, 4097, SIZE_MAX};
    (void)w;
    CHECK_EQ(chttp_option_describe(0, NULL, sizeof option), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_option_describe(chttp_option_count(), &option, sizeof option), CHTTP_E_UNKNOWN_OPTION);
    CHECK_EQ(chttp_option_describe(UINT32_MAX, NULL, 0), CHTTP_E_UNKNOWN_OPTION);
    EACH(sizes) CHECK_EQ(chttp_option_describe(0, &option, sizes[i]), CHTTP_E_INVALID_SIZE);
}

HOSTILE(chttp_tls_new)
{
    chttp_tls *tls = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_tls_new(w->config, NULL, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
    CHECK_EQ(chttp_tls_new(NULL, NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_config_set_str(w->config, CHTTP_OPT_TLS_KEY_FILE, "/", 1, NULL), 0);
    CHECK_EQ(chttp_tls_new(w->config, &tls, NULL), CHTTP_E_INVALID_TLS);
    CHECK_EQ(chttp_config_set_str(w->config, CHTTP_OPT_TLS_KEY_FILE, NULL, 0, NULL), 0);
    CHECK(tls == NULL);
}

HOSTILE(chttp_tls_release)
{
    chttp_tls_release(NULL);
    chttp_retain(w->tls);
    chttp_tls_release(w->tls);
}

/* ---- a mock, or what is none ---- */

#define NO_MOCKS(name)                                                                                                 \
    chttp_backend *name[] = {NULL, (chttp_backend *)w->error, w->body, w->line, (chttp_backend *)w->tls}

HOSTILE(chttp_mock_new)
{
    chttp_error *error = NULL;
    (void)w;
    CHECK_EQ(chttp_mock_new(NULL, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_new(NULL, &error), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_INVALID_ARG);
    chttp_release(error);
}

HOSTILE(chttp_mock_listen)
{
    static const char *const nowhere[] = {"", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "unix:", "host:80"};
    const chttp_mock_step step = {.kind = CHTTP_MOCK_CLOSE}, none = {.kind = UINT32_MAX};
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_listen(others[i], "[::1]:1", Z, &step, 1, 0, NULL), CHTTP_E_INVALID_ARG);
    EACH(nowhere)
        CHECK_EQ(chttp_mock_listen(w->mock, nowhere[i], Z, &step, 1, 0, NULL), CHTTP_E_INVALID_ROUTE);
    CHECK_EQ(chttp_mock_listen(w->mock, NULL, 0, &step, 1, 0, NULL), CHTTP_E_INVALID_ROUTE);
    CHECK_EQ(chttp_mock_listen(w->mock, NULL, 1, &step, 1, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_listen(w->mock, "\xff", 1, &step, 1, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_listen(w->mock, "[::1]:1", Z, NULL, 1, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_listen(w->mock, "[::1]:1", Z, &step, SIZE_MAX, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_listen(w->mock, "[::1]:1", Z, &step, 1, UINT32_MAX, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_listen(w->mock, "[::1]:1", Z, &none, 1, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_listen(w->mock, "[::1]:1", Z, NULL, 0, 0, NULL), 0);
}

HOSTILE(chttp_mock_extend)
{
    const chttp_mock_step step = {.kind = CHTTP_MOCK_CLOSE}, none = {.kind = UINT32_MAX};
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_extend(others[i], 0, &step, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_extend(w->mock, 0, &step, 1, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_mock_extend(w->mock, UINT32_MAX, NULL, 0, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_mock_extend(w->mock, 0, NULL, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_extend(w->mock, 0, &step, SIZE_MAX, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_extend(w->mock, 0, &none, 1, NULL), CHTTP_E_INVALID_ARG);
}

HOSTILE(chttp_mock_resolve)
{
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_resolve(others[i], "a", 1, "::1", 3, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_resolve(w->mock, NULL, 0, "::1", 3, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_resolve(w->mock, "\xff", 1, "::1", 3, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_resolve(w->mock, "a", 1, NULL, 3, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_resolve(w->mock, "a", 1, "b", 1, NULL), CHTTP_E_INVALID_ROUTE);
    CHECK_EQ(chttp_mock_resolve(w->mock, "a", 1, "127.0.0.1:80", Z, NULL), CHTTP_E_INVALID_ROUTE);
    CHECK_EQ(chttp_mock_resolve(w->mock, "a", 1, NULL, 0, NULL), 0);
}

HOSTILE(chttp_mock_now)
{
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_now(others[i]), 0);
}

HOSTILE(chttp_mock_advance)
{
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_advance(others[i], 1), CHTTP_E_INVALID_ARG);
    /* Time ends, and does not begin anew. */
    CHECK_EQ(chttp_mock_advance(w->mock, UINT64_MAX), 0);
    CHECK_EQ(chttp_mock_advance(w->mock, UINT64_MAX), 0);
    CHECK_EQ(chttp_mock_now(w->mock), -1);
}

HOSTILE(chttp_mock_next_event)
{
    uint64_t at = 7;
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_next_event(others[i], &at), CHTTP_E_INVALID_ARG);
    CHECK_EQ(at, 7);
    CHECK_EQ(chttp_mock_next_event(w->mock, NULL), CHTTP_E_INVALID_ARG);
}

HOSTILE(chttp_mock_connection_count)
{
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_connection_count(others[i]), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_connection_count(w->mock), 0);
}

HOSTILE(chttp_mock_connection)
{
    chttp_mock_record record;
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_connection(others[i], 0, &record, sizeof record), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_connection(w->mock, 0, &record, sizeof record), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_mock_connection(w->mock, UINT32_MAX, NULL, 0), CHTTP_E_NOT_FOUND);
}

HOSTILE(chttp_mock_sent)
{
    char byte = '.';
    size_t len = 7;
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_sent(others[i], 0, &byte, 1, &len), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_sent(w->mock, 0, &byte, 1, &len), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_mock_sent(w->mock, UINT32_MAX, NULL, SIZE_MAX, NULL), CHTTP_E_NOT_FOUND);
    CHECK(byte == '.' && len == 7);
}

HOSTILE(chttp_mock_authority)
{
    char text[8] = "....";
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_authority(others[i], text, sizeof text), CHTTP_E_INVALID_ARG);
    CHECK_STR(text, "....");
    CHECK_EQ(chttp_mock_authority(w->mock, NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK(chttp_mock_authority(w->mock, NULL, 0) > 100);
    CHECK(chttp_mock_authority(w->mock, text, sizeof text) > 100);
    CHECK_STR(text, "-----BE");
}

HOSTILE(chttp_mock_mismatches)
{
    char text[8] = "....";
    NO_MOCKS(others);
    EACH(others) CHECK_EQ(chttp_mock_mismatches(others[i], text, sizeof text), CHTTP_E_INVALID_ARG);
    CHECK_STR(text, "....");
    CHECK_EQ(chttp_mock_mismatches(w->mock, NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_mock_mismatches(w->mock, text, SIZE_MAX), 0);
    CHECK_STR(text, "");
}

/* ---- what needs nothing ---- */

HOSTILE(chttp_struct_size)
{
    static const uint32_t none[] = {0, 100, INT32_MAX, UINT32_MAX};
    (void)w;
    EACH(none) CHECK_EQ(chttp_struct_size(none[i]), 0);
}

HOSTILE(chttp_version)
{
    (void)w;
    CHECK_EQ(chttp_version(), CHTTP_VERSION);
}

HOSTILE(chttp_version_string)
{
    (void)w;
    CHECK(strlen(chttp_version_string()) >= 5);
}

static const struct attempt attempts[] = {
    TRY(chttp_error_code),
    TRY(chttp_error_os_errno),
    TRY(chttp_error_native),
    TRY(chttp_error_phase),
    TRY(chttp_error_attempt),
    TRY(chttp_error_is_retryable),
    TRY(chttp_error_request_bytes_sent),
    TRY(chttp_error_connection_reused),
    TRY(chttp_error_message),
    TRY(chttp_error_peer),
    TRY(chttp_error_name),
    TRY(chttp_error_describe),
    TRY(chttp_error_category),
    TRY(chttp_error_at),
    TRY(chttp_response_status),
    TRY(chttp_response_version),
    TRY(chttp_response_reason),
    TRY(chttp_response_header_count),
    TRY(chttp_response_header_at),
    TRY(chttp_response_header),
    TRY(chttp_response_content_length),
    TRY(chttp_response_body),
    TRY(chttp_response_timing),
    TRY(chttp_response_peer),
    TRY(chttp_response_local),
    TRY(chttp_response_connection_reused),
    TRY(chttp_response_connection_reason),
    TRY(chttp_response_attempt),
    TRY(chttp_response_tls),
    TRY(chttp_stream_alpn),
    TRY(chttp_stream_certificate),
    TRY(chttp_sse_fields),
    TRY(chttp_retain),
    TRY(chttp_release),
    TRY(chttp_events_release),
    TRY(chttp_config_new),
    TRY(chttp_config_free),
    TRY(chttp_config_set_i64),
    TRY(chttp_config_set_str),
    TRY(chttp_config_set_bytes),
    TRY(chttp_config_set_named),
    TRY(chttp_config_set_obj),
    TRY(chttp_config_set_fn),
    TRY(chttp_config_set_log),
    TRY(chttp_option_count),
    TRY(chttp_option_describe),
    TRY(chttp_tls_new),
    TRY(chttp_tls_release),
    TRY(chttp_mock_new),
    TRY(chttp_mock_listen),
    TRY(chttp_mock_extend),
    TRY(chttp_mock_resolve),
    TRY(chttp_mock_now),
    TRY(chttp_mock_advance),
    TRY(chttp_mock_next_event),
    TRY(chttp_mock_connection_count),
    TRY(chttp_mock_connection),
    TRY(chttp_mock_sent),
    TRY(chttp_mock_authority),
    TRY(chttp_mock_mismatches),
    TRY(chttp_struct_size),
    TRY(chttp_version),
    TRY(chttp_version_string),
};

int main(void)
{
    struct test_server server;
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    struct world w = world_make(1, &server, url, sizeof url);
    hostile_run(attempts, COUNT(attempts), &w);
    world_end(&w);
    test_server_stop(&server);
    return 0;
}
