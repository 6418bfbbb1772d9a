#include "clock_ops.h"

#include <errno.h>
#include <time.h>

static struct timespec from_ns(int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    if (ts.tv_nsec < 0) {
        ts.tv_sec--;
        ts.tv_nsec += NS_PER_S;
    }
    return ts;
}

void clock_op_get(struct call *call)
{
    struct args_ns value = {.ns = clock_realtime_ns()};
    call_value(call, &value);
}

int clock_change(int64_t ns)
{
    struct timespec ts = from_ns(ns);
    return clock_settime(CLOCK_REALTIME, &ts);
}

static void set(struct call *call, int64_t ns)
{
    if (clock_change(ns) < 0)
        call_fail(call, errno);
}

void clock_op_set(struct call *call)
{
    set(call, ((const struct args_ns *)call_args(call))->ns);
}

void clock_op_advance(struct call *call)
{
    int64_t ns;
    if (__builtin_add_overflow(clock_realtime_ns(), ((const struct args_ns *)call_args(call))->ns, &ns))
        call_fail(call, ERANGE);
    else
        set(call, ns);
}

void clock_op_sleep(struct call *call)
{
    struct timespec until = from_ns(deadline_after(((const struct args_ns *)call_args(call))->ns));
    int code;
    do
        code = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    while (call_retry(call, code));
    if (code)
        call_fail(call, call->cancelled ? ECANCELED : code);
}
