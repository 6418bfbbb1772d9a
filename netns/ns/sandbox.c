/* Three processes take part. The outer one is the caller; it changes nothing about itself. It forks
 * the middle one, which unshares (so a refusal costs only it), and has its ids mapped by the outer
 * one, which alone may have the privilege to map more than one id. The middle one forks the inner
 * one, pid 1 of the new pid namespace, and exits: the outer one is a child subreaper, so the inner
 * one becomes its child. Then the inner one finishes: mounts, loopback, capabilities.
 *
 * They talk over one socket pair. The outer one holds its end for ever and no one else does, so end
 * of file tells the others at any moment that the outer one is gone. From the moment the inner one
 * has set PR_SET_PDEATHSIG and then still found the outer end open, the kernel takes over: outer
 * dies, inner is killed, and with pid 1 everything in its namespace. A forked copy is used instead
 * of clone(2) with the flags because glibc's idea of the thread id would be wrong in the child. */
#include "ns/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/process.h"
#include "ns/inside.h"

enum message_kind {
    MESSAGE_MAP,    /* middle: unshared, map my ids */
    MESSAGE_INNER,  /* middle: `pid` is the inner process */
    MESSAGE_READY,  /* inner: done */
    MESSAGE_FAILED, /* middle or inner: `code` and `text` say what */
    MESSAGE_GO,     /* outer: go on */
};

struct message {
    enum message_kind kind;
    pid_t pid;
    int code;
    char text[200];
};

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};

static int message_send(int socket, const struct message *m)
{
    return fds_send(socket, m, sizeof(*m), NULL, 0);
}

/* False at end of file. */
static bool message_receive(int socket, struct message *m)
{
    return read_full(socket, m, sizeof(*m)) == sizeof(*m);
}

static bool outer_is_alive(int socket)
{
    char byte;
    return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void fail_upwards(int socket, const struct err *e) __attribute__((noreturn));
static void fail_upwards(int socket, const struct err *e)
{
    struct message m = {.kind = MESSAGE_FAILED, .code = e->code};
    snprintf(m.text, sizeof(m.text), "%s", err_message(e));
    message_send(socket, &m);
    _exit(1);
}

static void wait_for_go(int socket)
{
    struct message m;
    if (!message_receive(socket, &m))
        _exit(1);
}

/* Process: inner, pid 1, in all new namespaces, with the caller's descriptors and `socket`. */
static void finish_inner(int socket, uint64_t keep)
{
    struct err e = ERR_INIT;
    wait_for_go(socket); /* the outer process is our parent now */
    if (mounts_separate(&e) < 0 || loopback_up(&e) < 0 || capabilities_keep(keep, &e) < 0)
        fail_upwards(socket, &e);
    setpgid(0, 0);
    signal(SIGTTOU,
           SIG_IGN); /* output must go on from this background group, also with `stty tostop` */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || !outer_is_alive(socket))
        _exit(1);
    message_send(socket, &(struct message){.kind = MESSAGE_READY});
}

/* Process: middle. Returns only in the inner process. */
static void run_middle(int socket, uint64_t keep)
{
    static const struct {
        int flag;
        const char *name;
    } others[] = {{CLONE_NEWNS, "mount namespace"},
                  {CLONE_NEWNET, "network namespace"},
                  {CLONE_NEWIPC, "ipc namespace"},
                  {CLONE_NEWPID, "pid namespace"}};
    struct err e = ERR_INIT;
    if (unshare(CLONE_NEWUSER) < 0) {
        err_errno(&e, "user namespace");
        fail_upwards(socket, &e);
    }
    message_send(socket, &(struct message){.kind = MESSAGE_MAP});
    wait_for_go(socket);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (unshare(others[i].flag) < 0) {
            err_errno(&e, "%s", others[i].name);
            fail_upwards(socket, &e);
        }
    pid_t inner = fork();
    if (inner < 0) {
        err_errno(&e, "pid namespace: fork");
        fail_upwards(socket, &e);
    }
    if (inner) {
        message_send(socket, &(struct message){.kind = MESSAGE_INNER, .pid = inner});
        _exit(0);
    }
    finish_inner(socket, keep);
}

