/* What provium says on stderr: one phrase a line, each begins with "provium: ". */
#pragma once

#include "base/err.h"

void say_error(const struct err *e);
void say_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
