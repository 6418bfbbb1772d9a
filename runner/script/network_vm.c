/* NICs of VMs. They are in vm_object.nics, in attach order: that is the order of the devices at the next boot. A NIC that
 * comes while the VM runs is hot-plugged. One whose membership ends while the VM runs stays a device whose link
 * is down, unless it is unplugged; it is the same again when the VM is attached anew. */
#include "script/network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "guest/network.h"
#include "script/argument.h"
#include "switch/plan.h"

#define NIC_WAIT_NS (5 * NS_PER_S) /* for the guest to show a new interface */

struct vm_nic *vm_find_nic(struct vm_object *o, uint32_t bridge)
{
    for (size_t i = 0; i < o->nic_count; i++)
        if (o->nics[i].bridge == bridge)
            return &o->nics[i];
    return NULL;
}

static void remove_nic(struct vm_object *o, struct vm_nic *nic)
{
    free(nic->reason);
    memmove(nic, nic + 1, (size_t)(o->nics + o->nic_count - nic - 1) * sizeof(*nic));
    o->nic_count--;
}

void network_note_nic(struct vm_object *o, uint32_t bridge, const struct member_info *info)
{
    struct vm_nic *nic = vm_find_nic(o, bridge);
    if (!nic) {
        o->nics = xreallocarray(o->nics, o->nic_count + 1, sizeof(*o->nics));
        nic = &o->nics[o->nic_count++];
        *nic = (struct vm_nic){.bridge = bridge};
        memcpy(nic->mac, info->mac_text, sizeof(nic->mac));
    }
    nic->detached = false;
}

void network_forget_nics(struct vm_object *o)
{
    while (o->nic_count)
        remove_nic(o, &o->nics[o->nic_count - 1]);
    free(o->nics);
    o->nics = NULL;
}

static bool is_live(const struct vm_object *o)
{
    return vm_state(o->vm) == VM_BOOTED || vm_state(o->vm) == VM_PAUSED;
}

/* A QEMU has the NIC from now on, and the guest has not shown it yet. */
static void note_plugged(struct vm_nic *nic)
{
    nic->plugged = true;
    snprintf(nic->device_id, sizeof(nic->device_id), "nic%u", nic->bridge);
    memcpy(nic->device_mac, nic->mac, sizeof(nic->mac));
    nic->awaited = nic->configured = false;
    *nic->guest_name = '\0';
}

/* ------------------------------------------------------------------------------------------------- boot */

int network_connect_plugged(struct script *s, struct vm_object *o, struct machine_nic *nics, struct err *e)
{
    for (size_t i = 0; i < o->nic_count && o->nics[i].plugged; i++) {
        if (network_connect(s->network, o->nics[i].bridge, o->name, &nics[i].fd, e) < 0) {
            while (i--)
                close(nics[i].fd);
            return -1;
        }
        memcpy(nics[i].mac, o->nics[i].mac, sizeof(nics[i].mac));
        nics[i].slot = -1;
        memcpy(nics[i].id, o->nics[i].device_id, sizeof(nics[i].id));
    }
    return 0;
}

int network_connect_vm(struct script *s, struct vm_object *o, struct machine_nic *nics, struct err *e)
{
    for (size_t i = o->nic_count; i-- > 0;)
        if (o->nics[i].detached)
            remove_nic(o, &o->nics[i]);
    for (size_t i = 0; i < o->nic_count; i++)
        note_plugged(&o->nics[i]);
    return network_connect_plugged(s, o, nics, e);
}

/* How long the guest may take to show an interface: once for each that came. */
static int64_t take_wait(struct vm_object *o)
{
    bool fresh = false;
    for (size_t i = 0; i < o->nic_count; i++) {
        fresh |= o->nics[i].plugged && !o->nics[i].detached && !o->nics[i].awaited;
        o->nics[i].awaited = true;
    }
    return fresh ? NIC_WAIT_NS : 0;
}

