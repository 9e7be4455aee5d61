/* run: plain valgrind */
/*
 * chttp_engine_reset_after_fork() in the middle of traffic: 64 exchanges are under way when the process forks. The parent is
 * undisturbed: each of them ends well, and no connection is lost. The child, which was CHTTP_E_FORKED before, has an engine
 * that works behind the same handles: ids of the parent's are not found, queues have other descriptors, objects from before
 * can be read and released, and of the parent's descriptors none is left. A child that does without an engine closes them by
 * destroying its handles. A child of the child, several threads at once, https, the log.
 *
 * Not with the address sanitizer, whose allocator has locks that a fork may leave held in the child; glibc's has none.
 */
#define _GNU_SOURCE

#include "support/engine.h"
#include "support/forked.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#define IN_FLIGHT 64
#define THREADS 8

static struct test_server server;
static char hello[64];

/* Everything that a child inherits. */
struct parent {
    int drive;
    chttp_engine *engine;
    chttp_queue *queue;
    chttp_tls *tls;
    chttp_config *config;
    chttp_xid xids[IN_FLIGHT], paused;
    chttp_event body, failed;
    int fd, own_fds;
    struct open_fds before;
};

static _Atomic unsigned lines;

static void on_line(const chttp_log_record *record, void *user)
{
    CHECK(record->text_len > 0 && user == &lines);
    lines++;
}

static const char *tls_url(char *buffer, size_t size)
{
    const char *port = getenv("CHTTP_TEST_TLS_PORT");
    CHECK(port != NULL);
    snprintf(buffer, size, "https://127.0.0.1:%s/", port);
    return buffer;
}

/* A request by way of perform, on this thread. */
static void perform_hello(chttp_engine *engine, const char *url, chttp_tls *tls)
{
    chttp_request request = request_for(url);
    chttp_response *response = NULL;
    chttp_error *error = NULL;
    request.tls = tls;
    request.flags = CHTTP_REQ_COLLECT;
    int32_t code = chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, &error);
    if (code != 0) {
        char text[256];
        chttp_error_message(error, text, sizeof text);
        fprintf(stderr, "%s: %s: %s\n", url, chttp_error_name(code), text);
    }
    CHECK_EQ(code, 0);
    CHECK_EQ(chttp_response_status(response), 200);
    chttp_release(response);
}

static void reset(chttp_engine *engine)
{
    chttp_error *error = NULL;
    CHECK_EQ(chttp_engine_reset_after_fork(engine, &error), 0);
    CHECK(error == NULL);
}

/* Takes events until each of the exchanges has ended, all of them well. Lines of the log may come in between. */
static void end_well(chttp_queue *queue, unsigned n)
{
    while (n > 0) {
        chttp_event event = next_event(queue);
        if (is_terminal(&event)) {
            CHECK_EQ(event.error, 0);
            n--;
        }
        event_free(&event);
    }
}

static void submit_many(const struct parent *p, chttp_xid *xids)
{
    static const char *const paths[] = {"/", "/delay/20", "/bytes/300000", "/chunked/50000/700", "/drip/20/5"};
    char url[64];
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        test_server_url(&server, paths[i % 5], url, sizeof url);
        chttp_xid xid = submit_get(p->engine, p->queue, url, i % 2 ? CHTTP_REQ_COLLECT : 0, i);
        if (xids != NULL)
            xids[i] = xid;
    }
}

static void is_forked(const struct parent *p)
{
    chttp_event event;
    chttp_stats stats;
    CHECK_EQ(chttp_queue_fd(p->queue), CHTTP_E_FORKED);
    CHECK_EQ(chttp_queue_drain(p->queue, &event, 1, 0), CHTTP_E_FORKED);
    CHECK_EQ(chttp_cancel(p->engine, p->xids[0]), CHTTP_E_FORKED);
    CHECK_EQ(chttp_engine_stats(p->engine, &stats, sizeof stats), CHTTP_E_FORKED);
}

/* The engine works, and has nothing of the parent's. */
static void works(const struct parent *p)
{
    int fd = chttp_queue_fd(p->queue);
    CHECK(fd >= 0 && fd != p->fd);
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        CHECK_EQ(chttp_cancel(p->engine, p->xids[i]), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_body_write(p->engine, p->paused, "x", 1), CHTTP_E_NOT_FOUND);
    CHECK_EQ(chttp_body_end(p->engine, p->paused, NULL, 0, NULL), CHTTP_E_NOT_FOUND);
    CHECK_EQ(stats_of(p->engine).submitted, 0);
    CHECK_EQ(stats_of(p->engine).connections, 0);

    /* As many ids as were out are others than those. */
    chttp_xid mine[IN_FLIGHT];
    submit_many(p, mine);
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        for (unsigned k = 0; k < IN_FLIGHT; k++)
            CHECK(mine[i] != p->xids[k] && mine[i] != p->paused);
    end_well(p->queue, IN_FLIGHT);
    CHECK_EQ(stats_of(p->engine).succeeded, IN_FLIGHT);
    perform_hello(p->engine, hello, NULL);
}

