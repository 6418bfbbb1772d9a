/* NICs of VMs. They are in vm_object.nics, in attach order: that is the order of the devices at the next boot. A NIC that
 * comes while the VM runs sits behind a PCI bridge. */
#include "script/network.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "guest/network.h"
#include "script/argument.h"
#include "switch/plan.h"

#define NIC_WAIT_NS (5 * NS_PER_S) /* for the guest to show a new interface */

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
        snprintf(nics[i].id, sizeof(nics[i].id), "nic%u", o->nics[i].bridge);
    }
    return 0;
}

int network_connect_vm(struct script *s, struct vm_object *o, struct machine_nic *nics, struct err *e)
{
    for (size_t i = 0; i < o->nic_count; i++) {
        o->nics[i].plugged = true;
        memcpy(o->nics[i].device_mac, o->nics[i].mac, sizeof(o->nics[i].mac));
    }
    return network_connect_plugged(s, o, nics, e);
}

int network_configure_vm(struct script *s, struct vm_object *o, int64_t deadline, struct err *e)
{
    _cleanup_(guest_plan_done) struct guest_plan plan = {0};
    _cleanup_(guest_network_state_done) struct guest_network_state state = {0};
    struct guest *guest;
    if (!s->network || !o->nic_count || vm_state(o->vm) != VM_BOOTED)
        return 0;
    if (network_guest_plan(s->network, o->number, &plan, e) < 0 || vm_guest(o->vm, "network", deadline, &guest, e) < 0 ||
        guest_configure_network(guest, &plan, NIC_WAIT_NS, &state, deadline, e) < 0)
        return -1;
    for (size_t i = 0; i < state.nic_count; i++) {
        if (!state.nics[i].reason)
            continue;
        _cleanup_free_ char *line = xasprintf("%s: the NIC on bridge `%s`: %s", o->label, plan.nics[i].bridge_name,
                                              state.nics[i].reason);
        script_log(s, line);
    }
    if (state.warning)
        script_log(s, state.warning);
    return 0;
}

struct vm_nic *vm_find_nic(struct vm_object *o, uint32_t bridge)
{
    for (size_t i = 0; i < o->nic_count; i++)
        if (o->nics[i].bridge == bridge)
            return &o->nics[i];
    return NULL;
}

static int plug(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    uint32_t bridge = (uint32_t)lua_tointeger(L, 2);
    struct vm_nic *nic = vm_find_nic(o, bridge);
    if (!nic || vm_state(o->vm) != VM_BOOTED)
        return 0;
    struct machine_nic m = {.fd = -1};
    snprintf(m.id, sizeof(m.id), "nic%u", bridge);
    if (nic->plugged)
        return vm_set_link(o->vm, m.id, true, deadline, e);
    memcpy(m.mac, nic->mac, sizeof(m.mac));
    if (network_connect(s->network, bridge, o->name, &m.fd, e) < 0)
        return -1;
    int result = vm_plug_nic(o->vm, &m, deadline, e);
    close(m.fd);
    nic->plugged = !result;
    memcpy(nic->device_mac, nic->mac, sizeof(nic->mac));
    return result;
}

/* As plug, but the link of a NIC that is there stays as it is. */
static int plug_missing(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    struct vm_nic *nic = vm_find_nic(o, (uint32_t)lua_tointeger(L, 2));
    return !nic || nic->plugged ? 0 : plug(s, o, L, deadline, e);
}

static int unplug(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    uint32_t bridge = (uint32_t)lua_tointeger(L, 2);
    struct vm_nic *nic = vm_find_nic(o, bridge);
    char id[32];
    (void)s;
    if (!nic)
        return 0;
    bool plugged = nic->plugged && vm_state(o->vm) == VM_BOOTED, whole = lua_toboolean(L, 3);
    snprintf(id, sizeof(id), "nic%u", bridge);
    if (whole || vm_state(o->vm) != VM_BOOTED) {
        memmove(nic, nic + 1, (size_t)(o->nics + o->nic_count - nic - 1) * sizeof(*nic));
        o->nic_count--;
    }
    if (!plugged)
        return 0;
    return whole ? vm_unplug_nic(o->vm, id, deadline, e) : vm_set_link(o->vm, id, false, deadline, e);
}

static int change_link(struct script *s, struct vm_object *o, lua_State *L, int64_t deadline, struct err *e)
{
    char id[32];
    (void)s;
    uint32_t bridge = (uint32_t)lua_tointeger(L, 2);
    struct vm_nic *nic = vm_find_nic(o, bridge);
    snprintf(id, sizeof(id), "nic%u", bridge);
    if (!nic || !nic->plugged || vm_state(o->vm) != VM_BOOTED)
        return 0;
    return vm_set_link(o->vm, id, lua_toboolean(L, 3), deadline, e);
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

int network_plug_binding(lua_State *L)
{
    return run_step(L, "attach", plug);
}

int network_plug_missing_binding(lua_State *L)
{
    return run_step(L, "attach", plug_missing);
}

int network_unplug_binding(lua_State *L)
{
    return run_step(L, "detach", unplug);
}

int network_set_link_binding(lua_State *L)
{
    return run_step(L, "link", change_link);
}

int network_configure_binding(lua_State *L)
{
    return run_step(L, "configure the network", configure);
}

