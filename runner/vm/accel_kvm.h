/* A virtual machine that runs a fixed program, in a child process with a time limit. Internal to
 * accel.c. */
#pragma once

#include "base/err.h"

/* `device` is an open /dev/kvm. 0 when the program ran to its end with the right result within the
 * limit. */
int kvm_trial_run(int device, struct err *e);