static void *reset_and_perform(void *user)
{
    const struct parent *p = user;
    reset(p->engine);
    CHECK(chttp_queue_fd(p->queue) >= 0);
    perform_hello(p->engine, hello, NULL);
    return NULL;
}

static void grandchild(struct parent *p)
{
    is_forked(p);
    CHECK_EQ(chttp_perform(p->engine, NULL, 0, NULL, NULL), CHTTP_E_FORKED);
    reset(p->engine);
    works(p);
    CHECK_EQ(chttp_engine_destroy(p->engine), 0);
    CHECK_EQ(chttp_queue_destroy(p->queue), 0);
    check_no_more_than(&p->before);
    child_is_done();
}

static void resets(struct parent *p, int by_threads)
{
    char secure[64];
    is_forked(p);
    unsigned told = lines;
    if (by_threads) {
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, reset_and_perform, p), 0);
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
    } else {
        reset(p->engine);
        int fd = chttp_queue_fd(p->queue);
        /* Not a descriptor more than an engine and a queue that are new. */
        CHECK(fds_count() <= p->own_fds);
        reset(p->engine);
        CHECK_EQ(chttp_queue_fd(p->queue), fd);
        works(p);
    }

    /* The log goes on, both ways. */
    CHECK(lines > told);
    char url[64];
    chttp_xid xid = submit_get(p->engine, p->queue, test_server_url(&server, "/reset", url, sizeof url), 0, 0);
    for (int logged = 0, ended = 0; !logged || !ended;) {
        chttp_event event = next_event(p->queue);
        logged |= event.kind == CHTTP_EV_LOG;
        ended |= event.xid == xid && is_terminal(&event);
        event_free(&event);
    }

    /* Settings of the engine, of a chttp_tls from before, and of a new one. */
    chttp_tls *own = NULL;
    CHECK_EQ(chttp_tls_new(p->config, &own, NULL), 0);
    tls_url(secure, sizeof secure);
    for (int i = 0; i < 2; i++) {
        perform_hello(p->engine, secure, NULL);
        perform_hello(p->engine, secure, p->tls);
        perform_hello(p->engine, secure, own);
    }
    chttp_tls_release(own);
    /* An engine from the configuration of before. */
    chttp_engine *another = NULL;
    CHECK_EQ(chttp_engine_new(p->config, &another, NULL), 0);
    perform_hello(another, secure, NULL);
    CHECK_EQ(chttp_engine_destroy(another), 0);

    pid_t pid = fork_guarded();
    if (pid == 0) {
        p->fd = chttp_queue_fd(p->queue);
        grandchild(p);
    }
    await_child(pid);
    perform_hello(p->engine, hello, NULL);
    perform_hello(p->engine, secure, p->tls);
}

/* Destroys what was not reset: at any order, several times over. */
static void gives_up(const struct parent *p, int how)
{
    if (how & 1)
        CHECK_EQ(chttp_queue_destroy(p->queue), 0);
    CHECK_EQ(how & 2 ? chttp_engine_release(p->engine) : chttp_engine_destroy(p->engine), 0);
    if (!(how & 1))
        CHECK_EQ(chttp_queue_destroy(p->queue), 0);
    check_no_more_than(&p->before);
}

/* No descriptor is to be had: the engine is as it was, and the call can be made again. */
static void fails_and_resets(const struct parent *p)
{
    struct rlimit limit, none;
    int taken[FDS_MAX], n = 0;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 600;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    /* The connections are closed by the first attempt, and their numbers taken by us. */
    for (int left = 0; left < 4; left++) {
        chttp_error *error = NULL;
        while ((taken[n] = dup(2)) >= 0)
            n++;
        for (int i = 0; i < left; i++)
            close(taken[--n]);
        int32_t code = chttp_engine_reset_after_fork(p->engine, &error);
        while ((taken[n] = dup(2)) >= 0)
            n++;
        for (int i = 0; i < left; i++)
            close(taken[--n]);
        if (code == 0)
            continue;
        CHECK_EQ(code, CHTTP_E_TOO_MANY_FILES);
        chttp_release(error);
        error = NULL;
        CHECK_EQ(chttp_engine_reset_after_fork(p->engine, &error), CHTTP_E_TOO_MANY_FILES);
        CHECK_EQ(chttp_error_code(error), CHTTP_E_TOO_MANY_FILES);
        chttp_release(error);
        is_forked(p);
    }
    while (n > 0)
        close(taken[--n]);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    reset(p->engine);
    works(p);
}

