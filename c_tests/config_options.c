/*
 * Options: each of them describes itself, takes its range by id and by name, and refuses what is outside, with an object
 * that names it. An engine keeps a copy of its configuration.
 */
#include "support/engine.h"

/* A pointer to `error`: it is set by the call that makes `code`, among the arguments. */
static void refused(int32_t code, int32_t wanted, chttp_error **set, const char *word)
{
    char text[256];
    chttp_error *error = *set;
    CHECK_EQ(code, wanted);
    CHECK_EQ(chttp_error_code(error), wanted);
    CHECK(chttp_error_message(error, text, sizeof text) > 0);
    CHECK(strstr(text, word) != NULL);
    chttp_release(error);
}

static void outside(chttp_config *config, const chttp_option *option, int64_t value)
{
    chttp_error *error = NULL;
    refused(chttp_config_set_i64(config, option->id, value, &error), CHTTP_E_OPTION_RANGE, &error, option->name);
}

static void number(chttp_config *config, const chttp_option *option)
{
    char text[32];
    CHECK((option->default_value >= option->min && option->default_value <= option->max) ||
          (option->unlimited && option->default_value == -1));
    CHECK_EQ(chttp_config_set_i64(config, option->id, option->min, NULL), 0);
    CHECK_EQ(chttp_config_set_i64(config, option->id, option->max, NULL), 0);
    if (option->min > INT64_MIN + 1 && !(option->unlimited && option->min == 0))
        outside(config, option, option->min - 1);
    if (option->max < INT64_MAX)
        outside(config, option, option->max + 1);
    outside(config, option, -2);
    outside(config, option, INT64_MIN);
    CHECK_EQ(chttp_config_set_i64(config, option->id, -1, NULL), option->unlimited ? 0 : CHTTP_E_OPTION_RANGE);

    snprintf(text, sizeof text, "%" PRId64, option->max);
    CHECK_EQ(chttp_config_set_named(config, option->name, Z, text, strlen(text), NULL), 0);
    CHECK_EQ(chttp_config_set_named(config, option->name, strlen(option->name), "unlimited", Z, NULL),
             option->unlimited ? 0 : CHTTP_E_OPTION_RANGE);
    static const char *const no_numbers[] = {"", " ", "x", "1x", " 1", "1 ", "0x1", "1e3", "1.0", "--1",
                                             "99999999999999999999", "\xff", "Unlimited"};
    for (size_t j = 0; j < sizeof no_numbers / sizeof *no_numbers; j++) {
        chttp_error *error = NULL;
        refused(chttp_config_set_named(config, option->name, Z, no_numbers[j], Z, &error), CHTTP_E_OPTION_TYPE, &error,
                option->name);
    }
    chttp_error *error = NULL;
    refused(chttp_config_set_str(config, option->id, "1", Z, &error), CHTTP_E_OPTION_TYPE, &error, option->name);
    error = NULL;
    refused(chttp_config_set_bytes(config, option->id, "1", 1, &error), CHTTP_E_OPTION_TYPE, &error, option->name);
    /* Set back: the engine below is an ordinary one. */
    CHECK_EQ(chttp_config_set_i64(config, option->id, option->default_value, NULL), 0);
}

typedef int32_t setter(chttp_config *, uint32_t, const char *, size_t, chttp_error **);

static void text_or_bytes(chttp_config *config, const chttp_option *option)
{
    int is_text = option->kind == CHTTP_OPTION_TEXT;
    setter *own = is_text ? chttp_config_set_str : chttp_config_set_bytes;
    setter *other = is_text ? chttp_config_set_bytes : chttp_config_set_str;
    CHECK(option->default_value == 0 && option->min == 0 && option->max > 0 && !option->unlimited);
    chttp_error *error = NULL;
    refused(chttp_config_set_i64(config, option->id, 1, &error), CHTTP_E_OPTION_TYPE, &error, option->name);
    error = NULL;
    refused(other(config, option->id, "x", 1, &error), CHTTP_E_OPTION_TYPE, &error, option->name);
    error = NULL;
    refused(own(config, option->id, NULL, 1, &error), CHTTP_E_INVALID_ARG, &error, "NULL");
    if (option->max < 1 << 24) {
        size_t size = (size_t)option->max + 1;
        char *long_one = malloc(size);
        memset(long_one, 'x', size);
        error = NULL;
        refused(own(config, option->id, long_one, size, &error), CHTTP_E_OPTION_RANGE, &error, option->name);
        free(long_one);
    }
    if (is_text) {
        error = NULL;
        refused(own(config, option->id, "\xff", 1, &error), CHTTP_E_OPTION_RANGE, &error, "UTF-8");
        error = NULL;
        refused(own(config, option->id, "a\0b", 3, &error), CHTTP_E_OPTION_RANGE, &error, option->name);
    }
    /* Nothing puts the default back. */
    CHECK_EQ(own(config, option->id, "", Z, NULL), 0);
    CHECK_EQ(own(config, option->id, "x", 0, NULL), 0);
    CHECK_EQ(own(config, option->id, NULL, 0, NULL), 0);
    CHECK_EQ(chttp_config_set_named(config, option->name, Z, "", Z, NULL), 0);
}

