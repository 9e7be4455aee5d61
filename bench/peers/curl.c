/* The same work by libcurl, for comparison: the multi interface with its socket and timer callbacks on one epoll loop, as
 * its documentation recommends for many transfers. Command line and last line are those of bench/client.c. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *url, *mode = "get";
static int conns = 1;
static double seconds = 2, warmup = 0.3;
static uint64_t upload_bytes = 100 * 1000 * 1000, n, errors, bytes;
static char *upload;
static CURLM *multi;
static int epoll_fd;
/* When libcurl wants to be called without an event; 0 for not at all. */
static double due;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t cpu_us(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000u + (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static size_t sink(char *data, size_t size, size_t count, void *user) {
    (void)data;
    (void)user;
    bytes += size * count;
    return size * count;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known) {
    (void)easy;
    (void)user;
    struct epoll_event ev = {.data.fd = fd};
    if (what == CURL_POLL_REMOVE) return epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL), 0;
    if (what & CURL_POLL_IN) ev.events |= EPOLLIN;
    if (what & CURL_POLL_OUT) ev.events |= EPOLLOUT;
    epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
    curl_multi_assign(multi, fd, &epoll_fd);
    return 0;
}

static int on_timer(CURLM *m, long ms, void *user) {
    (void)m;
    (void)user;
    due = ms < 0 ? 0 : now() + (double)ms / 1e3;
    return 0;
}

static void start(CURL *easy) { curl_multi_add_handle(multi, easy); }

static CURL *transfer(void) {
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, sink);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 128 * 1024L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (!strcmp(mode, "churn")) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    }
    if (upload) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, upload);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)upload_bytes);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, curl_slist_append(NULL, "Expect:"));
    }
    return easy;
}

int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];
        if (!strcmp(k, "--url")) url = v;
        else if (!strcmp(k, "--mode")) mode = v;
        else if (!strcmp(k, "--conns")) conns = atoi(v);
        else if (!strcmp(k, "--seconds")) seconds = atof(v);
        else if (!strcmp(k, "--warmup")) warmup = atof(v);
        else if (!strcmp(k, "--upload-bytes")) upload_bytes = strtoull(v, NULL, 10);
    }
    if (!url) return 2;
    if (!strcmp(mode, "upload")) upload = calloc(1, upload_bytes);
    curl_global_init(CURL_GLOBAL_ALL);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)conns);
    for (int i = 0; i < conns; i++) start(transfer());
    int running, counting = 0;
    double begin = now() + warmup, end = begin + seconds;
    uint64_t cpu0 = 0;
    for (;;) {
        struct epoll_event ready[256];
        double left = due > 0 ? (due - now()) * 1e3 : 1000;
        int k = epoll_wait(epoll_fd, ready, 256, left <= 0 ? 0 : left > 1000 ? 1000 : (int)left + 1);
        for (int i = 0; i < k; i++) {
            int bits = (ready[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) | (ready[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                       (ready[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
            curl_multi_socket_action(multi, ready[i].data.fd, bits, &running);
        }
        if (due > 0 && due <= now()) {
            due = 0;
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        CURLMsg *message;
        int more;
        while ((message = curl_multi_info_read(multi, &more))) {
            CURL *easy = message->easy_handle;
            n++;
            errors += message->data.result != CURLE_OK;
            if (upload) bytes += upload_bytes;
            curl_multi_remove_handle(multi, easy);
            start(easy);
        }
        double t = now();
        if (!counting && t >= begin) {
            counting = 1;
            n = errors = bytes = 0;
            begin = t;
            cpu0 = cpu_us();
        } else if (counting && t >= end) {
            break;
        }
    }
    printf("{\"n\":%llu,\"errors\":%llu,\"sec\":%.6f,\"cpu_us\":%llu,\"bytes\":%llu}\n", (unsigned long long)n,
           (unsigned long long)errors, now() - begin, (unsigned long long)(cpu_us() - cpu0), (unsigned long long)bytes);
    fflush(stdout);
    _exit(0);
}
