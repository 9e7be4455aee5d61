/*
 * The end of callback delivery. chttp_engine_destroy() delivers each open exchange's terminal event, chttp_queue_destroy()
 * none; both wait for a call that is under way, and after them there is no other, so that what `user` points to may be freed.
 * chttp_engine_release() waits for nothing, is allowed inside, and the terminal events come all the same.
 */
#include "support/engine.h"

#include <pthread.h>

#define MANY 400

static struct test_server server;
static char large_body[1 << 20];

struct client {
    chttp_engine *engine;
    chttp_queue *queue;
    char url[64];
    unsigned closed, given_back, down; /* counted inside, read when nobody is */
    _Atomic unsigned accepted, terminals, calls, left;
    _Atomic unsigned begin_end; /* somebody is about to end what calls us */
    _Atomic int slow;
    int chain, release;
};

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct client *client = user;
    (void)stride;
    client->calls++;
    if (client->slow) {
        /* In the middle of a call when the end begins, and for a while after that. */
        await_count(&client->begin_end, 1);
        poll(NULL, 0, 20);
    }
    if (client->release) {
        client->release = 0;
        CHECK_EQ(chttp_engine_release(client->engine), 0);
        client->engine = NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        client->given_back += events[i].kind == CHTTP_EV_WRITE_DONE;
        client->down += events[i].kind == CHTTP_EV_ENGINE_DOWN;
        client->terminals += (unsigned)is_terminal(&events[i]);
        client->closed += events[i].error == CHTTP_E_ENGINE_CLOSED;
        if (!client->chain || !is_terminal(&events[i])) continue;
        chttp_request request = request_for(client->url);
        request.flags = CHTTP_REQ_COLLECT;
        int32_t code = chttp_submit(client->engine, client->queue, &request, 1, 0, NULL, NULL);
        CHECK(code == 0 || code == CHTTP_E_ENGINE_DOWN);
        client->accepted += code == 0;
    }
    client->left++;
}

/* On the heap, so that whoever uses it too late is found. */
static struct client *client_make(void)
{
    struct client *client = calloc(1, sizeof *client);
    CHECK(client != NULL);
    client->engine = engine_make(1, NULL);
    client->queue = callback_make(client->engine, on_events, client, "ends");
    test_server_url(&server, "/", client->url, sizeof client->url);
    return client;
}

static void ask(struct client *client, const char *path, uint32_t flags)
{
    char url[64];
    client->accepted++;
    submit_get(client->engine, client->queue, test_server_url(&server, path, url, sizeof url), flags, 0);
}

static void ask_all(struct client *client)
{
    static const char *const paths[] = {"/hang", "/delay/60000", "/drip/100/60000", "/bytes/1000000", "/chunked/100000/7"};
    char url[64];
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) ask(client, paths[i], 0);
    chttp_request request = request_for(test_server_url(&server, "/hang", url, sizeof url));
    request.method = "PUT";
    request.method_len = 3;
    request.body = large_body;
    request.body_len = sizeof large_body;
    client->accepted++;
    submit_one(client->engine, client->queue, &request);
}

/* Every exchange is there when the engine is not. */
static void engine_ends(int slow, int chain, unsigned answers)
{
    struct client *client = client_make();
    client->slow = slow;
    client->chain = chain;
    if (chain)
        for (int i = 0; i < 4; i++) ask(client, "/", CHTTP_REQ_COLLECT);
    else
        ask_all(client);
    if (slow) ask(client, "/", CHTTP_REQ_COLLECT);
    await_count(&client->calls, answers);
    client->begin_end = 1;
    CHECK_EQ(chttp_engine_destroy(client->engine), 0);
    CHECK_EQ(client->left, client->calls);
    CHECK_EQ(client->terminals, client->accepted);
    CHECK_EQ(client->down, 0);
    if (!chain) {
        CHECK(client->closed >= 4);
        CHECK_EQ(client->given_back, 1);
    }
    chttp_queue *queue = client->queue;
    free(client);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
}

