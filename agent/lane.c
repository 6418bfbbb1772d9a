/* Inside a worker: the same frames, calls and results as in the agent, but no events: a thread waits for requests and
 * runs them in order. A lane that was made for one asynchronous call ends with it, because the agent closes it. */
#include "lane.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "files.h"
#include "root.h"
#include "session.h"
#include "spawn.h"
#include "team.h"

#define HIGH_FD 500 /* where our own descriptors go, out of the way of those that a test opens */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const struct handler lane_handlers[OPERATION_COUNT];

void lane_leave(void)
{
    pthread_mutex_unlock(&turn);
}

void lane_enter(void)
{
    pthread_mutex_lock(&turn);
}

static struct agent *agent_of_lane(struct lane_ends ends)
{
    struct agent *a = xnew0(struct agent);
    a->options = (struct agent_options){.fd = ends.frames, .alone = true};
    a->handlers = lane_handlers;
    a->fds_socket = ends.fds;
    a->session = 1;
    a->greeted = true;
    a->queue_end = &a->queue;
    agent_init_lock(a);
    channel_init(&a->channel, NULL, ends.frames, false, NULL);
    return a;
}

/* Serves until the agent closes the lane. With our turn. */
static void serve(struct lane_ends ends)
{
    struct agent *a = agent_of_lane(ends);
    struct value_started value = {.pid = (uint64_t)syscall(SYS_gettid)};
    struct buf packed = BUF_INIT(64);
    struct packer p = {.to = &packed};
    shape_pack(&p, &shape_value_started, &value);
    struct message m = {
        .kind = MESSAGE_EVENT, .op = bytes_str("lane"), .args = bytes_of(buf_head(&packed), packed.len)};
    agent_lock(a);
    channel_put(&a->channel, &m);
    buf_done(&packed);
    team_serve_alone(a);
    agent_unlock(a);
    channel_done(&a->channel);
    close(ends.fds);
    call_free_all(a);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static void *serve_thread(void *arg)
{
    struct lane_ends ends = *(struct lane_ends *)arg;
    free(arg);
    lane_enter();
    serve(ends);
    lane_leave();
    return NULL;
}

static int raise_fd(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    return high < 0 ? fd : high;
}

static void close_others(const int keep[], size_t count)
{
    int limit = 3;
    for (size_t i = 0; i < count; i++)
        limit = keep[i] >= limit ? keep[i] + 1 : limit;
    for (int fd = 3; fd < limit; fd++) {
        size_t i = 0;
        while (i < count && keep[i] != fd)
            i++;
        if (i == count)
            close(fd);
    }
    if (syscall(SYS_close_range, limit, ~0u, 0) < 0) { /* before Linux 5.9 */
        struct rlimit max;
        getrlimit(RLIMIT_NOFILE, &max);
        for (int fd = limit; fd < 65536 && (rlim_t)fd < max.rlim_cur; fd++)
            close(fd);
    }
}

void lane_process(struct lane_ends ends, bool keeper)
{
    sigset_t none;
    ends.frames = raise_fd(ends.frames);
    ends.fds = raise_fd(ends.fds);
    root_raise_fd(HIGH_FD);
    int keep[] = {ends.frames, ends.fds, root_fd()};
    close_others(keep, ARRAY_SIZE(keep));
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, keeper ? "provium-kernel" : "provium-worker");
    setsid();
    spawn_ordinary();
    umask(022);
    kernel_init();
    lane_enter();
    serve(ends);
    _exit(0);
}

/* Starts a thread on the lane whose ends come over the descriptor socket. If that fails, the agent sees it closed. */
static void start_thread(struct call *call)
{
    int fds[2];
    size_t count;
    char byte;
    pthread_t thread;
    if (fds_recv(call->agent->fds_socket, &byte, 1, fds, 2, &count) < 0 || count != 2) {
        call_fail(call, EPROTO);
        return;
    }
    struct lane_ends *ends = xnew(struct lane_ends);
    *ends = (struct lane_ends){.frames = raise_fd(fds[0]), .fds = raise_fd(fds[1])};
    if (ends->frames != fds[0])
        close(fds[0]);
    if (ends->fds != fds[1])
        close(fds[1]);
    int code = pthread_create(&thread, NULL, serve_thread, ends);
    if (!code) {
        pthread_detach(thread);
        return;
    }
    close(ends->frames);
    close(ends->fds);
    free(ends);
    call_fail(call, code);
}

/* Takes a descriptor over from the agent. */
static void adopt(struct call *call)
{
    int fd = -1;
    size_t count = 0;
    char byte;
    if (fds_recv(call->agent->fds_socket, &byte, 1, &fd, 1, &count) < 0 || count != 1)
        call_fail(call, EPROTO);
    struct value_fd value = {.fd = fd};
    if (!call->failed)
        call_value(call, &value);
}

static void share(struct call *call)
{
    const struct value_fd *args = call_args(call);
    int fd = (int)args->fd;
    if (args->fd < 0 || args->fd > INT32_MAX || fcntl(fd, F_GETFD) < 0)
        call_fail(call, EBADF);
    else if (fds_send(call->agent->fds_socket, "", 1, &fd, 1) < 0)
        call_fail(call, errno);
}

static void drop(struct call *call)
{
    const struct value_fd *args = call_args(call);
    lane_leave();
    close((int)args->fd);
    lane_enter();
}

static void open_file(struct call *call)
{
    const struct args_open *args = call_args(call);
    _cleanup_free_ char *path = call_string(call, args->path);
    if (!path)
        return;
    mode_t old = umask(0);
    lane_leave();
    int fd = files_open(call, path, files_open_flags(args->mode), (mode_t)args->perm);
    lane_enter();
    umask(old);
    struct value_fd value = {.fd = fd};
    if (fd < 0)
        return;
    if (fds_send(call->agent->fds_socket, "", 1, &fd, 1) < 0) {
        call_fail(call, errno);
        close(fd);
        return;
    }
    call_value(call, &value);
}

/* The child has to be the agent's, which waits for it: hence not fork(3). Nobody else is in our code now. */
static void spawn(struct call *call)
{
    const struct args_spawn *outer = call_args(call);
    struct args_exec args;
    struct spawn s;
    int fds[4];
    size_t count = 0, len;
    char byte;
    uint8_t *body = call_receive_all(call, &len);
    if (fds_recv(call->agent->fds_socket, &byte, 1, fds, 4, &count) < 0 || count != 4 || !body ||
        shape_unpack(outer->about, operations[OPERATION_exec].args, &args) < 0) {
        call_fail(call, EPROTO);
        free(body);
        body = NULL;
    } else if (spawn_parse(&s, &args, body, len) < 0) {
        call_fail(call, EPROTO);
        spawn_done(&s);
    } else {
        memcpy(s.fds, fds, sizeof(s.fds));
        s.error_fd = fds[3];
        pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        if (!pid)
            spawn_child(&s);
        struct value_started value = {.pid = (uint64_t)pid};
        if (pid < 0)
            call_fail(call, errno);
        else
            call_value(call, &value);
        spawn_done(&s);
    }
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static const struct handler lane_handlers[OPERATION_COUNT] = {
    [OPERATION_syscall] = {.run = kernel_syscall, .in_worker = true},
    [OPERATION_read_mem] = {.run = kernel_read_mem, .in_worker = true},
    [OPERATION_open] = {.run = open_file, .in_worker = true},
    [OPERATION_lane] = {.run = start_thread},
    [OPERATION_adopt] = {.run = adopt},
    [OPERATION_share] = {.run = share},
    [OPERATION_drop] = {.run = drop},
    [OPERATION_spawn] = {.run = spawn},
};
