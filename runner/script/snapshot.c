/* Between the snapshot engine (vm/snapshot.c, snapshot/) and lua/snapshot.lua: a VM is frozen, captured and thawed, or
 * begun, loaded and run, one call for each step, so that a lab can take each step with all its VMs. */
#include "script/snapshot.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "script/ahead.h"
#include "script/argument.h"
#include "script/handle.h"
#include "script/network.h"
#include "script/stream.h"
#include "script/temporary.h"
#include "script/vm.h"

static int run_step(lua_State *L, const char *call, vm_step_fn step)
{
    struct err e = ERR_INIT;
    if (vm_step(L, call, step, &e) == 0)
        return 0;
    script_of(L)->restore_refused = e.code == SNAPSHOT_UNFIT;
    return vm_raise(L, check_vm(L), &e);
}

/* ------------------------------------------------------------------------------------------------- saving */

static int freeze(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    (void)s, (void)L;
    return vm_freeze(o->vm, deadline, e);
}

/* core.vm_freeze(vm) */
static int freeze_binding(lua_State *L)
{
    return run_step(L, "snapshot", freeze);
}

/* core.vm_thaw(vm): never fails */
static int thaw_binding(lua_State *L)
{
    vm_thaw(check_vm(L)->vm);
    return 0;
}

/* The NICs that QEMU has, with the names of their bridges from the table {[id] = name} at `index`. */
static size_t collect_nics(lua_State *L, int index, const struct vm_object *o, struct snapshot_nic nics[static VM_NICS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < o->nic_count && n < VM_NICS_MAX; i++) {
        const struct vm_nic *nic = &o->nics[i];
        if (!nic->plugged)
            continue;
        lua_rawgeti(L, index, nic->bridge);
        const char *bridge = lua_tostring(L, -1); /* anchored by the table */
        lua_pop(L, 1);
        struct member_info info = {.link = true};
        network_member(script_of(L)->network, nic->bridge, o->name, &info, NULL);
        nics[n++] = (struct snapshot_nic){.bridge = (char *)(bridge ? bridge : ""),
                                          .mac = (char *)nic->device_mac,
                                          .slot = vm_nic_slot(o->vm, nic->device_id),
                                          .link = info.link && !nic->detached};
    }
    return n;
}

static int capture(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    struct snapshot_nic nics[VM_NICS_MAX];
    const struct vm_capture c = {
        .provium = PROVIUM_VERSION,
        .profile = o->profile->name,
        .time_pinned = o->time_pinned,
        .durable = lua_toboolean(L, 3),
        .nic_count = collect_nics(L, 4, o, nics),
        .nics = nics,
    };
    (void)s;
    return vm_capture(o->vm, lua_tostring(L, 2), &c, deadline, e) < 0 ? err_prefix(e, "snapshot") : 0;
}

/* core.vm_capture(vm, path, durable, {[bridge id] = name}) */
static int capture_binding(lua_State *L)
{
    check_path(L, 2, "snapshot: path");
    luaL_checktype(L, 4, LUA_TTABLE);
    return run_step(L, "snapshot", capture);
}

static int mark(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    (void)s, (void)L;
    vm_mark_free(o->mark);
    o->mark = vm_mark_new(o->vm, deadline, e);
    return o->mark ? 0 : -1;
}

/* core.vm_mark(vm): before a freeze; a later restore with the mark leaves the handles of now valid */
static int mark_binding(lua_State *L)
{
    return run_step(L, "snapshot", mark);
}

static int release(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    (void)s, (void)L;
    return vm_mark_release(o->vm, deadline, e);
}

/* core.vm_mark_release(vm): after the thaw */
static int mark_release_binding(lua_State *L)
{
    return run_step(L, "snapshot", release);
}

/* ------------------------------------------------------------------------------------------------- restoring */

/* The VM's NICs become those of the snapshot, on the bridges with the ids in the array at `index`. What else it was attached
 * to is kept, behind them and unplugged. */
