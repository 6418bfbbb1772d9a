/* A hit takes the shared lock of its entry and keeps it until the machines are restored. Everything else, an entry without
 * its hot form included, is done under the exclusive lock by whoever gets it first; the others wait and then find it done.
 * Waiting for a lock stops the clocks of the test and of the file; building stops the test's. */
#include "script/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "config/build.h"
#include "events/payload.h"
#include "fixture/meta.h"
#include "fixture/pack.h"
#include "loop/aside.h"
#include "script/argument.h"
#include "script/temporary.h"

const char *fixture_use_name(const struct fixture_use *f)
{
    return f->key.source.name;
}

static void warn(const struct fixture_use *f, const char *what, const char *why)
{
    fprintf(stderr, "provium: fixture `%s` (key %s): %s: %s\n", fixture_use_name(f), f->key.hex, what, why);
}

/* The file that the user has asked for. */
static const char *test_file(const struct script *s)
{
    while (s->parent)
        s = s->parent;
    return s->path;
}

/* ------------------------------------------------------------------------------------------------- the hot form */

struct unpacking {
    const struct store_id *id;
    const char *from, *to;
};

static int unpack(void *arg, struct err *e)
{
    const struct unpacking *u = arg;
    return fixture_unpack(u->id->directory, u->id->kind, u->from, u->to, e);
}

/* Unpacks the entry to `to` and looks at the result. */
static int unpack_to(struct script *s, const struct fixture_use *f, const char *to, const char *index_hash, struct err *e)
{
    _cleanup_free_ char *entry = store_path(&f->id, STORE_ENTRY);
    struct unpacking u = {&f->id, entry, to};
    return aside_call(s->loop, s->deadline.file, unpack, &u, e) < 0 ? -1 : fixture_check(f->id.kind, to, index_hash, e);
}

static int make_hot(struct script *s, struct fixture_use *f, const char *index_hash, struct err *e)
{
    struct staging staging = STAGING_INIT;
    if (staging_new(f->id.directory, STORE_STAGING, &staging, e) < 0)
        return -1;
    _cleanup_free_ char *hot = path_join(staging.path, "hot");
    _cleanup_free_ char *vm = path_join(hot, "vm.snap");
    int result = f->id.kind == FIXTURE_VM ? dir_create_all(hot, 0700, e) : 0;
    if (!result)
        result = unpack_to(s, f, f->id.kind == FIXTURE_VM ? vm : hot, index_hash, e);
    if (!result)
        result = store_install(&f->id, STORE_HOT, hot, e);
    staging_done(&staging);
    return result;
}

/* Where the cache has no room, this file gets a copy of its own. */
static int make_private(struct script *s, struct fixture_use *f, const char *index_hash, struct err *e)
{
    char *path = temporary_path(s, f->id.kind == FIXTURE_VM ? ".snap" : "", e);
    if (!path)
        return -1;
    f->snapshot = path;
    return unpack_to(s, f, path, index_hash, e);
}

/* Can the hot form be restored? *ret_meta is released by the caller. */
static bool is_hot(struct fixture_use *f, struct store_meta *ret_meta, struct err *e)
{
    store_meta_read(&f->id, ret_meta);
    free(f->snapshot);
    f->snapshot = store_hot_snapshot(&f->id);
    return store_has(&f->id, STORE_HOT) && fixture_check(f->id.kind, f->snapshot, ret_meta->index_hash, e) == 0;
}

/* The entry is there and the lock exclusive: makes its snapshot ready. Fails when the entry is good for nothing. */
static int ready(struct script *s, struct fixture_use *f, struct err *e)
{
    _cleanup_(store_meta_done) struct store_meta meta;
    _cleanup_err_ struct err problem = ERR_INIT;
    if (is_hot(f, &meta, &problem))
        return 0;
    if (problem.message) {
        warn(f, "its hot form is made again", err_message(&problem));
        store_remove(&f->id, STORE_HOT);
        err_clear(&problem);
    }
    f->hot = false;
    if (!make_hot(s, f, meta.index_hash, &problem))
        return 0;
    if (problem.code != ENOSPC && problem.code != EDQUOT)
        return err_move(e, &problem);
    warn(f, "no hot form", err_message(&problem));
    free(f->snapshot);
    f->snapshot = NULL;
    return make_private(s, f, meta.index_hash, e);
}

