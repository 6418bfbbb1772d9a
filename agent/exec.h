#pragma once

#include "call.h"

/* Operation exec. */
void exec_begin(struct call *call);
void exec_body(struct call *call);
void exec_cancel(struct call *call);
void exec_credit(struct call *call, unsigned stream, uint64_t n);
/* Operations signal and release. */
void exec_signal(struct call *call);
void exec_release(struct call *call);