static void reap(pid_t pid)
{
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static long read_setting(const char *path)
{
    char text[32] = "";
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? strtol(text, NULL, 10) : -1;
}

static void add_remedy(struct err *e)
{
    if (e->hint)
        return;
    if (read_setting("/proc/sys/user/max_user_namespaces") == 0)
        err_hint(e, "sysctl user.max_user_namespaces is 0; the administrator can raise it");
    else if (read_setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        err_hint(e,
                 "sysctl kernel.unprivileged_userns_clone is 0; the administrator can set it to 1");
    else if (read_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        err_hint(
            e, "AppArmor restricts unprivileged user namespaces; the administrator can set sysctl "
               "kernel.apparmor_restrict_unprivileged_userns to 0, or add a profile for provium "
               "with `userns,`");
    else if (prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER)
        err_hint(e, "the seccomp profile of a container forbids this; rootless podman allows it, "
                    "docker needs "
                    "`--security-opt seccomp=unconfined`");
    else
        err_hint(e, "the host does not allow unprivileged user namespaces; ask its administrator");
}

/* Process: outer. Until the inner process is ready; *ret_inner is its pid in this namespace. */
static int attend_setup(int socket, pid_t middle, pid_t *ret_inner, struct err *e)
{
    struct message m, go = {.kind = MESSAGE_GO};
    pid_t inner = -1;
    int rc = -1;
    while (message_receive(socket, &m)) {
        if (m.kind == MESSAGE_MAP) {
            if (ids_map(middle, e) < 0)
                break;
            message_send(socket, &go);
        } else if (m.kind == MESSAGE_INNER) {
            inner = m.pid;
            reap(middle);
            middle = -1;
            message_send(socket, &go);
        } else {
            rc = m.kind == MESSAGE_READY ? 0 : err_set(e, m.code, "%s", m.text);
            break;
        }
    }
    if (rc == 0) {
        *ret_inner = inner;
        return 0;
    }
    if (!e->message)
        err_set(e, ECHILD, "pid namespace: the process in it died");
    add_remedy(e);
    if (middle > 0)
        kill(middle, SIGKILL);
    if (inner > 0)
        kill(inner, SIGKILL);
    reap(middle);
    reap(inner);
    return -1;
}

/* 0 in the inner process; in the outer one the inner's pid, or -1. *ret_socket is the outer end,
 * never closed there. */
static pid_t start(int *ret_socket, struct err *e)
{
    int ends[2];
    uint64_t keep = capabilities_over_files();
    _cleanup_err_ struct err failure = ERR_INIT;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_errno(e, "socketpair");
    _cleanup_close_ int outer_end = ends[0], other_end = ends[1];
    int was_subreaper = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &was_subreaper);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGCHLD, SIG_DFL);
    pid_t middle = fork(), inner;
    if (middle < 0)
        return err_errno(e, "fork");
    if (!middle) {
        close_fd(&outer_end);
        run_middle(other_end, keep);
        return 0;
    }
    close_fd(&other_end);
    int rc = attend_setup(outer_end, middle, &inner, &failure);
    prctl(PR_SET_CHILD_SUBREAPER, was_subreaper);
    if (rc < 0)
        return err_move(e, &failure);
    *ret_socket = steal_fd(&outer_end);
    return inner;
}

/* Process: outer, for the rest of its life. Of its descriptors only the standard ones and `socket`
 * stay. */
static void attend(pid_t inner, int socket, const sigset_t *signals) __attribute__((noreturn));
static void attend(pid_t inner, int socket, const sigset_t *signals)
{
    process_keep_fds(&socket, 1);
    for (;;) {
        int status, got = sigwaitinfo(signals, NULL);
        if (got > 0 && got != SIGCHLD) {
            kill(inner, got);
            continue;
        }
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == inner && (WIFEXITED(status) || WIFSIGNALED(status)))
                _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        if (pid < 0 && errno == ECHILD)
            _exit(2);
    }
}

int sandbox_enter(struct err *e)
{
    int socket = -1;
    sigset_t attended, before;
    sigemptyset(&attended);
    sigaddset(&attended, SIGCHLD);
    for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
        sigaddset(&attended, forwarded[i]);
    sigprocmask(SIG_BLOCK, &attended, &before);
    pid_t inner = start(&socket, e);
    if (inner > 0)
        attend(inner, socket, &attended);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return (int)inner;
}

int sandbox_probe(struct err *e)
{
    int socket = -1;
    pid_t inner = start(&socket, e);
    if (!inner)
        _exit(0);
    if (inner < 0)
        return -1;
    reap(inner);
    close_fd(&socket);
    return 0;
}