/* Keeps what the agent said of a NIC; what is new goes to the test's log. */
static void note_state(struct script *s, struct vm_object *o, const struct guest_nic *planned, struct guest_nic_state *state)
{
    struct vm_nic *nic = vm_find_nic(o, planned->bridge);
    if (state->reason && (!nic || !nic->reason || strcmp(nic->reason, state->reason))) {
        _cleanup_free_ char *line = xasprintf("%s: the NIC on bridge `%s`: %s", o->label, planned->bridge_name, state->reason);
        script_log(s, line);
    }
    if (!nic)
        return;
    free(nic->reason);
    nic->reason = steal_ptr(state->reason);
    nic->raw = planned->raw;
    nic->configured = state->found && !nic->raw && !nic->reason;
    memcpy(nic->guest_name, state->name, sizeof(nic->guest_name));
}

/* A clone's devices came with its original's MACs. */
static void add_device_macs(struct vm_object *o, struct guest_plan *plan)
{
    for (size_t i = 0; i < plan->nic_count; i++) {
        const struct vm_nic *nic = vm_find_nic(o, plan->nics[i].bridge);
        uint8_t *to = plan->nics[i].device_mac;
        if (nic && nic->plugged && strcmp(nic->device_mac, nic->mac))
            sscanf(nic->device_mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &to[0], &to[1], &to[2], &to[3], &to[4], &to[5]);
    }
}

