/* Snapshots of VMs, for the Lua part (lua/snapshot.lua). */
#pragma once

#include <lua.h>

/* Adds core.snapshot_*, vm_freeze, vm_thaw, vm_capture, vm_restore_*, … to the table on top. */
void snapshot_open(lua_State *L);
/* Parts of it: snapshot_files.c, snapshot_lab.c. */
void snapshot_files_open(lua_State *L);
void snapshot_lab_open(lua_State *L);
