/*
 * Request bodies in every form but the stream: whole, of a file, with Expect: 100-continue, and what early answers do to
 * them.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static struct test_server server;

static chttp_request put(const char *url, const char *body, uint64_t len, uint32_t flags)
{
    chttp_request request = request_for(url);
    request.method = "PUT";
    request.method_len = 3;
    request.body = body;
    request.body_len = len;
    request.flags = flags;
    return request;
}

static void whole(chttp_engine *engine, chttp_queue *queue)
{
    static char large[3 << 20];
    char url[64];
    chttp_request request = put(test_server_url(&server, "/echo", url, sizeof url), "with\0zero", 9, 0);
    struct answer a = fetch(engine, queue, &request);
    CHECK_MEM(a.text, (size_t)a.len, "with\0zero", 9);
    request = put(url, "", 0, 0);
    a = fetch(engine, queue, &request);
    CHECK_EQ(a.len, 0);
    CHECK_EQ(a.error, 0);
    /* A large body is lent for the time of the call that this request makes, and for no longer than WRITE_DONE. */
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = test_server_pattern(i);
    request = put(url, large, sizeof large, 0);
    chttp_xid xid = submit_one(engine, queue, &request);
    uint64_t at = 0;
    for (int last = 0; !last;) {
        chttp_event event = next_event(queue);
        CHECK_EQ(event.xid, xid);
        if (event.kind == CHTTP_EV_BODY)
            for (uint64_t i = 0; i < event.len; i++)
                CHECK_EQ(event.data[i], test_server_pattern(at++));
        last = is_terminal(&event);
        CHECK_EQ(event.error, 0);
        event_free(&event);
    }
    CHECK_EQ(at, sizeof large);
    /* GET with a body, and POST without. */
    request = put(url, "abc", 3, CHTTP_REQ_COLLECT);
    request.method = "GET";
    a = fetch(engine, queue, &request);
    CHECK_STR(a.text, "abc");
    request = put(url, NULL, 0, CHTTP_REQ_COLLECT);
    request.method = "POST";
    request.method_len = (size_t)CHTTP_NUL_TERMINATED;
    a = fetch(engine, queue, &request);
    CHECK(a.one_event && a.status == 200 && a.len == 0);
}

static void file(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    size_t len = 300000;
    int fd = memfd_create("body", MFD_CLOEXEC);
    CHECK(fd >= 0);
    for (size_t i = 0; i < len; i++) {
        char c = test_server_pattern(i);
        CHECK(i % 1000 != 0 || lseek(fd, 0, SEEK_CUR) == (off_t)i);
        CHECK_EQ(write(fd, &c, 1), 1);
    }
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);

    chttp_request request = put(test_server_url(&server, "/echo", url, sizeof url), NULL, 100, CHTTP_REQ_FILE_BODY);
    request.body_fd = fd;
    request.body_offset = 61;
    struct answer a = fetch(engine, queue, &request);
    CHECK_EQ(a.len, 100);
    CHECK_EQ(a.write_done, 0);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(a.text[i], test_server_pattern(i));
    /* The descriptor is duplicated: ours may be closed after submit. Its position was not moved. */
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    request = put(test_server_url(&server, "/count", url, sizeof url), NULL, len, CHTTP_REQ_FILE_BODY);
    int twin = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    request.body_fd = twin;
    chttp_xid xid = submit_one(engine, queue, &request);
    close(twin);
    a = read_answer(queue, xid);
    CHECK_EQ(strtoull(a.text, NULL, 10), len);
    /* Nothing of it, and more than there is. */
    request.body_fd = fd;
    request.body_len = 0;
    a = fetch(engine, queue, &request);
    CHECK_STR(a.text, "0\n");
    request.body_len = len;
    request.body_offset = 1;
    a = fetch(engine, queue, &request);
    CHECK_EQ(a.error, CHTTP_E_BODY_LENGTH);
    close(fd);
    /* A descriptor that cannot be read at an offset is an error of the exchange. */
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    request.body_fd = ends[0];
    request.body_offset = 0;
    a = fetch(engine, queue, &request);
    CHECK_EQ(a.error, CHTTP_E_IO);
    close(ends[0]);
    close(ends[1]);
    /* A closed one is refused at once. */
    chttp_error *error = NULL;
    CHECK_EQ(chttp_submit(engine, queue, &request, 1, 0, NULL, &error), CHTTP_E_INVALID_BODY);
    chttp_release(error);
}

static void expect(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    chttp_request request =
        put(test_server_url(&server, "/continue", url, sizeof url), "go on", 5, CHTTP_REQ_EXPECT_CONTINUE);
    struct answer a = fetch(engine, queue, &request);
    CHECK_STR(a.text, "go on");
    CHECK_EQ(a.informational, 1);
    /* Nobody says 100: after the time the body is sent all the same. */
    test_server_url(&server, "/echo", url, sizeof url);
    request.expect_timeout_ns = 10 * MS_NS;
    a = fetch(engine, queue, &request);
    CHECK_STR(a.text, "go on");
    CHECK_EQ(a.informational, 0);
    /* Collected, and without a body: then nothing is expected. */
    request.flags |= CHTTP_REQ_COLLECT;
    a = fetch(engine, queue, &request);
    CHECK_STR(a.text, "go on");
    request.body = NULL;
    request.body_len = 0;
    request.expect_timeout_ns = CHTTP_UNLIMITED;
    a = fetch(engine, queue, &request);
    CHECK_EQ(a.status, 200);
    /* The final answer comes instead of 100: the body is never sent. */
    request = put(test_server_url(&server, "/early413", url, sizeof url), "never sent", 10, CHTTP_REQ_EXPECT_CONTINUE);
    request.expect_timeout_ns = CHTTP_UNLIMITED;
    a = fetch(engine, queue, &request);
    CHECK_EQ(a.status, 413);
    CHECK_EQ(a.error, 0);
    CHECK_STR(a.text, "too large\n");
}

/* An answer before the end of the upload is an answer, not an error. */
static void early(chttp_engine *engine, chttp_queue *queue)
{
    static char large[1 << 20];
    char url[64];
    chttp_request request = put(test_server_url(&server, "/early413", url, sizeof url), "small", 5, 0);
    struct answer a = fetch(engine, queue, &request);
    CHECK_EQ(a.status, 413);
    CHECK_EQ(a.error, 0);
    request = put(test_server_url(&server, "/early413/keep", url, sizeof url), large, sizeof large, 0);
    a = fetch(engine, queue, &request);
    CHECK_EQ(a.status, 413);
    CHECK_EQ(a.error, 0);
    CHECK_EQ(a.write_done, 1);
    for (int i = 0; i < 10; i++) {
        request = put(test_server_url(&server, "/early413", url, sizeof url), large, sizeof large, 0);
        a = fetch(engine, queue, &request);
        CHECK_EQ(a.status, 413);
        CHECK_EQ(a.error, 0);
        CHECK_EQ(a.write_done, 1);
    }
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        whole(engine, queue);
        file(engine, queue);
        expect(engine, queue);
        early(engine, queue);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    test_server_stop(&server);
    return 0;
}