int network_configure_vm(struct script *s, struct vm_object *o, int64_t deadline, struct err *e)
{
    _cleanup_(guest_plan_done) struct guest_plan plan = {0};
    _cleanup_(guest_network_state_done) struct guest_network_state state = {0};
    struct guest *guest;
    if (!s->network || !o->nic_count || vm_state(o->vm) != VM_BOOTED)
        return 0;
    if (network_guest_plan(s->network, o->number, &plan, e) < 0)
        return -1;
    add_device_macs(o, &plan);
    if (vm_guest(o->vm, "network", deadline, &guest, e) < 0 ||
        guest_configure_network(guest, &plan, take_wait(o), &state, deadline, e) < 0)
        return -1;
    for (size_t i = 0; i < state.nic_count; i++)
        note_state(s, o, &plan.nics[i], &state.nics[i]);
    if (state.warning)
        script_log(s, state.warning);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- while it runs */

static struct vm_nic *nic_argument(struct vm_object *o, lua_State *L)
{
    return vm_find_nic(o, (uint32_t)luaL_checkinteger(L, 2));
}

/* Is there room for one more NIC? */
static int check_plug(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    (void)s, (void)deadline;
    size_t members = 0;
    if (nic_argument(o, L))
        return 0;
    for (size_t i = 0; i < o->nic_count; i++)
        members += is_live(o) || !o->nics[i].detached;
    if (members >= VM_NICS_MAX)
        return err_set(e, ENOSPC, "%s has no free slot: it has %d NICs", o->label, VM_NICS_MAX);
    if (is_live(o) && !vm_free_slots(o->vm))
        return err_set(e, ENOSPC, "%s has no free slot: %d NICs were attached while it runs; attach before boot", o->label,
                       MACHINE_HOTPLUG_SLOTS);
    return 0;
}

static int plug(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    struct vm_nic *nic = nic_argument(o, L);
    struct machine_nic m = {.fd = -1};
    if (!nic || !is_live(o))
        return 0;
    if (nic->plugged)
        return vm_set_link(o->vm, nic->device_id, true, deadline, e);
    snprintf(m.id, sizeof(m.id), "nic%u", nic->bridge);
    memcpy(m.mac, nic->mac, sizeof(m.mac));
    if (network_connect(s->network, nic->bridge, o->name, &m.fd, e) < 0)
        return -1;
    int result = vm_plug_nic(o->vm, &m, deadline, e);
    close(m.fd);
    if (!result)
        note_plugged(nic);
    return result;
}

/* As plug, but the link of a NIC that is there stays as it is. */
static int plug_missing(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    struct vm_nic *nic = nic_argument(o, L);
    return !nic || nic->plugged ? 0 : plug(s, o, L, deadline, e);
}

/* core.vm_check_unplug(vm, bridge) */
static int check_unplug(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    struct vm_nic *nic = nic_argument(o, L);
    (void)s;
    (void)deadline;
    if (!nic || !nic->plugged || !is_live(o))
        return 0;
    if (vm_nic_slot(o->vm, nic->device_id) < 0)
        return err_set(e, ENOTSUP, "the NIC was there at boot; only one that came later can be unplugged");
    if (vm_state(o->vm) == VM_PAUSED)
        return err_set(e, EBUSY, "%s is paused; resume it first", o->label);
    return 0;
}

/* core.vm_unplug(vm, bridge, whole) */
static int unplug(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    (void)s;
    struct vm_nic *nic = nic_argument(o, L);
    if (!nic)
        return 0;
    nic->detached = true;
    if (!is_live(o) || !nic->plugged) {
        remove_nic(o, nic);
        return 0;
    }
    if (vm_set_link(o->vm, nic->device_id, false, deadline, e) < 0)
        return -1;
    if (!lua_toboolean(L, 3) || vm_nic_slot(o->vm, nic->device_id) < 0)
        return 0;
    if (vm_unplug_nic(o->vm, nic->device_id, deadline, e) < 0)
        return -1;
    remove_nic(o, nic);
    return 0;
}

/* core.vm_drop_nic(vm, bridge): the bridge is closed. Frees the slot if that can be done. */
static int drop(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    struct vm_nic *nic = nic_argument(o, L);
    _cleanup_err_ struct err ignored = ERR_INIT;
    (void)e;
    lua_pushboolean(L, nic && nic->plugged && vm_nic_slot(o->vm, nic->device_id) >= 0 && vm_state(o->vm) == VM_BOOTED);
    unplug(s, o, L, deadline, &ignored);
    return 0;
}

static int change_link(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    struct vm_nic *nic = nic_argument(o, L);
    (void)s;
    if (!nic || !nic->plugged || !is_live(o))
        return 0;
    return vm_set_link(o->vm, nic->device_id, lua_toboolean(L, 3), deadline, e);
}

static int configure(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    (void)L;
    return network_configure_vm(s, o, deadline, e);
}

static int run_step(lua_State *L, const char *call, vm_step_fn step)
{
    struct err e = ERR_INIT;
    return network_finish(L, vm_step(L, call, step, &e), &e);
}

static int check_plug_binding(lua_State *L)
{
    return run_step(L, "attach", check_plug);
}

static int plug_binding(lua_State *L)
{
    return run_step(L, "attach", plug);
}

static int plug_missing_binding(lua_State *L)
{
    return run_step(L, "attach", plug_missing);
}

static int check_unplug_binding(lua_State *L)
{
    return run_step(L, "detach", check_unplug);
}

static int unplug_binding(lua_State *L)
{
    return run_step(L, "detach", unplug);
}

static int drop_binding(lua_State *L)
{
    lua_settop(L, 2);
    return run_step(L, "close the bridge", drop);
}

static int set_link_binding(lua_State *L)
{
    return run_step(L, "link", change_link);
}

static int configure_binding(lua_State *L)
{
    return run_step(L, "configure the network", configure);
}

/* core.vm_nic(vm, bridge) → {plugged=, configured=, raw=, name=, reason=} */
static int nic_binding(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    const struct vm_nic *nic = nic_argument(o, L);
    bool plugged = nic && nic->plugged && !nic->detached && is_live(o);
    lua_newtable(L);
    network_set_boolean(L, "plugged", plugged);
    network_set_boolean(L, "configured", plugged && nic->configured);
    network_set_boolean(L, "raw", plugged && nic->raw);
    network_set_text(L, "name", plugged ? nic->guest_name : "");
    network_set_text(L, "reason", plugged && nic->reason ? nic->reason : "");
    return 1;
}

const luaL_Reg network_vm_functions[] = {
    {"vm_check_plug", check_plug_binding},
    {"vm_plug", plug_binding},
    {"vm_plug_missing", plug_missing_binding},
    {"vm_check_unplug", check_unplug_binding},
    {"vm_unplug", unplug_binding},
    {"vm_drop_nic", drop_binding},
    {"vm_set_link", set_link_binding},
    {"vm_configure", configure_binding},
    {"vm_nic", nic_binding},
    {NULL, NULL},
};
