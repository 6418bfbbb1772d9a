#include "uplink/lockdown.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"

/* Names that a kernel or architecture doesn't know are left out. */
static const char *const of_both[] = {
    "accept",
    "accept4",
    "bind",
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "connect",
    "dup",
    "exit",
    "exit_group",
    "fcntl",
    "fstat",
    "futex",
    "getpeername",
    "getpid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "ioctl",
    "listen",
    "lseek",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "poll",
    "ppoll",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "tgkill",
    "time",
    "write",
    "writev",
};

static const char *const of_broker[] = {
    "clone",           "clone3",          "close_range", "dup2",       "dup3",  "fork",
    "getppid",         "newfstatat",      "open",        "openat",     "prctl", "seccomp",
    "set_robust_list", "set_tid_address", "socket",      "socketpair", "vfork", "wait4",
};

static int allow(scmp_filter_ctx filter, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        int result =
            number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
        if (result < 0)
            return result;
    }
    return 0;
}

static int allow_socket(scmp_filter_ctx filter, uint64_t family)
{
    const struct scmp_arg_cmp is_family = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = family};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, &is_family);
}

static int lock(bool broker, struct err *e)
{
    if (prctl(PR_GET_SECCOMP) < 0)
        return 0; /* a kernel without it: the rest of the fence has to do */
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return err_set(e, ENOMEM, "seccomp_init failed");
    int result = allow(filter, of_both, ARRAY_SIZE(of_both));
    if (result == 0 && broker)
        result = allow(filter, of_broker, ARRAY_SIZE(of_broker));
    if (result == 0 && !broker)
        result = allow_socket(filter, AF_INET);
    if (result == 0 && !broker)
        result = allow_socket(filter, AF_INET6);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    errno = -result;
    return result < 0 ? err_errno(e, "seccomp filter") : 0;
}

int lockdown_broker(struct err *e)
{
    return lock(true, e);
}

int lockdown_helper(struct err *e)
{
    return lock(false, e);
}
