#pragma once

#include "call.h"

/* Operation reseed: the body goes into the kernel's random pool, as entropy, and takes effect at once. */
void random_reseed(struct call *call);
