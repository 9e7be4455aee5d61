/* run: plain */
/*
 * CHTTP_E_NOMEM: where the size is the peer's or the caller's choice and the system has no memory of that size, the one
 * exchange or call fails, and the engine serves on. Each case is a child whose address space is bounded, which valgrind
 * and the sanitizers could not live with.
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define LARGE "/bytes/500000000"

static struct test_server server;

/* From here on there is room for so many bytes more. */
static void bound(size_t more)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    struct rlimit limit = {.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + more, .rlim_max = RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

static void serves(chttp_engine *engine)
{
    char url[64];
    chttp_response *response = NULL;
    chttp_request request = request_for(test_server_url(&server, "/", url, sizeof url));
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL), 0);
    CHECK_EQ(chttp_response_status(response), 200);
    chttp_release(response);
}

static chttp_request large_one(char *url, size_t size)
{
    chttp_request request = request_for(test_server_url(&server, LARGE, url, size));
    request.flags = CHTTP_REQ_COLLECT;
    request.recv_credit = CHTTP_UNLIMITED;
    request.collect_max = 1 << 30;
    return request;
}

static void perform(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    chttp_request request = large_one(url, sizeof url);
    (void)queue;
    bound(96 * MIB);
    CHECK_EQ(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, &error), CHTTP_E_NOMEM);
    CHECK_EQ(chttp_error_code(error), CHTTP_E_NOMEM);
    CHECK_EQ(chttp_error_phase(error), CHTTP_PHASE_RECEIVING);
    CHECK(response == NULL);
    chttp_release(error);
}

static void collect(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    chttp_request request = large_one(url, sizeof url);
    bound(96 * MIB);
    chttp_xid xid = submit_one(engine, queue, &request);
    /* What was received is handed over if there is memory for that; then comes the end. */
    for (int last = 0; !last;) {
        chttp_event event = next_event(queue);
        CHECK_EQ(event.xid, xid);
        last = is_terminal(&event);
        CHECK_EQ(event.error, last ? CHTTP_E_NOMEM : 0);
        event_free(&event);
    }
}

/* A piece that is too large is not taken, and the stream is as before. */
static void write_piece(chttp_engine *engine, chttp_queue *queue)
{
    char url[64];
    size_t size = 200 * MIB;
    char *piece = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(piece != MAP_FAILED);
    bound(96 * MIB);
    chttp_request request = request_for(test_server_url(&server, "/echo", url, sizeof url));
    request.method = "POST";
    request.method_len = 4;
    request.flags = CHTTP_REQ_STREAM_BODY;
    request.body_len = CHTTP_LENGTH_UNKNOWN;
    chttp_xid xid = submit_one(engine, queue, &request);
    CHECK_EQ(chttp_body_write(engine, xid, piece, size), CHTTP_E_NOMEM);
    CHECK_EQ(chttp_body_write(engine, xid, "piece", 5), 0);
    CHECK_EQ(chttp_body_end(engine, xid, NULL, 0, NULL), 0);
    struct answer answer = read_answer(queue, xid);
    CHECK(answer.status == 200 && answer.error == 0);
    CHECK_STR(answer.text, "piece");
    munmap(piece, size);
}

static void in_child(int drive, void (*attempt)(chttp_engine *, chttp_queue *))
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        chttp_engine *engine = engine_make(drive, NULL);
        chttp_queue *queue = queue_make(engine);
        serves(engine);
        attempt(engine, queue);
        serves(engine);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        chttp_queue_destroy(queue);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

int main(void)
{
    CHECK_EQ(test_server_start(&server), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        in_child(drive, perform);
        in_child(drive, collect);
        in_child(drive, write_piece);
    }
    test_server_stop(&server);
    return 0;
}
