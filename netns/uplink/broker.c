/* The broker only forks: a request comes with the descriptors that its helper needs, and the helper
 * answers by itself.
 *
 * Process: forked by the dispatcher before it enters the sandbox; host's namespaces; no
 * capabilities, no new privileges, few system calls; dies with the dispatcher. Its descriptors are
 * the dispatcher's socket and the runners' connections. Helpers die with the broker and are reaped
 * by the kernel (SIGCHLD is ignored). */
#include "uplink/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"
#include "uplink/helper.h"
#include "uplink/lockdown.h"

#define CONNECTIONS_MAX 4096

struct broker {
    struct pollfd *fds; /* [0]: the dispatcher's */
    size_t count;
};

/* ---- the helper's beginnings ---- */

/* In the helper, forked by the broker. */
static void __attribute__((noreturn))
run_helper(const struct uplink_config *config, const struct uplink_port *ports, size_t count,
           const int given[3])
{
    dup2(given[2], STDERR_FILENO);
    process_keep_fds(given, 2);
    prctl(PR_SET_NAME, "provium-uplink");
    signal(SIGPIPE, SIG_IGN);
    _exit(uplink_help(config, ports, count, given[0], given[1]));
}

static bool plausible(const struct uplink_config *c)
{
    return c->prefix4 >= 8 && c->prefix4 <= 28 && c->mtu >= UPLINK_MTU_MIN && c->mtu <= 65535;
}

static void start_helper(struct bytes request, const int fds[3])
{
    struct unpacker u = unpacker_of(request);
    struct uplink_config config;
    void *ports;
    size_t count;
    if (record_unpack(&u, &record_uplink_config, &config) < 0 || !plausible(&config) ||
        records_unpack(&u, &record_uplink_port, UPLINK_FORWARDS_MAX, &ports, &count) < 0)
        return;
    if (process_fork() == 0)
        run_helper(&config, ports, count, fds);
    free(ports); /* when fork failed, the closed descriptors say so */
}

/* ---- the broker ---- */

/* False: the peer is gone. */
static bool serve_runner(int socket)
{
    static uint8_t request[UPLINK_MESSAGE_MAX];
    int fds[3];
    size_t count;
    ssize_t n = fds_recv(socket, request, sizeof(request), fds, 3, &count);
    if (n > 0 && count == 3)
        start_helper(bytes_of(request, (size_t)n), fds);
    for (size_t i = 0; n > 0 && i < count; i++)
        close(fds[i]);
    return n > 0;
}

static bool serve_dispatcher(struct broker *b)
{
    char byte;
    int fd;
    size_t count;
    if (fds_recv(b->fds[0].fd, &byte, 1, &fd, 1, &count) <= 0)
        return false;
    if (count && b->count < CONNECTIONS_MAX) {
        b->fds = xreallocarray(b->fds, b->count + 1, sizeof(*b->fds));
        b->fds[b->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    } else if (count) {
        close(fd);
    }
    return true;
}

static void serve(int socket)
{
    struct broker b = {.fds = xnew(struct pollfd), .count = 1};
    b.fds[0] = (struct pollfd){.fd = socket, .events = POLLIN};
    for (;;) {
        if (poll(b.fds, b.count, -1) < 0 && errno != EINTR)
            return;
        for (size_t i = b.count - 1; i > 0; i--) {
            if (!b.fds[i].revents || serve_runner(b.fds[i].fd))
                continue;
            close(b.fds[i].fd);
            b.fds[i] = b.fds[--b.count];
        }
        if (b.fds[0].revents && !serve_dispatcher(&b))
            return;
    }
}

/* In the broker, forked by the dispatcher. */
static void __attribute__((noreturn)) run_broker(int socket)
{
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    process_keep_fds(&socket, 1);
    prctl(PR_SET_NAME, "provium-broker");
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    cap_t none = cap_init();
    if (!none || cap_set_proc(none) < 0)
        _exit(1);
    cap_free(none);
    if (lockdown_broker(NULL) < 0)
        _exit(1);
    signal(SIGINT, SIG_IGN); /* of the terminal: the dispatcher decides */
    signal(SIGCHLD, SIG_IGN);
    serve(socket);
    _exit(0);
}

int uplink_broker_start(pid_t *ret_pid, struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "start the uplink broker: socketpair");
    pid_t pid = process_fork();
    if (pid == 0)
        run_broker(pair[1]);
    close(pair[1]);
    if (pid < 0) {
        err_errno(e, "start the uplink broker: fork");
        close(pair[0]);
        return -1;
    }
    *ret_pid = pid;
    return pair[0];
}

int uplink_broker_connect(int broker, struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "connect to the uplink broker: socketpair");
    if (fds_send(broker, "c", 1, &pair[1], 1) < 0) {
        err_errno(e, "connect to the uplink broker");
        close_fd(&pair[0]);
    }
    close(pair[1]);
    return pair[0];
}
