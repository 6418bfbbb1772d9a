#pragma once

#include "wire/bytes.h"

/* Puts `seed` into the kernel's random pool, as entropy that takes effect at once. 0, or -1 with errno. */
int random_add(struct bytes seed);
