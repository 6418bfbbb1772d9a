/* The network of the test file, for the Lua part (lua/bridge.lua). */
#pragma once

#include <lua.h>

#include "network/network.h"
#include "script/vm.h"

/* Adds core.net_* and core.vm_plug, vm_unplug, vm_set_link, vm_configure to the table on top. */
void network_open(lua_State *L);

/* For the files of this binding: the unit's network, the bridge id at argument 1, and the end of every call, which raises
 * the bare words of a failure (bridge.lua adds the rest). */
struct network *network_of(lua_State *L);
uint32_t network_check_bridge(lua_State *L);
int network_finish(lua_State *L, int failed, struct err *e);
int network_capture_binding(lua_State *L);
int network_plug_binding(lua_State *L);
int network_plug_missing_binding(lua_State *L);
int network_unplug_binding(lua_State *L);
int network_set_link_binding(lua_State *L);
int network_configure_binding(lua_State *L);

/* Before a boot: connects the VM's NICs; the descriptors are for the machine and the caller's. */
int network_connect_vm(struct script *s, struct vm_object *o, struct machine_nic *nics, struct err *e);
/* The same for those that are marked as plugged, which come first. */
int network_connect_plugged(struct script *s, struct vm_object *o, struct machine_nic *nics, struct err *e);
/* The VM's NIC on that bridge, or NULL. */
struct vm_nic *vm_find_nic(struct vm_object *o, uint32_t bridge);
/* After it, or after the plan changed: lets the agent configure what the switch has decided. */
int network_configure_vm(struct script *s, struct vm_object *o, int64_t deadline, struct err *e);
