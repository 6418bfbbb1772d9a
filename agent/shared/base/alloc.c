#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *p)
{
    static const char message[] = "provium: out of memory\n";
    if (!p) {
        if (write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
            abort();
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1));
}

void *xreallocarray(void *p, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        checked(NULL);
    return xrealloc(p, total);
}

void *xmemdup(const void *p, size_t size)
{
    void *copy = xmalloc(size);
    if (size)
        memcpy(copy, p, size);
    return copy;
}

char *xstrdup(const char *s)
{
    return checked(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
    return n ? checked(strndup(s, n)) : xstrdup("");
}

char *xvasprintf(const char *format, va_list args)
{
    char *s = NULL;
    if (vasprintf(&s, format, args) < 0)
        s = NULL;
    return checked(s);
}

char *xasprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *s = xvasprintf(format, args);
    va_end(args);
    return s;
}
