/* What lua/snapshot.lua asks of the files of snapshots. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/tree.h"
#include "script/ahead.h"
#include "script/argument.h"
#include "script/snapshot.h"
#include "script/temporary.h"

/* The snapshot at `path`; one that is restored next is not read twice. */
static const struct snapshot_file *look_at(struct script *s, const char *path, struct err *e)
{
    const struct snapshot_file *ahead = ahead_file(s, path);
    if (ahead)
        return ahead;
    if (s->looked_at && snapshot_file_is_at(s->looked_at, path))
        return s->looked_at;
    snapshot_file_free(s->looked_at);
    s->looked_at = snapshot_file_open_unverified(path, e);
    return s->looked_at;
}

static void push_nics(lua_State *L, const struct snapshot_info *info)
{
    lua_createtable(L, (int)info->nic_count, 0);
    for (size_t i = 0; i < info->nic_count; i++) {
        lua_createtable(L, 0, 3);
        lua_pushstring(L, info->nics[i].bridge);
        lua_setfield(L, -2, "bridge");
        lua_pushstring(L, info->nics[i].mac);
        lua_setfield(L, -2, "mac");
        lua_pushboolean(L, info->nics[i].link);
        lua_setfield(L, -2, "link");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* core.snapshot_info(path) → {vm=, profile=, memory=, cpus=, cmdline=, rng_seed=, agent=, hypervisor=, nics={{bridge=, mac=, link=}}} */
static int info_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    const struct snapshot_file *file = look_at(script_of(L), check_path(L, 1, "restore: path"), &e);
    if (!file)
        return raise_err(L, &e);
    const struct snapshot_info *info = snapshot_file_info(file);
    const struct {
        const char *key, *value;
    } texts[] = {{"vm", info->vm},           {"profile", info->profile}, {"cmdline", info->cmdline},
                 {"agent", info->agent}, {"hypervisor", info->hypervisor}};
    lua_newtable(L);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        lua_pushstring(L, texts[i].value);
        lua_setfield(L, -2, texts[i].key);
    }
    if (info->seeded) {
        lua_pushinteger(L, (lua_Integer)info->rng_seed);
        lua_setfield(L, -2, "rng_seed");
    }
    lua_pushinteger(L, (lua_Integer)info->memory_bytes);
    lua_setfield(L, -2, "memory");
    lua_pushinteger(L, (lua_Integer)info->cpus);
    lua_setfield(L, -2, "cpus");
    push_nics(L, info);
    lua_setfield(L, -2, "nics");
    return 1;
}

/* core.temporary_path(suffix) */
static int temporary_path_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    char *path = temporary_path(script_of(L), luaL_checkstring(L, 1), &e);
    if (!path)
        return raise_err(L, &e);
    lua_pushstring(L, path);
    free(path);
    return 1;
}

/* core.absolute_path(path) */
static int absolute_path_binding(lua_State *L)
{
    char *path = path_absolute(check_path(L, 1, "path"));
    lua_pushstring(L, path);
    free(path);
    return 1;
}

/* core.path_size(path) → bytes of a file, or of the files directly in a directory; 0 when it is gone */
static int path_size_binding(lua_State *L)
{
    struct stat st;
    lua_Integer total = 0;
    const char *path = luaL_checkstring(L, 1);
    DIR *d = opendir(path);
    if (!d && stat(path, &st) == 0)
        total = st.st_size;
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            total += st.st_size;
    if (d)
        closedir(d);
    lua_pushinteger(L, total);
    return 1;
}

/* core.path_delete(path): with everything in it; a path that is gone is fine */
static int path_delete_binding(lua_State *L)
{
    struct script *s = script_of(L);
    const char *path = luaL_checkstring(L, 1);
    ahead_forget(s, path);
    snapshot_file_free(steal_ptr(s->looked_at));
    tree_remove(path);
    return 0;
}

void snapshot_files_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"snapshot_info", info_binding},       {"temporary_path", temporary_path_binding},
        {"absolute_path", absolute_path_binding}, {"path_size", path_size_binding},
        {"path_delete", path_delete_binding},  {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
}
