/* What a new process of the guest becomes between fork and exec. */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "wire/operation.h"

struct spawn {
    char **argv, **envp, **groups; /* NULL-terminated */
    size_t groupc;
    const char *cwd, *user, *group; /* NULL: the caller's */
    bool set_groups;
    mode_t umask;
    int fds[3];   /* become 0, 1 and 2 */
    int error_fd; /* close-on-exec: takes a struct spawn_error when the program cannot be started */
    void *memory; /* what the strings are in */
};

struct spawn_error {
    int code;
    char detail[252]; /* what it was about, or empty */
};

/* Takes argument, environment and group strings apart; owns `body`. -1: malformed. */
int spawn_parse(struct spawn *s, const struct args_exec *args, uint8_t *body, size_t len);
void spawn_done(struct spawn *s);

/* Remembers the limits that children are to have, and raises the agent's own. */
void spawn_init(void);
/* In the child: own session, default signals, the caller's wishes, exec. */
void spawn_child(const struct spawn *s) __attribute__((noreturn));
/* In any child of the agent that goes on running: no protection from the OOM killer, the limits of a child. */
void spawn_ordinary(void);
