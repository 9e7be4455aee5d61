/*
 * Messages to a WebSocket that sends them back: ws_echo URL [MESSAGE...]
 *
 * Opens the WebSocket, sends each message when the answer to the one before has come, prints the answers, and closes in order.
 * Without messages it sends the lines of standard input. The server is asked every 20 seconds of silence whether it is there.
 */
#include <chttpcore.h>

#include <stdio.h>
#include <string.h>

static chttp_engine *engine;
static chttp_queue *queue;
static char **messages;

/* The next message, or NULL. */
static const char *next_message(void)
{
    static char line[4096];
    if (messages != NULL) return *messages != NULL ? *messages++ : NULL;
    if (fgets(line, sizeof line, stdin) == NULL) return NULL;
    line[strcspn(line, "\n")] = 0;
    return line;
}

/* Sends the next message, or takes leave. */
static int32_t go_on(chttp_xid xid)
{
    const char *message = next_message();
    if (message == NULL) return chttp_ws_close(engine, xid, 1000, NULL, 0, NULL);
    return chttp_ws_send(engine, xid, CHTTP_WS_TEXT, 0, message, strlen(message));
}

/* Whether it goes on. */
static int handle(const chttp_event *event, int32_t *failed)
{
    int32_t code = 0;
    switch (event->kind) {
    case CHTTP_EV_WS_OPEN:
        if (event->len > 0) printf("subprotocol %.*s\n", (int)event->len, event->data);
        code = go_on(event->xid);
        break;
    case CHTTP_EV_WS_MESSAGE:
        printf("%.*s\n", (int)event->len, event->data);
        code = go_on(event->xid);
        break;
    case CHTTP_EV_WS_CLOSE:
        printf("closed with %u\n", event->arg);
        break;
    case CHTTP_EV_HEADERS: /* it does not agree; its body follows */
        fprintf(stderr, "the server answers %u\n", event->arg);
        *failed = 1;
        break;
    case CHTTP_EV_DONE:
        if (event->error != 0) {
            char why[512] = "";
            chttp_error_message(event->obj, why, sizeof why);
            fprintf(stderr, "%s: %s\n", chttp_error_name(event->error), why);
            *failed = 1;
        }
        return 0;
    default: /* BODY, and kinds to come */
        break;
    }
    if (code == 0 || code == CHTTP_E_BAD_STATE) return 1; /* the server has begun to close: DONE will tell */
    fprintf(stderr, "%s\n", chttp_error_name(code));
    *failed = 1;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: ws_echo URL [MESSAGE...]\n");
        return 2;
    }
    if (argc > 2) messages = argv + 2;
    chttp_websocket settings = {.size = sizeof settings, .heartbeat_ns = 20000000000};
    settings.protocols = "echo";
    settings.protocols_len = CHTTP_NUL_TERMINATED;
    chttp_request request = {.size = sizeof request, .flags = CHTTP_REQ_WEBSOCKET, .websocket = &settings};
    request.url = argv[1];
    request.url_len = CHTTP_NUL_TERMINATED;

    chttp_error *error = NULL;
    int32_t code = chttp_engine_new(NULL, &engine, &error), failed = 0, goes_on = 1;
    if (code == 0) code = chttp_queue_new(engine, &queue);
    if (code == 0) code = chttp_submit(engine, queue, &request, 1, 0, NULL, &error);
    if (code != 0) {
        char why[512] = "";
        if (error != NULL) chttp_error_message(error, why, sizeof why);
        fprintf(stderr, "%s: %s\n", chttp_error_name(code), why);
        chttp_release(error);
        return 1;
    }
    while (goes_on) {
        chttp_event event;
        int32_t n = chttp_queue_wait(queue, &event, 1, 0, CHTTP_UNLIMITED);
        if (n < 0 && n != CHTTP_E_INTERRUPTED) break;
        if (n != 1) continue;
        goes_on = handle(&event, &failed);
        chttp_events_release(&event, 1, 0);
    }
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
    return failed;
}
