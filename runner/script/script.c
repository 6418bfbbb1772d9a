#include "script/script.h"

#include <errno.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "network/network.h"
#include "script/argument.h"
#include "script/ahead.h"
#include "script/barrier.h"
#include "script/json.h"
#include "script/library.h"
#include "script/temporary.h"

#define LUA_HEAP_MAX ((size_t)2 << 30)

/* Lua's allocator with a ceiling, past which scripts get an ordinary "not enough memory". */
static void *allocate(void *ud, void *p, size_t old_size, size_t new_size)
{
    struct script *s = ud;
    size_t had = p ? old_size : 0;
    if (!new_size) {
        free(p);
        s->memory_used -= had;
        return NULL;
    }
    if (new_size > had && s->memory_used - had > LUA_HEAP_MAX - new_size)
        return NULL;
    void *q = realloc(p, new_size);
    if (q)
        s->memory_used += new_size - had;
    return q;
}

static void add_search_paths(lua_State *L, const char *const *roots)
{
    lua_getglobal(L, "package");
    int package = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (; roots && *roots; roots++) {
        lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;", *roots, *roots);
        luaL_addvalue(&b);
    }
    lua_getfield(L, package, "path");
    luaL_addvalue(&b);
    luaL_pushresult(&b);
    lua_setfield(L, package, "path");
    lua_pop(L, 1);
}

/* Loads a file of lua/ and calls it with the `count` values on top; leaves its result. */
static void run_source(lua_State *L, const char *name, int count)
{
    library_push(L, script_of(L)->settings->library, name);
    lua_insert(L, -1 - count);
    lua_call(L, count, 1);
}

/* A file of lua/ that adds to what bridges can do. */
static void run_bridge_part(lua_State *L, int core, int bridges, const char *name)
{
    lua_pushvalue(L, core);
    lua_pushvalue(L, bridges);
    run_source(L, name, 2);
    lua_pop(L, 1);
}

/* math.random: the run's seed, mixed with the path (FNV-1a), so that a file draws the same numbers in every run. */
static void seed_random(lua_State *L, uint64_t seed, const char *path)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * UINT64_C(1099511628211);
    lua_getglobal(L, "math");
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, (lua_Integer)(seed ^ hash));
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}

/* Everything that may raise while the state is made. Leaves the framework table in the registry. */
static int open_state(lua_State *L)
{
    struct script *s = script_of(L);
    stdlib_open(L);
    json_open(L);
    seed_random(L, s->settings->seed, s->path);
    add_search_paths(L, s->settings->roots);
    run_source(L, "coroutine", 0);
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.resumers");
    core_open(L);
    barrier_open(L);
    vm_open(L);
    int core = lua_gettop(L);
    lua_pushvalue(L, core);
    run_source(L, "wait", 1);
    lua_pushvalue(L, core);
    lua_pushvalue(L, core);
    run_source(L, "bridge", 1);
    int bridges = lua_gettop(L);
    run_bridge_part(L, core, bridges, "link");
    run_bridge_part(L, core, bridges, "nic");
    run_bridge_part(L, core, bridges, "bridge_state");
    lua_pushvalue(L, bridges);
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.bridges");
    lua_pushvalue(L, core);
    lua_insert(L, bridges);
    lua_pushvalue(L, core);
    run_source(L, "barrier", 1);
    run_source(L, "lab", 3);
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.scopes");
    lua_pushvalue(L, core);
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.scopes");
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.bridges");
    run_source(L, "snapshot", 3);
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.snapshots");
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.scopes");
    run_source(L, "framework", 2);
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.framework");
    lua_pushvalue(L, core);
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.scopes");
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.snapshots");
    run_source(L, "fixture", 3);
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.fixtures");
    return 0;
}

void script_log(struct script *s, const char *line)
{
    if (s->log_ref == LUA_NOREF)
        return;
    lua_rawgeti(s->L, LUA_REGISTRYINDEX, s->log_ref);
    lua_pushstring(s->L, line);
    if (lua_pcall(s->L, 1, 0, 0) != LUA_OK)
        lua_pop(s->L, 1);
}

static void on_nag(const char *line, void *arg)
{
    script_log(arg, line);
}

struct script *script_new(const char *path, const struct script_settings *settings, struct loop *loop,
                          struct pool_client *pool, struct err *e)
{
    struct script *s = xnew0(struct script);
    s->path = path;
    s->settings = settings;
    s->loop = loop;
    s->pool = pool;
    s->log_ref = LUA_NOREF;
    s->temporary = STAGING_INIT;
    deadline_init(&s->deadline, loop, path, settings->show_progress);
    s->deadline.on_nag = on_nag;
    s->deadline.on_nag_arg = s;
    barrier_init(s);
    s->L = lua_newstate(allocate, s);
    if (!s->L) {
        err_set(e, ENOMEM, "no memory for a Lua state");
        script_free(s);
        return NULL;
    }
    *(struct script **)lua_getextraspace(s->L) = s;
    lua_pushcfunction(s->L, open_state);
    if (lua_pcall(s->L, 0, 0, 0) != LUA_OK) {
        err_set(e, 0, "%s", lua_tostring(s->L, -1));
        script_free(s);
        return NULL;
    }
    return s;
}

