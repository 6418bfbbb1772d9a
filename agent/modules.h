/* Kernel modules, without any program of the guest where possible. */
#pragma once

/* Loads a module and what it depends on; one that is there already is fine. 0, or -1 when it cannot be had. */
int modules_load(const char *name);
