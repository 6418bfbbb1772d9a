/* What a lab's snapshot has besides those of its VMs: the directory, its index, and the bridges as the switch keeps them.
 * A directory that the user named is made beside its place and renamed into it. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "script/argument.h"
#include "script/network.h"
#include "script/snapshot.h"
#include "snapshot/lab_file.h"

#define SAVED_MAX (16 << 20) /* of a bridge */

/* core.lab_read(directory) → the text of its lab.json, which is as it should be */
static int lab_read_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    struct buf text = BUF_INIT(LAB_FILE_MAX);
    if (lab_file_read(check_path(L, 1, "restore: directory"), &text, NULL, NULL, &e) < 0) {
        buf_done(&text);
        return raise_err(L, &e);
    }
    char *copy = buf_steal_str(&text);
    lua_pushstring(L, copy);
    free(copy);
    return 1;
}

/* core.lab_write(directory, text, durable) */
static int lab_write_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    char *path = path_join(luaL_checkstring(L, 1), LAB_FILE);
    int failed = file_write_atomic(path, text, n, 0644, lua_toboolean(L, 3), &e);
    free(path);
    return failed ? raise_err(L, &e) : 0;
}

/* A directory that is not there, or empty. */
static int check_free(lua_State *L, const char *path)
{
    DIR *d = opendir(path);
    unsigned entries = 0;
    if (!d && errno == ENOENT)
        return 0;
    while (d && readdir(d))
        entries++;
    if (d)
        closedir(d);
    return d && entries <= 2 ? 0 : raise_format(L, "`%s` %s", path, d ? "exists and is not empty" : "cannot be read");
}

/* core.make_directory(path): it must not be there, or be empty */
static int make_directory_binding(lua_State *L)
{
    const char *path = check_path(L, 1, "snapshot: directory");
    struct err e = ERR_INIT;
    check_free(L, path);
    return dir_create_all(path, 0777, &e) < 0 ? raise_err(L, &e) : 0;
}

static int free_stage(lua_State *L)
{
    staging_done(lua_touserdata(L, 1));
    return 0;
}

/* Absolute, without slashes at its end. */
static char *lab_place(const char *path)
{
    char *place = path_absolute(path);
    for (size_t n = strlen(place); n > 1 && place[n - 1] == '/'; n--)
        place[n - 1] = '\0';
    return place;
}

static int stage(const char *path, struct staging *ret, struct err *e)
{
    _cleanup_free_ char *place = lab_place(path), *parent = path_directory(place);
    _cleanup_free_ char *prefix = xasprintf(".%s.provium-", strrchr(place, '/') + 1);
    if (dir_create_all(parent, 0777, e) < 0)
        return -1;
    staging_sweep(parent, prefix);
    return staging_new(parent, prefix, ret, e);
}

/* core.lab_stage(directory) → a closable object, and the path at which to make what core.lab_install puts in its place */
static int lab_stage_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    const char *path = check_path(L, 1, "snapshot: directory");
    check_free(L, path);
    struct staging *s = lua_newuserdatauv(L, sizeof(*s), 0);
    *s = STAGING_INIT;
    luaL_setmetatable(L, "staged lab");
    if (stage(path, s, &e) < 0)
        return raise_err(L, &e);
    lua_pushfstring(L, "%s/lab", s->path);
    return 2;
}

static int install(const struct staging *s, const char *path, struct err *e)
{
    _cleanup_free_ char *from = path_join(s->path, "lab"), *place = lab_place(path), *parent = path_directory(place);
    if (rename(from, place) < 0)
        return err_errno(e, "create `%s`", path);
    return path_sync(parent, e);
}

/* core.lab_install(staged, directory) */
static int lab_install_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    return install(luaL_checkudata(L, 1, "staged lab"), luaL_checkstring(L, 2), &e) < 0 ? raise_err(L, &e) : 0;
}

static int free_saved(lua_State *L)
{
    buf_done(lua_touserdata(L, 1));
    return 0;
}

/* core.net_save(id) → everything that a snapshot keeps of a bridge, as bytes */
static int net_save(lua_State *L)
{
    struct err e = ERR_INIT;
    struct buf *saved = lua_newuserdatauv(L, sizeof(*saved), 0);
    *saved = BUF_INIT(SAVED_MAX);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, free_saved);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    network_finish(L, network_bridge_save(network_of(L), network_check_bridge(L), saved, &e), &e);
    lua_pushlstring(L, (const char *)buf_head(saved), saved->len);
    return 1;
}

/* core.net_load(bytes, {{name=, vm=}, …}) → id of a new bridge */
static int net_load(lua_State *L)
{
    struct err e = ERR_INIT;
    struct bridge_info info;
    size_t size, n = lua_rawlen(L, 2);
    const char *saved = luaL_checklstring(L, 1, &size);
    struct member_request *vms = network_read_members(L, 2);
    network_finish(L, network_bridge_load(network_of(L), saved, size, vms, n, &info, &e), &e);
    lua_pushinteger(L, info.id);
    return 1;
}

void snapshot_lab_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"lab_read", lab_read_binding},
                                         {"lab_write", lab_write_binding},
                                         {"make_directory", make_directory_binding},
                                         {"lab_stage", lab_stage_binding},
                                         {"lab_install", lab_install_binding},
                                         {"net_save", net_save},
                                         {"net_load", net_load},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    register_closable(L, "staged lab", free_stage);
}
