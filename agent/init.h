/* What the agent does as the first process of a guest. */
#pragma once

#include <stdbool.h>

/* Mounts the pseudo file systems, puts the boot's files in place, and starts the guest's own /init, as pid 1.
 * Returns true in pid 1 when there is no /init, false in the child that is to serve next to it. */
bool init_run(char **argv);
