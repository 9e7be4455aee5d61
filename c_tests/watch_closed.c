/*
 * A descriptor that is closed while it is watched harms nobody: no event of what has its number now goes to the former watch,
 * nothing spins, and what the engine itself has under that number is let alone. What cannot be watched is refused with the
 * reason.
 */
#define _GNU_SOURCE

#include "support/engine.h"
#include "support/forked.h"

#include <sys/socket.h>

static struct test_server server;
static char hello[64];

static chttp_xid watch(chttp_engine *engine, chttp_queue *queue, int fd, uint64_t token)
{
    chttp_xid id = 0;
    CHECK_EQ(chttp_watch_fd(engine, queue, fd, CHTTP_WATCH_READ, token, &id, NULL), 0);
    return id;
}

static void refused(chttp_engine *engine, chttp_queue *queue, int fd, int32_t code, const char *word)
{
    chttp_error *error = NULL;
    chttp_xid id = 42;
    char text[256] = "";
    CHECK_EQ(chttp_watch_fd(engine, queue, fd, CHTTP_WATCH_READ, 0, &id, &error), code);
    CHECK_EQ(id, 42);
    CHECK_EQ(chttp_error_code(error), code);
    chttp_error_message(error, text, sizeof text);
    CHECK(strstr(text, word) != NULL);
    chttp_release(error);
}

static chttp_event expect(chttp_queue *queue, uint64_t token, int32_t error)
{
    chttp_event event = next_event(queue);
    CHECK_EQ(event.kind, CHTTP_EV_WATCH);
    CHECK_EQ(event.token, token);
    CHECK_EQ(event.error, error);
    return event;
}

/* The end of a watch that was ended, and what it told before. */
static void cancelled(chttp_queue *queue, uint64_t token)
{
    for (int last = 0; !last;) {
        chttp_event event = next_event(queue);
        last = is_terminal(&event);
        CHECK(event.kind == CHTTP_EV_WATCH && event.token == token && event.error == (last ? CHTTP_E_CANCELLED : 0));
        event_free(&event);
    }
}

/* Nothing of a watch stands before a task. */
static void silent(chttp_queue *queue)
{
    CHECK_EQ(chttp_queue_post(queue, 1000, 0), 0);
    chttp_event event = next_event(queue);
    CHECK_EQ(event.kind, CHTTP_EV_TASK);
}

/* Closes a descriptor and gives its number to another. */
static int take_number(int number, int fd)
{
    CHECK_EQ(dup3(fd, number, O_CLOEXEC), number);
    close(fd);
    return number;
}

