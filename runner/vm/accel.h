/* Whether KVM really runs guests here (docs/accelerator.md). */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct accel_probe {
    const char *qemu; /* the binary: one part of the key under which the result is remembered */
    const char *scratch_root; /* where it is remembered; NULL: nowhere */
    bool fresh;               /* look, even when it is known (--accel kvm) */
    const char *device;       /* NULL: /dev/kvm */
};

/* 0 when KVM is usable, else -1 with the reason, and what to do about it as the hint. What costs
 * nothing to find out (the device, its permissions, the API) is looked at each time; only the
 * outcome of running a guest is remembered, for this boot of the host and this QEMU. At worst takes
 * a few seconds. Call it outside of the sandbox, where the device's group has its name. */
int accel_probe_kvm(const struct accel_probe *probe, struct err *e);
