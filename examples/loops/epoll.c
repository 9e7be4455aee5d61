/*
 * The queue's descriptor in an edge-triggered epoll loop: epoll URL [COUNT [IO_THREADS [TIMEOUT_MS [TICK_MS]]]]
 *
 * Particular here: one drain for each edge is enough. If the array was too small, or a submit made events, the library
 * raises another edge: no "read until EAGAIN". The descriptor leaves the loop before the queue is destroyed.
 */
#include <chttpcore.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static chttp_engine *engine;
static chttp_queue *queue;
static const char *url;
static long left, flying, answers, errors, ticks;

static void submit_more(void)
{
    chttp_request request = {.size = sizeof request, .url = url, .url_len = CHTTP_NUL_TERMINATED};
    request.flags = CHTTP_REQ_COLLECT; /* each answer as one event */
    for (; flying < 4 && left > 0; left--) {
        *(chttp_submit(engine, queue, &request, 1, 0, NULL, NULL) == 0 ? &flying : &errors) += 1;
    }
}

static void on_readable(void)
{
    chttp_event events[64];
    int32_t n = chttp_queue_drain(queue, events, 64, 0);
    for (int32_t i = 0; i < n; i++) {
        if (events[i].flags & CHTTP_EF_TERMINAL) flying--, *(events[i].error == 0 ? &answers : &errors) += 1;
    }
    if (n > 0) chttp_events_release(events, (uint32_t)n, 0);
    submit_more();
}

int main(int argc, char **argv)
{
    long options[] = {20, 1, 30000, 10}; /* COUNT, IO_THREADS, TIMEOUT_MS, TICK_MS */
    if (argc < 2) return 2;
    for (int i = 2; i < argc && i < 6; i++) options[i - 2] = strtol(argv[i], NULL, 10);
    url = argv[1], left = options[0];
    chttp_config *config = NULL;
    int32_t code = chttp_config_new(&config);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_IO_THREADS, options[1], NULL);
    if (code == 0) code = chttp_config_set_i64(config, CHTTP_OPT_TOTAL_TIMEOUT_NS, options[2] * 1000000, NULL);
    if (code == 0) code = chttp_engine_new(config, &engine, NULL);
    if (code == 0) code = chttp_queue_new(engine, &queue);
    chttp_config_free(config);
    if (code != 0) return fprintf(stderr, "%s\n", chttp_error_name(code)), 1;

    int loop = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct timespec every = {options[3] / 1000, options[3] % 1000 * 1000000};
    timerfd_settime(timer, 0, &(struct itimerspec){every, every}, NULL);
    epoll_ctl(loop, EPOLL_CTL_ADD, timer, &(struct epoll_event){.events = EPOLLIN, .data.fd = timer});

    struct epoll_event watch = {.events = EPOLLIN | EPOLLET, .data.fd = chttp_queue_fd(queue)};
    epoll_ctl(loop, EPOLL_CTL_ADD, chttp_queue_fd(queue), &watch);
    submit_more();
    while (flying > 0) {
        struct epoll_event ready[8];
        uint64_t expirations;
        int n = epoll_wait(loop, ready, 8, -1);
        for (int i = 0; i < n; i++) {
            if (ready[i].data.fd == chttp_queue_fd(queue)) on_readable();
            if (ready[i].data.fd == timer && read(timer, &expirations, sizeof expirations) > 0) ticks++;
        }
    }
    epoll_ctl(loop, EPOLL_CTL_DEL, chttp_queue_fd(queue), NULL);
    close(timer);
    close(loop);
    chttp_queue_destroy(queue);
    chttp_engine_destroy(engine);
    printf("%ld answers, %ld errors, %ld ticks\n", answers, errors, ticks);
    return errors != 0;
}
