/*
 * Callback delivery: events come to a function, in order and in batches, on the library's thread, which has its name and takes
 * no signals. The function may submit, write, cancel, keep objects and make queues; no call is inside another, and ordinary
 * queues of the same engine go on as ever.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <pthread.h>
#include <signal.h>

#define CHAINS 8
#define LINKS 40
#define PIECE 5000

static struct test_server server;
static pthread_t main_thread;
static _Atomic int depth; /* calls under way in the engine */

struct exchange {
    struct answer answer;
    chttp_xid xid;
};

struct client {
    chttp_engine *engine;
    chttp_queue *queue;
    char url[64];
    struct exchange of[CHAINS];
    unsigned links; /* answers so far, of all chains */
    void *kept;
    _Atomic unsigned ended;
};

static void check_thread(void)
{
    char name[32];
    sigset_t set;
    CHECK(!pthread_equal(pthread_self(), main_thread));
    CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    CHECK_STR(name, "chttp-io-0");
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    /* All but those that a thread raises against itself. */
    static const int blocked[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGPROF, SIGQUIT};
    for (unsigned i = 0; i < sizeof blocked / sizeof *blocked; i++) CHECK_EQ(sigismember(&set, blocked[i]), 1);
}

/* Begins the next exchange of a chain, from wherever. */
static void begin(struct client *client, uint64_t chain, uint32_t flags)
{
    struct exchange *x = &client->of[chain];
    memset(&x->answer, 0, sizeof x->answer);
    x->xid = submit_get(client->engine, client->queue, client->url, flags, chain);
}

static void enter(uint32_t n, size_t stride)
{
    CHECK_EQ(++depth, 1);
    check_thread();
    CHECK(n > 0 && n <= 128);
    CHECK_EQ(stride, sizeof(chttp_event));
}

/* Each chain goes on by itself: the answer's last event begins the next request. */
static void on_chain(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct client *client = user;
    enter(n, stride);
    for (uint32_t i = 0; i < n; i++) {
        struct exchange *x = &client->of[events[i].token];
        CHECK_EQ(events[i].xid, x->xid);
        if (!answer_add(&x->answer, &events[i])) continue;
        CHECK_EQ(x->answer.error, 0);
        CHECK_STR(x->answer.text, "hello\n");
        if (events[i].kind == CHTTP_EV_RESPONSE && client->kept == NULL) {
            client->kept = events[i].obj;
            events[i].obj = NULL;
        }
        client->links++;
        if (x->xid != 0 && client->links <= CHAINS * LINKS - CHAINS)
            begin(client, events[i].token, client->links % 2 ? CHTTP_REQ_COLLECT : 0);
        else
            client->ended++;
    }
    /* Released by us or by the library. */
    if (client->links % 2) CHECK_EQ(chttp_events_release(events, n, stride), 0);
    depth--;
}

static void chains(struct client *client)
{
    /* The first request of all chains comes from inside, too: that of this one ends at once. */
    chttp_request request = request_for("http://127.0.0.1/");
    request.unix_path = "/nonexistent/socket";
    request.unix_path_len = (size_t)CHTTP_NUL_TERMINATED;
    submit_one(client->engine, client->queue, &request);
    await_count(&client->ended, CHAINS);
    CHECK_EQ(client->links, CHAINS * LINKS);
}

static void on_start(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct client *client = user;
    if (client->of[0].xid != 0) {
        on_chain(events, n, stride, user);
        return;
    }
    enter(n, stride);
    CHECK(n == 1 && is_terminal(events) && events->error != 0);
    for (uint64_t chain = 0; chain < CHAINS; chain++) begin(client, chain, 0);
    depth--;
}

/* A stream that is written inside, until it is told to wait; one that is cancelled; questions to the engine. */
struct uploader {
    chttp_engine *engine;
    chttp_queue *queue, *made;
    char url[64], hang[64], text[64];
    chttp_xid stream, hanging;
    unsigned written, waits, cancelled;
    int open;
    _Atomic unsigned ended;
};

static void write_some(struct uploader *u)
{
    static const char piece[PIECE];
    int32_t code = 0;
    while (u->open && u->written < 400 && (code = chttp_body_write(u->engine, u->stream, piece, PIECE)) == 0) u->written++;
    if (code == CHTTP_E_AGAIN) {
        u->waits++;
        return;
    }
    CHECK_EQ(code, 0);
    if (u->open && u->written == 400) {
        u->open = 0;
        CHECK_EQ(chttp_body_end(u->engine, u->stream, NULL, 0, NULL), 0);
    }
}

