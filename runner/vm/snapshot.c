/* A VM into a snapshot's file, and a machine out of one.
 *
 * The devices' state comes from QEMU's command xen-save-devices-state, which despite its name writes what every machine's
 * migration stream holds but for the memory, in a millisecond (migration/savevm.c; the same from 1.1 to the newest). What
 * -incoming wants besides is added here. The memory is copied beside it (memory.c): so nothing depends on how the
 * guest's memory is mapped, and snapshots of restored machines cost no more than others.
 *
 * A restore starts QEMU with the file mapped privately and a second descriptor standing where the state begins, waits
 * until it has loaded that, and lets it run. The agent in there knows nothing of it; the host begins a new session
 * with it (guest/mark.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/io.h"
#include "guest/mark.h"
#include "guest/system.h"
#include "vm/host_cpu.h"
#include "vm/internal.h"
#include "vm/memory.h"

#define STREAM_HEADER    "QEVM\0\0\0\3"
#define STREAM_HEADER_LEN 8
#define SECTION_FULL          4
#define SECTION_DESCRIPTION   6
#define SECTION_CONFIGURATION 7
#define SECTION_FOOTER        0x7e

#define MEMORY_SECTION 0x70726f76 /* a number that no other section has */
#define MEMORY_VERSION 4
#define PAGE           4096
#define FLAG_PAGE      0x08
#define FLAG_END       0x10
#define FLAG_CONTINUE  0x20 /* the block of the page before */

#define FIRMWARE_BLOCK   "pc.bios"
#define FIRMWARE_SIZE    (256 << 10)
#define FIRMWARE_ADDRESS (UINT64_C(0x100000000) - FIRMWARE_SIZE)

#define MACHINE_SUFFIX   "-machine"
#define EVENT_NS         (200 * NS_PER_MS)
#define SETTLE_NS        (2 * NS_PER_S)

struct vm_mark {
    struct guest_mark *guest;
    unsigned generation;
};

/* ------------------------------------------------------------------------------------------------- freezing */

/* Whether or not the agent can, the snapshot can be taken. */
static void settle(struct vm *vm, int64_t deadline)
{
    _cleanup_err_ struct err e = ERR_INIT;
    int64_t limit = deadline_after(SETTLE_NS);
    if (vm->state == VM_BOOTED && guest_is_ready(vm->guest))
        guest_settle(vm->guest, deadline < limit ? deadline : limit, &e);
}

int vm_freeze(struct vm *vm, int64_t deadline, struct err *e)
{
    if (!vm_is_live(vm))
        return vm_wrong_state(vm, "snapshot", e);
    if (vm->suspended)
        return vm_is_asleep("snapshot", e);
    settle(vm, deadline);
    if (vm->state == VM_BOOTED && qmp_call(vm->qmp, "stop", NULL, deadline, NULL, e) < 0)
        return err_prefix(e, "snapshot");
    vm->frozen = vm->state == VM_BOOTED;
    return 0;
}

void vm_thaw(struct vm *vm)
{
    if (vm->frozen)
        qmp_send(vm->qmp, "cont", NULL);
    vm->frozen = false;
}

struct vm_mark *vm_mark_new(struct vm *vm, int64_t deadline, struct err *e)
{
    struct guest *guest;
    if (vm_guest(vm, "snapshot", deadline, &guest, e) < 0 || guest_quiesce(guest, deadline, e) < 0)
        return NULL;
    struct vm_mark *mark = xnew0(struct vm_mark);
    mark->guest = guest_mark_new(guest);
    mark->generation = vm->generation;
    return mark;
}

bool vm_mark_is_empty(const struct vm_mark *mark)
{
    return guest_mark_is_empty(mark->guest);
}

void vm_mark_free(struct vm_mark *mark)
{
    if (!mark)
        return;
    guest_mark_free(mark->guest);
    free(mark);
}

int vm_mark_release(struct vm *vm, int64_t deadline, struct err *e)
{
    return guest_unquiesce(vm->guest, deadline, e);
}