static void child(struct parent *p, int how)
{
    if (how < 4)
        gives_up(p, how);
    else if (how < 6)
        resets(p, how == 5);
    else
        fails_and_resets(p);

    /* Objects are memory, and memory was copied. The exchange of the body waits for its credit: nobody is told. */
    CHECK_EQ(chttp_error_code(p->failed.obj), CHTTP_E_CANCELLED);
    for (uint64_t i = 0; i < p->body.len; i++)
        CHECK_EQ(p->body.data[i], test_server_pattern(i));
    event_free(&p->body);
    event_free(&p->failed);
    if (how >= 4) {
        CHECK_EQ(chttp_queue_destroy(p->queue), 0);
        CHECK_EQ(chttp_engine_destroy(p->engine), 0);
        check_no_more_than(&p->before);
    }
    chttp_tls_release(p->tls);
    chttp_config_free(p->config);
    child_is_done();
}

int main(void)
{
    char url[64];
    CHECK_EQ(test_server_start(&server), 0);
    test_server_url(&server, "/", hello, sizeof hello);
    CHECK_EQ(chttp_engine_reset_after_fork(NULL, NULL), CHTTP_E_INVALID_ARG);
    for (int drive = 0; drive < DRIVES; drive++) {
        struct parent p = {.drive = drive};
        const char *ca = getenv("CHTTP_TEST_TLS_CA");
        CHECK(ca != NULL);
        CHECK_EQ(chttp_config_new(&p.config), 0);
        CHECK_EQ(chttp_config_set_i64(p.config, CHTTP_OPT_IO_THREADS, drive, NULL), 0);
        CHECK_EQ(chttp_config_set_bytes(p.config, CHTTP_OPT_TLS_CA_PEM, ca, strlen(ca), NULL), 0);
        CHECK_EQ(chttp_config_set_log(p.config, CHTTP_LOG_INFO, on_line, &lines, NULL), 0);
        CHECK_EQ(chttp_tls_new(p.config, &p.tls, NULL), 0);
        p.before = fds_now();
        CHECK_EQ(chttp_engine_new(p.config, &p.engine, NULL), 0);
        p.queue = queue_make(p.engine);
        p.own_fds = fds_count();
        p.fd = chttp_queue_fd(p.queue);
        CHECK_EQ(chttp_engine_log_to(p.engine, p.queue, CHTTP_LOG_INFO), 0);
        /* It is no child: nothing happens. */
        reset(p.engine);
        CHECK_EQ(chttp_queue_fd(p.queue), p.fd);

        test_server_url(&server, "/hang", url, sizeof url);
        CHECK_EQ(chttp_cancel(p.engine, submit_get(p.engine, p.queue, url, 0, 0)), 0);
        while (!is_terminal(&p.failed)) {
            event_free(&p.failed);
            p.failed = next_event(p.queue);
        }
        CHECK_EQ(p.failed.error, CHTTP_E_CANCELLED);
        chttp_request request = request_for(test_server_url(&server, "/bytes/1000000", url, sizeof url));
        request.recv_credit = 4096;
        p.paused = submit_one(p.engine, p.queue, &request);
        while (p.body.kind != CHTTP_EV_BODY) {
            event_free(&p.body);
            p.body = next_event(p.queue);
        }

        for (int how = 0; how < 7; how++) {
            uint64_t closed = stats_of(p.engine).connections_closed, retried = stats_of(p.engine).retried;
            submit_many(&p, p.xids);
            /* Some have ended when it comes to the fork, and some have not. */
            end_well(p.queue, IN_FLIGHT / 4);
            pid_t pid = fork_guarded();
            if (pid == 0)
                child(&p, how);
            end_well(p.queue, IN_FLIGHT - IN_FLIGHT / 4);
            await_child(pid);
            CHECK_EQ(stats_of(p.engine).connections_closed, closed);
            CHECK_EQ(stats_of(p.engine).retried, retried);
            CHECK_EQ(chttp_queue_fd(p.queue), p.fd);
        }

        /* Its body was released in seven children, and the parent's credit is still out. */
        CHECK_EQ(stats_of(p.engine).exchanges, 1);
        uint64_t len = p.body.len;
        event_free(&p.body);
        for (int ended = 0; !ended;) {
            chttp_event event = next_event(p.queue);
            len += event.kind == CHTTP_EV_BODY ? event.len : 0;
            ended = is_terminal(&event);
            CHECK_EQ(event.error, 0);
            event_free(&event);
        }
        CHECK_EQ(len, 1000000);
        event_free(&p.failed);
        CHECK_EQ(chttp_engine_destroy(p.engine), 0);
        CHECK_EQ(chttp_queue_destroy(p.queue), 0);
        check_no_more_than(&p.before);
        chttp_tls_release(p.tls);
        chttp_config_free(p.config);
    }
    test_server_stop(&server);
    return 0;
}
