/* The File userdata, open_file, and the streams over files and descriptors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/tail.h"
#include "script/argument.h"
#include "script/barrier.h"
#include "script/handle.h"
#include "script/stream.h"
#include "wire/operation.h"

#define READ_MAX (64 << 20)

int open_file_binding(lua_State *L)
{
    static const char *const keys[] = {"read", "write", "append", "create", "truncate", "exclusive", "perm", NULL};
    static const unsigned bits[] = {OPEN_READ, OPEN_WRITE, OPEN_APPEND, OPEN_CREATE, OPEN_TRUNCATE, OPEN_EXCLUSIVE};
    unsigned mode = 0;
    int64_t perm = 0644;
    lua_settop(L, 3);
    const char *path = check_path(L, 2, "open_file");
    check_options(L, 3, "open_file", keys);
    for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
        bool on = false;
        option_boolean(L, 3, "open_file", keys[i], &on);
        mode |= on ? bits[i] : 0;
    }
    if (option_integer(L, 3, "open_file", "perm", &perm) && (perm < 0 || perm > 07777))
        return raise_format(L, "open_file: perm must be 0 to 4095 (0o7777)");
    if (!(mode & (OPEN_READ | OPEN_WRITE | OPEN_APPEND)))
        return raise_format(L, "open_file: set one of read, write and append");
    if ((mode & OPEN_EXCLUSIVE) && !(mode & OPEN_CREATE))
        return raise_format(L, "open_file: exclusive goes with create");
    struct executor x = check_executor(L);
    lua_pushfstring(L, "open_file \"%s\"", path);
    const char *call = lua_tostring(L, -1);
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, x.o, call, DEADLINE_NONE, &deadline);
    struct handle *h = push_new_handle(L, "file", "file", x.vm);
    h->file = guest_open(guest, x.worker, path, mode, (unsigned)perm, deadline, &e);
    h->label = xasprintf("file \"%s\"", path);
    guest_call_end(L, x.o, call, h->file ? NULL : &e);
    return 1;
}

static struct handle *check_file(lua_State *L)
{
    struct handle *h = check_handle(L, "file", true);
    if (!h->file)
        raise_format(L, "file is closed");
    return h;
}

static int file_read(lua_State *L)
{
    struct handle *h = check_file(L);
    lua_Integer n = luaL_checkinteger(L, 2);
    if (n < 0 || n > READ_MAX)
        return raise_format(L, "file: read: n must be 0 to 64 MiB (got %lld)", (long long)n);
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT(READ_MAX);
    int64_t deadline = handle_begin(L, h, "read", DEADLINE_NONE);
    int failed = guest_file_read(h->file, (size_t)n, &out, deadline, &e);
    if (!failed)
        lua_pushlstring(L, (const char *)buf_head(&out), out.len);
    buf_done(&out);
    handle_end(L, h, "read", failed ? &e : NULL);
    return 1;
}

static int file_read_all(lua_State *L)
{
    struct handle *h = check_file(L);
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT(GUEST_FILE_MAX);
    int64_t deadline = handle_begin(L, h, "read_all", DEADLINE_NONE);
    int failed = guest_file_read_all(h->file, &out, deadline, &e);
    if (!failed)
        lua_pushlstring(L, (const char *)buf_head(&out), out.len);
    buf_done(&out);
    handle_end(L, h, "read_all", failed ? &e : NULL);
    return 1;
}

static int file_write(lua_State *L)
{
    struct handle *h = check_file(L);
    size_t n, written = 0;
    const char *data = luaL_checklstring(L, 2, &n);
    struct err e = ERR_INIT;
    int64_t deadline = handle_begin(L, h, "write", DEADLINE_NONE);
    int failed = guest_file_write(h->file, data, n, &written, deadline, &e);
    handle_end(L, h, "write", failed ? &e : NULL);
    lua_pushinteger(L, (lua_Integer)written);
    return 1;
}

static int seek_to(lua_State *L, struct handle *h, const char *method, int64_t offset, int whence)
{
    uint64_t at = 0;
    struct err e = ERR_INIT;
    int64_t deadline = handle_begin(L, h, method, DEADLINE_NONE);
    int failed = guest_file_seek(h->file, offset, whence, &at, deadline, &e);
    handle_end(L, h, method, failed ? &e : NULL);
    lua_pushinteger(L, (lua_Integer)at);
    return 1;
}

static int file_seek(lua_State *L)
{
    static const char *const names[] = {"set", "cur", "end"};
    struct handle *h = check_file(L);
    const char *whence = luaL_optstring(L, 3, "set");
    for (int i = 0; i < 3; i++)
        if (!strcmp(whence, names[i]))
            return seek_to(L, h, "seek", luaL_checkinteger(L, 2), i);
    return raise_format(L, "seek: whence must be set/cur/end, got `%s`", whence);
}

static int file_tell(lua_State *L)
{
    return seek_to(L, check_file(L), "tell", 0, SEEK_CUR);
}

static int file_fd(lua_State *L)
{
    struct handle *h = check_handle(L, "file", false);
    int fd = 0;
    struct err e = ERR_INIT;
    if (!h->file) {
        lua_pushinteger(L, 0);
        return 1;
    }
    int64_t deadline = handle_begin(L, h, "fd", DEADLINE_NONE);
    int failed = guest_file_fd(h->file, &fd, deadline, &e);
    handle_end(L, h, "fd", failed ? &e : NULL);
    lua_pushinteger(L, fd);
    return 1;
}

static int file_tail_stream(lua_State *L)
{
    static const char *const keys[] = {"window", NULL};
    struct handle *h = check_file(L);
    check_options(L, 2, "tail_stream", keys);
    uint64_t window = option_window(L, 2, "tail_stream");
    struct err e = ERR_INIT;
    int64_t deadline = handle_begin(L, h, "tail_stream", DEADLINE_NONE);
    struct stream *stream = guest_file_stream(h->file, "file_tail_stream", h->label, window, deadline, &e);
    handle_end(L, h, "tail_stream", stream ? NULL : &e);
    push_stream(L, stream, h->o->label, 1);
    return 1;
}

static int file_close(lua_State *L)
{
    struct handle *h = check_handle(L, "file", false);
    struct err e = ERR_INIT;
    check_unused(L, "close");
    struct guest_file *file = h->file;
    h->file = NULL;
    if (!file)
        return 0;
    if (vm_state(h->o->vm) != VM_BOOTED || h->generation != vm_generation(h->o->vm)) {
        guest_file_free(file);
        return 0;
    }
    guest_file_close(file, deadline_after(NS_PER_S), &e);
    guest_file_free(file);
    err_clear(&e);
    return 0;
}

static int file_collect(lua_State *L)
{
    struct handle *h = lua_touserdata(L, 1);
    guest_file_free(h->file);
    free(h->label);
    *h = (struct handle){0};
    return 0;
}

static int file_tostring(lua_State *L)
{
    struct handle *h = check_handle(L, "file", false);
    lua_pushfstring(L, "%s of %s", h->label, h->o->label);
    return 1;
}

/* ------------------------------------------------------------------------------------------------- streams of the VM */

