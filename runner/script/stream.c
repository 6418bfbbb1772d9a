#include "script/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "script/argument.h"

#define WAIT_DEFAULT_NS  (10 * NS_PER_S)
#define DRAIN_DEFAULT_NS (NS_PER_S / 2)
#define PENDING_MAX      ((size_t)16 << 20)
#define SHOWN            256

struct stream {
    const struct stream_source *source;
    void *arg; /* NULL: closed */
    struct buf pending;
    char *kind, *detail, *closed, *label;
    char site[512]; /* "<file>:<line>"; empty: unknown */
    char site_file[400];
    int site_line;
};

static struct stream *check_stream(lua_State *L)
{
    struct stream *s = luaL_testudata(L, 1, "stream");
    if (!s)
        raise_format(L, "expected a stream as first argument; call methods with a colon");
    return s;
}

static void close_source(struct stream *s)
{
    if (s->arg)
        s->source->close(s->arg);
    s->arg = NULL;
    buf_done(&s->pending);
}

/* The innermost frame in a test or fixture file. */
static bool find_site(lua_State *L, struct stream *s)
{
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        const char *name = chunk_name(&ar);
        if (ar.currentline <= 0 || (!str_ends_with(name, ".test.lua") && !str_ends_with(name, ".fixture.lua")))
            continue;
        snprintf(s->site_file, sizeof(s->site_file), "%s", name);
        s->site_line = ar.currentline;
        snprintf(s->site, sizeof(s->site), "%s:%d", s->site_file, s->site_line);
        return true;
    }
    return false;
}

void push_stream(lua_State *L, const struct stream_source *source, void *arg, const struct stream_info *info)
{
    struct stream *s = lua_newuserdatauv(L, sizeof(*s), 1);
    *s = (struct stream){.source = source, .arg = arg, .pending = BUF_INIT(PENDING_MAX + STREAM_FRAME_MAX)};
    luaL_setmetatable(L, "stream");
    s->kind = xstrdup(info->kind);
    s->detail = xstrdup(info->detail);
    s->closed = xstrdup(info->closed);
    s->label = xstrdup(info->label);
    if (!find_site(L, s)) /* created in a coroutine of a helper: the site is where it was resumed */
        find_site(script_of(L)->L, s);
    scope_add(L, "stream", -1);
}

static int stream_close(lua_State *L)
{
    close_source(check_stream(L));
    return 0;
}

static int stream_collect(lua_State *L)
{
    struct stream *s = lua_touserdata(L, 1);
    close_source(s);
    free(s->kind);
    free(s->detail);
    free(s->closed);
    free(s->label);
    s->kind = s->detail = s->closed = s->label = NULL;
    return 0;
}

/* ------------------------------------------------------------------------------------------------- reading */

/* `<text>; last bytes: "…" (<kind>(<detail>) at <site>)`, raised. */
static int fail(lua_State *L, const struct stream *s, const char *text)
{
    size_t n = s->pending.len < SHOWN ? s->pending.len : SHOWN;
    const unsigned char *from = buf_head(&s->pending) + s->pending.len - n;
    luaL_Buffer b;
    push_position(L, 1);
    const char *position = lua_tostring(L, -1);
    luaL_buffinit(L, &b);
    luaL_addstring(&b, position);
    luaL_addstring(&b, text);
    luaL_addstring(&b, "; last bytes: \"");
    for (size_t i = 0; i < n; i++) {
        char escaped[8];
        bool plain = from[i] >= 0x20 && from[i] < 0x7f;
        snprintf(escaped, sizeof(escaped), plain ? "%c" : "\\x%02X", from[i]);
        luaL_addstring(&b, escaped);
    }
    luaL_addstring(&b, "\" (");
    luaL_addstring(&b, s->kind);
    luaL_addstring(&b, "(");
    luaL_addstring(&b, s->detail);
    luaL_addstring(&b, ") at ");
    luaL_addstring(&b, *s->site ? s->site : "unknown");
    luaL_addstring(&b, ")");
    luaL_pushresult(&b);
    return lua_error(L);
}

enum outcome { MORE, ENDED, LATE };

/* One frame more into `pending`. Raises at the test's deadline, and for failures of the source. */
static enum outcome pump(lua_State *L, struct stream *s, const char *method, int64_t own)
{
    struct deadline *d = &script_of(L)->deadline;
    struct err e = ERR_INIT;
    lua_pushfstring(L, "%s: %s(%s): %s", s->label, s->kind, s->detail, method);
    int64_t deadline = deadline_enter(L, d, lua_tostring(L, -1), own);
    int got = s->source->read(s->arg, &s->pending, deadline, &e);
    int code = e.code;
    if (got < 0 && (code == ETIMEDOUT || deadline_is_over(d)))
        err_clear(&e);
    deadline_leave(L, d, got < 0);
    lua_pop(L, 1);
    if (got >= 0)
        return got ? MORE : ENDED;
    if (code == ETIMEDOUT)
        return LATE;
    err_prefix(&e, "%s: %s(%s): %s", s->label, s->kind, s->detail, method);
    raise_err(L, &e);
    return LATE;
}

