#include "script/stream.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/tail.h"
#include "script/argument.h"

#define WAIT_DEFAULT_NS  (10 * NS_PER_S)
#define DRAIN_DEFAULT_NS (NS_PER_S / 2)

struct stream_object {
    struct stream *stream;
    char *label;
};

static struct stream_object *check_stream(lua_State *L)
{
    struct stream_object *o = luaL_testudata(L, 1, "stream");
    if (!o || !o->stream)
        raise_format(L, "expected a stream as first argument; call methods with a colon");
    return o;
}

/* The innermost frame of a coroutine that is in a test or fixture file. */
static bool find_site_in(lua_State *L, struct stream *stream)
{
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        const char *name = chunk_name(&ar);
        if (ar.currentline <= 0 || (!str_ends_with(name, ".test.lua") && !str_ends_with(name, ".fixture.lua")))
            continue;
        stream_set_site(stream, name, ar.currentline);
        return true;
    }
    return false;
}

/* … of the running coroutine, else of the one that resumed it, and so on outwards. */
static void find_site(lua_State *L, struct stream *stream)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.resumers");
    for (lua_State *at = L; at && !find_site_in(at, stream) && lua_checkstack(at, 1);) {
        lua_pushthread(at);
        lua_xmove(at, L, 1);
        lua_rawget(L, -2);
        at = lua_tothread(L, -1); /* kept alive by running */
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void push_stream(lua_State *L, struct stream *stream, const char *label, int keep)
{
    if (keep)
        keep = lua_absindex(L, keep);
    struct stream_object *o = lua_newuserdatauv(L, sizeof(*o), 1);
    *o = (struct stream_object){.stream = stream};
    luaL_setmetatable(L, "stream");
    o->label = xstrdup(label);
    if (keep) {
        lua_pushvalue(L, keep);
        lua_setiuservalue(L, -2, 1);
    }
    find_site(L, stream);
    scope_add(L, "stream", -1);
}

bool stream_is_live(lua_State *L, int index)
{
    struct stream_object *o = luaL_testudata(L, index, "stream");
    return o && o->stream && !stream_eof(o->stream);
}

const char *stream_describe_at(lua_State *L, int index)
{
    return stream_describe(((struct stream_object *)luaL_checkudata(L, index, "stream"))->stream);
}

uint64_t option_window(lua_State *L, int index, const char *call)
{
    uint64_t window = GUEST_WINDOW_DEFAULT;
    if (option_size(L, index, call, "window", &window) && (window < GUEST_WINDOW_MIN || window > GUEST_WINDOW_MAX))
        raise_format(L, "%s: window must be 64K to 64M", call);
    return window;
}

static int stream_close_binding(lua_State *L)
{
    stream_close(check_stream(L)->stream);
    return 0;
}

static int stream_collect(lua_State *L)
{
    struct stream_object *o = lua_touserdata(L, 1);
    stream_free(o->stream);
    free(o->label);
    *o = (struct stream_object){0};
    return 0;
}

/* ------------------------------------------------------------------------------------------------- reading */

static int64_t begin(lua_State *L, struct stream_object *o, const char *method, int index, int64_t by_default)
{
    int64_t own = deadline_after(lua_isnoneornil(L, index) ? by_default : check_duration(L, index, method));
    lua_pushfstring(L, "%s: %s: %s", o->label, stream_describe(o->stream), method);
    return deadline_enter(L, &script_of(L)->deadline, lua_tostring(L, -1), own);
}

/* The end of a call: `e` is empty for success. */
static void end(lua_State *L, struct err *e)
{
    struct deadline *d = &script_of(L)->deadline;
    bool failed = e->message != NULL;
    if (failed && deadline_is_over(d))
        err_clear(e);
    deadline_leave(L, d, failed);
    if (failed)
        raise_err(L, e);
}

static void push_buf_bytes(lua_State *L, struct buf *b)
{
    lua_pushlstring(L, (const char *)buf_head(b), b->len);
    buf_done(b);
}

static int stream_next_binding(lua_State *L)
{
    struct stream_object *o = check_stream(L);
    struct err e = ERR_INIT;
    int64_t deadline = begin(L, o, "next", 2, WAIT_DEFAULT_NS);
    struct buf frame = BUF_INIT(STREAM_UNMATCHED + STREAM_FRAME);
    int got = stream_next(o->stream, deadline, &frame, &e);
    if (got <= 0)
        buf_done(&frame);
    bool late = !got && deadline_is_over(&script_of(L)->deadline);
    if (late)
        err_set(&e, 0, "late");
    end(L, &e);
    if (got <= 0)
        return 0;
    push_buf_bytes(L, &frame);
    return 1;
}

static void collect(lua_State *L, const char *method, bool keep)
{
    struct stream_object *o = check_stream(L);
    struct err e = ERR_INIT;
    size_t n;
    if (lua_type(L, 2) != LUA_TSTRING || !lua_rawlen(L, 2))
        raise_format(L, "%s: the pattern must be a string that is not empty", method);
    const char *pattern = lua_tolstring(L, 2, &n);
    int64_t deadline = begin(L, o, method, 3, WAIT_DEFAULT_NS);
    struct buf out = BUF_INIT(STREAM_UNMATCHED + STREAM_FRAME);
    if (stream_read_until(o->stream, pattern, n, deadline, keep ? &out : NULL, &e) < 0)
        buf_done(&out);
    end(L, &e);
    if (keep)
        push_buf_bytes(L, &out);
}

static int stream_read_until_binding(lua_State *L)
{
    collect(L, "read_until", true);
    return 1;
}

static int stream_expect_binding(lua_State *L)
{
    collect(L, "expect", false);
    return 0;
}

/* Frames are gathered outside of Lua, which may raise at any string. */
struct frames {
    struct buf bytes;
    size_t *sizes, count;
};

static void add_frame(void *arg, struct buf *frame)
{
    struct frames *f = arg;
    f->sizes = xreallocarray(f->sizes, f->count + 1, sizeof(*f->sizes));
    f->sizes[f->count++] = frame->len;
    buf_append(&f->bytes, buf_head(frame), frame->len);
}

static int stream_drain_binding(lua_State *L)
{
    struct stream_object *o = check_stream(L);
    struct err e = ERR_INIT;
    int64_t deadline = begin(L, o, "drain", 2, DRAIN_DEFAULT_NS);
    struct frames f = {.bytes = BUF_INIT((size_t)1 << 30)};
    stream_drain(o->stream, deadline, add_frame, &f, &e);
    if (!e.message)
        deadline_leave(L, &script_of(L)->deadline, false);
    lua_createtable(L, (int)f.count, 0);
    for (size_t i = 0; !e.message && i < f.count; i++) {
        lua_pushlstring(L, (const char *)buf_head(&f.bytes), f.sizes[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
        buf_consume(&f.bytes, f.sizes[i]);
    }
    free(f.sizes);
    buf_done(&f.bytes);
    if (e.message)
        end(L, &e);
    return 1;
}

static int stream_eof_binding(lua_State *L)
{
    struct stream_object *o = check_stream(L);
    loop_poll(script_of(L)->loop);
    lua_pushboolean(L, stream_eof(o->stream));
    return 1;
}

static int stream_lost_binding(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)stream_lost(check_stream(L)->stream));
    return 1;
}

static int stream_creation_site(lua_State *L)
{
    int line;
    const char *file = stream_site(check_stream(L)->stream, &line);
    if (!file)
        return 0;
    lua_createtable(L, 0, 2);
    lua_pushstring(L, file);
    lua_setfield(L, -2, "file");
    lua_pushinteger(L, line);
    lua_setfield(L, -2, "line");
    return 1;
}

static int stream_tostring(lua_State *L)
{
    struct stream_object *o = check_stream(L);
    lua_pushfstring(L, "%s of %s", stream_describe(o->stream), o->label);
    return 1;
}

void stream_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"next", stream_next_binding},
                                       {"read_until", stream_read_until_binding},
                                       {"expect", stream_expect_binding},
                                       {"drain", stream_drain_binding},
                                       {"eof", stream_eof_binding},
                                       {"lost", stream_lost_binding},
                                       {"close", stream_close_binding},
                                       {"creation_site", stream_creation_site},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", stream_collect},
                                    {"__close", stream_close_binding},
                                    {"__tostring", stream_tostring},
                                    {NULL, NULL}};
    luaL_newmetatable(L, "stream");
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
