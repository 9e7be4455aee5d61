/*
 * A watch tells what is so of a descriptor, one event at a time: again after each release as long as there is something to
 * read, and not before. Once, paused, changed, for writing, and at the other side's end; in both drives, and in every way to
 * get events.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum how { POLLED, EDGES, WAITED, DISPATCHED, RUN, PIPED, CALLED, HOWS };

/* A queue, a way to get its events, and what came last. */
struct side {
    enum how how;
    chttp_engine *engine;
    chttp_queue *queue;
    int edges; /* an epoll set that shows each edge of the queue's descriptor once */
    chttp_event last; /* with its object */
    _Atomic unsigned came;
};

static void put(struct side *s, const chttp_event *event)
{
    CHECK(event->kind == CHTTP_EV_WATCH || event->kind == CHTTP_EV_TASK);
    s->last = *event;
    s->came++;
}

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct side *s = user;
    CHECK(n == 1 && stride == sizeof *events);
    put(s, events);
    events->obj = NULL;
    if (s->how == RUN) CHECK_EQ(chttp_queue_stop(s->queue), 0);
}

static struct side *side_make(enum how how, int drive)
{
    static struct side s;
    memset(&s, 0, sizeof s);
    s.how = how;
    s.engine = engine_make(drive, NULL);
    if (how == CALLED)
        s.queue = callback_make(s.engine, on_events, &s, "watch");
    else if (how == PIPED)
        CHECK_EQ(chttp_queue_new_kind(s.engine, CHTTP_NOTIFY_PIPE, -1, NULL, 0, &s.queue, NULL), 0);
    else
        s.queue = queue_make(s.engine);
    if (how == EDGES) {
        struct epoll_event watch = {.events = EPOLLIN | EPOLLET};
        s.edges = epoll_create1(EPOLL_CLOEXEC);
        CHECK_EQ(epoll_ctl(s.edges, EPOLL_CTL_ADD, chttp_queue_fd(s.queue), &watch), 0);
    }
    return &s;
}

static void side_end(struct side *s)
{
    if (s->how == EDGES) close(s->edges);
    CHECK_EQ(chttp_engine_destroy(s->engine), 0);
    CHECK_EQ(chttp_queue_destroy(s->queue), 0);
}

/* The next event. Its object is the caller's. */
static chttp_event next(struct side *s)
{
    unsigned before = s->came;
    struct epoll_event edge;
    chttp_event event;
    switch (s->how) {
    case CALLED:
        await_count(&s->came, 1);
        s->came = 0;
        return s->last;
    case POLLED:
    case PIPED:
        return next_event(s->queue);
    case WAITED:
        while (chttp_queue_wait(s->queue, &event, 1, 0, CHTTP_UNLIMITED) != 1) {
        }
        return event;
    case EDGES:
        /* One drain for each edge. */
        do CHECK_EQ(epoll_wait(s->edges, &edge, 1, GUARD_MS), 1);
        while (chttp_queue_drain(s->queue, &event, 1, 0) != 1);
        return event;
    case DISPATCHED:
        while (s->came == before) {
            CHECK_EQ(polled(chttp_queue_fd(s->queue), GUARD_MS), POLLIN);
            CHECK(chttp_queue_dispatch(s->queue, 1, on_events, s) >= 0);
        }
        return s->last;
    default:
        CHECK_EQ(chttp_queue_run(s->queue, 0, on_events, s), 0);
        return s->last;
    }
}

/* No event comes before one that is sent behind whatever waits: not of a watch that is silent. */
static void nothing(struct side *s, uint64_t token)
{
    CHECK_EQ(chttp_queue_post(s->queue, token, 77), 0);
    chttp_event event = next(s);
    CHECK_EQ(event.kind, CHTTP_EV_TASK);
    CHECK(event.token == token && event.aux == 77 && event.xid == 0 && event.obj == NULL && is_terminal(&event));
}

static chttp_event ready(struct side *s, chttp_xid id, int fd, uint32_t arg)
{
    chttp_event event = next(s);
    CHECK_EQ(event.kind, CHTTP_EV_WATCH);
    CHECK_EQ(event.arg, arg);
    CHECK(event.xid == id && event.aux == (uint64_t)fd && event.token == 5 && event.error == 0);
    CHECK_EQ(is_terminal(&event), event.obj == NULL);
    return event;
}

static void over(struct side *s, chttp_xid id, int32_t code)
{
    chttp_event event = next(s);
    CHECK_EQ(event.kind, CHTTP_EV_WATCH);
    CHECK_EQ(event.error, code);
    CHECK(event.xid == id && event.token == 5 && is_terminal(&event) && event.obj == NULL);
    CHECK_EQ(chttp_cancel(s->engine, id), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_watch_modify(s->engine, id, CHTTP_WATCH_READ, NULL), CHTTP_E_NOT_FOUND);
}

static chttp_xid watch(struct side *s, int fd, uint32_t interest)
{
    chttp_xid id = 0;
    chttp_error *error = NULL;
    CHECK_EQ(chttp_watch_fd(s->engine, s->queue, fd, interest, 5, &id, &error), 0);
    CHECK(id != 0 && error == NULL);
    return id;
}

