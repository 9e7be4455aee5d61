/*
 * CHECK and its kin: a C test prints what was wrong with file and line, and exits with 1.
 */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* _Exit, not exit: a failed check must not run destructors of an engine in an unknown state. */
#define CHECK_FAIL_()                                                                                                  \
    do {                                                                                                               \
        fflush(NULL);                                                                                                  \
        _Exit(1);                                                                                                      \
    } while (0)

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition);                                     \
            CHECK_FAIL_();                                                                                             \
        }                                                                                                              \
    } while (0)

/* Integers up to 64 bits; both values are shown as signed numbers. */
#define CHECK_EQ(actual, expected)                                                                                     \
    do {                                                                                                               \
        int64_t check_a_ = (int64_t)(actual), check_e_ = (int64_t)(expected);                                          \
        if (check_a_ != check_e_) {                                                                                    \
            fprintf(stderr, "%s:%d: %s is %" PRId64 ", not %s (%" PRId64 ")\n", __FILE__, __LINE__, #actual, check_a_, \
                    #expected, check_e_);                                                                              \
            CHECK_FAIL_();                                                                                             \
        }                                                                                                              \
    } while (0)

#define CHECK_STR(actual, expected)                                                                                    \
    do {                                                                                                               \
        const char *check_a_ = (actual), *check_e_ = (expected);                                                       \
        if (check_a_ == NULL || strcmp(check_a_, check_e_) != 0) {                                                     \
            fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #actual,                          \
                    check_a_ == NULL ? "(null)" : check_a_, check_e_);                                                 \
            CHECK_FAIL_();                                                                                             \
        }                                                                                                              \
    } while (0)

/* Bytes that need not end with a NUL. */
#define CHECK_MEM(actual, actual_len, expected, expected_len)                                                          \
    do {                                                                                                               \
        size_t check_a_ = (actual_len), check_e_ = (expected_len);                                                     \
        if (check_a_ != check_e_ || (check_e_ > 0 && memcmp((actual), (expected), check_e_) != 0)) {                   \
            fprintf(stderr, "%s:%d: %s (%zu bytes) is not %s (%zu bytes)\n", __FILE__, __LINE__, #actual, check_a_,    \
                    #expected, check_e_);                                                                              \
            CHECK_FAIL_();                                                                                             \
        }                                                                                                              \
    } while (0)

#endif
