/*
 * chttp_submit() of arrays: strides, limits, and all or none. One bad request among many, wherever it stands, means that
 * nothing was submitted, no id was written and no event comes.
 */
#include "support/engine.h"

#define MANY 10

/* A program compiled against a later header has a larger struct. */
struct later_request {
    chttp_request request;
    uint64_t unknown[2];
};

static struct test_server server;

static void nothing_came(chttp_engine *engine, chttp_queue *queue, uint64_t submitted)
{
    chttp_event event;
    chttp_stats stats = stats_of(engine);
    CHECK_EQ(stats.submitted, submitted);
    CHECK_EQ(stats.exchanges, 0);
    CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, MS_NS), 0);
}

int main(void)
{
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", url, sizeof url);
    for (int drive = 0; drive < DRIVES; drive++) {
        const struct setting settings[] = {{CHTTP_OPT_MAX_EXCHANGES, 2 * MANY}, {0, 0}};
        chttp_engine *engine = engine_make(drive, settings);
        chttp_queue *queue = queue_make(engine);
        chttp_request requests[MANY];
        chttp_xid xids[2 * MANY + 1];
        chttp_error *error = NULL;
        char text[256];

        /* The bad one first, in the middle and last. */
        for (unsigned bad = 0; bad < MANY; bad += 3) {
            memset(xids, 0, sizeof xids);
            for (unsigned i = 0; i < MANY; i++)
                requests[i] = request_for(i == bad ? "http://host name/" : url);
            CHECK_EQ(chttp_submit(engine, queue, requests, MANY, 0, xids, &error), CHTTP_E_INVALID_URL);
            for (unsigned i = 0; i < MANY; i++)
                CHECK(xids[i] == 0);
            /* The object says which. */
            snprintf(text, sizeof text, "request %u:", bad);
            char message[256];
            CHECK(chttp_error_message(error, message, sizeof message) > 0);
            CHECK(bad == 0 || strncmp(message, text, strlen(text)) == 0);
            chttp_release(error);
            error = NULL;
            nothing_came(engine, queue, 0);
        }

        /* All: their ids differ, and every one of them ends. */
        for (unsigned i = 0; i < MANY; i++) {
            requests[i] = request_for(url);
            requests[i].flags = CHTTP_REQ_COLLECT;
            requests[i].token = i;
        }
        CHECK_EQ(chttp_submit(engine, queue, requests, MANY, sizeof *requests, xids, &error), 0);
        unsigned seen = 0;
        while (seen != (1u << MANY) - 1) {
            chttp_event event = next_event(queue);
            CHECK(event.token < MANY && (seen & 1u << event.token) == 0);
            CHECK_EQ(event.xid, xids[event.token]);
            seen |= 1u << event.token;
            event_free(&event);
        }
        for (unsigned i = 0; i < MANY; i++)
            for (unsigned j = 0; j < i; j++)
                CHECK(xids[i] != xids[j]);
        nothing_came(engine, queue, MANY);

        /* A larger stride with a zero tail; ids are not asked for. */
        struct later_request later[MANY];
        memset(later, 0, sizeof later);
        for (unsigned i = 0; i < MANY; i++) {
            later[i].request = requests[i];
            later[i].request.size = sizeof *later;
        }
        CHECK_EQ(chttp_submit(engine, queue, &later[0].request, MANY, sizeof *later, NULL, NULL), 0);
        await_terminals(queue, MANY);
        later[MANY - 1].unknown[1] = 1;
        CHECK_EQ(chttp_submit(engine, queue, &later[0].request, MANY, sizeof *later, xids, NULL),
                 CHTTP_E_UNSUPPORTED_FIELD);
        nothing_came(engine, queue, 2 * MANY);

        /* One more than the engine carries: none. As many as it carries: all. */
        static chttp_request full[2 * MANY + 1];
        char hang[64];
        test_server_url(&server, "/hang", hang, sizeof hang);
        for (unsigned i = 0; i < 2 * MANY + 1; i++)
            full[i] = request_for(hang);
        CHECK_EQ(chttp_submit(engine, queue, full, 2 * MANY + 1, 0, xids, &error), CHTTP_E_TOO_MANY_EXCHANGES);
        CHECK_EQ(chttp_error_code(error), CHTTP_E_TOO_MANY_EXCHANGES);
        chttp_release(error);
        error = NULL;
        nothing_came(engine, queue, 2 * MANY);
        CHECK_EQ(chttp_submit(engine, queue, full, 2 * MANY, 0, xids, &error), 0);
        CHECK_EQ(chttp_submit(engine, queue, full, 1, 0, NULL, NULL), CHTTP_E_TOO_MANY_EXCHANGES);
        for (unsigned i = 0; i < 2 * MANY; i++)
            CHECK_EQ(chttp_cancel(engine, xids[i]), 0);
        await_terminals(queue, 2 * MANY);

        /* Strides that cannot be, and none at all. */
        static const size_t strides[] = {1, 8, 15, sizeof(chttp_request) + 1, SIZE_MAX};
        for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
            CHECK_EQ(chttp_submit(engine, queue, requests, 2, strides[i], NULL, &error), CHTTP_E_INVALID_SIZE);
            CHECK(chttp_error_message(error, text, sizeof text) > 0 && strstr(text, "stride") != NULL);
            chttp_release(error);
            error = NULL;
        }
        CHECK_EQ(chttp_submit(engine, queue, requests, 0, 0, NULL, NULL), 0);
        CHECK_EQ(chttp_submit(engine, queue, NULL, 0, 0, NULL, NULL), 0);
        nothing_came(engine, queue, 4 * MANY);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
