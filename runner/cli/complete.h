#pragma once

#include <stdbool.h>
#include <stdio.h>

/* The completion script for bash, zsh or fish; false for another shell. */
bool completion_script(FILE *out, const char *shell);
