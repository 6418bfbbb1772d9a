/* The C side of barriers (lua/barrier.lua decides): when coroutines are served, and the gates at which calls in guests
 * wait.
 *
 * The main body is blocked between deadline_enter and deadline_leave of the main thread. `serve` is called at the
 * first, and by a timer in between: then coroutines run inside of the main body's call, whose object must stay. So
 * while they do, check_unused refuses to end it. A blocking call of a coroutine serves nobody. */
#include "script/barrier.h"

#include <string.h>

#include "base/alloc.h"
#include "guest/kernel.h"
#include "script/argument.h"
#include "script/handle.h"

struct serving {
    struct source *timer;
    bool wanted;        /* somebody waits at a barrier, or may go on */
    bool active;        /* coroutines run */
    bool woken;         /* for core.park */
    const void *object; /* argument 1 of the main body's call while `active`; NULL: no object */
    const void *vm;     /* … the VM behind it */
};

static const char serve_key, check_key, arrive_key;

/* L: the main thread, inside of the binding that blocks. */
static int serve(lua_State *L, bool protected)
{
    struct script *s = script_of(L);
    struct deadline *d = &s->deadline;
    struct serving *v = s->serving;
    char call[sizeof(d->call)], where[sizeof(d->where)];
    if (v->active || !v->wanted || !lua_checkstack(L, 20))
        return 0;
    memcpy(call, d->call, sizeof(call));
    memcpy(where, d->where, sizeof(where));
    v->object = lua_touserdata(L, 1);
    v->vm = vm_behind(L, 1);
    lua_State *blocked = d->blocked;
    v->active = true;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &serve_key);
    lua_pushboolean(L, !protected);
    int status = lua_pcall(L, 1, 0, 0);
    v->active = false;
    v->object = v->vm = NULL;
    d->blocked = blocked;
    memcpy(d->call, call, sizeof(call));
    memcpy(d->where, where, sizeof(where));
    return status;
}

void barrier_serve(lua_State *L)
{
    if (L == script_of(L)->L && serve(L, false) != LUA_OK)
        lua_error(L);
}

static void on_timer(struct source *timer, void *arg)
{
    struct script *s = arg;
    (void)timer;
    s->serving->woken = true;
    if (s->deadline.blocked == s->L && serve(s->L, true) != LUA_OK)
        lua_pop(s->L, 1); /* out of memory, at the most */
}

void check_unused(lua_State *L, const char *call)
{
    struct serving *v = script_of(L)->serving;
    const void *object = lua_touserdata(L, 1);
    if (v->active && object && (object == v->object || object == v->vm))
        raise_format(L, "%s: %s is in use by the test's body, which waits for it", call, luaL_tolstring(L, 1, NULL));
}

/* core.serve_at(seconds or nil, wanted?): when time is up for the first that waits; nil: nobody does, and serving is not
 * needed unless wanted */
static int core_serve_at(lua_State *L)
{
    struct script *s = script_of(L);
    s->serving->wanted = !lua_isnil(L, 1) || lua_toboolean(L, 2);
    source_set_deadline(s->serving->timer, lua_isnil(L, 1) ? DEADLINE_NONE : deadline_after((int64_t)(luaL_checknumber(L, 1) * 1e9)));
    return 0;
}

/* core.park(seconds, what): blocks the main body until then, or until something happened at a barrier */
static int core_park(lua_State *L)
{
    struct script *s = script_of(L);
    int64_t until = deadline_after((int64_t)(luaL_checknumber(L, 1) * 1e9));
    s->serving->woken = false;
    int64_t deadline = deadline_enter(L, &s->deadline, luaL_checkstring(L, 2), until);
    int failed = loop_wait(s->loop, &s->serving->woken, deadline);
    deadline_leave(L, &s->deadline, failed && deadline < until);
    return 0;
}

/* core.wake(): something happened that core.park is to return for */
static int core_wake(lua_State *L)
{
    script_of(L)->serving->woken = true;
    return 0;
}

static int core_on_serve(lua_State *L)
{
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &serve_key);
    return 0;
}

static int core_on_barrier(lua_State *L)
{
    lua_settop(L, 2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &arrive_key);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &check_key);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- gates */

struct gate {
    struct guest_gate *gate; /* NULL: open */
};

static int core_gate_open(lua_State *L)
{
    struct gate *g = luaL_checkudata(L, 1, "provium.gate");
    if (g->gate)
        guest_gate_open(g->gate);
    return 0;
}

/* core.gate_withdraw(gate, handle, why): the call that waits there fails */
static int core_gate_withdraw(lua_State *L)
{
    struct gate *g = luaL_checkudata(L, 1, "provium.gate");
    const char *why = luaL_checkstring(L, 3);
    struct handle *h = lua_touserdata(L, 2);
    if (luaL_testudata(L, 2, "process") && h->process)
        guest_process_give_up(h->process, why);
    else if (luaL_testudata(L, 2, "syscall") && h->async)
        guest_async_give_up(h->async, why);
    guest_gate_free(g->gate);
    g->gate = NULL;
    return 0;
}

static int gate_collect(lua_State *L)
{
    struct gate *g = lua_touserdata(L, 1);
    guest_gate_free(g->gate);
    g->gate = NULL;
    return 0;
}

void barrier_check(lua_State *L, int vm, int option, const char *call)
{
    vm = lua_absindex(L, vm);
    option = lua_absindex(L, option);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &check_key);
    lua_pushvalue(L, vm);
    lua_pushvalue(L, option);
    lua_pushstring(L, call);
    lua_call(L, 3, 0);
}

uint64_t push_gate(lua_State *L, int vm, struct guest *guest)
{
    vm = lua_absindex(L, vm);
    struct gate *g = lua_newuserdatauv(L, sizeof(*g), 1);
    *g = (struct gate){0};
    luaL_setmetatable(L, "provium.gate");
    lua_pushvalue(L, vm);
    lua_setiuservalue(L, -2, 1);
    g->gate = guest_gate_new(guest);
    return guest_gate_id(g->gate);
}

void barrier_arrive(lua_State *L, int vm, int option, int gate, int handle)
{
    const int values[] = {lua_absindex(L, vm), lua_absindex(L, option), lua_absindex(L, gate), lua_absindex(L, handle)};
    lua_rawgetp(L, LUA_REGISTRYINDEX, &arrive_key);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        lua_pushvalue(L, values[i]);
    lua_call(L, ARRAY_SIZE(values), 0);
}

void barrier_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"serve_at", core_serve_at},
                                         {"park", core_park},
                                         {"wake", core_wake},
                                         {"on_serve", core_on_serve},
                                         {"on_barrier", core_on_barrier},
                                         {"gate_open", core_gate_open},
                                         {"gate_withdraw", core_gate_withdraw},
                                         {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", gate_collect}, {NULL, NULL}};
    luaL_newmetatable(L, "provium.gate");
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}

void barrier_init(struct script *s)
{
    s->serving = xnew0(struct serving);
    s->serving->timer = loop_add_timer(s->loop, DEADLINE_NONE, on_timer, s);
}

void barrier_done(struct script *s)
{
    if (s->serving)
        source_remove(s->serving->timer);
    free(s->serving);
    s->serving = NULL;
}
