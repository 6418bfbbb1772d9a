#include "script/handle.h"

#include "script/argument.h"

struct handle *push_new_handle(lua_State *L, const char *kind, const char *scope, int vm)
{
    vm = lua_absindex(L, vm);
    struct vm_object *o = lua_touserdata(L, vm);
    struct handle *h = lua_newuserdatauv(L, sizeof(*h), 1);
    *h = (struct handle){.o = o, .generation = vm_generation(o->vm)};
    luaL_setmetatable(L, kind);
    lua_pushvalue(L, vm);
    lua_setiuservalue(L, -2, 1);
    if (scope)
        scope_add(L, scope, -1);
    return h;
}

struct handle *check_handle(lua_State *L, const char *kind, bool alive)
{
    struct handle *h = luaL_testudata(L, 1, kind);
    if (!h)
        raise_format(L, "expected a %s as first argument; call methods with a colon", kind);
    if (alive && h->object && (h->generation != vm_generation(h->o->vm) || vm_state(h->o->vm) == VM_SHUTDOWN))
        raise_format(L, "%s on %s belongs to an earlier boot (%s)", h->label ? h->label : kind, h->o->label,
                     vm_cause(h->o->vm) ? vm_cause(h->o->vm) : "the VM was reset");
    return h;
}

int64_t handle_begin(lua_State *L, struct handle *h, const char *method, int64_t own)
{
    int64_t deadline;
    guest_call_begin(L, h->o, method, own, &deadline);
    return deadline;
}

void handle_end(lua_State *L, struct handle *h, const char *method, struct err *e)
{
    guest_call_end(L, h->o, method, e);
}

struct executor check_executor(lua_State *L)
{
    struct handle *h = luaL_testudata(L, 1, "worker");
    if (!h) {
        struct vm_object *o = check_vm(L);
        lua_pushvalue(L, 1);
        return (struct executor){.o = o, .vm = lua_gettop(L)};
    }
    check_handle(L, "worker", true);
    const char *ended = h->worker ? guest_worker_ended(h->worker) : "it was closed";
    if (ended)
        raise_format(L, "worker %d of %s ended (%s)", h->worker ? (int)guest_worker_id(h->worker) : 0, h->o->label, ended);
    lua_getiuservalue(L, 1, 1);
    return (struct executor){.o = h->o, .worker = h->worker, .vm = lua_gettop(L)};
}
