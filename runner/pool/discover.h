/* Finding test files (docs/cli.md, "Paths"). */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/strv.h"

struct test_file {
    char *path; /* as shown to the user and opened: the operand or root and what follows */
    const char *relative; /* part of `path` below its test root */
};

struct discovery {
    struct test_file
        *files; /* operands in the order given, the files of a directory sorted bytewise */
    size_t count;
    struct strv roots;    /* directories for require() and fixtures, in order */
    struct strv warnings; /* one phrase each */
};

/* Files ending in `suffix` (".test.lua") below the directories among `operands`, and the files
 * among them whatever their name; without operands below `roots`, without those below the current
 * directory. Hidden directories and links to directories are not entered. A file that is reached
 * twice counts once. An operand that does not exist is an error, as is a list of roots without a
 * directory in it. */
int discover(const struct strv *operands, const struct strv *roots, const char *suffix,
             struct discovery *ret, struct err *e);
/* Keeps the files whose relative path contains `text`. */
void discovery_filter(struct discovery *d, const char *text);
void discovery_done(struct discovery *d);
