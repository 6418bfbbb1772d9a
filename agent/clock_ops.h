#pragma once

#include "call.h"

/* Operations on the guest's clocks. */
void clock_op_get(struct call *call);
void clock_op_set(struct call *call);
void clock_op_advance(struct call *call);
void clock_op_sleep(struct call *call);
/* Sets CLOCK_REALTIME; 0, or -1 with errno. */
int clock_change(int64_t ns);
