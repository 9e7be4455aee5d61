/*
 * The table of errors: names, descriptions and groups without any object, and the iteration from which bindings make
 * their exceptions.
 */
#include "support/check.h"

#include "chttpcore.h"

int main(void)
{
    static const char *const groups[] = {NULL,      "argument", "state",   "resolve", "connect",
                                         "tls",     "protocol", "timeout", "closed",  "resource"};
    unsigned count = 0;
    for (int32_t code; (code = chttp_error_at(count)) != 0; count++) {
        CHECK(code <= -100 && code > -1000);
        const char *name = chttp_error_name(code), *text = chttp_error_describe(code);
        CHECK(name != NULL && strncmp(name, "CHTTP_E_", 8) == 0);
        CHECK(text != NULL && strlen(text) > 5 && text[strlen(text) - 1] != '.');
        CHECK_STR(chttp_error_category(code), groups[-code / 100]);
        for (unsigned i = 0; i < count; i++) {
            CHECK(chttp_error_at(i) != code);
            CHECK(strcmp(chttp_error_name(chttp_error_at(i)), name) != 0);
        }
        /* Static: the same text each time. */
        CHECK(chttp_error_name(code) == name && chttp_error_describe(code) == text);
    }
    CHECK(count > 60);
    CHECK_EQ(chttp_error_at(count), 0);
    CHECK_EQ(chttp_error_at(UINT32_MAX), 0);

    CHECK_STR(chttp_error_name(CHTTP_OK), "CHTTP_OK");
    CHECK_STR(chttp_error_name(CHTTP_E_INVALID_ARG), "CHTTP_E_INVALID_ARG");
    CHECK_STR(chttp_error_name(CHTTP_E_FORKED), "CHTTP_E_FORKED");
    CHECK_STR(chttp_error_name(CHTTP_E_TIMEOUT_FIRST_BYTE), "CHTTP_E_TIMEOUT_FIRST_BYTE");
    CHECK_STR(chttp_error_describe(CHTTP_OK), "success");
    CHECK(chttp_error_category(CHTTP_OK) == NULL);

    /* Every other number is no code. */
    unsigned found = 0;
    for (int32_t code = -2000; code <= 2000; code++) {
        if (code == 0)
            continue;
        int known = chttp_error_name(code) != NULL;
        CHECK_EQ(chttp_error_describe(code) != NULL, known);
        CHECK_EQ(chttp_error_category(code) != NULL, known);
        found += (unsigned)known;
    }
    CHECK_EQ(found, count);
    CHECK(chttp_error_name(INT32_MIN) == NULL && chttp_error_name(INT32_MAX) == NULL);
    return 0;
}