/* ------------------------------------------------------------------------------------------------- finding */

static int wait_for_lock(struct script *s, struct fixture_use *f, struct err *e)
{
    _cleanup_free_ char *holder = store_lock_holder(&f->lock);
    if (*holder && !f->waited) {
        _cleanup_payload_ struct payload p = PAYLOAD_INIT;
        payload_add_text(&p, "path", fixture_use_name(f));
        payload_add_text(&p, "held_by_file", holder);
        payload_add_text(&p, "key", f->key.hex);
        pool_client_emit_payload(s->pool, "fixture_build_waiting", &p);
        f->waited = true;
    }
    deadline_suspend(&s->deadline);
    int result = store_lock_wait(&f->id, true, s->loop, DEADLINE_NONE, &f->lock, e);
    deadline_resume(&s->deadline, -1);
    return result;
}

/* Everything in place, under the shared lock. A cache that may only be read needs none: nobody changes it from here. */
static bool find_quickly(struct fixture_use *f)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(store_meta_done) struct store_meta meta = {0};
    bool may_read = store_lock(&f->id, false, &f->lock, &e) == 0 ? f->lock.held : e.code == EROFS || e.code == EACCES;
    return may_read && store_has(&f->id, STORE_ENTRY) && is_hot(f, &meta, NULL);
}

static ino_t entry_inode(const struct fixture_use *f)
{
    struct stat st;
    _cleanup_free_ char *path = store_path(&f->id, STORE_ENTRY);
    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static void evict(const struct fixture_use *f, const char *why)
{
    warn(f, "the cached entry cannot be used and is built again", why);
    store_remove(&f->id, STORE_HOT);
    store_remove(&f->id, STORE_ENTRY);
    store_remove(&f->id, STORE_META);
}

/* Another process may have found the same meanwhile, and built it. */
int fixture_use_evict(struct script *s, struct fixture_use *f, const char *why, struct err *e)
{
    store_unlock(&f->lock);
    deadline_suspend(&s->deadline);
    int result = store_lock_wait(&f->id, true, s->loop, DEADLINE_NONE, &f->lock, e);
    deadline_resume(&s->deadline, -1);
    if (!result && entry_inode(f) == f->entry)
        evict(f, why);
    store_unlock(&f->lock);
    return result;
}

/* Is it the entry that is wrong, and not the place where it is needed? */
static bool is_damage(int code)
{
    return code == EBADMSG || code == EPROTO || code == EINVAL || code == ENOENT || code == EIO;
}

int fixture_use_find(struct script *s, struct fixture_use *f, bool *ret_there, struct err *e)
{
    _cleanup_err_ struct err problem = ERR_INIT;
    f->hot = true;
    *ret_there = true;
    f->entry = entry_inode(f);
    if (find_quickly(f))
        return 0;
    if (store_lock(&f->id, true, &f->lock, e) < 0 || (!f->lock.held && wait_for_lock(s, f, e) < 0))
        return -1;
    store_lock_sign(&f->lock, test_file(s));
    f->entry = entry_inode(f);
    *ret_there = f->entry != 0;
    if (!*ret_there)
        return 0;
    if (ready(s, f, &problem) == 0) {
        store_lock_share(&f->lock);
        return 0;
    }
    if (!is_damage(problem.code))
        return err_move(e, &problem);
    evict(f, err_message(&problem));
    *ret_there = false;
    return 0;
}

/* ------------------------------------------------------------------------------------------------- bindings */

static int collect(lua_State *L)
{
    struct fixture_use *f = lua_touserdata(L, 1);
    store_unlock(&f->lock);
    if (f->keyed)
        fixture_key_done(&f->key);
    free(f->snapshot);
    f->snapshot = NULL;
    f->keyed = false;
    return 0;
}

static struct fixture_use *check_use(lua_State *L)
{
    return luaL_checkudata(L, 1, "fixture use");
}

/* The key covers what the profiles' commands make: they run first, beside the loop; fixture_key then finds their outcome. */
static int build_profiles(void *arg, struct err *e)
{
    const struct fixture_world *w = arg;
    const struct build_options options = {.skip = w->host->no_build, .run_id = w->host->run_id};
    for (size_t i = 0; i < w->config->profile_count; i++)
        if (profile_build(&w->config->profiles[i], w->host->environment, &options, e) < 0)
            return -1;
    return 0;
}

static bool has_commands(const struct fixture_world *w)
{
    bool found = false;
    for (size_t i = 0; i < w->config->profile_count; i++)
        found = found || w->config->profiles[i].build;
    return found && !w->host->no_build && w->host->run_id;
}

/* core.fixture_new(name, "vm" | "lab") → a closable object. Raises when there is no such fixture. */
static int new_binding(lua_State *L)
{
    struct script *s = script_of(L);
    struct err e = ERR_INIT;
    const char *name = check_path(L, 1, "path");
    struct fixture_world world = {s->settings->config, &s->settings->host, s->settings->roots};
    struct fixture_use *f = lua_newuserdatauv(L, sizeof(*f), 0);
    *f = (struct fixture_use){.lock = STORE_LOCK_INIT};
    luaL_setmetatable(L, "fixture use");
    for (const struct script *up = s; up; up = up->parent)
        if (up->covers && !strcmp(up->covers->source.name, name))
            return raise_format(L, "fixture `%s` needs itself to be built", name);
    if ((has_commands(&world) && aside_call(s->loop, s->deadline.file, build_profiles, &world, &e) < 0) ||
        fixture_key(&world, name, &f->key, &e) < 0)
        return raise_err(L, &e);
    f->keyed = true;
    f->id = (struct store_id){
        .directory = s->settings->config->cache_dir,
        .key = f->key.hex,
        .kind = !strcmp(luaL_checkstring(L, 2), "vm") ? FIXTURE_VM : FIXTURE_LAB,
    };
    return 1;
}

/* core.fixture_find(f) → is there a snapshot to restore? */
static int find_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    struct fixture_use *f = check_use(L);
    bool there = false;
    if (fixture_use_find(script_of(L), f, &there, &e) < 0) {
        err_prefix(&e, "fixture `%s`", fixture_use_name(f));
        return raise_err(L, &e);
    }
    lua_pushboolean(L, there);
    return 1;
}

