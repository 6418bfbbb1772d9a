/* From the start of QEMU to the moment that a VM takes it:
 *
 *   LOADING  QEMU reads the state
 *   WARMING  the guest runs (guest/warm.h)
 *   WAITING  stopped, as after LOADING where it is not to be warm
 *   FAILED   it ended, was reset, or did not answer: good for nothing
 *
 * A VM may take it at any time but the last. All that it does with it then is what it does with every restored machine, the
 * new session with the agent included: so nothing of what was said here has to be remembered. What the guest sends
 * meanwhile waits in the sockets of its NICs and its console. */
#include "vm/spare.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "guest/warm.h"
#include "vm/internal.h"

#define WARM_NS (20 * NS_PER_S)

enum spare_state { SPARE_LOADING, SPARE_WARMING, SPARE_WAITING, SPARE_FAILED };

struct spare {
    struct loop *loop;
    enum spare_state state;
    bool warm, loaded;
    struct started started;
    struct snapshot_file *file;
    int nics[VM_NICS_MAX];
    size_t nic_count;
    struct guest_warming *warming; /* from WARMING on */
    struct source *limit;
};

static void end_warming(struct spare *s, enum spare_state state)
{
    s->state = state;
    source_set_deadline(s->limit, DEADLINE_NONE);
    if (state == SPARE_WAITING)
        qmp_send(s->started.qmp, "stop", NULL);
}

static void on_limit(struct source *source, void *arg)
{
    (void)source;
    end_warming(arg, SPARE_FAILED);
}

static void on_warm(bool ok, void *arg)
{
    struct spare *s = arg;
    if (s->state == SPARE_WARMING)
        end_warming(s, ok ? SPARE_WAITING : SPARE_FAILED);
}

static void begin_warming(struct spare *s)
{
    const struct snapshot_info *info = snapshot_file_info(s->file);
    uint8_t seed[VM_SEED_BYTES];
    const struct guest_refresh refresh = vm_refresh(info, seed);
    s->state = SPARE_WARMING;
    source_set_deadline(s->limit, deadline_after(WARM_NS));
    qmp_send(s->started.qmp, "cont", NULL);
    s->warming = guest_warm(s->loop, s->started.agent_fd, s->started.agent_isa_fd, info->serial_agent, &refresh, on_warm, s);
}

static void on_qmp_event(const char *event, json_t *data, void *arg)
{
    struct spare *s = arg;
    const char *status = json_string_value(json_object_get(data, "status"));
    if (!strcmp(event, "RESET") || !strcmp(event, "SHUTDOWN")) {
        end_warming(s, SPARE_FAILED);
    } else if (!strcmp(event, "MIGRATION") && status && !strcmp(status, "completed") && s->state == SPARE_LOADING) {
        s->loaded = true;
        if (s->warm)
            begin_warming(s);
        else
            s->state = SPARE_WAITING;
    }
}

static void on_qmp_closed(void *arg)
{
    (void)arg; /* QEMU's exit follows */
}

static void on_exit_of_qemu(void *arg)
{
    end_warming(arg, SPARE_FAILED);
}

/* Its NICs' near ends stay in s->nics; the far ones are for the caller to close. */
static int make_nics(struct spare *s, const struct snapshot_info *info, struct machine_nic nics[static VM_NICS_MAX],
                     struct err *e)
{
    if (info->nic_count > VM_NICS_MAX)
        return err_set(e, 0, "%zu NICs (at most %d)", info->nic_count, VM_NICS_MAX);
    for (; s->nic_count < info->nic_count; s->nic_count++) {
        struct machine_nic *nic = &nics[s->nic_count];
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
            return err_errno(e, "socketpair");
        machine_restored_nic(s->nic_count, nic->id);
        snprintf(nic->mac, sizeof(nic->mac), "%s", info->nics[s->nic_count].mac);
        nic->slot = info->nics[s->nic_count].slot;
        nic->fd = pair[1];
        s->nics[s->nic_count] = pair[0];
    }
    return 0;
}

struct spare *spare_new(struct loop *loop, const struct vm_boot *boot, struct snapshot_file *file, bool warm, struct err *e)
{
    const struct snapshot_info *info = snapshot_file_info(file);
    struct machine_nic nics[VM_NICS_MAX];
    struct machine machine = boot->machine;
    struct spare *s = xnew0(struct spare);
    const struct started_events events = {on_qmp_event, on_qmp_closed, on_exit_of_qemu, s};
    s->loop = loop;
    s->warm = warm;
    s->file = file;
    s->started = STARTED_INIT;
    s->limit = loop_add_timer(loop, DEADLINE_NONE, on_limit, s);
    int result = make_nics(s, info, nics, e);
    machine.nics = nics;
    machine.nic_count = s->nic_count;
    if (!result)
        result = started_begin(loop, &machine, file, &events, &s->started, e);
    for (size_t i = 0; i < s->nic_count; i++)
        close(nics[i].fd);
    if (!result)
        return s;
    spare_free(s);
    return NULL;
}

void spare_free(struct spare *s)
{
    if (!s)
        return;
    guest_warming_free(s->warming);
    started_done(&s->started);
    for (size_t i = 0; i < s->nic_count; i++)
        close_fd(&s->nics[i]);
    snapshot_file_free(s->file);
    source_remove(s->limit);
    free(s);
}

bool spare_is_good(const struct spare *s)
{
    return s->state != SPARE_FAILED;
}

bool spare_is_warm(const struct spare *s)
{
    return s->warm;
}

const struct snapshot_file *spare_file(const struct spare *s)
{
    return s->file;
}

int spare_take_nic(struct spare *s, size_t index)
{
    return steal_fd(&s->nics[index]);
}

int vm_restore_spare(struct vm *vm, const struct vm_boot *boot, struct spare *spare, struct vm_mark *mark, struct err *e)
{
    guest_warming_free(steal_ptr(spare->warming));
    int result = vm_restore_start(vm, boot, steal_ptr(spare->file), &spare->started, mark, e);
    vm->loaded = vm->loaded || spare->loaded;
    spare_free(spare);
    return result;
}
