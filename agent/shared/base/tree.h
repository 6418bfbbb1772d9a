/* Directories with everything in them. */
#pragma once

/* rm -rf, within one file system, without following links; errors are ignored. */
void tree_remove(const char *path);
