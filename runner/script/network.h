/* The network of the test file, for the Lua part (lua/bridge.lua). */
#pragma once

#include <lauxlib.h>
#include <lua.h>

#include "network/network.h"
#include "script/vm.h"

/* Adds core.net_* and what is about the NICs of VMs, core.vm_*, to the table on top. */
void network_open(lua_State *L);

/* For the files of this binding: the unit's network, the bridge id at argument 1, and the end of every call, which raises
 * the bare words of a failure (bridge.lua adds the rest). */
struct network *network_of(lua_State *L);
uint32_t network_check_bridge(lua_State *L);
int network_finish(lua_State *L, int failed, struct err *e);
/* The array {{name=, vm=}, …} at `index`; the result is anchored by the stack, on top of it. */
struct member_request *network_read_members(lua_State *L, int index);
/* Each NULL-terminated. */
extern const luaL_Reg network_vm_functions[], network_uplink_functions[], network_capture_functions[];
/* The method `stats` of streams. */
int network_capture_stats_binding(lua_State *L);
/* Set a field of the table on top; an empty text sets nothing. */
void network_set_text(lua_State *L, const char *key, const char *text);
void network_set_number(lua_State *L, const char *key, uint64_t value);
void network_set_boolean(lua_State *L, const char *key, bool value);

/* A bridge's member is a NIC of the VM from now on. */
void network_note_nic(struct vm_object *o, uint32_t bridge, const struct member_info *info);
void network_forget_nics(struct vm_object *o);
/* Before a boot: connects the VM's NICs; the descriptors are for the machine and the caller's. */
int network_connect_vm(struct script *s, struct vm_object *o, struct machine_nic *nics, struct err *e);
/* The same for those that are marked as plugged, which come first. */
int network_connect_plugged(struct script *s, struct vm_object *o, struct machine_nic *nics, struct err *e);
/* The VM's NIC on that bridge, or NULL. */
struct vm_nic *vm_find_nic(struct vm_object *o, uint32_t bridge);
/* After it, or after the plan changed: lets the agent configure what the switch has decided. */
int network_configure_vm(struct script *s, struct vm_object *o, int64_t deadline, struct err *e);