static void replaced(chttp_engine *engine, chttp_queue *queue)
{
    int first[2], second[2];
    chttp_event event;
    CHECK_EQ(pipe2(first, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(second, O_CLOEXEC), 0);
    chttp_xid former = watch(engine, queue, first[0], 1);
    /* The number stands for another pipe, which nobody watches. */
    second[0] = take_number(first[0], second[0]);
    CHECK_EQ(write(second[1], "x", 1), 1);
    silent(queue);
    /* It is watched: the former watch is over, and only the new one tells. */
    chttp_xid id = watch(engine, queue, second[0], 2);
    event = expect(queue, 1, CHTTP_E_IO);
    CHECK(event.os_errno == EBADF && event.xid == former && is_terminal(&event));
    event = expect(queue, 2, 0);
    CHECK(event.xid == id && event.arg == CHTTP_WATCH_READ);
    CHECK_EQ(chttp_cancel(engine, former), CHTTP_E_NOT_FOUND);
    /* While its event is held the number changes again: that shows at the release. */
    close(first[1]);
    CHECK_EQ(pipe2(first, O_CLOEXEC), 0);
    first[0] = take_number(second[0], first[0]);
    event_free(&event);
    event = expect(queue, 2, CHTTP_E_IO);
    CHECK(event.os_errno == ENOENT && is_terminal(&event));
    /* Closed and not replaced: so does a change. */
    id = watch(engine, queue, first[0], 3);
    close(first[0]);
    CHECK_EQ(chttp_watch_modify(engine, id, CHTTP_WATCH_WRITE, NULL), 0);
    event = expect(queue, 3, CHTTP_E_IO);
    CHECK(event.os_errno == EBADF && is_terminal(&event));
    /* Ended after it was closed, and after another has the number, which has a watch of its own. */
    id = watch(engine, queue, first[1], 4);
    close(first[1]);
    CHECK_EQ(chttp_cancel(engine, id), 0);
    cancelled(queue, 4);
    close(second[1]);
}

/* A description lives on: the kernel goes on reporting it. */
static void duplicated(chttp_engine *engine, chttp_queue *queue)
{
    int ends[2], other[2];
    chttp_event event;
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    int number = ends[0], kept = fcntl(ends[0], F_DUPFD_CLOEXEC, 100);
    CHECK(kept >= 100);
    chttp_xid id = watch(engine, queue, number, 1);
    close(number);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    event = expect(queue, 1, 0);
    CHECK(event.aux == (uint64_t)number);
    event_free(&event);
    event = expect(queue, 1, CHTTP_E_IO);
    CHECK_EQ(event.os_errno, EBADF);
    silent(queue);
    /* Ended when its number was closed: what the kernel reports later is nobody's, and reported once. */
    CHECK_EQ(dup3(kept, number, O_CLOEXEC), number);
    id = watch(engine, queue, number, 2);
    event = expect(queue, 2, 0);
    event_free(&event);
    close(number);
    CHECK_EQ(chttp_cancel(engine, id), 0);
    cancelled(queue, 2);
    silent(queue);
    /* Its number is another's, with a watch, and then its own again. */
    CHECK_EQ(pipe2(other, O_CLOEXEC), 0);
    other[0] = other[0] == number ? number : take_number(number, other[0]);
    id = watch(engine, queue, number, 3);
    silent(queue);
    CHECK_EQ(chttp_cancel(engine, id), 0);
    cancelled(queue, 3);
    CHECK_EQ(dup3(kept, number, O_CLOEXEC), number);
    id = watch(engine, queue, number, 4);
    event = expect(queue, 4, 0);
    char byte;
    CHECK_EQ(read(kept, &byte, 1), 1);
    event_free(&event);
    silent(queue);
    close(kept);
    CHECK_EQ(chttp_cancel(engine, id), 0);
    cancelled(queue, 4);
    close(number);
    close(ends[1]);
    close(other[1]);
}

/* The engine's next connection gets the number of a descriptor that was closed. */
static void ours_now(chttp_engine *engine, chttp_queue *queue)
{
    int ends[2];
    chttp_request request = request_for(hello);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    chttp_xid id = watch(engine, queue, ends[0], 1);
    /* The first of two is written to, so that an event is held; it is released when the number is the connection's. */
    CHECK_EQ(write(ends[1], "x", 1), 1);
    chttp_event event = expect(queue, 1, 0);
    close(ends[0]);
    request.flags = CHTTP_REQ_RAW;
    request.url = hello;
    chttp_xid stream = submit_one(engine, queue, &request);
    chttp_event head = next_event(queue);
    CHECK_EQ(head.kind, CHTTP_EV_HEADERS);
    event_free(&head);
    int fd = chttp_stream_fd(engine, stream);
    CHECK_EQ(fd, ends[0]);
    refused(engine, queue, fd, CHTTP_E_INVALID_ARG, "the engine's own");
    event_free(&event);
    event = expect(queue, 1, CHTTP_E_IO);
    CHECK(event.os_errno == EBADF && event.xid == id);
    /* The connection is as it was. */
    CHECK_EQ(chttp_body_write(engine, stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 47), 0);
    CHECK_EQ(chttp_body_end(engine, stream, NULL, 0, NULL), 0);
    unsigned bytes = 0;
    for (int last = 0; !last;) {
        event = next_event(queue);
        last = is_terminal(&event);
        CHECK_EQ(event.error, 0);
        if (event.kind == CHTTP_EV_BODY) bytes += (unsigned)event.len;
        event_free(&event);
    }
    CHECK(bytes > 0);
    close(ends[1]);
}

/* The same, ended only when its number is a connection's. */
static void ours_and_ended(chttp_engine *engine, chttp_queue *queue)
{
    int ends[2];
    chttp_request request = request_for(hello);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    chttp_xid id = watch(engine, queue, ends[0], 1);
    close(ends[0]);
    request.flags = CHTTP_REQ_RAW;
    chttp_xid stream = submit_one(engine, queue, &request);
    chttp_event event = next_event(queue);
    CHECK_EQ(event.kind, CHTTP_EV_HEADERS);
    event_free(&event);
    CHECK_EQ(chttp_stream_fd(engine, stream), ends[0]);
    CHECK_EQ(chttp_cancel(engine, id), 0);
    cancelled(queue, 1);
    CHECK_EQ(chttp_body_write(engine, stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27), 0);
    event = next_event(queue);
    CHECK_EQ(event.kind, CHTTP_EV_BODY);
    event_free(&event);
    CHECK_EQ(chttp_cancel(engine, stream), 0);
    await_terminals(queue, 1);
    close(ends[1]);
}

static void refusals(chttp_engine *engine, chttp_queue *queue)
{
    int ends[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    refused(engine, queue, -1, CHTTP_E_INVALID_ARG, "-1");
    refused(engine, queue, 987654, CHTTP_E_INVALID_ARG, "not open");
    refused(engine, queue, file, CHTTP_E_UNSUPPORTED, "file");
    chttp_xid id = watch(engine, queue, ends[0], 1);
    refused(engine, queue, ends[0], CHTTP_E_BAD_STATE, "watched already");
    /* Under another number it is another's. */
    int copy = fcntl(ends[0], F_DUPFD_CLOEXEC, 3);
    chttp_xid other = watch(engine, queue, copy, 2);
    CHECK(id != other);
    CHECK_EQ(chttp_cancel(engine, id), 0);
    CHECK_EQ(chttp_cancel(engine, other), 0);
    await_terminals(queue, 2);
    close(copy);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

/* Another engine's queue is a descriptor like any other. */
static void nested(chttp_engine *engine, chttp_queue *queue, int drive)
{
    chttp_engine *inner = engine_make(drive, NULL);
    chttp_queue *inner_queue = queue_make(inner);
    watch(engine, queue, chttp_queue_fd(inner_queue), 1);
    for (int i = 0; i < 3; i++) {
        submit_get(inner, inner_queue, hello, CHTTP_REQ_COLLECT, 0);
        for (int last = 0; !last;) {
            chttp_event event = expect(queue, 1, 0), answer;
            while (chttp_queue_drain(inner_queue, &answer, 1, 0) == 1) {
                CHECK(answer.kind == CHTTP_EV_RESPONSE && answer.arg == 200);
                last = 1;
                event_free(&answer);
            }
            event_free(&event);
        }
    }
    chttp_engine_destroy(inner);
    chttp_queue_destroy(inner_queue);
}

/* The queue's end is the end of its watches, in silence; others go on. */
static void of_queues(void)
{
    chttp_engine *engine = engine_make(1, NULL);
    chttp_queue *queue = queue_make(engine), *other = queue_make(engine);
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    chttp_xid id = watch(engine, queue, ends[0], 1), timer = 0;
    CHECK_EQ(chttp_timer_start(engine, queue, 0, 1, 1, &timer, NULL), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    CHECK_EQ(chttp_cancel(engine, id), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_cancel(engine, timer), CHTTP_E_NOT_FOUND);
    watch(engine, other, ends[0], 2);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    chttp_event event = expect(other, 2, 0);
    event_free(&event);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    for (int last = 0; !last;) {
        CHECK_EQ(chttp_queue_drain(other, &event, 1, 0), 1);
        last = is_terminal(&event);
        CHECK(event.token == 2 && event.error == (last ? CHTTP_E_ENGINE_CLOSED : 0));
        event_free(&event);
    }
    CHECK_EQ(chttp_queue_drain(other, &event, 1, 0), 0);
    CHECK_EQ(chttp_queue_destroy(other), 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", hello, sizeof hello);
    struct open_fds before = fds_now();
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        replaced(engine, queue);
        duplicated(engine, queue);
        ours_now(engine, queue);
        ours_and_ended(engine, queue);
        refusals(engine, queue);
        nested(engine, queue, drive);
        chttp_engine_destroy(engine);
        chttp_queue_destroy(queue);
    }
    of_queues();
    check_no_more_than(&before);
    test_server_stop(&server);
    return 0;
}
