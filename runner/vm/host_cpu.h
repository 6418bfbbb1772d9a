/* Which CPU this host has, as far as a guest under KVM could notice. */
#pragma once

/* "<model name> (<hash of what it can do>)"; malloc'ed. */
char *host_cpu_identity(void);
