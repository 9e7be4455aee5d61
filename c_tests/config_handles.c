/*
 * Options that are objects and functions: set, put back, refused as what they are not; the log's function under both of
 * its names; and one chttp_tls that engines share, whoever lets go of it first.
 */
#define _GNU_SOURCE

#include "support/engine.h"

static struct test_server server;

static chttp_config *config_make(int io_threads)
{
    chttp_config *config = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, io_threads, NULL), 0);
    return config;
}

/* `code` was answered, with an object that says `word`. */
static void explained(int32_t code, int32_t wanted, chttp_error **set, const char *word)
{
    char text[256];
    CHECK_EQ(code, wanted);
    CHECK_EQ(chttp_error_code(*set), wanted);
    CHECK(chttp_error_message(*set, text, sizeof text) > 0);
    CHECK(strstr(text, word) != NULL);
    chttp_release(*set);
    *set = NULL;
}

static void on_line(const chttp_log_record *record, void *user)
{
    CHECK(record->level <= CHTTP_LOG_INFO && record->text_len > 0);
    (*(unsigned *)user)++;
}

/* Each option by each setter: its own takes it, every other one names the option and the right one. */
static void every_setter(void)
{
    chttp_config *config = config_make(0);
    chttp_error *error = NULL;
    unsigned objects = 0, functions = 0;
    for (uint32_t i = 0; i < chttp_option_count(); i++) {
        chttp_option option;
        CHECK_EQ(chttp_option_describe(i, &option, sizeof option), 0);
        int object = option.kind == CHTTP_OPTION_OBJECT, function = option.kind == CHTTP_OPTION_FUNCTION;
        objects += (unsigned)object;
        functions += (unsigned)function;
        if (object)
            CHECK_EQ(chttp_config_set_obj(config, option.id, NULL, NULL), 0);
        else
            explained(chttp_config_set_obj(config, option.id, NULL, &error), CHTTP_E_OPTION_TYPE, &error, option.name);
        if (function)
            CHECK_EQ(chttp_config_set_fn(config, option.id, NULL, NULL, NULL), 0);
        else
            explained(chttp_config_set_fn(config, option.id, (chttp_fn)on_line, NULL, &error), CHTTP_E_OPTION_TYPE,
                      &error, option.name);
        if (!object && !function)
            continue;
        CHECK(option.default_value == 0 && option.min == 0 && option.max == 0 && !option.unlimited);
        const char *setter = object ? "chttp_config_set_obj()" : "chttp_config_set_fn()";
        explained(chttp_config_set_i64(config, option.id, 0, &error), CHTTP_E_OPTION_TYPE, &error, setter);
        explained(chttp_config_set_str(config, option.id, "", 0, &error), CHTTP_E_OPTION_TYPE, &error, option.name);
        explained(chttp_config_set_bytes(config, option.id, "", 0, &error), CHTTP_E_OPTION_TYPE, &error, option.name);
        explained(chttp_config_set_named(config, option.name, Z, "x", 1, &error), CHTTP_E_OPTION_TYPE, &error, setter);
    }
    CHECK(objects > 0 && functions > 0);
    explained(chttp_config_set_obj(config, 0, NULL, &error), CHTTP_E_UNKNOWN_OPTION, &error, "option 0");
    explained(chttp_config_set_fn(config, UINT32_MAX, NULL, NULL, &error), CHTTP_E_UNKNOWN_OPTION, &error, "option");
    explained(chttp_config_set_obj(NULL, CHTTP_OPT_TLS, NULL, &error), CHTTP_E_INVALID_ARG, &error, "config");
    explained(chttp_config_set_fn(NULL, CHTTP_OPT_LOG, NULL, NULL, &error), CHTTP_E_INVALID_ARG, &error, "config");
    /* `error` is an object, and no chttp_tls. */
    chttp_error *other = NULL;
    CHECK_EQ(chttp_config_set_i64(config, 0, 0, &other), CHTTP_E_UNKNOWN_OPTION);
    explained(chttp_config_set_obj(config, CHTTP_OPT_TLS, other, &error), CHTTP_E_OPTION_TYPE, &error, "tls: it is no");
    chttp_release(other);
    chttp_config_free(config);
}

