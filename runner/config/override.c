/* --kernel, --initrd and --append: changes to a loaded config for one run. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "config/config.h"
#include "config/values.h"

/* The profile an override is for, and where its value starts. */
static struct profile *override_target(struct config *config, const char **text, struct err *e)
{
    const char *equals = strchr(*text, '=');
    if (equals) {
        _cleanup_free_ char *name = xstrndup(*text, (size_t)(equals - *text));
        struct profile *named = (struct profile *)config_profile(config, name, NULL);
        if (named) {
            *text = equals + 1;
            return named;
        }
    }
    size_t declared = 0;
    for (size_t i = 0; i < config->profile_count; i++)
        declared += config->profiles[i].file != NULL;
    if (declared <= 1)
        return (struct profile *)config_first_profile(config);
    _cleanup_free_ char *known = config_profile_names(config);
    err_set(e, EINVAL, "`%s` does not say which profile it is for; known: %s", *text, known);
    err_hint(e, "write PROFILE=%s", *text);
    return NULL;
}

int config_override(struct config *config, enum config_override_kind kind, const char *text,
                    const struct environment *env, struct err *e)
{
    struct profile *p = override_target(config, &text, e);
    if (!p)
        return -1;
    if (kind == OVERRIDE_APPEND) {
        char *joined =
            p->cmdline_append ? xasprintf("%s %s", p->cmdline_append, text) : xstrdup(text);
        free(p->cmdline_append);
        p->cmdline_append = joined;
        return 0;
    }
    _cleanup_free_ char *here = path_absolute(".");
    char *path = NULL;
    if (!strcmp(text, BUNDLED_GUEST))
        path = xstrdup(text);
    else if (path_resolve(text, here, env->home, &path, e) < 0)
        return -1;
    char **field = kind == OVERRIDE_KERNEL ? &p->kernel : &p->initrd;
    free(*field);
    *field = path;
    if (kind == OVERRIDE_KERNEL) {
        free(p->root);
        p->root = NULL;
    }
    return 0;
}
