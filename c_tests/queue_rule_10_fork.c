/*
 * Rule 10 of the poll-fd: in a forked child every function of an engine or a queue answers CHTTP_E_FORKED before it
 * touches the descriptor, whose counter the child shares; destroying gives up the handles and nothing else. The parent
 * goes on as if nothing had happened. What is tagged [child-ok] works in the child, on objects of the parent too.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <sys/wait.h>
#include <unistd.h>

static struct test_server server;

struct parent {
    chttp_engine *engine;
    chttp_queue *queue;
    chttp_xid xid;
    chttp_event body;   /* a held body of an exchange that waits for its credit */
    chttp_event failed; /* a held error */
};

/* Ends by exec, not by exit: what the parent has set up is not the child's to take down, and given up it looks like a
 * leak to a leak checker. */
static void child(const struct parent *p, int destroy)
{
    chttp_engine *engine = p->engine;
    chttp_queue *queue = p->queue, *another = NULL;
    chttp_event event;
    chttp_stats stats;
    chttp_xid xid = 0;
    chttp_error *error = NULL;
    chttp_response *response = NULL;
    char text[64];
    chttp_request request = request_for("http://127.0.0.1/");

    CHECK_EQ(chttp_queue_fd(queue), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_drain(queue, &event, 1, 0), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, 0), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, CHTTP_UNLIMITED), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_wakeup(queue), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_new(engine, &another), CHTTP_E_FORKED);
    CHECK(another == NULL);
    CHECK_EQ(chttp_submit(engine, queue, &request, 1, 0, &xid, &error), CHTTP_E_FORKED);
    CHECK(xid == 0);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_FORKED);
    chttp_release(error);
    error = NULL;
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, &error), CHTTP_E_FORKED);
    CHECK(response == NULL && error != NULL);
    chttp_release(error);
    CHECK_EQ(chttp_cancel(engine, p->xid), CHTTP_E_FORKED);
    CHECK_EQ(chttp_body_write(engine, p->xid, "x", 1), CHTTP_E_FORKED);
    CHECK_EQ(chttp_body_end(engine, p->xid, NULL, 0, NULL), CHTTP_E_FORKED);
    CHECK_EQ(chttp_engine_stats(engine, &stats, sizeof stats), CHTTP_E_FORKED);

    /* Objects are memory, and memory was copied. */
    CHECK_EQ(chttp_error_code(p->failed.obj), CHTTP_E_CANCELLED);
    CHECK(chttp_error_message(p->failed.obj, text, sizeof text) > 0);
    for (uint64_t i = 0; i < p->body.len; i++)
        CHECK_EQ(p->body.data[i], test_server_pattern(i));
    chttp_release(p->body.obj);
    chttp_release(p->failed.obj);

    if (destroy) {
        if (destroy == 1)
            chttp_queue_destroy(queue);
        CHECK_EQ(destroy == 3 ? chttp_engine_release(engine) : chttp_engine_destroy(engine), 0);
        if (destroy != 1)
            chttp_queue_destroy(queue);
    }
    /* An engine of the child's own is another matter: it works. */
    char url[64];
    chttp_engine *own = engine_make(destroy % 2, NULL);
    chttp_queue *own_queue = queue_make(own);
    chttp_request own_request = request_for(test_server_url(&server, "/", url, sizeof url));
    struct answer a = fetch(own, own_queue, &own_request);
    CHECK_EQ(a.status, 200);
    chttp_engine_destroy(own);
    chttp_queue_destroy(own_queue);
    execlp("true", "true", (char *)NULL);
    _exit(1);
}

static void fork_and_wait(const struct parent *p, int destroy)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        child(p, destroy);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    char url[64], hang[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/hang", hang, sizeof hang);
    for (int drive = 0; drive < DRIVES; drive++) {
        struct parent p = {.engine = engine_make(drive, NULL)};
        p.queue = queue_make(p.engine);
        int fd = chttp_queue_fd(p.queue);

        CHECK_EQ(chttp_cancel(p.engine, submit_get(p.engine, p.queue, hang, 0, 0)), 0);
        p.failed = next_event(p.queue);
        CHECK_EQ(p.failed.error, CHTTP_E_CANCELLED);

        /* An exchange in the middle of its body: held back by its credit. */
        chttp_request request = request_for(test_server_url(&server, "/bytes/1000000", url, sizeof url));
        request.recv_credit = 4096;
        p.xid = submit_one(p.engine, p.queue, &request);
        struct answer a;
        memset(&a, 0, sizeof a);
        for (;;) {
            p.body = next_event(p.queue);
            CHECK(!answer_add(&a, &p.body));
            if (p.body.kind == CHTTP_EV_BODY)
                break;
            event_free(&p.body);
        }

        /* With the descriptor at rest, then with events that wait. */
        for (int destroy = 0; destroy <= 3; destroy++) {
            fork_and_wait(&p, destroy);
            CHECK_EQ(chttp_queue_fd(p.queue), fd);
            /* The credit is spent: nothing can come, unless a child has written to the counter that it shares. */
            if (drive == 1 && p.body.len >= request.recv_credit)
                CHECK(!is_readable(fd));
        }
        chttp_xid waiting = submit_get(p.engine, p.queue, hang, CHTTP_REQ_COLLECT, 7);
        CHECK_EQ(chttp_cancel(p.engine, waiting), 0);
        CHECK_EQ(polled(fd, GUARD_MS), POLLIN);
        for (int destroy = 0; destroy <= 3; destroy++)
            fork_and_wait(&p, destroy);
        CHECK(is_readable(fd));

        /* Undisturbed: the body goes on from where it stood, and ends. */
        event_free(&p.body);
        int ended = 0;
        while (!ended) {
            chttp_event event = next_event(p.queue);
            if (event.xid == p.xid)
                ended = answer_add(&a, &event);
            event_free(&event);
        }
        CHECK_EQ(a.error, 0);
        CHECK_EQ(a.len, 1000000);
        event_free(&p.failed);
        chttp_engine_destroy(p.engine);
        chttp_queue_destroy(p.queue);
    }
    test_server_stop(&server);
    return 0;
}
