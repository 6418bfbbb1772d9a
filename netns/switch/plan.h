/* What a guest's agent has to configure: pure rules over members, routes and uplinks. */
#pragma once

#include <stdint.h>

#include "switch/switch.h"

void plan_make(const struct netswitch *s, uint32_t vm, struct guest_plan *ret);
void guest_plan_done(struct guest_plan *plan);
