#include "guest/system.h"

#include "guest/call.h"

int guest_reseed(struct guest *g, const void *seed, size_t n, int64_t deadline, struct err *e)
{
    struct guest_call_request request = {.data = seed, .len = n};
    _cleanup_(guest_call_freep) struct guest_call *call = guest_call_start(g, OPERATION_reseed, &request, "reseed");
    return guest_call_await(call, deadline, NULL, e);
}

static int quiesce(struct guest *g, bool end, int64_t deadline, struct err *e)
{
    struct args_quiesce args = {.end = end};
    return guest_call_simple(g, OPERATION_quiesce, &args, NULL, deadline, e, "quiesce");
}

int guest_quiesce(struct guest *g, int64_t deadline, struct err *e)
{
    return quiesce(g, false, deadline, e);
}

int guest_unquiesce(struct guest *g, int64_t deadline, struct err *e)
{
    return quiesce(g, true, deadline, e);
}

int guest_poweroff(struct guest *g, bool reboot, int64_t deadline, struct err *e)
{
    struct args_poweroff args = {.reboot = reboot};
    return guest_call_simple(g, OPERATION_poweroff, &args, NULL, deadline, e, "poweroff");
}