static int64_t timeout_at(lua_State *L, int index, const char *method, int64_t by_default)
{
    return deadline_after(lua_isnoneornil(L, index) ? by_default : check_duration(L, index, method));
}

static void push_pending(lua_State *L, struct stream *s, size_t n)
{
    lua_pushlstring(L, (const char *)buf_head(&s->pending), n);
    buf_consume(&s->pending, n);
}

static int stream_next(lua_State *L)
{
    struct stream *s = check_stream(L);
    int64_t own = timeout_at(L, 2, "next", WAIT_DEFAULT_NS);
    if (!s->arg)
        return 0;
    if (!s->pending.len && pump(L, s, "next", own) != MORE)
        return 0;
    push_pending(L, s, s->pending.len < STREAM_FRAME_MAX ? s->pending.len : STREAM_FRAME_MAX);
    return 1;
}

/* Collects until the pattern; returns the length up to its end. */
static size_t collect(lua_State *L, struct stream *s, const char *method)
{
    size_t n, searched = 0;
    if (lua_type(L, 2) != LUA_TSTRING || !lua_rawlen(L, 2))
        raise_format(L, "%s: the pattern must be a string that is not empty", method);
    const char *pattern = lua_tolstring(L, 2, &n);
    int64_t own = timeout_at(L, 3, method, WAIT_DEFAULT_NS);
    if (!s->arg)
        raise_format(L, "%s", s->closed);
    for (;;) {
        const char *head = (const char *)buf_head(&s->pending);
        const char *hit = s->pending.len >= n ? memmem(head + searched, s->pending.len - searched, pattern, n) : NULL;
        if (hit)
            return (size_t)(hit - head) + n;
        searched = s->pending.len >= n ? s->pending.len - n + 1 : 0;
        if (s->pending.len > PENDING_MAX)
            fail(L, s, "16 MiB without a match");
        enum outcome outcome = pump(L, s, method, own);
        if (outcome == ENDED)
            fail(L, s, "stream EOF");
        if (outcome == LATE) {
            lua_pushfstring(L, "%s timed out waiting for `%s`", method, pattern);
            fail(L, s, lua_tostring(L, -1));
        }
    }
}

static int stream_read_until(lua_State *L)
{
    struct stream *s = check_stream(L);
    push_pending(L, s, collect(L, s, "read_until"));
    return 1;
}

static int stream_expect(lua_State *L)
{
    struct stream *s = check_stream(L);
    buf_consume(&s->pending, collect(L, s, "expect"));
    return 0;
}

static int stream_drain(lua_State *L)
{
    struct stream *s = check_stream(L);
    int64_t own = timeout_at(L, 2, "drain", DRAIN_DEFAULT_NS);
    lua_newtable(L);
    int frames = lua_gettop(L);
    for (lua_Integer i = 1; s->arg; i++) {
        if (!s->pending.len && pump(L, s, "drain", own) != MORE)
            break;
        push_pending(L, s, s->pending.len < STREAM_FRAME_MAX ? s->pending.len : STREAM_FRAME_MAX);
        lua_rawseti(L, frames, i);
    }
    return 1;
}

static int stream_eof(lua_State *L)
{
    struct stream *s = check_stream(L);
    loop_poll(script_of(L)->loop);
    lua_pushboolean(L, !s->arg || (!s->pending.len && s->source->ended(s->arg)));
    return 1;
}

static int stream_lost(lua_State *L)
{
    struct stream *s = check_stream(L);
    lua_pushinteger(L, s->arg && s->source->lost ? (lua_Integer)s->source->lost(s->arg) : 0);
    return 1;
}

static int stream_creation_site(lua_State *L)
{
    struct stream *s = check_stream(L);
    if (!*s->site)
        return 0;
    lua_createtable(L, 0, 2);
    lua_pushstring(L, s->site_file);
    lua_setfield(L, -2, "file");
    lua_pushinteger(L, s->site_line);
    lua_setfield(L, -2, "line");
    return 1;
}

static int stream_tostring(lua_State *L)
{
    struct stream *s = check_stream(L);
    lua_pushfstring(L, "%s(%s) of %s", s->kind, s->detail, s->label);
    return 1;
}

void stream_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"next", stream_next},   {"read_until", stream_read_until},
                                       {"expect", stream_expect}, {"drain", stream_drain},
                                       {"eof", stream_eof},     {"lost", stream_lost},
                                       {"close", stream_close}, {"creation_site", stream_creation_site},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", stream_collect}, {"__close", stream_close}, {"__tostring", stream_tostring},
                                    {NULL, NULL}};
    luaL_newmetatable(L, "stream");
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
