/*
 * A streamed upload: upload URL <FILE. Standard input is sent as it is read, chunked, because its length is not known
 * beforehand. When the network is slower than the input, chttp_body_write() says CHTTP_E_AGAIN and the program waits
 * for CHTTP_EV_WRITABLE instead of reading on: memory stays bounded.
 */
#include <chttpcore.h>

#include <stdio.h>
#include <stdlib.h>

static chttp_engine *engine;
static chttp_xid xid;

static _Noreturn void die(const char *what, int32_t code, chttp_error *error)
{
    char message[1024] = "";
    chttp_error_message(error, message, sizeof message);
    fprintf(stderr, "%s: %s %s\n", what, chttp_error_name(code), message);
    exit(1);
}

/* Send pieces until there is no room (then the last piece is kept for later) or no input. */
static void send_some(void)
{
    static char piece[64 * 1024];
    static size_t kept;
    static int ended;
    while (!ended) {
        int32_t code;
        if (kept == 0) kept = fread(piece, 1, sizeof piece, stdin);
        if (kept > 0) {
            code = chttp_body_write(engine, xid, piece, kept);
            if (code == 0) kept = 0;
        } else if (ferror(stdin)) {
            die("standard input", CHTTP_E_IO, NULL);
        } else {
            ended = 1;
            code = chttp_body_end(engine, xid, NULL, 0, NULL);
        }
        if (code == CHTTP_E_AGAIN) return;
        if (code == CHTTP_E_NOT_FOUND) return; /* the exchange has ended; its last event says why */
        if (code != 0) die("upload", code, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: upload URL <FILE\n");
        return 2;
    }
    chttp_queue *queue;
    chttp_error *error = NULL;
    int32_t code = chttp_engine_new(NULL, &engine, &error);
    if (code == 0) code = chttp_queue_new(engine, &queue);
    if (code != 0) die("engine", code, error);

    chttp_request request = {.size = sizeof request, .url = argv[1], .url_len = CHTTP_NUL_TERMINATED};
    request.flags = CHTTP_REQ_STREAM_BODY;
    request.method = "POST";
    request.method_len = CHTTP_NUL_TERMINATED;
    request.body_len = CHTTP_LENGTH_UNKNOWN;
    code = chttp_submit(engine, queue, &request, 1, 0, &xid, &error);
    if (code != 0) die("submit", code, error);
    send_some();

    for (int over = 0; !over;) {
        chttp_event events[32];
        int32_t n = chttp_queue_wait(queue, events, 32, sizeof events[0], CHTTP_UNLIMITED);
        if (n == CHTTP_E_INTERRUPTED) continue;
        if (n < 0) die("wait", n, NULL);
        for (int32_t i = 0; i < n; i++) {
            switch (events[i].kind) {
            case CHTTP_EV_WRITABLE:
                send_some();
                break;
            case CHTTP_EV_HEADERS:
                fprintf(stderr, "status %u\n", events[i].arg);
                break;
            case CHTTP_EV_BODY:
                fwrite(events[i].data, 1, (size_t)events[i].len, stdout);
                break;
            case CHTTP_EV_DONE:
                if (events[i].error != 0) die("failed", events[i].error, events[i].obj);
                over = 1;
                break;
            }
        }
        chttp_events_release(events, (uint32_t)n, sizeof events[0]);
    }
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
    return 0;
}
