/*
 * Rule 2 of the poll-fd: no timer and no other call is ever needed for progress. The loops here call poll on the
 * descriptor, without a timeout but the guard, and drain when it is readable: connections, answers that take their
 * time, deadlines and idle connections all have to make the descriptor readable by themselves.
 */
#include "support/engine.h"

#include <sys/socket.h>
#include <unistd.h>

static struct test_server server;

static chttp_event ended(chttp_queue *queue)
{
    for (;;) {
        chttp_event event = next_event(queue);
        if (is_terminal(&event))
            return event;
        event_free(&event);
    }
}

static void expect_error(chttp_engine *engine, chttp_queue *queue, chttp_request *request, int32_t code)
{
    chttp_xid xid = submit_one(engine, queue, request);
    chttp_event event = ended(queue);
    CHECK_EQ(event.xid, xid);
    CHECK_EQ(event.error, code);
    CHECK_EQ(chttp_error_code(event.obj), code);
    event_free(&event);
}

static void deadlines(chttp_engine *engine, chttp_queue *queue)
{
    char hang[64], drip[64];
    test_server_url(&server, "/hang", hang, sizeof hang);
    test_server_url(&server, "/drip/3/60000", drip, sizeof drip);

    chttp_request request = request_for(hang);
    request.total_timeout_ns = 20 * MS_NS;
    expect_error(engine, queue, &request, CHTTP_E_TIMEOUT_TOTAL);

    request = request_for(hang);
    request.first_byte_timeout_ns = 20 * MS_NS;
    expect_error(engine, queue, &request, CHTTP_E_TIMEOUT_FIRST_BYTE);

    request = request_for(drip);
    request.read_timeout_ns = 20 * MS_NS;
    expect_error(engine, queue, &request, CHTTP_E_TIMEOUT_READ);

    /* A later deadline that is armed first must not hide an earlier one, nor the other way round. */
    chttp_request late = request_for(hang), soon = request_for(hang);
    late.total_timeout_ns = 120 * MS_NS;
    soon.total_timeout_ns = 20 * MS_NS;
    chttp_xid second = submit_one(engine, queue, &late), first = submit_one(engine, queue, &soon);
    chttp_event event = ended(queue);
    CHECK_EQ(event.xid, first);
    event_free(&event);
    event = ended(queue);
    CHECK_EQ(event.xid, second);
    CHECK_EQ(event.error, CHTTP_E_TIMEOUT_TOTAL);
    event_free(&event);
}

/* One connection at a time: the second request waits for it, in vain. */
static void pool_deadline(int drive)
{
    const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, 1}, {0, 0}};
    chttp_engine *engine = engine_make(drive, settings);
    chttp_queue *queue = queue_make(engine);
    char hang[64];
    test_server_url(&server, "/hang", hang, sizeof hang);
    chttp_xid holder = submit_get(engine, queue, hang, 0, 0);
    chttp_request request = request_for(hang);
    request.pool_timeout_ns = 20 * MS_NS;
    expect_error(engine, queue, &request, CHTTP_E_TIMEOUT_POOL);
    CHECK_EQ(chttp_cancel(engine, holder), 0);
    chttp_event event = ended(queue);
    CHECK_EQ(event.error, CHTTP_E_CANCELLED);
    event_free(&event);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
}

/* Sends to a peer that accepts and never reads, until the write timeout; it is armed by progress, not by a call. */
static void write_deadline(chttp_engine *engine, chttp_queue *queue)
{
    static char body[8 << 20];
    uint16_t port;
    char url[64];
    int listener = test_server_listen(&port);
    CHECK(listener >= 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    chttp_request request = request_for(url);
    request.method = "PUT";
    request.method_len = 3;
    request.body = body;
    request.body_len = sizeof body;
    request.write_timeout_ns = 50 * MS_NS;
    expect_error(engine, queue, &request, CHTTP_E_TIMEOUT_WRITE);
    close(listener);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        char url[64];
        const char *paths[] = {"/", "/delay/30", "/bytes/300000", "/chunked/50000/777", "/close/1000", "/drip/5/5"};
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            chttp_request request = request_for(test_server_url(&server, paths[i], url, sizeof url));
            struct answer a = fetch(engine, queue, &request);
            CHECK_EQ(a.status, 200);
            CHECK_EQ(a.error, 0);
        }
        deadlines(engine, queue);
        write_deadline(engine, queue);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
        pool_deadline(drive);
    }
    test_server_stop(&server);
    return 0;
}
