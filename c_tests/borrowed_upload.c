/*
 * A body of more than 64 KiB is borrowed until WRITE_DONE, which comes exactly once and before the terminal event, on
 * success, failure, cancel, early answers and the end of the engine. From then on the memory is not read any more: this
 * test unmaps it at that moment, so that a read would be a crash. Smaller bodies are copied, and unmapped after submit.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <sys/mman.h>
#include <unistd.h>

static struct test_server server;

static char *map(size_t len)
{
    char *body = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(body != MAP_FAILED);
    for (size_t i = 0; i < len; i++)
        body[i] = test_server_pattern(i);
    return body;
}

static chttp_request upload_to(const char *url, const char *body, size_t len, uint32_t flags)
{
    chttp_request request = request_for(url);
    request.method = "PUT";
    request.method_len = 3;
    request.body = body;
    request.body_len = len;
    request.flags = flags;
    return request;
}

/* Reads to the end; unmaps at WRITE_DONE. */
static struct answer read_and_unmap(chttp_queue *queue, chttp_xid xid, char *body, size_t len)
{
    struct answer a;
    memset(&a, 0, sizeof a);
    for (int last = 0; !last;) {
        chttp_event event = next_event(queue);
        CHECK_EQ(event.xid, xid);
        if (event.kind == CHTTP_EV_WRITE_DONE)
            CHECK_EQ(munmap(body, len), 0);
        last = answer_add(&a, &event);
        event_free(&event);
    }
    CHECK_EQ(a.write_done, 1);
    return a;
}

static void copied(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    static const size_t lens[] = {1, 4096, 65536};
    test_server_url(&server, "/echo", url, sizeof url);
    for (size_t i = 0; i < 3; i++) {
        char *body = map(lens[i]);
        chttp_request request = upload_to(url, body, lens[i], 0);
        chttp_xid xid = submit_one(engine, queue, &request);
        CHECK_EQ(munmap(body, lens[i]), 0);
        struct answer a = read_answer(queue, xid);
        CHECK_EQ(a.write_done, 0);
        CHECK_EQ(a.len, lens[i]);
        for (size_t j = 0; j < lens[i] && j < sizeof a.text - 1; j++)
            CHECK_EQ(a.text[j], test_server_pattern(j));
    }
}

static void borrowed(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    static const size_t lens[] = {65537, 1 << 20, 5 << 20};
    for (size_t i = 0; i < 3; i++) {
        char *body = map(lens[i]);
        chttp_request request = upload_to(test_server_url(&server, "/count", url, sizeof url), body, lens[i], 0);
        struct answer a = read_and_unmap(queue, submit_one(engine, queue, &request), body, lens[i]);
        CHECK_EQ(a.error, 0);
        CHECK_EQ(strtoull(a.text, NULL, 10), lens[i]);
    }
    /* Held back and never sent: the server says no to the Expect by answering at once. */
    size_t len = 1 << 20;
    char *body = map(len);
    chttp_request request = upload_to(test_server_url(&server, "/early413", url, sizeof url), body, len,
                                      CHTTP_REQ_EXPECT_CONTINUE);
    struct answer a = read_and_unmap(queue, submit_one(engine, queue, &request), body, len);
    CHECK_EQ(a.status, 413);
    CHECK_EQ(a.error, 0);
    /* Answered in the middle. */
    body = map(len);
    request = upload_to(url, body, len, 0);
    a = read_and_unmap(queue, submit_one(engine, queue, &request), body, len);
    CHECK(a.status == 413 || a.error != 0);
    /* The connection breaks, and the connection is refused. */
    body = map(len);
    request = upload_to(test_server_url(&server, "/reset", url, sizeof url), body, len, 0);
    a = read_and_unmap(queue, submit_one(engine, queue, &request), body, len);
    CHECK(a.error != 0);
    uint16_t port;
    int listener = test_server_listen(&port);
    close(listener);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    body = map(len);
    request = upload_to(url, body, len, 0);
    a = read_and_unmap(queue, submit_one(engine, queue, &request), body, len);
    CHECK_EQ(a.error, CHTTP_E_CONNECT_REFUSED);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    uint16_t port;
    char silent[64];
    int listener = test_server_listen(&port);
    snprintf(silent, sizeof silent, "http://127.0.0.1:%u/", port);
    size_t len = 4 << 20;
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        copied(engine, queue);
        borrowed(engine, queue);

        /* Cancelled while the peer takes nothing: at once, and after a part was sent. */
        for (int wait_ms = 0; wait_ms < 20; wait_ms += 5) {
            char *body = map(len);
            chttp_request request = upload_to(silent, body, len, 0);
            chttp_xid xid = submit_one(engine, queue, &request);
            polled(chttp_queue_fd(queue), wait_ms);
            CHECK_EQ(chttp_queue_drain(queue, NULL, 0, 0), 0);
            CHECK_EQ(chttp_cancel(engine, xid), 0);
            struct answer a = read_and_unmap(queue, xid, body, len);
            CHECK_EQ(a.error, CHTTP_E_CANCELLED);
        }
        /* A submit that is refused borrows nothing. */
        char *body = map(len);
        chttp_request request = upload_to("http:/", body, len, 0);
        CHECK_EQ(chttp_submit(engine, queue, &request, 1, 0, NULL, NULL), CHTTP_E_INVALID_URL);
        CHECK_EQ(munmap(body, len), 0);

        /* perform gives the memory back when it returns, however it returns. */
        chttp_response *response = NULL;
        body = map(len);
        request = upload_to(silent, body, len, 0);
        CHECK_EQ(chttp_perform(engine, &request, 10 * MS_NS, &response, NULL), CHTTP_E_TIMED_OUT);
        CHECK_EQ(munmap(body, len), 0);

        /* The end of the queue, and of the engine. */
        body = map(len);
        request = upload_to(silent, body, len, 0);
        submit_one(engine, queue, &request);
        chttp_queue_destroy(queue);
        CHECK_EQ(munmap(body, len), 0);
        queue = queue_make(engine);
        body = map(len);
        request = upload_to(silent, body, len, 0);
        chttp_xid xid = submit_one(engine, queue, &request);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        struct answer a = read_and_unmap(queue, xid, body, len);
        CHECK_EQ(a.error, CHTTP_E_ENGINE_CLOSED);
        chttp_queue_destroy(queue);
    }
    close(listener);
    test_server_stop(&server);
    return 0;
}