static void say(int fd, const char *text)
{
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void hear(int fd, size_t n)
{
    char bytes[64];
    CHECK_EQ(read(fd, bytes, n), (ssize_t)n);
}

static void pipes(struct side *s)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0); /* blocking: an event that is not true would hang the test */
    chttp_xid id = watch(s, ends[0], CHTTP_WATCH_READ);
    nothing(s, 1);
    say(ends[1], "abc");
    chttp_event event = ready(s, id, ends[0], CHTTP_WATCH_READ);
    /* It is held: whatever comes, there is no further event. */
    say(ends[1], "def");
    nothing(s, 2);
    hear(ends[0], 1);
    event_free(&event);
    event = ready(s, id, ends[0], CHTTP_WATCH_READ);
    hear(ends[0], 5);
    event_free(&event);
    nothing(s, 3);
    for (int i = 0; i < 20; i++) {
        say(ends[1], "x");
        event = ready(s, id, ends[0], CHTTP_WATCH_READ);
        hear(ends[0], 1);
        event_free(&event);
    }

    /* Paused while it is silent, while an event is held, and gone on with. */
    CHECK_EQ(chttp_watch_modify(s->engine, id, 0, NULL), 0);
    say(ends[1], "y");
    nothing(s, 4);
    CHECK_EQ(chttp_watch_modify(s->engine, id, CHTTP_WATCH_READ, NULL), 0);
    event = ready(s, id, ends[0], CHTTP_WATCH_READ);
    CHECK_EQ(chttp_watch_modify(s->engine, id, 0, NULL), 0);
    event_free(&event);
    nothing(s, 5);
    /* Once more, and that is the last. */
    CHECK_EQ(chttp_watch_modify(s->engine, id, CHTTP_WATCH_READ | CHTTP_WATCH_ONCE, NULL), 0);
    event = ready(s, id, ends[0], CHTTP_WATCH_READ);
    CHECK(is_terminal(&event));
    CHECK_EQ(chttp_cancel(s->engine, id), CHTTP_E_NOT_FOUND);
    hear(ends[0], 1);

    /* Once from the beginning; the descriptor may be watched anew right away. */
    id = watch(s, ends[0], CHTTP_WATCH_READ | CHTTP_WATCH_ONCE);
    nothing(s, 6);
    say(ends[1], "z");
    event = ready(s, id, ends[0], CHTTP_WATCH_READ);
    CHECK(is_terminal(&event));
    id = watch(s, ends[0], CHTTP_WATCH_READ);
    event = ready(s, id, ends[0], CHTTP_WATCH_READ);
    hear(ends[0], 1);
    event_free(&event);

    /* The end of the other side is something to read. */
    close(ends[1]);
    event = ready(s, id, ends[0], CHTTP_WATCH_READ | CHTTP_WATCH_HANGUP);
    CHECK_EQ(read(ends[0], &(char){0}, 1), 0);
    event_free(&event);
    event = ready(s, id, ends[0], CHTTP_WATCH_READ | CHTTP_WATCH_HANGUP);
    /* Ended while an event is held: it tells no more. */
    CHECK_EQ(chttp_cancel(s->engine, id), 0);
    close(ends[0]);
    over(s, id, CHTTP_E_CANCELLED);
    event_free(&event);
    nothing(s, 7);
}

static void sockets(struct side *s)
{
    int ends[2];
    static char much[1 << 16];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    chttp_xid id = watch(s, ends[0], CHTTP_WATCH_WRITE | CHTTP_WATCH_HANGUP);
    chttp_event event = ready(s, id, ends[0], CHTTP_WATCH_WRITE);
    while (write(ends[0], much, sizeof much) > 0) {
    }
    event_free(&event);
    nothing(s, 8);
    CHECK_EQ(chttp_watch_modify(s->engine, id, CHTTP_WATCH_READ | CHTTP_WATCH_WRITE, NULL), 0);
    say(ends[1], "a");
    event = ready(s, id, ends[0], CHTTP_WATCH_READ);
    hear(ends[0], 1);
    while (read(ends[1], much, sizeof much) > 0) {
    }
    event_free(&event);
    event = ready(s, id, ends[0], CHTTP_WATCH_WRITE);
    say(ends[1], "b");
    event_free(&event);
    event = ready(s, id, ends[0], CHTTP_WATCH_READ | CHTTP_WATCH_WRITE);
    hear(ends[0], 1);
    /* A half that is closed is the concern of readers alone. */
    CHECK_EQ(shutdown(ends[1], SHUT_WR), 0);
    event_free(&event);
    event = ready(s, id, ends[0], CHTTP_WATCH_READ | CHTTP_WATCH_WRITE | CHTTP_WATCH_HANGUP);
    CHECK_EQ(chttp_watch_modify(s->engine, id, CHTTP_WATCH_WRITE, NULL), 0);
    event_free(&event);
    event = ready(s, id, ends[0], CHTTP_WATCH_WRITE);
    close(ends[1]);
    event_free(&event);
    event = ready(s, id, ends[0], CHTTP_WATCH_WRITE | CHTTP_WATCH_HANGUP);
    CHECK(send(ends[0], "c", 1, MSG_NOSIGNAL) < 0);
    CHECK_EQ(chttp_cancel(s->engine, id), 0);
    CHECK_EQ(chttp_cancel(s->engine, id), CHTTP_E_NOT_FOUND);
    over(s, id, CHTTP_E_CANCELLED);
    event_free(&event);
    close(ends[0]);
}

/* What the application keeps when everything else is gone. */
static void held_to_the_end(struct side *s)
{
    int ends[2];
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    chttp_xid id = watch(s, ends[0], CHTTP_WATCH_READ);
    say(ends[1], "abc");
    chttp_event event = ready(s, id, ends[0], CHTTP_WATCH_READ);
    side_end(s);
    chttp_retain(event.obj);
    chttp_release(event.obj);
    event_free(&event);
    /* No descriptor of ours was closed. */
    hear(ends[0], 3);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    for (int drive = 0; drive < DRIVES; drive++)
        for (enum how how = 0; how < HOWS; how++) {
            if (drive == 0 && (how == PIPED || how == CALLED)) continue;
            struct side *s = side_make(how, drive);
            pipes(s);
            sockets(s);
            held_to_the_end(s);
        }
    return 0;
}
