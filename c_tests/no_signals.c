/* run: plain asan */
/*
 * The library has nothing to do with the application's signals: no disposition changes, whatever it does, and each of
 * its threads has a name of ours and blocks every signal but those that a fault of its own would raise. (Not under
 * valgrind, which has masks of its own.)
 */
#define _GNU_SOURCE

#include "support/engine.h"

#include <dirent.h>
#include <signal.h>

/* Of a set, what the kernel fills in. */
#define KERNEL_SET 8

/* Two that the C library keeps to itself, and blocks nowhere. */
static int is_reserved(int signal)
{
    return signal == 32 || signal == 33;
}

static int is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP ||
           signal == SIGSYS;
}

static void handler(int signal)
{
    (void)signal;
}

static void read_actions(struct sigaction *actions)
{
    memset(actions, 0, 65 * sizeof *actions);
    for (int signal = 1; signal <= 64; signal++)
        if (!is_reserved(signal)) CHECK_EQ(sigaction(signal, NULL, &actions[signal]), 0);
}

static void same_actions(const struct sigaction *before)
{
    struct sigaction now[65];
    read_actions(now);
    for (int signal = 1; signal <= 64; signal++) {
        CHECK(now[signal].sa_handler == before[signal].sa_handler);
        CHECK_EQ(now[signal].sa_flags, before[signal].sa_flags);
        CHECK(memcmp(&now[signal].sa_mask, &before[signal].sa_mask, KERNEL_SET) == 0);
    }
}

/* The threads of the library; each is looked at. */
static unsigned threads(void)
{
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[64], line[256], name[64] = "";
        unsigned long long blocked = 0;
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/status", task->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL) continue; /* it has just ended */
        while (fgets(line, sizeof line, file) != NULL) {
            sscanf(line, "Name: %63s", name);
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(file);
        if (strncmp(name, "chttp-", 6) != 0) continue;
        count++;
        for (int signal = 1; signal <= 64; signal++) {
            if (is_reserved(signal) || signal == SIGKILL || signal == SIGSTOP) continue;
            CHECK_EQ(blocked >> (signal - 1) & 1, !is_fault(signal));
        }
    }
    closedir(tasks);
    return count;
}

/* Names, a connection over TLS that is refused, a peer that resets while we write: what others need handlers for. */
static void work(chttp_engine *engine, const struct test_server *server)
{
    char url[64];
    chttp_response *response = NULL;
    static const char *const paths[] = {"/", "/reset", "/early413", "/garbage"};
    static char body[1 << 20];
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        chttp_request request = request_for(test_server_url(server, paths[i], url, sizeof url));
        request.method = "POST";
        request.method_len = 4;
        request.body = body;
        request.body_len = sizeof body;
        int32_t code = chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL);
        CHECK(code <= 0);
        if (code == 0) chttp_release(response);
    }
    snprintf(url, sizeof url, "http://localhost:%u/", server->port);
    chttp_request request = request_for(url);
    if (chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL) == 0) chttp_release(response);
    snprintf(url, sizeof url, "https://127.0.0.1:%s/", getenv("CHTTP_TEST_TLS_PORT"));
    request = request_for(url);
    CHECK(chttp_perform(engine, &request, CHTTP_UNLIMITED, &response, NULL) < 0);
}

int main(void)
{
    struct test_server server;
    struct sigaction before[65];
    CHECK_EQ(test_server_start(&server), 0);
    /* Some that are not the defaults. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGUSR1, handler);
    signal(SIGCHLD, SIG_IGN);
    read_actions(before);
    CHECK_EQ(threads(), 0);
    sigset_t mask, mask_now;
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    for (int drive = 0; drive < DRIVES; drive++) {
        chttp_engine *engine = engine_make(drive, NULL);
        same_actions(before);
        work(engine, &server);
        CHECK(threads() >= (unsigned)drive);
        same_actions(before);
        CHECK_EQ(chttp_engine_destroy(engine), 0);
        same_actions(before);
    }
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &mask_now), 0);
    CHECK(memcmp(&mask, &mask_now, KERNEL_SET) == 0);
    signal(SIGCHLD, SIG_DFL);
    test_server_stop(&server);
    return 0;
}
