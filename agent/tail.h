#pragma once

#include "call.h"

/* Operations tail and fd_stream: calls that last as long as the stream; all in `run`. */
void tail_path(struct call *call);
void tail_descriptor(struct call *call);
