#include "script/repl.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "script/library.h"

static void on_interrupt(int signal_number)
{
    (void)signal_number; /* only the line that is being typed ends */
}

static void on_terminate(int signal_number)
{
    _exit(128 + signal_number); /* the kernel ends the guests */
}

/* Between two calls nothing has to be interrupted. */
static void wait_for_input(void)
{
    const struct sigaction interrupt = {.sa_handler = on_interrupt}, terminate = {.sa_handler = on_terminate};
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &terminate, NULL);
}

static int open_source(lua_State *L)
{
    library_push(L, script_of(L)->settings->library, "repl");
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.framework");
    lua_call(L, 1, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "provium.repl");
    return 0;
}

void repl_open(struct script *s)
{
    lua_pushcfunction(s->L, open_source);
    if (lua_pcall(s->L, 0, 0, 0) != LUA_OK)
        lua_pop(s->L, 1);
    deadline_hook(s->L);
    wait_for_input();
}

/* Calls a function of lua/repl.lua with one string; leaves two results, or an error message after "failed". */
static void call(lua_State *L, const char *function, const char *text)
{
    lua_settop(L, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, "provium.repl");
    lua_getfield(L, -1, function);
    lua_remove(L, -2);
    lua_pushstring(L, text);
    if (lua_pcall(L, 1, 2, 0) == LUA_OK)
        return;
    lua_pushstring(L, "failed");
    lua_insert(L, -2);
}

enum repl_status repl_eval(struct script *s, const char *text, struct err *e)
{
    lua_State *L = s->L;
    deadline_start_file(&s->deadline, 0);
    deadline_catch(SIGINT);
    deadline_catch(SIGTERM);
    call(L, "eval", text);
    wait_for_input();
    deadline_rearm(L, &s->deadline);
    const char *status = lua_tostring(L, 1), *message = lua_tostring(L, 2);
    enum repl_status result = !status || !strcmp(status, "failed") ? REPL_FAILED
                              : !strcmp(status, "more")            ? REPL_MORE
                                                                   : REPL_DONE;
    if (result == REPL_FAILED)
        err_set(e, 0, "%s", message ? message : "(no message)");
    lua_settop(L, 0);
    return result;
}

void repl_complete(struct script *s, const char *word, struct strv *out)
{
    lua_State *L = s->L;
    call(L, "complete", word);
    if (lua_istable(L, 1))
        for (lua_Integer i = 1; lua_rawgeti(L, 1, i) == LUA_TSTRING; i++) {
            strv_add(out, lua_tostring(L, -1));
            lua_pop(L, 1);
        }
    lua_settop(L, 0);
}
