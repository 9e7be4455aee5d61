/*
 * What tests of fork share: children that cannot hang, and the descriptors of a process.
 */
#ifndef FORKED_H
#define FORKED_H

#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that takes as long is killed by a signal. */
#define CHILD_GUARD_S 300
#define FDS_MAX 1024

/* The descriptors that are open, one byte each. */
struct open_fds {
    unsigned char is_open[FDS_MAX];
};

static inline struct open_fds fds_now(void)
{
    struct open_fds fds;
    for (int fd = 0; fd < FDS_MAX; fd++)
        fds.is_open[fd] = fcntl(fd, F_GETFD) >= 0;
    return fds;
}

static inline int fds_count(void)
{
    struct open_fds fds = fds_now();
    int count = 0;
    for (int fd = 0; fd < FDS_MAX; fd++)
        count += fds.is_open[fd];
    return count;
}

/* Every descriptor that is open now was open before. */
static inline void check_no_more_than(const struct open_fds *before)
{
    struct open_fds now = fds_now();
    for (int fd = 0; fd < FDS_MAX; fd++)
        if (now.is_open[fd] && !before->is_open[fd]) {
            char link[64], what[128];
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            ssize_t n = readlink(link, what, sizeof what - 1);
            fprintf(stderr, "descriptor %d is open: %.*s\n", fd, (int)(n < 0 ? 0 : n), what);
            CHECK(!"closed");
        }
}

/* Forks; in the child an alarm is the guard against a hang. */
static inline pid_t fork_guarded(void)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        alarm(CHILD_GUARD_S);
    return pid;
}

/* The end of a child, by exec and not by exit: what the parent has set up is not the child's to take down, and what was
 * given up looks like a leak to a leak checker. */
static inline void child_is_done(void)
{
    execlp("true", "true", (char *)NULL);
    _exit(1);
}

static inline void await_child(pid_t pid)
{
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fprintf(stderr, "a child ended by signal %d\n", WTERMSIG(status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
