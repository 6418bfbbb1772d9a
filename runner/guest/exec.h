/* Commands in the guest, from start to end. */
#pragma once

#include "guest/guest.h"

struct guest_command {
    const char *name;         /* how errors call it; NULL: argv[0] */
    const char *const *argv;  /* NULL-terminated; searched in PATH of the child's environment */
    const char *const *env;   /* NULL-terminated, may be NULL: `NAME=value` sets, `NAME` removes */
    bool env_clear;           /* only `env` */
    const char *cwd;          /* NULL: / */
    const char *user, *group; /* names or numbers; NULL: root */
    const char *const *groups; /* NULL-terminated; NULL: those of the user */
    unsigned umask;
    const void *input; /* standard input; then its end */
    size_t input_len;
    int64_t timeout_ns;  /* of the guest's time; 0: none */
    uint64_t max_output; /* per stream */
};

#define GUEST_COMMAND_INIT ((struct guest_command){.umask = 022, .max_output = GUEST_OUTPUT_DEFAULT})

enum guest_status { GUEST_EXITED, GUEST_SIGNALLED, GUEST_TIMED_OUT };

struct guest_result {
    enum guest_status status;
    int exit_code; /* -1: signalled, -2: timed out */
    int signal;    /* 0: none */
    bool truncated;
    struct buf out, err;
};

void guest_result_done(struct guest_result *r);

/* Runs the command and returns when it has exited and both outputs ended, or 200 ms after the exit. Its end by a
 * signal or its timeout is a result; that it cannot be started is an error. On any error its process group is
 * killed. */
int guest_run(struct guest *g, const struct guest_command *command, struct guest_result *ret,
              int64_t deadline, struct err *e);