static int arrange_nics(lua_State *L, int index, struct vm_object *o, const struct snapshot_info *info, struct err *e)
{
    struct vm_nic *sorted = xnewa(struct vm_nic, o->nic_count + info->nic_count);
    size_t n = 0;
    for (; n < info->nic_count; n++) {
        lua_rawgeti(L, index, (lua_Integer)n + 1);
        uint32_t bridge = (uint32_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
        struct vm_nic *nic = vm_find_nic(o, bridge);
        if (!nic || info->nics[n].slot >= MACHINE_HOTPLUG_SLOTS) {
            free(sorted);
            return err_set(e, 0, "the NIC on bridge `%s` cannot be put back", info->nics[n].bridge);
        }
        sorted[n] = *nic;
        sorted[n].plugged = true;
        snprintf(sorted[n].device_mac, sizeof(sorted[n].device_mac), "%s", info->nics[n].mac);
        machine_restored_nic(n, sorted[n].device_id);
        memmove(nic, nic + 1, (size_t)(o->nics + o->nic_count - nic - 1) * sizeof(*nic));
        o->nic_count--;
    }
    for (size_t i = 0; i < o->nic_count; i++) {
        sorted[n] = o->nics[i];
        sorted[n++].plugged = false;
    }
    free(o->nics);
    o->nics = sorted;
    o->nic_count = n;
    return 0;
}

/* The NICs of a machine that runs already: their near ends go to the switch. */
static int connect_spare(struct script *s, struct vm_object *o, struct spare *spare, struct machine_nic *nics, struct err *e)
{
    for (size_t i = 0; i < o->nic_count && o->nics[i].plugged; i++) {
        _cleanup_close_ int fd = spare_take_nic(spare, i);
        if (network_connect_fd(s->network, o->nics[i].bridge, o->name, fd, e) < 0)
            return -1;
        nics[i].fd = -1;
        memcpy(nics[i].id, o->nics[i].device_id, sizeof(nics[i].id));
    }
    return 0;
}

/* From `file`, or from `spare`; takes the one that there is. */
static int begin_machine(struct script *s, struct vm_object *o, struct snapshot_file *file, struct spare *spare,
                         struct vm_mark *mark, struct err *e)
{
    const struct snapshot_info *info = snapshot_file_info(spare ? spare_file(spare) : file);
    struct machine_nic nics[VM_NICS_MAX];
    size_t count = info->nic_count;
    if ((spare ? connect_spare(s, o, spare, nics, e) : network_connect_plugged(s, o, nics, e)) < 0) {
        snapshot_file_free(file);
        spare_free(spare);
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        nics[i].slot = info->nics[i].slot;
    struct vm_boot *boot = &o->launch.boot;
    boot->machine.nics = nics;
    boot->machine.nic_count = count;
    o->time_pinned = info->time_pinned;
    int result = spare ? vm_restore_spare(o->vm, boot, spare, mark, e) : vm_restore_begin(o->vm, boot, file, mark, e);
    boot->machine.nics = NULL;
    boot->machine.nic_count = 0;
    for (size_t i = 0; i < count; i++)
        close_fd(&nics[i].fd);
    return result;
}

/* A file that may only be read is copied, as it could not be mapped. The copy has no name once it is open. */
static struct snapshot_file *open_snapshot(struct script *s, const char *path, struct err *e)
{
    _cleanup_(snapshot_file_freep) struct snapshot_file *file = steal_ptr(s->looked_at);
    if (!file || !snapshot_file_is_at(file, path) || snapshot_file_touched(file)) {
        snapshot_file_free(file);
        file = snapshot_file_open(path, e);
    }
    if (!file || snapshot_file_writable(file))
        return steal_ptr(file);
    _cleanup_free_ char *copy = temporary_path(s, ".snap", e);
    if (!copy || snapshot_file_copy(file, copy, e) < 0)
        return NULL;
    struct snapshot_file *opened = snapshot_file_open(copy, e);
    unlink(copy);
    return opened;
}

/* The snapshot at `path`, as far as this run can use it. */
static struct snapshot_file *prepare(struct script *s, struct vm_object *o, const char *path, struct err *e)
{
    _cleanup_(snapshot_file_freep) struct snapshot_file *file = open_snapshot(s, path, e);
    if (!file)
        return NULL;
    const struct snapshot_info *info = snapshot_file_info(file);
    const struct profile *profile = config_profile(s->settings->config, info->profile, e);
    if (!profile || launch_restore(profile, &s->settings->host, o->name, info, &o->launch, e) < 0) {
        err_prefix(e, "snapshot `%s`", path);
        return NULL;
    }
    o->profile = profile;
    return steal_ptr(file);
}

/* May the guest have run before the VM gets it? Machines that are restored together would miss each other meanwhile, and so
 * would a process and the host that holds it. */
static bool may_be_warm(const struct vm_mark *mark, bool alone)
{
    return alone && (!mark || vm_mark_is_empty(mark));
}

/* A machine that was started ahead of need, if there is one for that snapshot. */
static struct spare *take_ahead(struct script *s, struct vm_object *o, const char *path, bool warm)
{
    struct ahead_machine m;
    if (!ahead_take(s, path, warm, &m))
        return NULL;
    o->launch = m.launch;
    o->launch.boot.machine.name = o->name;
    o->profile = m.profile;
    return m.spare;
}

static int begin(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    (void)deadline;
    enum vm_state state = vm_state(o->vm);
    const char *path = lua_tostring(L, 2);
    struct vm_mark *mark = lua_toboolean(L, 4) ? o->mark : NULL;
    if (!mark && state != VM_CREATED && state != VM_SHUTDOWN)
        return err_set(e, 0, "restore: VM is %s; call vm:shutdown() first", vm_state_name(state));
    launch_done(&o->launch);
    struct spare *spare = take_ahead(s, o, path, may_be_warm(mark, lua_toboolean(L, 5)));
    struct snapshot_file *file = spare ? NULL : prepare(s, o, path, e);
    if (!spare && !file)
        return err_prefix(e, "restore");
    const struct snapshot_info *info = snapshot_file_info(spare ? spare_file(spare) : file);
    o->was_ahead = spare;
    if (arrange_nics(L, 3, o, info, e) < 0 || vm_charge(s, o, info->memory_bytes, info->cpus, e) < 0) {
        snapshot_file_free(file);
        spare_free(spare);
        return err_prefix(e, "restore");
    }
    if (begin_machine(s, o, file, spare, mark, e) < 0) {
        vm_release_charge(s, o);
        return -1;
    }
    o->launching = true;
    o->cid = s->settings->first_cid + o->number;
    return 0;
}

/* core.vm_restore_begin(vm, path, {bridge ids}, with_mark, alone) */
static int begin_binding(lua_State *L)
{
    check_path(L, 2, "restore: path");
    luaL_checktype(L, 3, LUA_TTABLE);
    return run_step(L, "restore", begin);
}

static int load(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    (void)s, (void)L;
    int result = vm_restore_load(o->vm, deadline, e);
    o->launching = !result;
    return result;
}

/* core.vm_restore_load(vm) */
static int load_binding(lua_State *L)
{
    return run_step(L, "restore", load);
}

static int run(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    o->launching = false;
    if (vm_restore_run(o->vm, &o->launch.boot, lua_toboolean(L, 2) ? o->mark : NULL, deadline, e) < 0)
        return -1;
    vm_announce_boot(s, o, s->from_fixture ? "fixture" : "snapshot");
    launch_done(&o->launch);
    return network_configure_vm(s, o, deadline, e);
}

/* core.vm_restore_run(vm, with_mark) */
static int run_binding(lua_State *L)
{
    return run_step(L, "restore", run);
}

/* core.vm_ahead(vm, path, with_mark, alone): the next restore from `path` is likely to be like that of this VM */
static int ahead_binding(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    const struct vm_mark *mark = lua_toboolean(L, 3) ? o->mark : NULL;
    ahead_expect(script_of(L), check_path(L, 2, "restore: path"), o->name, may_be_warm(mark, lua_toboolean(L, 4)));
    return 0;
}

/* core.ahead_forget(path) */
static int ahead_forget_binding(lua_State *L)
{
    ahead_forget(script_of(L), luaL_checkstring(L, 1));
    return 0;
}

/* core.vm_unboot(vm): as if it had never been booted */
static int unboot_binding(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    vm_unboot(o->vm);
    vm_release_charge(script_of(L), o);
    o->cid = 0;
    return 0;
}

/* ------------------------------------------------------------------------------------------------- handles */

/* core.live_stream(stream) → "kind(detail) at file:line", owner (a VM, a handle of one, or nil); nothing when it is not live */
static int live_stream_binding(lua_State *L)
{
    if (!stream_is_live(L, 1))
        return 0;
    lua_pushstring(L, stream_describe_at(L, 1));
    lua_pushvalue(L, 1);
    while (lua_isuserdata(L, -1) && !luaL_testudata(L, -1, "vm")) {
        lua_getiuservalue(L, -1, 1);
        lua_remove(L, -2);
    }
    return 2;
}

/* core.calls_in_flight(vm) → how many requests the agent has not answered */
static int calls_in_flight_binding(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    struct guest *guest = NULL;
    bool asked = vm_state(o->vm) == VM_BOOTED && vm_guest(o->vm, "is_quiescent", DEADLINE_NONE, &guest, NULL) == 0;
    lua_pushinteger(L, asked ? (lua_Integer)guest_calls_in_flight(guest) : 0);
    return 1;
}

/* core.unawaited(vm) → how many asynchronous calls nobody has awaited */
static int unawaited_binding(lua_State *L)
{
    lua_pushinteger(L, syscalls_unawaited(L, check_vm(L)));
    return 1;
}

/* core.file_path() → the running file's */
static int file_path_binding(lua_State *L)
{
    lua_pushstring(L, script_of(L)->path);
    return 1;
}

void snapshot_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"vm_freeze", freeze_binding},
        {"vm_thaw", thaw_binding},
        {"vm_mark", mark_binding},
        {"vm_mark_release", mark_release_binding},
        {"vm_unboot", unboot_binding},
        {"vm_capture", capture_binding},
        {"vm_restore_begin", begin_binding},
        {"vm_restore_load", load_binding},
        {"vm_restore_run", run_binding},
        {"vm_ahead", ahead_binding},
        {"ahead_forget", ahead_forget_binding},
        {"live_stream", live_stream_binding},
        {"calls_in_flight", calls_in_flight_binding},
        {"unawaited", unawaited_binding},
        {"file_path", file_path_binding},
        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
    snapshot_files_open(L);
    snapshot_files_open(L);
    snapshot_lab_open(L);
}
