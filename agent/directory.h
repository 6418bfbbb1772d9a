#pragma once

#include <sys/stat.h>

/* The letter of entry_types (operation.h) for a file's mode. */
char entry_letter(mode_t mode);