static void on_upload(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct uploader *u = user;
    chttp_stats stats;
    enter(n, stride);
    for (uint32_t i = 0; i < n; i++) {
        CHECK_EQ(chttp_engine_stats(u->engine, &stats, sizeof stats), 0);
        if (events[i].token == 1) {
            /* The start. */
            CHECK_EQ(events[i].kind, CHTTP_EV_DONE);
            chttp_request request = request_for(u->url);
            request.method = "PUT";
            request.method_len = 3;
            request.flags = CHTTP_REQ_STREAM_BODY | CHTTP_REQ_COLLECT;
            request.body_len = CHTTP_LENGTH_UNKNOWN;
            request.token = 2;
            u->stream = submit_one(u->engine, u->queue, &request);
            u->open = 1;
            u->hanging = submit_get(u->engine, u->queue, u->hang, 0, 3);
            CHECK_EQ(chttp_queue_new(u->engine, &u->made), 0);
            CHECK_EQ(chttp_engine_preconnect(u->engine, &request, 1, NULL), 0);
            write_some(u);
        } else if (events[i].token == 2) {
            if (events[i].kind == CHTTP_EV_WRITABLE) write_some(u);
            if (!is_terminal(&events[i])) continue;
            CHECK_EQ(events[i].kind, CHTTP_EV_RESPONSE);
            CHECK(events[i].len < sizeof u->text);
            memcpy(u->text, events[i].data, (size_t)events[i].len);
            CHECK_EQ(chttp_cancel(u->engine, u->hanging), 0);
            CHECK_EQ(chttp_cancel(u->engine, u->hanging), 0);
            u->ended++;
        } else {
            CHECK_EQ(events[i].token, 3);
            CHECK(is_terminal(&events[i]));
            CHECK_EQ(events[i].error, CHTTP_E_CANCELLED);
            CHECK_EQ(chttp_cancel(u->engine, u->hanging), CHTTP_E_NOT_FOUND);
            u->cancelled++;
            u->ended++;
        }
    }
    depth--;
}

static void uploads(void)
{
    struct uploader u;
    memset(&u, 0, sizeof u);
    u.engine = engine_make(1, NULL);
    u.queue = callback_make(u.engine, on_upload, &u, "upload");
    test_server_url(&server, "/count", u.url, sizeof u.url);
    test_server_url(&server, "/hang", u.hang, sizeof u.hang);
    chttp_request request = request_for("http://127.0.0.1/");
    request.unix_path = "/nonexistent/socket";
    request.unix_path_len = (size_t)CHTTP_NUL_TERMINATED;
    request.token = 1;
    submit_one(u.engine, u.queue, &request);
    await_count(&u.ended, 2);
    CHECK_STR(u.text, "2000000\n");
    CHECK(u.waits > 0 && u.cancelled == 1);
    CHECK_EQ(chttp_queue_destroy(u.queue), 0);
    CHECK_EQ(chttp_queue_destroy(u.made), 0);
    CHECK_EQ(chttp_engine_destroy(u.engine), 0);
}

/* More than one batch at once, and nothing else that would wake the thread: it goes on by itself until nothing is left. */
#define BURST 4000

struct burst {
    _Atomic unsigned ended, calls, go;
};

static void on_burst(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct burst *burst = user;
    enter(n, stride);
    burst->calls++;
    await_count(&burst->go, 1);
    for (uint32_t i = 0; i < n; i++) burst->ended += (unsigned)is_terminal(&events[i]);
    depth--;
}

static void bursts(void)
{
    static struct burst burst;
    chttp_engine *engine = engine_make(1, NULL);
    chttp_queue *queue = callback_make(engine, on_burst, &burst, "burst");
    chttp_request request = request_for("http://127.0.0.1/");
    request.unix_path = "/nonexistent/socket";
    request.unix_path_len = (size_t)CHTTP_NUL_TERMINATED;
    for (unsigned i = 0; i < BURST; i++) submit_one(engine, queue, &request);
    await_count(&burst.calls, 1);
    while (stats_of(engine).exchanges > 0) poll(NULL, 0, 1);
    burst.go = 1;
    await_count(&burst.ended, BURST);
    CHECK(burst.calls >= BURST / 128);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    CHECK_EQ(burst.ended, BURST);
}

int main(void)
{
    main_thread = pthread_self();
    CHECK_EQ(test_server_start(&server), 0);
    static struct client clients[3];
    chttp_engine *engine = engine_make(1, NULL);
    for (unsigned i = 0; i < 3; i++) {
        clients[i].engine = engine;
        test_server_url(&server, "/", clients[i].url, sizeof clients[i].url);
        clients[i].queue = callback_make(engine, on_start, &clients[i], i == 0 ? NULL : "chain");
    }
    /* Beside them, a queue with a descriptor. */
    chttp_queue *plain = queue_make(engine);
    for (unsigned i = 0; i < 3; i++) chains(&clients[i]);
    chttp_request request = request_for(clients[0].url);
    for (int i = 0; i < 50; i++) CHECK_EQ(fetch(engine, plain, &request).status, 200);
    chttp_response *response = NULL;
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL), 0);
    chttp_release(response);
    CHECK_EQ(chttp_queue_destroy(plain), 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(clients[i].ended, CHAINS);
        CHECK_EQ(chttp_response_status(clients[i].kept), 200);
        chttp_release(clients[i].kept);
        CHECK_EQ(chttp_queue_destroy(clients[i].queue), 0);
    }
    uploads();
    bursts();
    test_server_stop(&server);
    return 0;
}
