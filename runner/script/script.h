/* The Lua state of one test file and what its bindings share. One per process.
 *
 * Raising: lua_error longjmps. A binding collects its arguments, calls C, and only when every C object is released
 * raises through raise_err or raise_format. */
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/staging.h"
#include "base/strv.h"
#include "config/config.h"
#include "fixture/base.h"
#include "loop/loop.h"
#include "pool/client.h"
#include "script/deadline.h"
#include "vm/launch.h"

/* What a run decided for every file. All borrowed. */
struct script_settings {
    const struct config *config;
    const char *const *roots; /* NULL-terminated: for require and fixtures */
    struct launch_host host;
    unsigned first_cid;       /* identifiers of this file's VMs follow it */
    bool show_progress;       /* "still running" lines */
    uint64_t seed;
    const struct library *library; /* the framework's Lua part, compiled; NULL: compile it */
    int *uplink;              /* connection to the uplink broker, taken by the first bridge; NULL or -1: none */
};

struct script {
    lua_State *L;
    struct loop *loop;
    const struct script_settings *settings;
    struct network *network;  /* the unit's switch; NULL until the first bridge */
    struct pool_client *pool; /* takes the events and lends memory and CPUs */
    struct deadline deadline;
    struct serving *serving;  /* of coroutines at barriers (barrier.c) */
    const char *path;         /* of the test file, as discovered */
    size_t memory_used;       /* Lua heap, bytes */
    unsigned vm_count;        /* VMs made so far; also numbers them */
    int log_ref;              /* registry reference of the running test's log function, or LUA_NOREF */
    struct staging temporary; /* holds the snapshots without a path; none yet: its path is NULL */
    unsigned temporary_count; /* names given out */
    struct snapshot_file *looked_at; /* the snapshot whose manifest was read last, or NULL */
    struct ahead *ahead;      /* machines for restores to come (ahead.h); NULL: none yet */
    bool from_fixture;        /* what is restored now is a fixture's */
    bool restore_refused;     /* the last restore failed, and its snapshot is to blame */
    struct script *parent;            /* of a fixture's build: whose call it serves; NULL: a test file */
    const struct fixture_key *covers; /* of a fixture's build: what the scan has found */
    struct strv missed;               /* … and what it has not, once each */
    struct base_sources bases;        /* … and the fixtures' snapshots that it has begun with */
    struct claim {
        bool taken;
        uint64_t memory_bytes, memory_used; /* 0 bytes: memory is not covered by the claim */
        uint64_t cpus, cpus_used;
    } claim;
};

/* NULL with an error when no Lua state can be made. */
struct script *script_new(const char *path, const struct script_settings *settings, struct loop *loop,
                          struct pool_client *pool, struct err *e);
void script_free(struct script *s);
DEFINE_CLEANUP(struct script, script_free)

/* Runs the file: its chunk, its tests, the end of its scope; every test outcome is an event. `filter_json` holds
 * the map that lua/framework.lua takes. Fails with the chunk's error when the chunk did. */
int script_run(struct script *s, const char *filter_json, int64_t file_limit_ns, struct err *e);
/* Runs a fixture's chunk instead, within what is left of the parent's file limit. *ret_path: its snapshot, malloc'ed. Then
 * script_close, while the path is in use, and script_free. `expects`: "vm" or "lab", NULL for either; *ret_lab: which. */
int script_run_fixture(struct script *s, const char *expects, char **ret_path, bool *ret_lab, struct err *e);
/* The end of the file's scope: closes everything that is open; script_run does it itself. The snapshots without a path of
 * their own stay until script_free. */
void script_close(struct script *s);
/* Adds a line to the running test's log; without one nothing happens. */
void script_log(struct script *s, const char *line);

static inline struct script *script_of(lua_State *L)
{
    return *(struct script **)lua_getextraspace(L);
}

/* Registration, one function per file. `core` is the table of what the Lua part (lua/) needs from C; the functions
 * that take it find it on top of the stack and leave it there. */
void stdlib_open(lua_State *L);
void core_open(lua_State *L); /* pushes it */
void vm_open(lua_State *L);   /* core.vm_new, boot_begin, boot_wait, ping, console_tail; VM, RunResult */

/* Adds the object at `index` to a class of the current scope, which will call its close method. */
void scope_add(lua_State *L, const char *class_name, int index);