void script_free(struct script *s)
{
    if (!s)
        return;
    if (s->L)
        lua_close(s->L);
    ahead_free(s->ahead);
    snapshot_file_free(s->looked_at);
    network_free(s->network);
    barrier_done(s);
    deadline_done(&s->deadline);
    temporary_remove(s);
    strv_done(&s->missed);
    base_sources_done(&s->bases);
    free(s);
}

/* Calls the function on top, without arguments. A failure is explained by the framework, with a traceback. */
static int call_protected(lua_State *L, struct err *e)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.framework");
    lua_getfield(L, -1, "handler");
    lua_rotate(L, -3, 2); /* framework, handler, function */
    if (lua_pcall(L, 0, 0, -2) == LUA_OK) {
        lua_pop(L, 2);
        return 0;
    }
    lua_getfield(L, -3, "explain");
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 2, 0) == LUA_OK)
        err_set(e, 0, "%s%s", lua_tostring(L, -2), lua_tostring(L, -1));
    else
        err_set(e, 0, "%s", lua_tostring(L, -1));
    lua_settop(L, 0);
    return -1;
}

static int load_chunk(struct script *s, struct err *e)
{
    lua_State *L = s->L;
    _cleanup_free_ char *name = xasprintf("@%s", s->path);
    _cleanup_buf_ struct buf text = BUF_INIT(64 << 20);
    if (file_read(s->path, &text, e) < 0)
        return -1;
    const char *source = (const char *)buf_head(&text);
    size_t n = text.len;
    if (n && *source == '#') { /* as lua(1) does */
        const char *line_end = memchr(source, '\n', n);
        size_t skipped = line_end ? (size_t)(line_end - source) : n;
        source += skipped;
        n -= skipped;
    }
    if (luaL_loadbufferx(L, source ? source : "", n, name, "t") == LUA_OK)
        return 0;
    /* The message begins with the shortened name. */
    const char *message = lua_tostring(L, -1);
    const char *rest = strstr(message, ".lua:");
    err_set(e, 0, "%s%s", rest ? s->path : "", rest ? rest + 4 : message);
    lua_pop(L, 1);
    return -1;
}

static int run_tests(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.framework");
    lua_getfield(L, -1, "run");
    lua_getglobal(L, "json");
    lua_getfield(L, -1, "decode");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_call(L, 1, 1);
    lua_remove(L, -2);
    lua_call(L, 1, 0);
    return 0;
}

static int close_file_scope(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.scopes");
    lua_getfield(L, -1, "close_file");
    lua_call(L, 0, 0);
    return 0;
}

void script_close(struct script *s)
{
    ahead_forget(s, NULL);
    deadline_start_file(&s->deadline, 0);
    lua_pushcfunction(s->L, close_file_scope);
    call_protected(s->L, NULL);
}

int script_run(struct script *s, const char *filter_json, int64_t file_limit_ns, struct err *e)
{
    lua_State *L = s->L;
    int result = load_chunk(s, e);
    deadline_hook(L);
    deadline_start_file(&s->deadline, file_limit_ns);
    if (!result)
        result = call_protected(L, e);
    deadline_stop_test(L, &s->deadline);
    if (!result) {
        lua_pushstring(L, filter_json);
        lua_pushcclosure(L, run_tests, 1);
        result = call_protected(L, e);
    }
    script_close(s);
    return result;
}

/* Upvalues: the chunk, the kind of its result. */
static int run_fixture(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.fixtures");
    lua_getfield(L, -1, "begin");
    lua_call(L, 0, 0);
    lua_pop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_call(L, 0, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.fixtures");
    lua_getfield(L, -1, "result");
    lua_pushvalue(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_call(L, 2, 2);
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.result_kind");
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.result");
    return 0;
}

int script_run_fixture(struct script *s, const char *expects, char **ret_path, bool *ret_lab, struct err *e)
{
    lua_State *L = s->L;
    if (load_chunk(s, e) < 0)
        return -1;
    lua_pushstring(L, expects);
    lua_pushcclosure(L, run_fixture, 2);
    s->deadline.file = s->parent->deadline.file;
    s->deadline.file_limit = s->parent->deadline.file_limit;
    deadline_stop_test(L, &s->deadline);
    if (call_protected(L, e) < 0)
        return -1;
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.result");
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.result_kind");
    *ret_path = xstrdup(lua_tostring(L, -2));
    *ret_lab = !strcmp(lua_tostring(L, -1), "lab");
    lua_pop(L, 2);
    return 0;
}
