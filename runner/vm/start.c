#include "vm/start.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

enum { SOCKET_QMP, SOCKET_AGENT, SOCKET_AGENT_ISA, SOCKET_CONSOLE, SOCKETS, DESCRIPTORS_MAX = SOCKETS + 4 };

static int make_sockets(int near[SOCKETS], int far[SOCKETS], struct err *e)
{
    for (int i = 0; i < SOCKETS; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
            return err_errno(e, "socket pair");
        near[i] = pair[0];
        far[i] = pair[1];
    }
    return 0;
}

static int make_memory(uint64_t bytes, int *ret_fd, struct err *e)
{
    *ret_fd = memfd_create("guest memory", MFD_CLOEXEC);
    if (*ret_fd < 0 || ftruncate(*ret_fd, (off_t)bytes) < 0)
        return err_errno(e, "guest memory");
    return 0;
}

/* Process: the runner's child, about to execute QEMU. Its heap in huge pages: 4 in 10 page faults less until the guest runs. */
static void prepare_heap(const int *fds)
{
    (void)fds;
    setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 0);
}

/* Everything that `m` names goes along. */
static struct qemu *execute(struct loop *loop, const struct machine *m, const struct started_events *events, struct err *e)
{
    _cleanup_strv_ struct strv argv = STRV_INIT;
    const int fixed[DESCRIPTORS_MAX] = {m->qmp_fd,    m->agent_fd,  m->agent_isa_fd, m->console_fd,
                                        m->kernel_fd, m->initrd_fd, m->memory_fd,    m->state_fd};
    _cleanup_free_ int *fds = xnewa(int, ARRAY_SIZE(fixed) + m->nic_count);
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        if (fixed[i] >= 0)
            fds[count++] = fixed[i];
    for (size_t i = 0; i < m->nic_count; i++)
        fds[count++] = m->nics[i].fd;
    machine_command_line(m, &argv);
    const struct program program = {.noun = "QEMU", .argv = &argv, .fds = fds, .fd_count = count, .enter = prepare_heap};
    return qemu_start(loop, &program, events->on_exit, events->arg, e);
}

int started_begin(struct loop *loop, const struct machine *machine, const struct snapshot_file *base,
                  const struct started_events *events, struct started *ret, struct err *e)
{
    struct machine m = *machine;
    struct started s = STARTED_INIT;
    int near[SOCKETS] = {-1, -1, -1, -1}, far[SOCKETS] = {-1, -1, -1, -1};
    _cleanup_close_ int state_fd = -1;
    if (make_sockets(near, far, e) < 0 ||
        (base ? (state_fd = snapshot_file_state(base, e)) : make_memory(m.memory_bytes, &s.memory_fd, e)) < 0)
        goto out;
    m.qmp_fd = far[SOCKET_QMP];
    m.agent_fd = far[SOCKET_AGENT];
    m.agent_isa_fd = far[SOCKET_AGENT_ISA];
    m.console_fd = far[SOCKET_CONSOLE];
    m.state_fd = state_fd;
    m.memory_fd = base ? snapshot_file_fd(base) : s.memory_fd;
    s.qemu = execute(loop, &m, events, e);
    if (!s.qemu)
        goto out;
    s.qmp = qmp_new(loop, steal_fd(&near[SOCKET_QMP]), events->on_event, events->on_closed, events->arg);
    s.agent_fd = steal_fd(&near[SOCKET_AGENT]);
    s.agent_isa_fd = steal_fd(&near[SOCKET_AGENT_ISA]);
    s.console_fd = steal_fd(&near[SOCKET_CONSOLE]);
out:
    for (int i = 0; i < SOCKETS; i++) {
        close_fd(&near[i]);
        close_fd(&far[i]);
    }
    if (!s.qemu) {
        started_done(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

void started_tell(struct started *s, const struct started_events *events)
{
    qmp_tell(s->qmp, events->on_event, events->on_closed, events->arg);
    qemu_tell(s->qemu, events->on_exit, events->arg);
}

void started_done(struct started *s)
{
    qmp_free(s->qmp);
    qemu_free(s->qemu);
    close_fd(&s->agent_fd);
    close_fd(&s->agent_isa_fd);
    close_fd(&s->console_fd);
    close_fd(&s->memory_fd);
    *s = STARTED_INIT;
}
