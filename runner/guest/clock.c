#include "guest/clock.h"

#include "guest/call.h"

int guest_clock_get(struct guest *g, int64_t *ret_ns, int64_t deadline, struct err *e)
{
    struct args_ns value;
    if (guest_call_simple(g, OPERATION_clock_get, NULL, &value, deadline, e, "clock: get") < 0)
        return -1;
    *ret_ns = value.ns;
    return 0;
}

static int with_ns(struct guest *g, enum operation op, const char *label, int64_t ns, int64_t deadline,
                   struct err *e)
{
    struct args_ns args = {.ns = ns};
    return guest_call_simple(g, op, &args, NULL, deadline, e, "clock: %s", label);
}

int guest_clock_set(struct guest *g, int64_t ns, int64_t deadline, struct err *e)
{
    return with_ns(g, OPERATION_clock_set, "set", ns, deadline, e);
}

int guest_clock_advance(struct guest *g, int64_t ns, int64_t deadline, struct err *e)
{
    return with_ns(g, OPERATION_clock_advance, "advance", ns, deadline, e);
}

int guest_clock_sleep(struct guest *g, int64_t ns, int64_t deadline, struct err *e)
{
    return with_ns(g, OPERATION_clock_sleep, "sleep", ns, deadline, e);
}
