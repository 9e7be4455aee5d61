/*
 * STARTTLS: starttls HOST:PORT [CA_FILE]
 *
 * A stream without HTTP: greets a mail server (RFC 5321), asks for TLS on the open connection (RFC 3207), greets it again in
 * secret and takes leave. Prints how the connection was secured. CA_FILE replaces the system's authorities.
 */
#include <chttpcore.h>

#include <stdio.h>
#include <string.h>

static chttp_engine *engine;
static chttp_queue *queue;
static chttp_xid stream;

/* The next event, with the reason on standard error if it ends the stream. The caller releases it. */
static chttp_event next(void)
{
    chttp_event event;
    memset(&event, 0, sizeof event);
    while (chttp_queue_wait(queue, &event, 1, 0, CHTTP_UNLIMITED) == 0) { }
    if (event.error != 0) {
        char why[512] = "";
        chttp_error_message(event.obj, why, sizeof why);
        fprintf(stderr, "%s: %s\n", chttp_error_name(event.error), why);
    }
    return event;
}

/* Says `line`, if there is one, and reads the reply: lines of which the last has a blank behind its code. Whether it is a
 * good one (2xx). */
static int ask(const char *line, char *reply, size_t cap)
{
    size_t len = 0;
    if (line != NULL && chttp_body_write(engine, stream, line, strlen(line)) < 0) return 0;
    for (;;) {
        chttp_event event = next();
        int fits = event.kind == CHTTP_EV_BODY && len + event.len < cap;
        if (fits) {
            memcpy(reply + len, event.data, (size_t)event.len);
            reply[len += (size_t)event.len] = 0;
        }
        chttp_events_release(&event, 1, 0);
        if (!fits) return 0; /* the stream has ended, or it says too much */
        const char *last = reply;
        for (const char *at = reply; (at = strchr(at, '\n')) != NULL && *++at != 0;) last = at;
        if (reply[len - 1] == '\n' && strlen(last) > 3 && last[3] == ' ') return reply[0] == '2';
    }
}

/* TLS on the open stream. 0 unless it failed. */
static int secure(void)
{
    if (chttp_stream_start_tls(engine, stream, NULL, NULL, 0, NULL) < 0) return 0;
    chttp_event event = next();
    int secured = event.kind == CHTTP_EV_STREAM_TLS;
    if (secured) {
        chttp_tls_info info = {0};
        const char *der;
        size_t len = 0;
        chttp_response_tls(event.obj, &info, sizeof info);
        chttp_stream_certificate(event.obj, 0, &der, &len);
        printf("TLS 1.%d, a certificate of %zu bytes\n", info.version - 10, len);
    }
    chttp_events_release(&event, 1, 0);
    return secured;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: starttls HOST:PORT [CA_FILE]\n");
        return 2;
    }
    char url[300], text[2048];
    chttp_config *config = NULL;
    if (chttp_config_new(&config) < 0) return 1;
    const char *ca = argc > 2 ? argv[2] : "";
    if (chttp_config_set_str(config, CHTTP_OPT_TLS_CA_FILE, ca, CHTTP_NUL_TERMINATED, NULL) < 0) return 1;
    if (chttp_engine_new(config, &engine, NULL) < 0 || chttp_queue_new(engine, &queue) < 0) return 1;
    chttp_config_free(config);
    snprintf(url, sizeof url, "http://%s", argv[1]);
    chttp_request request = {
        .size = sizeof request, .flags = CHTTP_REQ_RAW, .url = url, .url_len = CHTTP_NUL_TERMINATED};
    int ok = chttp_submit(engine, queue, &request, 1, 0, &stream, NULL) == 0;
    if (ok) {
        chttp_event event = next(); /* HEADERS: connected */
        ok = event.kind == CHTTP_EV_HEADERS;
        chttp_events_release(&event, 1, 0);
    }
    ok = ok && ask(NULL, text, sizeof text) && ask("EHLO client.example\r\n", text, sizeof text);
    if (ok && strstr(text, "STARTTLS") == NULL) {
        fprintf(stderr, "it does not offer STARTTLS\n");
        ok = 0;
    }
    ok = ok && ask("STARTTLS\r\n", text, sizeof text) && secure();
    ok = ok && ask("EHLO client.example\r\n", text, sizeof text);
    if (ok) fputs(text, stdout);
    ok = ok && ask("QUIT\r\n", text, sizeof text);
    chttp_engine_destroy(engine);
    chttp_queue_destroy(queue);
    return !ok;
}
