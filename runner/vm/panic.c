#include "vm/panic.h"

#include <stdio.h>
#include <string.h>

static const char panic_words[] = "Kernel panic - not syncing: ";
static const char halt_words[] = "reboot: System halted";

static void judge_line(struct console_scanner *s, const char *line, size_t n)
{
    const char *panic = memmem(line, n, panic_words, sizeof(panic_words) - 1);
    if (panic) {
        const char *text = panic + sizeof(panic_words) - 1;
        size_t size = n - (size_t)(text - line);
        while (size && (text[size - 1] == '\r' || text[size - 1] == ' '))
            size--;
        s->verdict = CONSOLE_PANIC;
        snprintf(s->text, sizeof(s->text), "%.*s", (int)size, text);
    } else if (memmem(line, n, halt_words, sizeof(halt_words) - 1)) {
        s->verdict = CONSOLE_HALTED;
    }
}

bool console_scan(struct console_scanner *s, const char *p, size_t n)
{
    while (n && s->verdict == CONSOLE_ALIVE) {
        const char *end = memchr(p, '\n', n);
        size_t size = end ? (size_t)(end - p) : n;
        if (s->carried || !end) {
            size_t room = sizeof(s->carry) - s->carried;
            size_t take = size < room ? size : room; /* of an overlong line the front is judged */
            memcpy(s->carry + s->carried, p, take);
            s->carried += take;
            if (end)
                judge_line(s, s->carry, s->carried);
        } else {
            judge_line(s, p, size);
        }
        if (!end)
            return false;
        s->carried = 0;
        p += size + 1;
        n -= size + 1;
    }
    return s->verdict != CONSOLE_ALIVE;
}