/* Where a tail begins. */
static void read_start(lua_State *L, int index, int64_t *ret_offset, bool *ret_from_end)
{
    *ret_offset = 0;
    *ret_from_end = true;
    if (!lua_istable(L, index) || lua_getfield(L, index, "start") == LUA_TNIL)
        return;
    if (lua_type(L, -1) == LUA_TNUMBER && isfinite(lua_tonumber(L, -1))) {
        lua_Number n = trunc(lua_tonumber(L, -1));
        *ret_from_end = n < 0;
        *ret_offset = (int64_t)n;
    } else if (lua_type(L, -1) == LUA_TSTRING && (!strcmp(lua_tostring(L, -1), "beginning") || !strcmp(lua_tostring(L, -1), "start"))) {
        *ret_from_end = false;
    } else if (lua_type(L, -1) != LUA_TSTRING || strcmp(lua_tostring(L, -1), "end")) {
        raise_format(L, "tail_file: start must be \"end\", \"beginning\" or a finite number");
    }
}

static int vm_tail_file(lua_State *L)
{
    static const char *const keys[] = {"start", "window", NULL};
    struct vm_object *o = check_vm(L);
    const char *path = check_path(L, 2, "tail_file");
    int64_t offset, deadline;
    bool from_end;
    check_options(L, 3, "tail_file", keys);
    read_start(L, 3, &offset, &from_end);
    uint64_t window = option_window(L, 3, "tail_file");
    lua_pushfstring(L, "tail_file \"%s\"", path);
    const char *call = lua_tostring(L, -1);
    struct err e = ERR_INIT;
    struct guest *guest = guest_call_begin(L, o, call, DEADLINE_NONE, &deadline);
    struct stream *stream = guest_tail(guest, path, offset, from_end, window, deadline, &e);
    guest_call_end(L, o, call, stream ? NULL : &e);
    push_stream(L, stream, o->label, 1);
    return 1;
}

static int vm_fd_stream(lua_State *L)
{
    static const char *const keys[] = {"window", NULL};
    struct vm_object *o = check_vm(L);
    struct handle *file = luaL_testudata(L, 2, "file");
    if (!lua_isinteger(L, 2) && (!file || !file->file))
        return raise_format(L, "fd_stream: expected an open file or a descriptor (got %s)", luaL_typename(L, 2));
    check_options(L, 3, "fd_stream", keys);
    uint64_t window = option_window(L, 3, "fd_stream");
    struct err e = ERR_INIT;
    int64_t deadline;
    struct guest *guest = guest_call_begin(L, o, "fd_stream", DEADLINE_NONE, &deadline);
    struct stream *stream = file ? guest_file_stream(file->file, "fd_stream", file->label, window, deadline, &e)
                                 : guest_fd_stream(guest, lua_tointeger(L, 2), window, deadline, &e);
    guest_call_end(L, o, "fd_stream", stream ? NULL : &e);
    push_stream(L, stream, o->label, file ? 2 : 1);
    return 1;
}

const luaL_Reg vm_stream_methods[] = {
    {"open_file", open_file_binding}, {"tail_file", vm_tail_file}, {"fd_stream", vm_fd_stream}, {NULL, NULL}};

void file_open(lua_State *L)
{
    static const luaL_Reg methods[] = {{"read", file_read},   {"read_all", file_read_all}, {"write", file_write},
                                       {"seek", file_seek},   {"tell", file_tell},         {"fd", file_fd},
                                       {"close", file_close}, {"tail_stream", file_tail_stream}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", file_collect}, {"__close", file_close}, {"__tostring", file_tostring},
                                    {NULL, NULL}};
    luaL_newmetatable(L, "file");
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
