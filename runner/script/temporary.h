/* Where a file's snapshots without a path are: one directory, gone when the file ends. */
#pragma once

#include "script/script.h"

/* A path that nothing has yet, ending in `suffix`; malloc'ed. */
char *temporary_path(struct script *s, const char *suffix, struct err *e);
void temporary_remove(struct script *s);
