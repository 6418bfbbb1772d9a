#include "cli/check.h"

#include <stdlib.h>

#include "base/alloc.h"

void check_add(struct check_list *list, enum check_status status, const char *name, const char *fix,
               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    list->items = xreallocarray(list->items, list->count + 1, sizeof(struct check));
    list->items[list->count++] =
        (struct check){status, name, xvasprintf(format, args), fix ? xstrdup(fix) : NULL};
    va_end(args);
}

void check_list_done(struct check_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].finding);
        free(list->items[i].fix);
    }
    free(list->items);
    *list = (struct check_list){0};
}

bool arch_is_used(const struct config *config, enum guest_arch arch)
{
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct profile *p = &config->profiles[i];
        if (p->arch == arch && (p->file || !config_first_profile(config)->file))
            return true;
    }
    return false;
}