/* core.fixture_build(f) */
static int build_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    struct fixture_use *f = check_use(L);
    if (fixture_use_build(script_of(L), f, &e) < 0) {
        err_prefix(&e, "fixture `%s`", fixture_use_name(f));
        return raise_err(L, &e);
    }
    return 0;
}

/* core.fixture_snapshot(f) → its path */
static int snapshot_binding(lua_State *L)
{
    lua_pushstring(L, check_use(L)->snapshot);
    return 1;
}

/* core.fixture_refuse(f, why) → is it worth another try?: the entry was found and cannot be restored here */
static int refuse_binding(lua_State *L)
{
    struct err e = ERR_INIT;
    struct fixture_use *f = check_use(L);
    const char *why = luaL_checkstring(L, 2);
    bool first = !f->built && !f->refused;
    f->refused = true;
    if (first && fixture_use_evict(script_of(L), f, why, &e) < 0)
        return raise_err(L, &e);
    lua_pushboolean(L, first);
    return 1;
}

/* core.fixture_restored(f, ns): it took that long */
static int restored_binding(lua_State *L)
{
    struct script *s = script_of(L);
    struct fixture_use *f = check_use(L);
    store_touch(&f->id);
    if (s->covers)
        base_sources_add(&s->bases, &f->id, f->snapshot);
    if (f->built)
        return 0;
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_text(&p, "path", fixture_use_name(f));
    payload_add_text(&p, "key", f->key.hex);
    payload_add_int(&p, "restore_ns", lua_tointeger(L, 2));
    payload_add_bool(&p, "hot", f->hot);
    pool_client_emit_payload(s->pool, "fixture_cache_hit", &p);
    return 0;
}

/* core.restore_source("fixture" | "snapshot") → was the last restore refused?: what vm_spawned will say */
static int source_binding(lua_State *L)
{
    struct script *s = script_of(L);
    s->from_fixture = !strcmp(luaL_checkstring(L, 1), "fixture");
    lua_pushboolean(L, s->restore_refused);
    s->restore_refused = false;
    return 1;
}

void fixture_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"fixture_new", new_binding},           {"fixture_find", find_binding},
        {"fixture_build", build_binding},       {"fixture_snapshot", snapshot_binding},
        {"fixture_refuse", refuse_binding},     {"fixture_restored", restored_binding},
        {"restore_source", source_binding},     {"note_use", fixture_note_binding},
        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
    register_closable(L, "fixture use", collect);
}
