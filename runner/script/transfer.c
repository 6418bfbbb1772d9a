/* vm:push_file and vm:pull_file. */
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "guest/transfer.h"
#include "script/argument.h"
#include "script/fixture.h"
#include "script/handle.h"

const char *push_beside_caller(lua_State *L, const char *path, bool existing)
{
    lua_Debug ar;
    const char *from = script_of(L)->path;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && !is_framework(&ar)) {
            from = chunk_name(&ar);
            break;
        }
    }
    char *directory = path_directory(from), *found = path_join(directory, path);
    free(directory);
    if (existing && access(found, F_OK) < 0) {
        directory = path_directory(script_of(L)->path);
        char *other = path_join(directory, path);
        free(directory);
        if (access(other, F_OK) == 0) {
            free(found);
            found = other;
        } else {
            free(other);
        }
    }
    lua_pushstring(L, found);
    free(found);
    return lua_tostring(L, -1);
}

static int vm_push_file(lua_State *L)
{
    static const char *const keys[] = {"auto_dep", "mode", NULL};
    struct vm_object *o = check_vm(L);
    const char *host = check_path(L, 2, "push_file"), *to = check_path(L, 3, "push_file");
    bool auto_dep = true;
    int64_t mode = -1, deadline;
    struct err e = ERR_INIT;
    check_options(L, 4, "push_file", keys);
    option_boolean(L, 4, "push_file", "auto_dep", &auto_dep);
    if (option_integer(L, 4, "push_file", "mode", &mode) && (mode < 0 || mode > 07777))
        return raise_format(L, "push_file: mode must be 0 to 4095 (0o7777)");
    host = push_beside_caller(L, host, true);
    if (auto_dep)
        fixture_note_use(L, 1, "push_file", host);
    lua_pushfstring(L, "push_file \"%s\" -> \"%s\"", host, to);
    const char *call = lua_tostring(L, -1);
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    int failed = guest_push_file(guest, host, to, (int)mode, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    return 0;
}

static int vm_pull_file(lua_State *L)
{
    struct vm_object *o = check_vm(L);
    const char *from = check_path(L, 2, "pull_file"), *host = check_path(L, 3, "pull_file");
    uint64_t size = 0;
    int64_t deadline;
    struct err e = ERR_INIT;
    host = push_beside_caller(L, host, false);
    lua_pushfstring(L, "pull_file \"%s\" -> \"%s\"", from, host);
    const char *call = lua_tostring(L, -1);
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    int failed = guest_pull_file(guest, from, host, &size, deadline, &e);
    guest_call_end(L, o, call, failed ? &e : NULL);
    lua_pushinteger(L, (lua_Integer)size);
    return 1;
}

const luaL_Reg vm_transfer_methods[] = {{"push_file", vm_push_file}, {"pull_file", vm_pull_file}, {NULL, NULL}};
