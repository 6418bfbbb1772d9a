#include "script/temporary.h"

#include "base/alloc.h"

#define PREFIX "provium-snapshots-"

char *temporary_path(struct script *s, const char *suffix, struct err *e)
{
    const char *parent = s->settings->host.environment->temporary_dir;
    if (!s->temporary.path) {
        staging_sweep(parent, PREFIX);
        if (staging_new(parent, PREFIX, &s->temporary, e) < 0)
            return NULL;
    }
    return xasprintf("%s/%u%s", s->temporary.path, ++s->temporary_count, suffix);
}

void temporary_remove(struct script *s)
{
    staging_done(&s->temporary);
}
