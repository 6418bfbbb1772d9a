/* The commands. Each is a file, cli/verb_<name>.c. */
#pragma once

#include <stddef.h>

#include "cli/options.h"

#define EXIT_TESTS_FAILED 1
#define EXIT_USAGE        2

#define VERB_RUN        (1u << 0)
#define VERB_LIST       (1u << 1)
#define VERB_DOCTOR     (1u << 2)
#define VERB_PREPARE    (1u << 3)
#define VERB_MERGE      (1u << 4)
#define VERB_LSP        (1u << 5)
#define VERB_INIT       (1u << 6)
#define VERB_COMPLETION (1u << 7)
#define VERB_MAN        (1u << 8)
#define VERB_REPL       (1u << 9)
#define VERB_CONSOLE    (1u << 10)
#define VERB_FIXTURE    (1u << 11)
#define VERB_ALL        (~0u)

struct verb {
    const char *name;     /* NULL: the run of tests, which has no name */
    unsigned bit;         /* its VERB_* */
    const char *operands; /* in the help: "[PATH...]" */
    int operand_max;      /* -1: any number */
    const char *summary;
    int (*run)(const struct options *options); /* returns the exit code */
};

/* Instead of the verb, in a worker: `link_fd` is the value of WORKER_FD_VARIABLE. */
int verb_worker(const struct options *options, const char *link_fd);

extern const struct verb verbs[];
extern const size_t verb_count;
const struct verb *verb_find(const char *name);

int verb_run(const struct options *options);
int verb_list(const struct options *options);
int verb_lsp_setup(const struct options *options);
int verb_doctor(const struct options *options);
int verb_merge(const struct options *options);
int verb_prepare(const struct options *options);
int verb_init(const struct options *options);
int verb_completion(const struct options *options);
int verb_man(const struct options *options);
int verb_fixture(const struct options *options);
int verb_repl(const struct options *options);
int verb_console(const struct options *options);