/* ------------------------------------------------------------------------------------------------- saving */

/* "pc-q35-7.2": the type's name, versioned. */
static int machine_type(struct vm *vm, char **ret, int64_t deadline, struct err *e)
{
    json_t *reply = NULL;
    if (qmp_call(vm->qmp, "qom-get", json_pack("{s:s, s:s}", "path", "/machine", "property", "type"), deadline, &reply, e) < 0)
        return -1;
    const char *type = json_string_value(reply);
    bool known = type && str_ends_with(type, MACHINE_SUFFIX);
    if (known)
        *ret = xstrndup(type, strlen(type) - strlen(MACHINE_SUFFIX));
    json_decref(reply);
    return known ? 0 : err_set(e, EPROTO, "QEMU does not tell the machine's type");
}

/* Runs a command that writes a file, and appends the file to `out`. `arguments` is stolen. */
static int call_for_bytes(struct vm *vm, const char *command, json_t *arguments, struct buf *out, int64_t deadline,
                          struct err *e)
{
    json_t *reply = NULL;
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = memfd_create(command, MFD_CLOEXEC);
    if (fd < 0 || qmp_call_fd(vm->qmp, "add-fd", json_object(), fd, deadline, &reply, e) < 0) {
        json_decref(arguments);
        return fd < 0 ? err_errno(e, "%s", command) : -1;
    }
    json_int_t set = json_integer_value(json_object_get(reply, "fdset-id"));
    path = xasprintf("/proc/self/fd/%d", (int)json_integer_value(json_object_get(reply, "fd")));
    json_decref(reply);
    json_object_set_new(arguments, "filename", json_string(path));
    int result = qmp_call(vm->qmp, command, arguments, deadline, NULL, e);
    qmp_send(vm->qmp, "remove-fd", json_pack("{s:I}", "fdset-id", set));
    return result < 0 ? -1 : fd_read_all(fd, out, e);
}

static int append_be32(struct buf *to, uint32_t value)
{
    const uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    return buf_append(to, bytes, sizeof(bytes));
}

static int append_be64(struct buf *to, uint64_t value)
{
    return append_be32(to, (uint32_t)(value >> 32)) < 0 ? -1 : append_be32(to, (uint32_t)value);
}

static int append_text(struct buf *to, const char *text)
{
    return buf_append_byte(to, (uint8_t)strlen(text)) < 0 ? -1 : buf_append_str(to, text);
}

/* The firmware, as a section of the memory's form (migration/ram.c). QEMU leaves its copy out when state is to come
 * (hw/core/loader.c, rom_reset), and without it a machine would not survive its next reset. */
static int append_firmware(struct vm *vm, struct buf *out, int64_t deadline, struct err *e)
{
    _cleanup_buf_ struct buf firmware = BUF_INIT(FIRMWARE_SIZE);
    if (call_for_bytes(vm, "pmemsave", json_pack("{s:I, s:I}", "val", (json_int_t)FIRMWARE_ADDRESS, "size", FIRMWARE_SIZE),
                       &firmware, deadline, e) < 0)
        return -1;
    if (firmware.len != FIRMWARE_SIZE)
        return err_set(e, EPROTO, "QEMU wrote %zu bytes of firmware", firmware.len);
    int rc = buf_append_byte(out, SECTION_FULL) | append_be32(out, MEMORY_SECTION) | append_text(out, "ram") |
             append_be32(out, 0) | append_be32(out, MEMORY_VERSION);
    for (uint64_t at = 0; at < FIRMWARE_SIZE; at += PAGE) {
        rc |= append_be64(out, at | FLAG_PAGE | (at ? FLAG_CONTINUE : 0));
        if (!at)
            rc |= append_text(out, FIRMWARE_BLOCK);
        rc |= buf_append(out, buf_head(&firmware) + at, PAGE);
    }
    rc |= append_be64(out, FLAG_END) | buf_append_byte(out, SECTION_FOOTER) | append_be32(out, MEMORY_SECTION);
    return rc < 0 ? err_set(e, EFBIG, "the devices' state is too large") : 0;
}