/* How many lines a request makes when the log is set in this way. */
static unsigned lines_of(int drive, int way)
{
    static unsigned lines;
    chttp_config *config = config_make(drive);
    chttp_engine *engine = NULL;
    char url[64];
    lines = 0;
    if (way == 0) {
        CHECK_EQ(chttp_config_set_log(config, CHTTP_LOG_INFO, on_line, &lines, NULL), 0);
    } else {
        CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_LOG_LEVEL, CHTTP_LOG_INFO, NULL), 0);
        CHECK_EQ(chttp_config_set_fn(config, CHTTP_OPT_LOG, (chttp_fn)on_line, &lines, NULL), 0);
    }
    if (way == 2) /* The one call puts back what the other has set. */
        CHECK_EQ(chttp_config_set_log(config, CHTTP_LOG_INFO, NULL, NULL, NULL), 0);
    if (way == 3)
        CHECK_EQ(chttp_config_set_named(config, "log_level", Z, "0", 1, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, NULL), 0);
    chttp_config_free(config);
    chttp_queue *queue = queue_make(engine);
    chttp_request request = request_for(test_server_url(&server, "/", url, sizeof url));
    CHECK_EQ(fetch(engine, queue, &request).status, 200);
    chttp_queue_destroy(queue);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    return lines;
}

static chttp_tls *trusting(void)
{
    chttp_config *config = NULL;
    chttp_tls *tls = NULL;
    const char *ca = getenv("CHTTP_TEST_TLS_CA");
    CHECK(ca != NULL);
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, ca, strlen(ca), NULL), 0);
    CHECK_EQ(chttp_tls_new(config, &tls, NULL), 0);
    chttp_config_free(config);
    return tls;
}

/* Of an https request: whether its session had begun on an earlier connection. */
static int resumed(chttp_engine *engine)
{
    char url[64];
    chttp_response *response = NULL;
    chttp_tls_info info;
    snprintf(url, sizeof url, "https://127.0.0.1:%s/", getenv("CHTTP_TEST_TLS_PORT"));
    chttp_request request = request_for(url);
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL), 0);
    CHECK_EQ(chttp_response_tls(response, &info, sizeof info), 0);
    chttp_release(response);
    return (int)info.resumed;
}

/* Two engines, made from configurations and settings that are gone by then. */
static void shared_tls(int drive)
{
    chttp_tls *tls = trusting();
    chttp_engine *engines[2] = {NULL, NULL};
    chttp_error *error = NULL;
    chttp_config *config = config_make(drive);
    CHECK_EQ(chttp_config_set_obj(config, CHTTP_OPT_TLS, tls, NULL), 0);
    CHECK_EQ(chttp_config_set_obj(config, CHTTP_OPT_TLS, tls, NULL), 0);
    /* Counted like every object. */
    chttp_retain(tls);
    chttp_release(tls);
    CHECK_EQ(chttp_engine_new(config, &engines[0], NULL), 0);
    chttp_tls_release(tls);
    CHECK_EQ(chttp_engine_new(config, &engines[1], NULL), 0);
    /* Beside it no other setting of TLS could hold. */
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_MIN_VERSION, 13, NULL), 0);
    chttp_engine *none = NULL;
    explained(chttp_engine_new(config, &none, &error), CHTTP_E_INVALID_TLS, &error, "option tls");
    CHECK(none == NULL);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_MIN_VERSION, 12, NULL), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_TLS_TIMEOUT_NS, 30 * SECOND_NS, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &none, NULL), 0);
    CHECK_EQ(chttp_engine_destroy(none), 0);
    chttp_config_free(config);

    CHECK_EQ(resumed(engines[0]), 0);
    CHECK_EQ(resumed(engines[1]), 1);
    CHECK_EQ(chttp_engine_destroy(engines[0]), 0);
    /* The same connection, and the same session. */
    CHECK_EQ(resumed(engines[1]), 1);
    CHECK_EQ(chttp_engine_destroy(engines[1]), 0);
}

/* An object of another kind, where a request wants a chttp_tls. */
static void no_tls(chttp_engine *engine)
{
    chttp_error *other = NULL, *error = NULL;
    chttp_response *response = NULL;
    chttp_request request = request_for("https://127.0.0.1/");
    CHECK_EQ(chttp_config_set_i64(NULL, 0, 0, &other), CHTTP_E_UNKNOWN_OPTION);
    request.tls = (const chttp_tls *)other;
    explained(chttp_perform(engine, &request, 0, &response, &error), CHTTP_E_INVALID_ARG, &error, "tls: it is no");
    chttp_release(other);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    every_setter();
    for (int drive = 0; drive < DRIVES; drive++) {
        unsigned lines = lines_of(drive, 0);
        CHECK(lines > 0);
        CHECK_EQ(lines_of(drive, 1), lines);
        CHECK_EQ(lines_of(drive, 2), 0);
        CHECK_EQ(lines_of(drive, 3), 0);
        shared_tls(drive);
        chttp_engine *engine = engine_make(drive, NULL);
        no_tls(engine);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
    }
    test_server_stop(&server);
    return 0;
}
