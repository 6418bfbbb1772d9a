/* The two clocks of a test file: the running test's deadline and the file's. Both are enforced in three ways:
 * blocking calls wait no longer, a count hook stops endless Lua code, and a process that is deaf to both (a C
 * library call that never returns) is killed by a timer signal 10 s later. Waiting for the pool stops the clocks. SIGTERM
 * is the end of the file's time too, told as "interrupted". */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"

struct deadline {
    const char *path;         /* of the test file */
    char test_name[128];      /* empty: none runs */
    int64_t test, file;       /* absolute; DEADLINE_NONE: none */
    int64_t test_limit, file_limit; /* as asked, ns, for messages */
    int64_t test_start, nag_at;
    int64_t waited;           /* sum of what deadline_shift was told */
    int64_t suspended;        /* since when; 0: it is not */
    bool nag;                 /* print "still running" lines */
    bool interrupted;         /* by SIGTERM */
    bool expired;             /* a deadline was raised since the last deadline_start_test */
    char file_message[512];   /* how the file's limit was hit; empty: it was not */
    char message[512];        /* what was raised first since the last deadline_start_test */
    lua_State *blocked; /* the thread of the blocking call in progress; NULL: none */
    char call[256], where[256]; /* the blocking call in progress and its position; empty: Lua code */
    struct loop *loop;
    struct deadline *outer;   /* of the script that waits for this one, or NULL */
    struct source *nag_timer;
    void (*on_nag)(const char *line, void *arg); /* the first line of each test */
    void *on_nag_arg;
};

void deadline_init(struct deadline *d, struct loop *loop, const char *path, bool nag);
void deadline_done(struct deadline *d);

/* Arms the file's limit; 0 means none. */
void deadline_start_file(struct deadline *d, int64_t limit_ns);
/* A test's body, or its hooks, begin: arms the limit (0: none). `test_name` is shown by "still running". */
void deadline_start_test(struct deadline *d, const char *test_name, int64_t limit_ns);
void deadline_stop_test(lua_State *L, struct deadline *d);
/* Moves both by a wait that does not count. */
void deadline_shift(struct deadline *d, int64_t ns);

/* Between the two nothing ends this file. Then the test's limit moves by the whole time and the file's by `waited`, or also
 * by the whole time when that is negative. */
void deadline_suspend(struct deadline *d);
void deadline_resume(struct deadline *d, int64_t waited);

/* When the file's limit was hit in another Lua state that worked for this one, it was hit here. */
void deadline_inherit(struct deadline *d, const struct deadline *from);
/* `signal_number` interrupts as SIGTERM does. */
void deadline_catch(int signal_number);
/* Behind an interrupt that has ended one call: the next one may run. */
void deadline_rearm(lua_State *L, struct deadline *d);

/* Raises if a deadline has passed and no call has raised that yet. */
void deadline_check(lua_State *L, struct deadline *d, const char *call, const char *where);
/* Has one passed? */
bool deadline_is_over(const struct deadline *d);
/* A blocking call begins: names it (`vm "a": run "x"`). Raises when a deadline is over already. Returns the
 * absolute deadline that the call must keep: the earliest of the armed ones and `own`. */
int64_t deadline_enter(lua_State *L, struct deadline *d, const char *call, int64_t own);
/* It ended. Raises when a deadline passed meanwhile and `failed`. Anything that needs releasing is released
 * before. */
void deadline_leave(lua_State *L, struct deadline *d, bool failed);

/* Installs the count hook; threads (coroutines) made afterwards inherit it. Needs script_of(L). */
void deadline_hook(lua_State *L);
/* A process group that is killed when a deadline passes, so that a blocked read of its pipe ends. */
void deadline_guard_group(int pgid);
void deadline_unguard_group(int pgid);
