/* Support for editors. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Writes the types of test files and the language server's settings below `directory`, which is made when missing.
 * *ret_kept: there were settings, and without `force` they were kept. */
int lsp_write(const char *directory, bool force, bool *ret_kept, struct err *e);
