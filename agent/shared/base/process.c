#include "base/process.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

pid_t process_fork(void)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        signal(signal_number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void close_between(unsigned first, unsigned last)
{
    if (first <= last)
        syscall(SYS_close_range, first, last, 0);
}

void process_keep_fds(const int *fds, size_t count)
{
    int sorted[64];
    if (count > ARRAY_SIZE(sorted))
        abort();
    if (count)
        memcpy(sorted, fds, count * sizeof(int));
    qsort(sorted, count, sizeof(int), compare);
    unsigned next = 3;
    for (size_t i = 0; i < count; i++) {
        if (sorted[i] < (int)next)
            continue;
        close_between(next, (unsigned)sorted[i] - 1);
        next = (unsigned)sorted[i] + 1;
    }
    close_between(next, ~0U);
}

void process_kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int process_number_in_proc(pid_t pid)
{
    char path[64], line[256];
    int number = pid;
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    _cleanup_fclose_ FILE *f = fd < 0 ? NULL : fopen(path, "re");
    while (f && fgets(line, sizeof(line), f) && sscanf(line, "Pid: %d", &number) != 1)
        ;
    return number;
}
