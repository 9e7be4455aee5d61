/*
 * Exchange ids and tokens: an id is never 0 and goes stale when its exchange ends, also when its place was taken by
 * another; stale, random and foreign ids get CHTTP_E_NOT_FOUND and harm nobody. A token comes back in every event,
 * whatever its bits.
 */
#include "support/engine.h"

static struct test_server server;

static void not_found(chttp_engine *engine, chttp_xid xid)
{
    chttp_error *error = NULL;
    CHECK_EQ(chttp_cancel(engine, xid), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_body_write(engine, xid, "x", 1), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_body_write(engine, xid, NULL, 0), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, &error), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_NOT_FOUND);
    chttp_release(error);
}

int main(void)
{
    static const uint64_t tokens[] = {0, 1, 0x8000000000000000ull, UINT64_MAX, 0x0123456789abcdefull};
    char url[64], hang[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/hang", hang, sizeof hang);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL), *other = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine), *other_queue = queue_make(other);

        /* Every event of every kind carries its id and its token. */
        static const char *const paths[] = {"/", "/chunked/10/5", "/hints/2", "/nowhere", "/reset"};
        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
            chttp_xid xid = submit_get(engine, queue, test_server_url(&server, paths[t], url, sizeof url), 0, tokens[t]);
            for (int ended = 0; !ended;) {
                chttp_event event = next_event(queue);
                CHECK(event.token == tokens[t] && event.xid == xid);
                ended = is_terminal(&event);
                event_free(&event);
            }
            not_found(engine, xid);
        }

        /* A place is used again and again; no old id reaches the new exchange. */
        test_server_url(&server, "/", url, sizeof url);
        chttp_xid old[100];
        for (int i = 0; i < 100; i++) {
            old[i] = submit_get(engine, queue, url, CHTTP_REQ_COLLECT, 0);
            for (int j = 0; j < i; j++)
                CHECK(old[i] != old[j]);
            await_terminals(queue, 1);
        }
        chttp_xid living = submit_get(engine, queue, hang, 0, 0);
        for (int i = 0; i < 100; i++)
            not_found(engine, old[i]);

        /* Never valid. The low bits of a living id are a place, and the others say whose. */
        not_found(engine, 0);
        not_found(engine, UINT64_MAX);
        for (int bit = 0; bit < 64; bit++)
            not_found(engine, living ^ 1ull << bit);
        uint64_t random = 88172645463325252ull;
        for (int i = 0; i < 1000; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            CHECK_EQ(chttp_cancel(engine, random), CHTTP_E_NOT_FOUND);
        }
        /* Of another engine: it has no exchange under way. */
        not_found(other, living);
        CHECK_EQ(chttp_submit(other, queue, NULL, 0, 0, NULL, NULL), CHTTP_E_INVALID_ARG);

        /* It lived through all of that. It is no upload. */
        CHECK_EQ(stats_of(engine).exchanges, 1);
        CHECK_EQ(chttp_body_write(engine, living, "x", 1), CHTTP_E_BAD_STATE);
        CHECK_EQ(chttp_body_end(engine, living, NULL, 0, NULL), CHTTP_E_BAD_STATE);
        CHECK_EQ(chttp_cancel(engine, living), 0);
        int32_t again = chttp_cancel(engine, living);
        CHECK(again == 0 || again == CHTTP_E_NOT_FOUND);
        struct answer a = read_answer(queue, living);
        CHECK_EQ(a.error, CHTTP_E_CANCELLED);
        not_found(engine, living);

        /* An id outlives neither the exchange nor the engine it was of: events still carry it. */
        living = submit_get(engine, queue, hang, 0, 77);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        chttp_event event = next_event(queue);
        CHECK(event.xid == living && event.token == 77 && event.error == CHTTP_E_ENGINE_CLOSED);
        event_free(&event);
        chttp_queue_destroy(queue);
        chttp_queue_destroy(other_queue);
        CHECK_EQ(chttp_engine_destroy(other), 0);
    }
    test_server_stop(&server);
    return 0;
}
