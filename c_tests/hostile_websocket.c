/*
 * The functions of WebSockets, abused, in both drives: NULL for each pointer, lengths, opcodes, flags and codes that cannot be,
 * and ids of no WebSocket. Each call gets its documented code, and the engine serves on.
 */
#define _GNU_SOURCE

#include "support/hostile.h"

#define HUGE_LEN (SIZE_MAX / 2 + 1)

static struct test_server server;

/* Another engine. */
static chttp_engine *other_engine(void)
{
    return engine_make(1, NULL);
}

HOSTILE(chttp_ws_send)
{
    chttp_engine *other = other_engine();
    CHECK_EQ(chttp_ws_send(NULL, w->open, CHTTP_WS_TEXT, 0, "x", 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_send(w->engine, w->open, CHTTP_WS_TEXT, 0, NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_send(w->engine, w->open, CHTTP_WS_TEXT, 0, "x", HUGE_LEN), CHTTP_E_INVALID_SIZE);
    for (uint32_t opcode = 3; opcode < 300; opcode++)
        CHECK_EQ(chttp_ws_send(w->engine, w->open, opcode, 0, "x", 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_send(w->engine, w->open, UINT32_MAX, 0, "x", 1), CHTTP_E_INVALID_ARG);
    for (uint32_t bit = 2; bit < 32; bit++)
        CHECK_EQ(chttp_ws_send(w->engine, w->open, CHTTP_WS_TEXT, 1u << bit, "x", 1), CHTTP_E_UNKNOWN_FLAG);
    for (uint32_t opcode = 0; opcode < 3; opcode++) {
        /* An upload is no WebSocket. */
        CHECK_EQ(chttp_ws_send(w->engine, w->open, opcode, 0, "x", 1), CHTTP_E_BAD_STATE);
        CHECK_EQ(chttp_ws_send(w->engine, w->open, opcode, CHTTP_WS_MORE | CHTTP_WS_PLAIN, NULL, 0), CHTTP_E_BAD_STATE);
    }
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_ws_send(w->engine, stale_xid(w, i), CHTTP_WS_TEXT, 0, "x", 1), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_ws_send(other, w->open, CHTTP_WS_TEXT, 0, "x", 1), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_engine_destroy(other), 0);
}

/* PING and PONG differ in their opcode alone. */
static void control(struct world *w, int32_t (*send)(const chttp_engine *, chttp_xid, const char *, size_t))
{
    static const char bytes[200] = {0};
    chttp_engine *other = other_engine();
    CHECK_EQ(send(NULL, w->open, NULL, 0), CHTTP_E_INVALID_ARG);
    CHECK_EQ(send(w->engine, w->open, NULL, 1), CHTTP_E_INVALID_ARG);
    CHECK_EQ(send(w->engine, w->open, bytes, HUGE_LEN), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(send(w->engine, w->open, bytes, 126), CHTTP_E_INVALID_SIZE);
    CHECK_EQ(send(w->engine, w->open, bytes, 125), CHTTP_E_BAD_STATE);
    CHECK_EQ(send(w->engine, w->open, NULL, 0), CHTTP_E_BAD_STATE);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(send(w->engine, stale_xid(w, i), NULL, 0), CHTTP_E_NOT_FOUND);
    CHECK_EQ(send(other, w->open, NULL, 0), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_engine_destroy(other), 0);
}

HOSTILE(chttp_ws_ping)
{
    control(w, chttp_ws_ping);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_ws_ping(w->engine, stale_xid(w, i), NULL, 1), CHTTP_E_INVALID_ARG);
}

HOSTILE(chttp_ws_pong)
{
    control(w, chttp_ws_pong);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_ws_pong(w->engine, stale_xid(w, i), NULL, 1), CHTTP_E_INVALID_ARG);
}

HOSTILE(chttp_ws_close)
{
    chttp_error *error = NULL;
    char text[128];
    CHECK_EQ(chttp_ws_close(NULL, w->open, 1000, NULL, 0, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_close(w->engine, w->open, 1000, NULL, 1, NULL), CHTTP_E_INVALID_ARG);
    CHECK_EQ(chttp_ws_close(w->engine, w->open, 1000, "x", HUGE_LEN, NULL), CHTTP_E_INVALID_SIZE);
    for (uint32_t code = 0; code < 70000; code++) {
        int may = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999) ||
                  code == CHTTP_WS_NO_STATUS;
        CHECK_EQ(chttp_ws_close(w->engine, w->open, code, NULL, 0, NULL), may ? CHTTP_E_BAD_STATE : CHTTP_E_INVALID_ARG);
    }
    CHECK_EQ(chttp_ws_close(w->engine, w->open, UINT32_MAX, NULL, 0, &error), CHTTP_E_INVALID_ARG);
    CHECK(chttp_error_message(error, text, sizeof text) > 0 && strstr(text, "code") != NULL);
    chttp_release(error);
    for (unsigned i = 0; i < STALE_XIDS; i++)
        CHECK_EQ(chttp_ws_close(w->engine, stale_xid(w, i), 1000, "why", 3, NULL), CHTTP_E_NOT_FOUND);
}

static const struct attempt attempts[] = {
    TRY(chttp_ws_send),
    TRY(chttp_ws_ping),
    TRY(chttp_ws_pong),
    TRY(chttp_ws_close),
};

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        char url[64];
        struct world w = world_make(drive, &server, url, sizeof url);
        hostile_run(attempts, COUNT(attempts), &w);
        world_end(&w);
    }
    test_server_stop(&server);
    return 0;
}
