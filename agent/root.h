/* The guest's root directory. After a switch_root, pid 1 lives in another root than the agent that it started. */
#pragma once

#include "agent.h"

/* Remembers /proc; to be called while it is mounted there. */
int root_init(void);
/* The descriptor that this takes, and moving it to `least` or above. */
int root_fd(void);
void root_raise_fd(int least);
/* Makes pid 1's root directory this process's, if it changed since the last time. */
void root_follow(struct agent *a);
/* Opens a file of /proc, wherever that is mounted now. */
int proc_open(const char *path, int flags);
