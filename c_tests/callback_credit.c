/*
 * Back-pressure by callback: what the function leaves or releases gives its credit back at once, what it takes only when it is
 * released, on whatever thread; without credit nothing more is delivered, and other exchanges of the queue go on.
 */
#include "support/engine.h"

#include <pthread.h>

#define BODY (512u << 10)
#define CREDIT (16u << 10)
#define HELD_MAX 1024

static struct test_server server;

struct client {
    int release, take;
    uint64_t got; /* bytes of the body */
    pthread_mutex_t lock;
    void *held[HELD_MAX];
    unsigned n_held;
    uint64_t charged; /* of what is held */
    _Atomic unsigned ended, probes;
};

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct client *client = user;
    pthread_mutex_lock(&client->lock);
    for (uint32_t i = 0; i < n; i++) {
        CHECK_EQ(events[i].error, 0);
        if (events[i].token == 99) {
            client->probes += (unsigned)is_terminal(&events[i]);
            continue;
        }
        if (events[i].kind == CHTTP_EV_BODY) {
            for (uint64_t j = 0; j < events[i].len; j++)
                CHECK_EQ(events[i].data[j], test_server_pattern(client->got++));
            if (client->take) {
                CHECK(client->n_held < HELD_MAX);
                client->held[client->n_held++] = events[i].obj;
                events[i].obj = NULL;
                client->charged += events[i].len > 256 ? events[i].len : 256;
                CHECK(client->charged <= CREDIT + 255);
            }
        }
        client->ended += (unsigned)is_terminal(&events[i]);
    }
    if (client->release) CHECK_EQ(chttp_events_release(events, n, stride), 0);
    pthread_mutex_unlock(&client->lock);
}

static void give_back(struct client *client)
{
    void *held[HELD_MAX];
    pthread_mutex_lock(&client->lock);
    unsigned n = client->n_held;
    memcpy(held, client->held, n * sizeof *held);
    client->n_held = 0;
    client->charged = 0;
    pthread_mutex_unlock(&client->lock);
    for (unsigned i = 0; i < n; i++) chttp_release(held[i]);
}

static void body_comes(const char *path, int release, int take)
{
    struct client client;
    char url[64], probe[64];
    memset(&client, 0, sizeof client);
    CHECK_EQ(pthread_mutex_init(&client.lock, NULL), 0);
    client.release = release;
    client.take = take;
    chttp_engine *engine = engine_make(1, NULL);
    chttp_queue *queue = callback_make(engine, on_events, &client, "credit");
    chttp_request request = request_for(test_server_url(&server, path, url, sizeof url));
    test_server_url(&server, "/delay/2", probe, sizeof probe);
    request.recv_credit = CREDIT;
    submit_one(engine, queue, &request);
    for (unsigned probes = 0; take && client.ended == 0;) {
        /* Others come and go while it stands still, or not. */
        submit_get(engine, queue, probe, CHTTP_REQ_COLLECT, 99);
        await_count(&client.probes, ++probes);
        give_back(&client);
    }
    await_count(&client.ended, 1);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK_EQ(client.got, BODY);
    give_back(&client);
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    pthread_mutex_destroy(&client.lock);
}

/* What is held when all ends does not hold it up, and is valid until it is released. */
static void held_to_the_end(void)
{
    struct client client;
    char url[64];
    memset(&client, 0, sizeof client);
    CHECK_EQ(pthread_mutex_init(&client.lock, NULL), 0);
    client.take = 1;
    chttp_engine *engine = engine_make(1, NULL);
    chttp_queue *queue = callback_make(engine, on_events, &client, "credit");
    chttp_request request = request_for(test_server_url(&server, "/bytes/524288", url, sizeof url));
    request.recv_credit = CREDIT;
    submit_one(engine, queue, &request);
    for (uint64_t charged = 0; charged < CREDIT;) {
        poll(NULL, 0, 1);
        pthread_mutex_lock(&client.lock);
        charged = client.charged;
        pthread_mutex_unlock(&client.lock);
    }
    CHECK_EQ(chttp_queue_destroy(queue), 0);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
    CHECK(client.got < BODY && client.ended == 0);
    give_back(&client);
    pthread_mutex_destroy(&client.lock);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int release = 0; release < 2; release++)
        for (int take = 0; take < 2; take++) {
            body_comes("/bytes/524288", release, take);
            body_comes("/chunked/524288/3000", release, take);
        }
    held_to_the_end();
    test_server_stop(&server);
    return 0;
}
