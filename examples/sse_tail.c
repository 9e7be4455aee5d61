/*
 * Follow a stream of events: sse_tail URL [LAST_EVENT_ID]
 *
 * Prints each event (Server-Sent Events, WHATWG HTML section 9.2) as TYPE ID DATA. When the connection is lost, a line on
 * standard error tells it, and the stream goes on where it was. It ends when the server says 204, or has no such stream.
 */
#include <chttpcore.h>

#include <stdio.h>
#include <string.h>

static void print_event(const chttp_event *event)
{
    chttp_sse_event fields;
    chttp_sse_fields(event, &fields, sizeof fields);
    printf("%.*s %.*s %.*s\n", (int)fields.event_type_len, fields.event_type, (int)fields.id_len, fields.id,
           (int)event->len, event->data);
    fflush(stdout);
}

static void print_failure(const chttp_event *event)
{
    char why[512] = "";
    chttp_error_message(event->obj, why, sizeof why);
    fprintf(stderr, "%s: %s\n", chttp_error_name(event->error), why);
    if (event->kind == CHTTP_EV_SSE_RECONNECT)
        fprintf(stderr, "attempt %u follows in %.1f s\n", (unsigned)event->arg, (double)event->aux / 1e9);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: sse_tail URL [LAST_EVENT_ID]\n");
        return 2;
    }
    chttp_engine *engine = NULL;
    chttp_queue *queue = NULL;
    chttp_error *error = NULL;
    if (chttp_engine_new(NULL, &engine, NULL) < 0 || chttp_queue_new(engine, &queue) < 0) return 1;
    chttp_sse sse = {.size = sizeof sse};
    if (argc > 2) {
        sse.last_event_id = argv[2];
        sse.last_event_id_len = CHTTP_NUL_TERMINATED;
    }
    chttp_request request = {
        .size = sizeof request, .flags = CHTTP_REQ_SSE, .url = argv[1], .url_len = CHTTP_NUL_TERMINATED, .sse = &sse};
    int32_t code = chttp_submit(engine, queue, &request, 1, 0, NULL, &error);
    if (code < 0) {
        char why[512] = "";
        chttp_error_message(error, why, sizeof why);
        fprintf(stderr, "%s: %s\n", chttp_error_name(code), why);
        chttp_release(error);
    }
    for (int over = code < 0; !over;) {
        chttp_event events[64];
        int32_t n = chttp_queue_wait(queue, events, 64, 0, CHTTP_UNLIMITED);
        for (int32_t i = 0; i < n; i++) {
            if (events[i].kind == CHTTP_EV_SSE) print_event(&events[i]);
            /* HEADERS of an answer that is no stream has an error, too; DONE repeats it with its reason. */
            if (events[i].error != 0 && events[i].kind != CHTTP_EV_HEADERS) print_failure(&events[i]);
            if ((events[i].flags & CHTTP_EF_TERMINAL) != 0) {
                over = 1;
                code = events[i].error;
            }
        }
        if (n > 0) chttp_events_release(events, (uint32_t)n, 0);
    }
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
    return code != 0;
}
