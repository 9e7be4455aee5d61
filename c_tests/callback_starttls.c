/*
 * STARTTLS inside a callback: the function on the library's thread that reads the server's word starts TLS on the stream,
 * looks at its descriptor, and goes on writing; what chttp_stream_start_tls() refuses it refuses there as well. The secured
 * server is the harness's (tests/tls_server).
 */
#include "support/engine.h"

#include <pthread.h>

#define ROUNDS 20

struct mail {
    chttp_engine *engine;
    chttp_tls *tls;
    char text[4096];
    size_t len;
    int secured;
    pthread_mutex_t lock;
    pthread_cond_t change;
    int ended; /* under the lock */
    int32_t error;
};

static const char *told(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) fprintf(stderr, "%s is not set: `cargo test --test c_api` runs this\n", name);
    CHECK(value != NULL);
    return value;
}

static int heard(struct mail *mail, const chttp_event *event, const char *end)
{
    CHECK(mail->len + event->len < sizeof mail->text);
    memcpy(mail->text + mail->len, event->data, (size_t)event->len);
    mail->len += (size_t)event->len;
    size_t want = strlen(end);
    return mail->len >= want && memcmp(mail->text + mail->len - want, end, want) == 0;
}

static void on_events(chttp_event *events, uint32_t n, size_t stride, void *user)
{
    struct mail *mail = user;
    CHECK_EQ(stride, sizeof *events);
    for (uint32_t i = 0; i < n; i++) {
        const chttp_event *event = &events[i];
        switch (event->kind) {
        case CHTTP_EV_HEADERS:
            CHECK(chttp_stream_fd(mail->engine, event->xid) >= 0);
            CHECK_EQ(chttp_body_write(mail->engine, event->xid, "STARTTLS\r\n", 10), 0);
            break;
        case CHTTP_EV_BODY:
            if (!mail->secured && heard(mail, event, "220 go\r\n")) {
                CHECK_EQ(chttp_stream_start_tls(mail->engine, event->xid, mail->tls, NULL, 0, NULL), 0);
                CHECK_EQ(chttp_stream_start_tls(mail->engine, event->xid, mail->tls, NULL, 0, NULL), CHTTP_E_BAD_STATE);
                mail->len = 0;
            } else if (mail->secured && heard(mail, event, "hello\n")) {
                CHECK_EQ(chttp_body_end(mail->engine, event->xid, NULL, 0, NULL), 0);
            }
            break;
        case CHTTP_EV_STREAM_TLS:
            mail->secured = 1;
            CHECK_EQ(chttp_body_write(mail->engine, event->xid, "GET /close HTTP/1.1\r\n\r\n", 23), 0);
            break;
        case CHTTP_EV_DONE:
            CHECK_EQ(pthread_mutex_lock(&mail->lock), 0);
            mail->ended = 1;
            mail->error = event->error;
            CHECK_EQ(pthread_cond_signal(&mail->change), 0);
            CHECK_EQ(pthread_mutex_unlock(&mail->lock), 0);
            break;
        default:
            CHECK_EQ(event->kind, CHTTP_EV_STREAM_END);
        }
    }
}

int main(void)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%s", told("CHTTP_TEST_TLS_PORT"));
    chttp_config *config = NULL;
    chttp_tls *tls = NULL;
    const char *ca = told("CHTTP_TEST_TLS_CA");
    CHECK_EQ(chttp_config_new(&config), 0);
    CHECK_EQ(chttp_config_set_bytes(config, CHTTP_OPT_TLS_CA_PEM, ca, strlen(ca), NULL), 0);
    CHECK_EQ(chttp_tls_new(config, &tls, NULL), 0);
    chttp_config_free(config);
    chttp_engine *engine = engine_make(1, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        struct mail mail = {.engine = engine, .tls = tls};
        CHECK_EQ(pthread_mutex_init(&mail.lock, NULL), 0);
        CHECK_EQ(pthread_cond_init(&mail.change, NULL), 0);
        chttp_queue *queue = NULL;
        CHECK_EQ(chttp_queue_new_callback(engine, on_events, &mail, NULL, 0, &queue, NULL), 0);
        chttp_request request = request_for(url);
        request.flags = CHTTP_REQ_RAW;
        submit_one(engine, queue, &request);
        CHECK_EQ(pthread_mutex_lock(&mail.lock), 0);
        while (!mail.ended) CHECK_EQ(pthread_cond_wait(&mail.change, &mail.lock), 0);
        CHECK_EQ(pthread_mutex_unlock(&mail.lock), 0);
        CHECK_EQ(mail.error, 0);
        CHECK(mail.secured && memcmp(mail.text + mail.len - 6, "hello\n", 6) == 0);
        chttp_queue_destroy(queue);
    }
    chttp_tls_release(tls);
    chttp_engine_destroy(engine);
    return 0;
}
