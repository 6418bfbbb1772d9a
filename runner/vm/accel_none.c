/* In place of accel.c on hosts for which there is no trial program. */
#include "vm/accel.h"

#include <errno.h>

int accel_probe_kvm(const struct accel_probe *probe, struct err *e)
{
    (void)probe;
    return err_set(e, ENOTSUP, "KVM is only tried on x86_64 hosts");
}
