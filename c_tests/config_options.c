/*
 * Options: each of them describes itself, takes its range by id and by name, and refuses what is outside, with an object
 * that names it. An engine keeps a copy of its configuration.
 */
#include "support/engine.h"

#define Z ((size_t)CHTTP_NUL_TERMINATED)

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

int main(void)
{
    chttp_config *config = NULL;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_config_new(&config), 0);
    uint32_t count = chttp_option_count();
    CHECK(count >= CHTTP_OPT_ALLOW_OBS_FOLD);
    for (uint32_t i = 0; i < count; i++) {
        chttp_option option, again;
        char number[32];
        CHECK_EQ(chttp_option_describe(i, &option, sizeof option), 0);
        CHECK(option.id == i + 1 && option.kind == 1 && option.min <= option.max);
        CHECK(option.since >= 1000 && option.since <= chttp_version());
        CHECK(strlen(option.name) > 0 && strlen(option.doc) > 0 && option.unit != NULL);
        CHECK(strchr(option.doc, '\n') == NULL);
        CHECK((option.default_value >= option.min && option.default_value <= option.max) ||
              (option.unlimited && option.default_value == -1));
        /* As much as there is room for. */
        memset(&again, 0xee, sizeof again);
        CHECK_EQ(chttp_option_describe(i, &again, 16), 0);
        CHECK(again.name == option.name && again.min == (int64_t)0xeeeeeeeeeeeeeeeeull);

        CHECK_EQ(chttp_config_set_i64(config, option.id, option.min, NULL), 0);
        CHECK_EQ(chttp_config_set_i64(config, option.id, option.max, NULL), 0);
        if (option.min > INT64_MIN + 1 && !(option.unlimited && option.min == 0))
            outside(config, &option, option.min - 1);
        if (option.max < INT64_MAX)
            outside(config, &option, option.max + 1);
        outside(config, &option, -2);
        outside(config, &option, INT64_MIN);
        CHECK_EQ(chttp_config_set_i64(config, option.id, -1, NULL), option.unlimited ? 0 : CHTTP_E_OPTION_RANGE);

        snprintf(number, sizeof number, "%" PRId64, option.max);
        CHECK_EQ(chttp_config_set_named(config, option.name, Z, number, strlen(number), NULL), 0);
        CHECK_EQ(chttp_config_set_named(config, option.name, strlen(option.name), "unlimited", Z, NULL),
                 option.unlimited ? 0 : CHTTP_E_OPTION_RANGE);
        static const char *const no_numbers[] = {"", " ", "x", "1x", " 1", "1 ", "0x1", "1e3", "1.0", "--1",
                                                 "99999999999999999999", "\xff", "Unlimited"};
        for (size_t j = 0; j < sizeof no_numbers / sizeof *no_numbers; j++) {
            error = NULL;
            refused(chttp_config_set_named(config, option.name, Z, no_numbers[j], Z, &error), CHTTP_E_OPTION_TYPE, &error,
                    option.name);
        }
        /* Set back: the engine below is an ordinary one. */
        CHECK_EQ(chttp_config_set_i64(config, option.id, option.default_value, NULL), 0);
    }
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
