/*
 * Tunnels by Upgrade and by CONNECT: HEADERS with CHTTP_EF_TUNNEL, then bytes both ways under the same rules of credit
 * and WRITABLE, until both sides have closed; cancelled in between; and no tunnel where none was asked for or granted.
 */
#include "support/echo.h"

static struct test_server server;

static chttp_request upgrade_to(const char *url)
{
    chttp_request request = request_for(url);
    request.header_block = "Connection: Upgrade\r\nUpgrade: echo\r\n";
    request.header_block_len = (size_t)CHTTP_NUL_TERMINATED;
    return request;
}

static chttp_request connect_to(const char *url)
{
    chttp_request request = request_for(url);
    request.method = "CONNECT";
    request.method_len = 7;
    return request;
}

static chttp_xid opened(chttp_engine *engine, chttp_queue *queue, const chttp_request *request, uint32_t status)
{
    chttp_xid xid = submit_one(engine, queue, request);
    chttp_event event = next_event(queue);
    CHECK_EQ(event.kind, CHTTP_EV_HEADERS);
    CHECK_EQ(event.arg, status);
    CHECK((event.flags & CHTTP_EF_TUNNEL) != 0 && !is_terminal(&event));
    event_free(&event);
    return xid;
}

static void expect_bytes(chttp_queue *queue, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        chttp_event event = next_event(queue);
        CHECK_EQ(event.kind, CHTTP_EV_BODY);
        CHECK((event.flags & CHTTP_EF_TUNNEL) != 0);
        CHECK(at + event.len <= len && memcmp(event.data, text + at, (size_t)event.len) == 0);
        at += (size_t)event.len;
        event_free(&event);
    }
}

static void expect_done(chttp_queue *queue, int32_t error)
{
    chttp_event event = next_event(queue);
    CHECK_EQ(event.kind, CHTTP_EV_DONE);
    CHECK_EQ(event.error, error);
    event_free(&event);
}

static void talk(chttp_engine *engine, chttp_queue *queue, chttp_xid xid)
{
    CHECK_EQ(chttp_body_write(engine, xid, "ping", 4), 0);
    expect_bytes(queue, "ping");
    CHECK_EQ(chttp_body_write(engine, xid, "one ", 4), 0);
    CHECK_EQ(chttp_body_write(engine, xid, "two", 3), 0);
    expect_bytes(queue, "one two");
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    char url[64], hello[64];
    test_server_url(&server, "/upgrade", url, sizeof url);
    test_server_url(&server, "/upgrade/hello", hello, sizeof hello);
    for (int drive = 0; drive < DRIVES; drive++) {
        const struct setting settings[] = {{CHTTP_OPT_SEND_BUFFER, 30000}, {0, 0}};
        chttp_engine *engine = engine_make(drive, settings);
        chttp_queue *queue = queue_make(engine);
        for (int how = 0; how < 2; how++) {
            chttp_request request = how == 0 ? upgrade_to(url) : connect_to(url);
            uint32_t status = how == 0 ? 101 : 200;
            request.recv_credit = 20000;

            chttp_xid xid = opened(engine, queue, &request, status);
            talk(engine, queue, xid);
            echo_bulk(engine, queue, xid, 3 << 19);
            CHECK_EQ(chttp_body_write(engine, xid, "last", 4), 0);
            CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
            /* The peer may have closed its side already, which ends the exchange. */
            int32_t late = chttp_body_write(engine, xid, "x", 1);
            CHECK(late == CHTTP_E_BAD_STATE || late == CHTTP_E_NOT_FOUND);
            expect_bytes(queue, "last");
            expect_done(queue, 0);

            /* Trailers have no place in a tunnel. */
            static const chttp_field field = {"A", 1, "b", 1};
            xid = opened(engine, queue, &request, status);
            talk(engine, queue, xid);
            CHECK_EQ(chttp_body_end(engine, xid, &field, 1, NULL), CHTTP_E_BAD_STATE);
            talk(engine, queue, xid);
            CHECK_EQ(chttp_cancel(engine, xid), 0);
            await_terminals(queue, 1);

            /* Cancelled in the middle, with bytes on their way. */
            xid = opened(engine, queue, &request, status);
            CHECK_EQ(chttp_body_write(engine, xid, "ping", 4), 0);
            CHECK_EQ(chttp_cancel(engine, xid), 0);
            await_terminals(queue, 1);
            CHECK_EQ(chttp_body_write(engine, xid, "x", 1), CHTTP_E_NOT_FOUND);

            /* Asked for in one event: a tunnel is none. */
            request.flags = CHTTP_REQ_COLLECT;
            xid = opened(engine, queue, &request, status);
            talk(engine, queue, xid);
            CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
            expect_done(queue, 0);

            /* perform has no use for it. */
            chttp_response *response = NULL;
            CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL), CHTTP_E_TOO_LARGE);
            CHECK(response == NULL);
        }
        /* Bytes of the stream in one segment with the head. */
        chttp_request request = upgrade_to(hello);
        chttp_xid xid = opened(engine, queue, &request, 101);
        expect_bytes(queue, "hello\n");
        talk(engine, queue, xid);
        CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
        expect_done(queue, 0);

        /* Asked for and not granted: an answer as any other. */
        char plain[64];
        request = upgrade_to(test_server_url(&server, "/", plain, sizeof plain));
        struct answer a = fetch(engine, queue, &request);
        CHECK_STR(a.text, "hello\n");
        request = request_for(url);
        a = fetch(engine, queue, &request);
        CHECK_EQ(a.status, 426);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