/* What QEMU wrote, as a stream that -incoming takes: after the header the machine's type and the firmware, at the end an
 * empty description. */
static int save_state(struct vm *vm, struct buf *out, int64_t deadline, struct err *e)
{
    _cleanup_free_ char *type = NULL;
    _cleanup_buf_ struct buf devices = BUF_INIT(SNAPSHOT_STATE_MAX);
    if (machine_type(vm, &type, deadline, e) < 0 ||
        call_for_bytes(vm, "xen-save-devices-state", json_object(), &devices, deadline, e) < 0)
        return -1;
    const uint8_t *bytes = buf_head(&devices);
    if (devices.len < STREAM_HEADER_LEN || memcmp(bytes, STREAM_HEADER, STREAM_HEADER_LEN))
        return err_set(e, EPROTO, "QEMU wrote a state of unknown form");
    int rc = buf_append(out, bytes, STREAM_HEADER_LEN) | buf_append_byte(out, SECTION_CONFIGURATION) |
             append_be32(out, (uint32_t)strlen(type)) | buf_append_str(out, type);
    if (!strcmp(vm->origin.arch, "x86_64") && append_firmware(vm, out, deadline, e) < 0)
        return -1;
    rc |= buf_append(out, bytes + STREAM_HEADER_LEN, devices.len - STREAM_HEADER_LEN) |
          buf_append_byte(out, SECTION_DESCRIPTION) | append_be32(out, 2) | buf_append_str(out, "{}");
    return rc < 0 ? err_set(e, EFBIG, "the devices' state is too large") : 0;
}

int vm_capture(struct vm *vm, const char *path, const struct vm_capture *c, int64_t deadline, struct err *e)
{
    struct snapshot_info info = vm->origin; /* its texts are borrowed */
    const char *version;
    if (qmp_version(vm->qmp, deadline, &version, e) < 0)
        return -1;
    const struct guest_agent *agent = guest_agent(vm->guest);
    _cleanup_free_ char *host_cpu = info.kvm ? host_cpu_identity() : xstrdup("");
    info.provium = (char *)c->provium;
    info.agent = agent ? agent->version : "";
    info.hypervisor = (char *)version;
    info.vm = vm->name;
    info.profile = (char *)c->profile;
    info.host_cpu = host_cpu;
    info.serial_agent = guest_line(vm->guest);
    info.time_pinned = c->time_pinned;
    info.paused = !vm->frozen;
    info.taken_ns = clock_realtime_ns();
    info.nics = c->nics;
    info.nic_count = c->nic_count;
    _cleanup_(snapshot_writer_freep) struct snapshot_writer *w = snapshot_writer_new(path, info.memory_bytes, e);
    _cleanup_buf_ struct buf state = BUF_INIT(SNAPSHOT_STATE_MAX);
    if (!w || save_state(vm, &state, deadline, e) < 0)
        return -1;
    int fd = vm->base ? snapshot_file_fd(vm->base) : vm->memory_fd;
    if (memory_copy(fd, vm->base, qemu_pid(vm->qemu), info.memory_bytes, w, deadline, e) < 0)
        return -1;
    return snapshot_writer_finish(w, buf_head(&state), state.len, &info, c->durable, e);
}

/* ------------------------------------------------------------------------------------------------- restoring */

int vm_restore_start(struct vm *vm, const struct vm_boot *boot, struct snapshot_file *file, struct started *ahead,
                     struct vm_mark *mark, struct err *e)
{
    if (!mark && vm->state != VM_CREATED && vm->state != VM_SHUTDOWN) {
        snapshot_file_free(file);
        return err_set(e, 0, "restore: VM is %s; call vm:shutdown() first", vm_state_name(vm->state));
    }
    vm_shutdown(vm);
    vm->base = file;
    if (vm_start(vm, boot, ahead, snapshot_file_info(file)->serial_agent, e) < 0)
        return err_prefix(e, "restore");
    return 0;
}