/* Its exchanges are cancelled and nobody hears of it; other queues go on. */
static void queue_ends(int slow, int chain, unsigned answers)
{
    struct client *client = client_make(), *other = client_make();
    CHECK_EQ(chttp_engine_destroy(other->engine), 0);
    CHECK_EQ(chttp_queue_destroy(other->queue), 0);
    chttp_engine *engine = other->engine = client->engine;
    other->queue = callback_make(engine, on_events, other, "other");
    client->slow = slow;
    client->chain = chain;
    if (chain)
        for (int i = 0; i < 4; i++) ask(client, "/", CHTTP_REQ_COLLECT);
    else
        ask_all(client);
    if (slow) ask(client, "/", CHTTP_REQ_COLLECT);
    await_count(&client->calls, answers);
    client->begin_end = 1;
    CHECK_EQ(chttp_queue_destroy(client->queue), 0);
    CHECK_EQ(client->left, client->calls);
    free(client);
    memset(large_body, 1, sizeof large_body);
    CHECK_EQ(stats_of(engine).exchanges, 0);
    unsigned before = other->calls;
    ask(other, "/", CHTTP_REQ_COLLECT);
    await_count(&other->calls, before + 1);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(other->terminals, other->accepted);
    CHECK_EQ(chttp_queue_destroy(other->queue), 0);
    free(other);
}

/* Many that nobody was told of yet, in more than one batch. */
static void backlog(void)
{
    struct client *client = client_make();
    client->slow = 1;
    ask(client, "/", CHTTP_REQ_COLLECT);
    await_count(&client->calls, 1);
    for (unsigned i = 0; i < MANY; i++) ask(client, "/hang", 0);
    client->begin_end = 1;
    client->slow = 0;
    CHECK_EQ(chttp_engine_destroy(client->engine), 0);
    CHECK_EQ(client->terminals, MANY + 1);
    CHECK(client->calls >= 1 + MANY / 128);
    CHECK_EQ(chttp_queue_destroy(client->queue), 0);
    free(client);
}

static void *destroy_queue(void *queue)
{
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    return NULL;
}

/* Released, outside or inside: the events come, and the queue's end is the end of the calls. */
static void released(int inside, int in_thread)
{
    struct client *client = client_make();
    ask_all(client);
    if (inside) {
        client->release = 1;
        ask(client, "/", CHTTP_REQ_COLLECT);
    } else {
        CHECK_EQ(chttp_engine_release(client->engine), 0);
    }
    /* The call that brings the last one may still be going on. */
    await_count(&client->terminals, client->accepted);
    if (in_thread) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, destroy_queue, client->queue), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    } else {
        CHECK_EQ(chttp_queue_destroy(client->queue), 0);
    }
    CHECK_EQ(client->terminals, client->accepted);
    CHECK_EQ(client->given_back, 1);
    free(client);
}

/* Made and unmade, while others are called. */
static void come_and_go(void)
{
    struct client *client = client_make();
    client->chain = 1;
    for (int i = 0; i < 4; i++) ask(client, "/", CHTTP_REQ_COLLECT);
    for (unsigned i = 0; i < 50; i++) {
        struct client *guest = calloc(1, sizeof *guest);
        guest->engine = client->engine;
        guest->queue = callback_make(client->engine, on_events, guest, NULL);
        ask(guest, i % 2 ? "/" : "/hang", CHTTP_REQ_COLLECT);
        if (i % 3 == 0 && i % 2) await_count(&guest->calls, 1);
        CHECK_EQ(chttp_queue_destroy(guest->queue), 0);
        free(guest);
    }
    CHECK_EQ(chttp_engine_destroy(client->engine), 0);
    CHECK_EQ(client->terminals, client->accepted);
    CHECK_EQ(chttp_queue_destroy(client->queue), 0);
    free(client);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int chain = 0; chain < 2; chain++) {
        engine_ends(0, chain, 0);
        engine_ends(1, chain, 1);
        queue_ends(0, chain, 0);
        queue_ends(1, chain, 1);
    }
    for (unsigned answers = 1; answers < 40; answers += 13) {
        engine_ends(0, 1, answers);
        queue_ends(0, 1, answers);
    }
    backlog();
    for (int inside = 0; inside < 2; inside++)
        for (int in_thread = 0; in_thread < 2; in_thread++) released(inside, in_thread);
    come_and_go();
    test_server_stop(&server);
    return 0;
}
