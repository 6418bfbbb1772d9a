/* The standard library of a test file: Lua's own, but for what would end or unsettle the process (os.exit,
 * debug.sethook), what blocks (io.popen, os.execute: children in groups of their own, killed at the deadline), what
 * shortens chunk names (error, pcall, xpcall) and print (one atomic write per call).
 *
 * Lua's message for a run-time error begins with luaO_chunkid's text, at most 59 bytes. The message handler knows
 * the frame that raised it and puts the whole name back. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lualib.h>

#include "base/io.h"
#include "base/process.h"
#include "script/argument.h"
#include "script/script.h"

static int refuse_exit(lua_State *L)
{
    return raise_format(L, "os.exit is not available in a test file; raise an error or use t:fail");
}

static int refuse_sethook(lua_State *L)
{
    return raise_format(L, "debug.sethook is not available: the hook is reserved for deadlines");
}

static int print(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_addchar(&b, '\n');
    luaL_pushresult(&b);
    size_t size;
    const char *text = lua_tolstring(L, -1, &size);
    if (write_full(STDOUT_FILENO, text, size) < 0)
        return raise_format(L, "print: %s", strerror(errno));
    return 0;
}

/* ------------------------------------------------------------------------------------------------ errors */

/* error(message, level) with the whole chunk name. */
static int error_with_name(lua_State *L)
{
    int level = (int)luaL_optinteger(L, 2, 1);
    lua_Debug ar;
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING && level > 0 && lua_getstack(L, level, &ar)) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            lua_pushfstring(L, "%s:%d: ", chunk_name(&ar), ar.currentline);
            lua_pushvalue(L, 1);
            lua_concat(L, 2);
        }
    }
    return lua_error(L);
}

/* Message handler of pcall. */
static int restore_name(lua_State *L)
{
    push_whole_message(L, 1, 1);
    return 1;
}

static int finish_pcall(lua_State *L, int status, lua_KContext extra)
{
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_pushboolean(L, 0);
        lua_pushvalue(L, -2);
        return 2;
    }
    return lua_gettop(L) - (int)extra;
}

static int pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushcfunction(L, restore_name);
    lua_insert(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 2); /* handler, true, function, arguments */
    int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 1, 1, finish_pcall);
    return finish_pcall(L, status, 1);
}

/* ------------------------------------------------------------------------------------------------ children */

/* In the child of the runner: leads a process group of its own; has `fds` as 0, 1 and 2 where not -1. */
static pid_t spawn_shell(const char *command, const int fds[3])
{
    pid_t pid = process_fork();
    if (pid) {
        if (pid > 0)
            setpgid(pid, pid);
        return pid;
    }
    setpgid(0, 0);
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0 && dup2(fds[i], i) < 0)
            _exit(127);
    process_keep_fds(NULL, 0);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static int wait_child(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static int push_status(lua_State *L, int status)
{
    if (status < 0)
        return luaL_fileresult(L, 0, NULL);
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        lua_pushboolean(L, 1);
    else
        luaL_pushfail(L);
    lua_pushstring(L, WIFSIGNALED(status) ? "signal" : "exit");
    lua_pushinteger(L, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 3;
}

struct waiting {
    int status;
    bool done;
};

static void on_child(struct source *s, pid_t pid, int status, void *arg)
{
    struct waiting *w = arg;
    (void)s, (void)pid;
    w->status = status;
    w->done = true;
}

static int execute(lua_State *L)
{
    struct script *s = script_of(L);
    const char *command = luaL_optstring(L, 1, NULL);
    if (!command) {
        lua_pushboolean(L, access("/bin/sh", X_OK) == 0);
        return 1;
    }
    int64_t deadline = deadline_enter(L, &s->deadline, "os.execute", DEADLINE_NONE);
    pid_t pid = spawn_shell(command, (int[]){-1, -1, -1});
    if (pid < 0)
        return luaL_fileresult(L, 0, NULL);
    struct waiting w = {0};
    struct source *source = loop_add_child(s->loop, pid, on_child, &w);
    bool failed = loop_wait(s->loop, &w.done, deadline) < 0;
    if (failed) {
        source_remove(source);
        kill(-pid, SIGKILL);
        wait_child(pid);
    }
    deadline_leave(L, &s->deadline, failed);
    return failed ? raise_format(L, "os.execute: interrupted") : push_status(L, w.status);
}

/* A luaL_Stream that remembers its child; io's metatable serves it, since the stream comes first. */
struct child_stream {
    luaL_Stream stream;
    pid_t pid;
};

static int close_child(lua_State *L)
{
    struct child_stream *c = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    fclose(c->stream.f);
    int status = wait_child(c->pid);
    deadline_unguard_group(c->pid);
    return push_status(L, status);
}

static int popen_guarded(lua_State *L)
{
    const char *command = luaL_checkstring(L, 1);
    const char *mode = luaL_optstring(L, 2, "r");
    luaL_argcheck(L, !strcmp(mode, "r") || !strcmp(mode, "w"), 2, "invalid mode");
    struct child_stream *c = lua_newuserdatauv(L, sizeof(*c), 0);
    *c = (struct child_stream){0};
    luaL_setmetatable(L, LUA_FILEHANDLE);
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return luaL_fileresult(L, 0, command);
    bool reading = *mode == 'r';
    int mine = pipe_fds[reading ? 0 : 1], theirs = pipe_fds[reading ? 1 : 0];
    c->pid = spawn_shell(command, (int[]){reading ? -1 : theirs, reading ? theirs : -1, -1});
    close(theirs);
    c->stream.f = c->pid > 0 ? fdopen(mine, mode) : NULL;
    if (!c->stream.f) {
        close(mine);
        return luaL_fileresult(L, 0, command);
    }
    c->stream.closef = close_child;
    deadline_guard_group(c->pid);
    return 1;
}

void stdlib_open(lua_State *L)
{
    luaL_openlibs(L);
    static const struct {
        const char *library, *name;
        lua_CFunction function;
    } replaced[] = {
        {LUA_GNAME, "print", print},          {LUA_GNAME, "error", error_with_name},
        {LUA_GNAME, "pcall", pcall},          {LUA_OSLIBNAME, "exit", refuse_exit},
        {LUA_OSLIBNAME, "execute", execute},  {LUA_IOLIBNAME, "popen", popen_guarded},
        {LUA_DBLIBNAME, "sethook", refuse_sethook},
    };
    for (size_t i = 0; i < ARRAY_SIZE(replaced); i++) {
        lua_getglobal(L, replaced[i].library);
        lua_pushcfunction(L, replaced[i].function);
        lua_setfield(L, -2, replaced[i].name);
        lua_pop(L, 1);
    }
    lua_getglobal(L, LUA_COLIBNAME);
    lua_setglobal(L, "co");
}