int vm_restore_begin(struct vm *vm, const struct vm_boot *boot, struct snapshot_file *file, struct vm_mark *mark,
                     struct err *e)
{
    return vm_restore_start(vm, boot, file, NULL, mark, e);
}

/* Its version is looked at before it sees any state. */
static int check_hypervisor(struct vm *vm, int64_t deadline, struct err *e)
{
    const char *version, *recorded = snapshot_file_info(vm->base)->hypervisor;
    if (qmp_version(vm->qmp, deadline, &version, e) < 0)
        return -1;
    if (!strcmp(version, recorded))
        return 0;
    err_set(e, SNAPSHOT_UNFIT, "taken with QEMU %s; this is QEMU %s", recorded, version);
    return err_hint(e, "take the snapshot again with this QEMU");
}

/* On a busy host QEMU may have loaded it before it took the first command: until then it tells nobody (monitor/monitor.c,
 * monitor_qapi_event_emit). After EVENT_NS it is asked; what it loads later it will tell. */
static int load_state(struct vm *vm, int64_t deadline, struct err *e)
{
    int64_t patience = deadline_after(EVENT_NS);
    json_t *reply = NULL;
    if (loop_wait(vm->loop, &vm->loaded, patience < deadline ? patience : deadline) == 0)
        return 0;
    if (errno != ETIMEDOUT)
        return err_set(e, errno, "interrupted");
    if (qmp_call(vm->qmp, "query-status", NULL, deadline, &reply, e) < 0)
        return -1;
    const char *status = json_string_value(json_object_get(reply, "status"));
    vm->loaded = vm->loaded || (status && strcmp(status, "inmigrate"));
    json_decref(reply);
    return loop_wait(vm->loop, &vm->loaded, deadline) < 0 ? err_set(e, errno, "the state was not loaded in time") : 0;
}

int vm_restore_load(struct vm *vm, int64_t deadline, struct err *e)
{
    _cleanup_err_ struct err why = ERR_INIT;
    int64_t limit = vm->started_ns + vm->agent_timeout_ns;
    if (limit > deadline)
        limit = deadline;
    if (check_hypervisor(vm, limit, &why) == 0 && load_state(vm, limit, &why) == 0 && !vm->failure)
        return 0;
    loop_wait(vm->loop, &vm->exited, deadline_after(NS_PER_S)); /* a state that does not fit ends QEMU, which says why */
    if (vm->failure) {
        const struct snapshot_info *info = snapshot_file_info(vm->base);
        err_set(&why, SNAPSHOT_UNFIT, "machine %s, CPU %s: %s", info->machine, info->cpu, vm->failure);
    }
    err_prefix(&why, "snapshot `%s`", snapshot_file_path(vm->base));
    vm->booting = false;
    vm_set_cause(vm, xstrdup(err_message(&why)));
    err_move(e, &why);
    return err_prefix(e, "restore");
}

struct guest_refresh vm_refresh(const struct snapshot_info *info, uint8_t seed[static VM_SEED_BYTES])
{
    struct guest_refresh refresh = {.time_ns = info->time_pinned ? 0 : clock_realtime_ns()};
    if (!info->seeded && getrandom(seed, VM_SEED_BYTES, 0) == VM_SEED_BYTES)
        refresh.seed = bytes_of(seed, VM_SEED_BYTES);
    return refresh;
}

int vm_restore_run(struct vm *vm, const struct vm_boot *boot, const struct vm_mark *mark, int64_t deadline, struct err *e)
{
    uint8_t seed[VM_SEED_BYTES];
    const struct guest_refresh refresh = vm_refresh(snapshot_file_info(vm->base), seed);
    qmp_send(vm->qmp, "cont", NULL);
    guest_resync(vm->guest, mark ? mark->guest : NULL, &refresh);
    if (vm_end_start(vm, "restore", boot->accel_note, deadline, e) < 0)
        return -1;
    if (mark)
        vm->generation = mark->generation;
    return 0;
}
