#pragma once

#include <stdio.h>

#include "cli/verb.h"

/* The help of a command, or of provium as a whole for the unnamed one. */
void help_print(FILE *out, const struct verb *verb);
void version_print(FILE *out);
/* "What to run" */
const char *help_group_title(enum option_group group);
