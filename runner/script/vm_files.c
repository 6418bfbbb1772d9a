/* vm:read_file, write_file, stat, listdir, mkdir, unlink, rename. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/files.h"
#include "script/argument.h"
#include "script/handle.h"
#include "script/vm.h"

/* Path at `index`, and the call's text pushed: `stat "/x"`. */
static const char *take_path(lua_State *L, const char *name, int index)
{
    const char *path = check_path(L, index, name);
    lua_pushfstring(L, "%s \"%s\"", name, path);
    return path;
}

static int vm_read_file(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    const char *path = take_path(L, "read_file", 2);
    const char *call = lua_tostring(L, -1);
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    struct buf data = BUF_INIT(GUEST_FILE_MAX);
    int failed = guest_read_file(guest, path, &data, deadline, &e);
    if (!failed)
        lua_pushlstring(L, (const char *)buf_head(&data), data.len);
    buf_done(&data);
    guest_call_end(L, o, call, failed ? &e : NULL);
    return 1;
}

static int vm_write_file(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    const char *path = take_path(L, "write_file", 2);
    const char *call = lua_tostring(L, -1);
    size_t n;
    struct err e = ERR_INIT;
    int64_t deadline;
    if (lua_type(L, 3) != LUA_TSTRING)
        return raise_format(L, "write_file: data must be a string (got %s)", luaL_typename(L, 3));
    const char *data = lua_tolstring(L, 3, &n);
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    int failed = guest_write_file(guest, path, data, n, -1, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    return 0;
}

static void set_integer(lua_State *L, const char *key, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

void push_stat(lua_State *L, const struct guest_stat *st)
{
    lua_createtable(L, 0, 12);
    set_integer(L, "size", (int64_t)st->size);
    set_integer(L, "mtime_ns", st->mtime_ns);
    set_integer(L, "perm", (int64_t)st->perm);
    set_integer(L, "uid", (int64_t)st->uid);
    set_integer(L, "gid", (int64_t)st->gid);
    set_integer(L, "nlink", (int64_t)st->nlink);
    set_integer(L, "ino", (int64_t)st->ino);
    set_integer(L, "dev", (int64_t)st->dev);
    set_integer(L, "rdev", (int64_t)st->rdev);
    lua_pushnumber(L, (double)st->mtime_ns / 1e9);
    lua_setfield(L, -2, "mtime");
    lua_pushstring(L, st->entry_type);
    lua_setfield(L, -2, "entry_type");
}

static int vm_stat(lua_State *L)
{
    static const char *const keys[] = {"follow", NULL};
    struct vm_object *o = check_vm(L);
    bool follow = true;
    check_options(L, 3, "stat", keys);
    option_boolean(L, 3, "stat", "follow", &follow);
    const char *path = take_path(L, "stat", 2);
    const char *call = lua_tostring(L, -1);
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    struct guest_stat st;
    int failed = guest_stat(guest, path, follow, &st, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    push_stat(L, &st);
    return 1;
}

static int vm_mkdir(lua_State *L)
{
    static const char *const keys[] = {"perm", "parents", NULL};
    struct vm_object *o = check_vm(L);
    bool parents = false;
    int64_t perm = 0755;
    check_options(L, 3, "mkdir", keys);
    option_boolean(L, 3, "mkdir", "parents", &parents);
    if (option_integer(L, 3, "mkdir", "perm", &perm) && (perm < 0 || perm > 07777))
        return raise_format(L, "mkdir: perm must be 0 to 4095 (0o7777)");
    const char *path = take_path(L, "mkdir", 2);
    const char *call = lua_tostring(L, -1);
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    int failed = guest_mkdir(guest, path, (unsigned)perm, parents, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    return 0;
}

static int vm_unlink(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    const char *path = take_path(L, "unlink", 2);
    const char *call = lua_tostring(L, -1);
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    int failed = guest_unlink(guest, path, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    return 0;
}

static int vm_rename(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    const char *from = check_path(L, 2, "rename"), *to = check_path(L, 3, "rename");
    lua_pushfstring(L, "rename \"%s\" -> \"%s\"", from, to);
    const char *call = lua_tostring(L, -1);
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    int failed = guest_rename(guest, from, to, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    return 0;
}

void push_listing(lua_State *L, const struct guest_listing *listing)
{
    lua_createtable(L, (int)listing->count, 0);
    for (size_t i = 0; i < listing->count; i++) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L, listing->entries[i].name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, listing->entries[i].entry_type);
        lua_setfield(L, -2, "entry_type");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static int vm_listdir(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    const char *path = take_path(L, "listdir", 2);
    const char *call = lua_tostring(L, -1);
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    struct guest_listing listing;
    int failed = guest_listdir(guest, path, &listing, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    push_listing(L, &listing);
    guest_listing_done(&listing);
    return 1;
}

const luaL_Reg vm_file_methods[] = {{"read_file", vm_read_file}, {"write_file", vm_write_file},
                                    {"stat", vm_stat},           {"listdir", vm_listdir},
                                    {"mkdir", vm_mkdir},         {"unlink", vm_unlink},
                                    {"rename", vm_rename},       {NULL, NULL}};
