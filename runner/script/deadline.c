#include "script/deadline.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "script/argument.h"
#include "script/barrier.h"
#include "script/script.h"

#define HOOK_INSTRUCTIONS 10000
#define GRACE_NS          (10 * NS_PER_S)
#define FIRST_NAG_NS      (60 * NS_PER_S)
#define NAG_MIN_NS        NS_PER_S
#define GROUPS_MAX        64

#define INTERRUPT_NS      (20 * NS_PER_MS)

/* Read by the signal handlers. */
static volatile sig_atomic_t alarm_stage;
static struct deadline *innermost;
static volatile sig_atomic_t guarded[GROUPS_MAX];

static void arm_alarm(int64_t ns)
{
    struct itimerval timer = {.it_value = {.tv_sec = ns / NS_PER_S, .tv_usec = ns % NS_PER_S / 1000}};
    if (ns > 0 && ns < NS_PER_MS)
        timer.it_value.tv_usec = 1000;
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* First at the deadline: frees a read that waits for a child. Then, GRACE_NS later, the process itself: only C code
 * that never returns gets here. Async-signal-safe. */
static void on_alarm(int signal_number)
{
    static const char message[] = "provium: a call did not return within 10s past its deadline; ending the file\n";
    (void)signal_number;
    for (int i = 0; i < GROUPS_MAX; i++)
        if (guarded[i])
            kill(-guarded[i], SIGKILL);
    if (!alarm_stage++) {
        arm_alarm(GRACE_NS);
        return;
    }
    if (write(STDERR_FILENO, message, sizeof(message) - 1) >= 0 || alarm_stage)
        kill(getpid(), SIGKILL);
}

/* The file's time is over now: whoever waits wakes, and what runs raises. The alarm comes soon, for a wait that was just
 * beginning and for reads from children. Async-signal-safe. */
static void on_terminate(int signal_number)
{
    (void)signal_number;
    if (innermost->interrupted)
        return;
    for (struct deadline *d = innermost; d; d = d->outer) {
        d->interrupted = true;
        d->file = 0;
        memcpy(d->file_message, "interrupted", sizeof("interrupted"));
        loop_interrupt(d->loop);
    }
    alarm_stage = 0;
    arm_alarm(INTERRUPT_NS);
}

void deadline_guard_group(int pgid)
{
    for (int i = 0; i < GROUPS_MAX; i++) {
        if (!guarded[i]) {
            guarded[i] = pgid;
            return;
        }
    }
}

void deadline_unguard_group(int pgid)
{
    for (int i = 0; i < GROUPS_MAX; i++)
        if (guarded[i] == pgid)
            guarded[i] = 0;
}

static int64_t earliest(const struct deadline *d)
{
    return d->test < d->file ? d->test : d->file;
}

bool deadline_is_over(const struct deadline *d)
{
    return earliest(d) <= clock_monotonic_ns();
}

static void rearm(const struct deadline *d)
{
    int64_t next = earliest(d);
    alarm_stage = 0;
    if (next == DEADLINE_NONE) {
        arm_alarm(0);
        return;
    }
    int64_t left = next - clock_monotonic_ns();
    arm_alarm(left > 0 ? left : 1);
}

static int64_t first_nag(const struct deadline *d)
{
    int64_t after = d->test_limit ? d->test_limit / 2 : FIRST_NAG_NS;
    return d->test_start + (after > NAG_MIN_NS ? after : NAG_MIN_NS);
}

static void print_nag(struct deadline *d, const char *call, const char *where)
{
    int64_t elapsed = clock_monotonic_ns() - d->test_start;
    char line[1024];
    int n = snprintf(line, sizeof(line) - 1, "still running after %lds: %s \"%s\" in %s (%s)",
                     (long)(elapsed / NS_PER_S), d->path, d->test_name, call, where);
    if (n >= (int)sizeof(line) - 1)
        n = sizeof(line) - 2;
    bool first = d->on_nag && d->nag_at <= first_nag(d);
    if (first)
        d->on_nag(line, d->on_nag_arg);
    d->nag_at = d->test_start + 2 * elapsed;
    source_set_deadline(d->nag_timer, d->nag_at);
    line[n] = '\n';
    if (d->nag && write(STDERR_FILENO, line, (size_t)n + 1) < 0)
        d->nag = false;
}

static void on_nag_timer(struct source *s, void *arg)
{
    struct deadline *d = arg;
    (void)s;
    if (*d->test_name && *d->call)
        print_nag(d, d->call, d->where);
}

void deadline_init(struct deadline *d, struct loop *loop, const char *path, bool nag)
{
    *d = (struct deadline){.path = path, .test = DEADLINE_NONE, .file = DEADLINE_NONE, .nag = nag,
                           .nag_at = DEADLINE_NONE, .loop = loop, .outer = innermost};
    d->nag_timer = loop_add_timer(loop, DEADLINE_NONE, on_nag_timer, d);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    innermost = d;
    sigaction(SIGALRM, &action, NULL);
    deadline_catch(SIGTERM);
}

void deadline_catch(int signal_number)
{
    struct sigaction action = {.sa_handler = on_terminate};
    sigaction(signal_number, &action, NULL);
}

void deadline_rearm(lua_State *L, struct deadline *d)
{
    d->file = DEADLINE_NONE;
    d->interrupted = d->expired = false;
    d->message[0] = d->file_message[0] = d->call[0] = '\0';
    deadline_hook(L);
    rearm(d);
}

void deadline_done(struct deadline *d)
{
    if (!d->outer)
        signal(SIGTERM, SIG_IGN); /* nothing is left to interrupt */
    innermost = d->outer;
    arm_alarm(0);
    source_remove(d->nag_timer);
    d->nag_timer = NULL;
}

void deadline_start_file(struct deadline *d, int64_t limit_ns)
{
    d->file_limit = limit_ns;
    d->file = !limit_ns ? DEADLINE_NONE : d->interrupted ? 0 : deadline_after(limit_ns);
    rearm(d);
}

void deadline_start_test(struct deadline *d, const char *test_name, int64_t limit_ns)
{
    snprintf(d->test_name, sizeof(d->test_name), "%s", test_name);
    d->expired = false;
    d->message[0] = '\0';
    d->test_limit = limit_ns;
    d->test = limit_ns ? deadline_after(limit_ns) : DEADLINE_NONE;
    d->test_start = clock_monotonic_ns();
    d->nag_at = first_nag(d);
    source_set_deadline(d->nag_timer, d->nag_at);
    rearm(d);
}

void deadline_stop_test(lua_State *L, struct deadline *d)
{
    deadline_hook(L);
    d->test_name[0] = '\0';
    d->test = DEADLINE_NONE;
    if (*d->file_message)
        d->file = DEADLINE_NONE; /* told; what follows only cleans up, under limits of its own */
    d->nag_at = DEADLINE_NONE;
    source_set_deadline(d->nag_timer, DEADLINE_NONE);
    rearm(d);
}

static int64_t shifted(int64_t deadline, int64_t ns)
{
    return deadline == DEADLINE_NONE ? deadline : deadline + ns;
}

static void shift_test(struct deadline *d, int64_t ns)
{
    d->test = shifted(d->test, ns);
    d->nag_at = shifted(d->nag_at, ns);
    d->test_start += ns;
}

void deadline_shift(struct deadline *d, int64_t ns)
{
    shift_test(d, ns);
    d->file = shifted(d->file, ns);
    d->waited += ns;
    source_set_deadline(d->nag_timer, d->nag_at);
    rearm(d);
}

void deadline_suspend(struct deadline *d)
{
    d->suspended = clock_monotonic_ns();
    source_set_deadline(d->nag_timer, DEADLINE_NONE);
    arm_alarm(0);
}

void deadline_resume(struct deadline *d, int64_t waited)
{
    int64_t elapsed = clock_monotonic_ns() - d->suspended;
    d->suspended = 0;
    waited = waited < 0 ? elapsed : waited;
    shift_test(d, elapsed - waited);
    deadline_shift(d, waited);
}

static void hook(lua_State *L, lua_Debug *ar);

/* Raises for whichever deadline has passed. */
static void raise_over(lua_State *L, struct deadline *d, const char *call, const char *where)
{
    int64_t now = clock_monotonic_ns();
    bool file = d->file <= now;
    char text[512];
    char what[64] = "interrupted";
    if (!file || !d->interrupted)
        snprintf(what, sizeof(what), "%s %gs", file ? "file timed out after" : "timed out after",
                 (double)(file ? d->file_limit : d->test_limit) / 1e9);
    snprintf(text, sizeof(text), "%s in %s%s%s%s", what, *call ? call : "Lua code at ", *call && *where ? " (" : "", where,
             *call && *where ? ")" : "");
    if (!d->expired)
        memcpy(d->message, text, sizeof(text));
    if (file && !*d->file_message)
        memcpy(d->file_message, text, sizeof(text));
    if (!d->expired) { /* it listens: from now on the grace counts */
        arm_alarm(GRACE_NS);
        alarm_stage = 1; /* not before: the alarm of the deadline itself may be on its way */
    }
    d->expired = true;
    d->call[0] = '\0';
    lua_sethook(L, hook, LUA_MASKCOUNT, 1); /* code that catches this does not get far */
    lua_pushstring(L, text);
    lua_error(L);
}

static void position(lua_State *L, char *out, size_t n)
{
    push_position(L, 1);
    snprintf(out, n, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    size_t size = strlen(out);
    if (size >= 2)
        out[size - 2] = '\0';
}

void deadline_inherit(struct deadline *d, const struct deadline *from)
{
    if (!*from->file_message)
        return;
    memcpy(d->file_message, from->file_message, sizeof(d->file_message));
    memcpy(d->message, from->file_message, sizeof(d->message));
    d->expired = true;
}

int64_t deadline_enter(lua_State *L, struct deadline *d, const char *call, int64_t own)
{
    char where[256];
    barrier_serve(L);
    position(L, where, sizeof(where));
    if (deadline_is_over(d))
        raise_over(L, d, call, where);
    d->blocked = L;
    memcpy(d->where, where, sizeof(where));
    snprintf(d->call, sizeof(d->call), "%s", call);
    return own < earliest(d) ? own : earliest(d);
}

void deadline_leave(lua_State *L, struct deadline *d, bool failed)
{
    char call[256];
    memcpy(call, d->call, sizeof(call));
    d->call[0] = '\0';
    d->blocked = NULL;
    if (failed && deadline_is_over(d))
        raise_over(L, d, call, d->where);
}

void deadline_check(lua_State *L, struct deadline *d, const char *call, const char *where)
{
    if (!d->expired && deadline_is_over(d))
        raise_over(L, d, call, where);
}

static void hook(lua_State *L, lua_Debug *ar)
{
    struct deadline *d = &script_of(L)->deadline;
    int64_t now = clock_monotonic_ns();
    bool over = earliest(d) <= now;
    if (!over && now < d->nag_at)
        return;
    char where[256];
    lua_getinfo(L, "Sl", ar);
    if (is_framework(ar))
        return;
    snprintf(where, sizeof(where), "%s:%d", chunk_name(ar), ar->currentline);
    if (over)
        raise_over(L, d, "", where);
    if (*d->test_name)
        print_nag(d, "Lua code", where);
}

void deadline_hook(lua_State *L)
{
    lua_sethook(L, hook, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
}
