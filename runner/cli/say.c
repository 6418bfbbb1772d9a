#include "cli/say.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static void say(const char *kind, const char *message)
{
    fprintf(stderr, "provium: %s%s\n", kind, message);
}

void say_error(const struct err *e)
{
    _cleanup_free_ char *message = xstrdup(err_message(e));
    char *rest = message, *line;
    while ((line = strsep(&rest, "\n")))
        say("", line);
    if (e && e->hint)
        fprintf(stderr, "  hint: %s\n", e->hint);
}

void say_warning(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *message = xvasprintf(format, args);
    va_end(args);
    say("warning: ", message);
}

void say_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *message = xvasprintf(format, args);
    va_end(args);
    say("note: ", message);
}
