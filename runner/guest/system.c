#include "guest/system.h"

#include "guest/call.h"

int guest_settle(struct guest *g, int64_t deadline, struct err *e)
{
    return guest_call_simple(g, OPERATION_settle, NULL, NULL, deadline, e, "settle");
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