/* Texts that are taken, and texts whose refusal names the option and the rule. */
static void network_texts(chttp_config *config)
{
    static const struct {
        uint32_t option;
        const char *text, *rule;
    } rows[] = {
        {CHTTP_OPT_INTERFACE, "lo", NULL},
        {CHTTP_OPT_INTERFACE, "two words", "interface name"},
        {CHTTP_OPT_INTERFACE, "a/b", "interface: \"a/b\""},
        {CHTTP_OPT_LOCAL_ADDRESS, "127.0.0.1", NULL},
        {CHTTP_OPT_LOCAL_ADDRESS, "[::1]", NULL},
        {CHTTP_OPT_LOCAL_ADDRESS, "127.0.0.1:80", "local_address: \"127.0.0.1:80\""},
        {CHTTP_OPT_CONNECT_OVERRIDES, "example.com:443=127.0.0.1:8443, *:80=[::1]:8080, x.test:*=unix:/run/x.sock", NULL},
        {CHTTP_OPT_CONNECT_OVERRIDES, "a:1=1.2.3.4:5,b", "connect_overrides: \"b\": an override is"},
        {CHTTP_OPT_CONNECT_OVERRIDES, "a:1=host:5", "connect_overrides: \"host:5\": an address is"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        chttp_error *error = NULL;
        int32_t code = chttp_config_set_str(config, rows[i].option, rows[i].text, Z, &error);
        if (rows[i].rule != NULL)
            refused(code, CHTTP_E_INVALID_ROUTE, &error, rows[i].rule);
        else
            CHECK_EQ(code, 0);
        CHECK_EQ(chttp_config_set_str(config, rows[i].option, NULL, 0, NULL), 0);
    }
    chttp_error *error = NULL;
    refused(chttp_config_set_str(NULL, CHTTP_OPT_INTERFACE, "lo", Z, &error), CHTTP_E_INVALID_ARG, &error, "config");
    error = NULL;
    refused(chttp_config_set_str(config, 0, "lo", Z, &error), CHTTP_E_UNKNOWN_OPTION, &error, "option 0");
    error = NULL;
    refused(chttp_config_set_bytes(config, 1u << 31, "lo", Z, &error), CHTTP_E_UNKNOWN_OPTION, &error, "option");
}

int main(void)
{
    chttp_config *config = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    uint32_t count = chttp_option_count();
    CHECK(count >= CHTTP_OPT_ALLOW_OBS_FOLD);
    for (uint32_t i = 0, last = 0; i < count; i++) {
        chttp_option option, again;
        CHECK_EQ(chttp_option_describe(i, &option, sizeof option), 0);
        CHECK(option.id > last && option.min <= option.max);
        last = option.id;
        CHECK(option.since >= 1000 && option.since <= chttp_version());
        CHECK(strlen(option.name) > 0 && strlen(option.doc) > 0 && option.unit != NULL);
        CHECK(strchr(option.doc, '\n') == NULL);
        /* As much as there is room for. */
        memset(&again, 0xee, sizeof again);
        CHECK_EQ(chttp_option_describe(i, &again, 16), 0);
        CHECK(again.name == option.name && again.min == (int64_t)0xeeeeeeeeeeeeeeeeull);
        if (option.kind == CHTTP_OPTION_INT64)
            number(config, &option);
        else if (option.kind == CHTTP_OPTION_TEXT || option.kind == CHTTP_OPTION_BYTES)
            text_or_bytes(config, &option);
    }
    network_texts(config);
    static const char *const no_names[] = {"", "io_thread", "IO_THREADS", "io_threads ", "io\nthreads", "\xff"};
    for (size_t i = 0; i < sizeof no_names / sizeof *no_names; i++) {
        error = NULL;
        refused(chttp_config_set_named(config, no_names[i], Z, "1", Z, &error), CHTTP_E_UNKNOWN_OPTION, &error, "option");
    }
    CHECK_EQ(chttp_config_set_named(config, "io_threads\0", 11, "1", Z, NULL), CHTTP_E_UNKNOWN_OPTION);

    /* Copied: a change after chttp_engine_new(), and its end, are nothing to the engine. */
    chttp_engine *engine = NULL;
    CHECK_EQ(chttp_config_set_named(config, "max_exchanges", Z, "1", Z, NULL), 0);
    CHECK_EQ(chttp_engine_new(config, &engine, &error), 0);
    CHECK_EQ(chttp_config_set_i64(config, CHTTP_OPT_MAX_EXCHANGES, 1000, NULL), 0);
    chttp_config_free(config);
    chttp_queue *queue = queue_make(engine);
    chttp_request two[2] = {request_for("http://127.0.0.1/"), request_for("http://127.0.0.1/")};
    CHECK_EQ(chttp_submit(engine, queue, two, 2, 0, NULL, NULL), CHTTP_E_TOO_MANY_EXCHANGES);
    chttp_queue_destroy(queue);
    chttp_engine_destroy(engine);

    /* Without one: the defaults. */
    CHECK_EQ(chttp_engine_new(NULL, &engine, NULL), 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    return 0;
}
