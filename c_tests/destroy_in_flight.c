/*
 * chttp_engine_destroy() and chttp_queue_destroy() with exchanges in every state in flight: waiting for a connection,
 * connecting, resolving, uploading, waiting for an answer, in the head, in the body, without credit, in a tunnel.
 *
 * After the engine's end each exchange has exactly one terminal event, the queue is drainable and then at rest. After the
 * queue's end its exchanges are cancelled, nobody hears of them, and other queues of the engine are undisturbed.
 */
#include "support/engine.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static struct test_server server;
static char large_body[2 << 20];
static uint16_t silent_port, full_port;

/* A listener whose queue of one is full, and stays so: connections to it hang. */
static int full_listener(int *crowd, int n)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 0) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    full_port = ntohs(at.sin_port);
    for (int i = 0; i < n; i++) {
        crowd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(crowd[i], (struct sockaddr *)&at, len);
    }
    return listener;
}

/* How many exchanges it begins. */
static unsigned begin_all(chttp_engine *engine, chttp_queue *queue)
{
    static const char *const paths[] = {"/hang",    "/delay/60000", "/drip/100/60000",   "/bytes/1000000",
                                        "/hang",    "/hang",        "/chunked/100000/7", "/status/404",
                                        "/early413"};
    char url[64];
    unsigned n = 0;
    for (; n < sizeof paths / sizeof *paths; n++) {
        chttp_request request = request_for(test_server_url(&server, paths[n], url, sizeof url));
        request.recv_credit = 4096;
        submit_one(engine, queue, &request);
    }
    /* A large body into nothing, a stream that is never ended, one that is held back, and a tunnel. */
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", silent_port);
    chttp_request request = request_for(url);
    request.method = "PUT";
    request.method_len = 3;
    request.body = large_body;
    request.body_len = sizeof large_body;
    submit_one(engine, queue, &request);
    request.flags = CHTTP_REQ_EXPECT_CONTINUE;
    submit_one(engine, queue, &request);
    request.flags = CHTTP_REQ_STREAM_BODY;
    request.body = NULL;
    request.body_len = CHTTP_LENGTH_UNKNOWN;
    chttp_xid stream = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, stream, large_body, 100000), 0);
    request = request_for(test_server_url(&server, "/upgrade/hello", url, sizeof url));
    request.header_block = "Connection: upgrade\r\nUpgrade: echo\r\n";
    request.header_block_len = (size_t)CHTTP_NUL_TERMINATED;
    submit_one(engine, queue, &request);
    /* A name, and a port that takes no more connections: its answer to ours never comes. */
    snprintf(url, sizeof url, "http://localhost:%u/", silent_port);
    submit_get(engine, queue, url, 0, 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", full_port);
    submit_get(engine, queue, url, 0, 0);
    return n + 6;
}

struct tally {
    unsigned terminals, borrowed;
};

static void drain_some(chttp_queue *queue, struct tally *tally)
{
    chttp_event events[16];
    int32_t n = chttp_queue_drain(queue, events, 16, 0);
    CHECK(n >= 0);
    for (int32_t i = 0; i < n; i++) {
        tally->terminals += is_terminal(&events[i]);
        tally->borrowed += events[i].kind == CHTTP_EV_WRITE_DONE;
    }
    chttp_events_release(events, (uint32_t)n, 0);
}

static void engine_ends(int drive, unsigned moment, int release)
{
    const struct setting settings[] = {{CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, moment % 2 ? 4 : 64}, {0, 0}};
    chttp_engine *engine = engine_make(drive, settings);
    chttp_queue *queue = queue_make(engine);
    struct tally tally = {0, 0};
    unsigned begun = begin_all(engine, queue);
    for (unsigned i = 0; i < moment; i++) {
        polled(chttp_queue_fd(queue), 2);
        drain_some(queue, &tally);
    }
    CHECK_EQ(release ? chttp_engine_release(engine) : chttp_engine_destroy(engine), 0);
    /* Its last events are there already, unless it was only released: then they come. */
    while (tally.terminals < begun) {
        CHECK_EQ(polled(chttp_queue_fd(queue), release ? GUARD_MS : 0), POLLIN);
        drain_some(queue, &tally);
    }
    CHECK_EQ(tally.terminals, begun);
    CHECK_EQ(tally.borrowed, 2);
    /* At rest: a loop that polls is not kept awake by a dead engine. */
    for (int i = 0; i < 10 && is_readable(chttp_queue_fd(queue)); i++)
        drain_some(queue, &tally);
    CHECK(!is_readable(chttp_queue_fd(queue)));
    CHECK_EQ(tally.terminals, begun);
    chttp_event event;
    CHECK_EQ(chttp_queue_wait(queue, &event, 1, 0, MS_NS), CHTTP_E_ENGINE_DOWN);
    chttp_queue_destroy(queue);
}

static void queue_ends(int drive, unsigned moment)
{
    chttp_engine *engine = engine_make(drive, NULL);
    chttp_queue *queue = queue_make(engine), *other = drive == 1 ? queue_make(engine) : NULL;
    struct tally tally = {0, 0};
    char url[64];
    begin_all(engine, queue);
    if (other != NULL)
        submit_get(engine, other, test_server_url(&server, "/delay/20", url, sizeof url), 0, 0);
    for (unsigned i = 0; i < moment; i++) {
        polled(chttp_queue_fd(queue), 2);
        drain_some(queue, &tally);
    }
    chttp_queue_destroy(queue);
    /* Borrowed memory is the caller's again. */
    memset(large_body, (int)moment, sizeof large_body);
    if (other != NULL)
        await_terminals(other, 1);
    CHECK_EQ(stats_of(engine).exchanges, 0);
    /* A new queue of the same engine works. */
    if (other == NULL)
        other = queue_make(engine);
    chttp_request request = request_for(test_server_url(&server, "/", url, sizeof url));
    struct answer a = fetch(engine, other, &request);
    CHECK_EQ(a.status, 200);
    chttp_queue_destroy(other);
    CHECK_EQ(chttp_engine_destroy(engine), 0);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    int listener = test_server_listen(&silent_port);
    CHECK(listener >= 0);
    int crowd[4], full = full_listener(crowd, 4);
    for (int drive = 0; drive < DRIVES; drive++)
        for (unsigned moment = 0; moment < 8; moment++) {
            engine_ends(drive, moment, 0);
            engine_ends(drive, moment, 1);
            queue_ends(drive, moment);
        }
    for (int i = 0; i < 4; i++) close(crowd[i]);
    close(full);
    close(listener);
    test_server_stop(&server);
    return 0;
}
