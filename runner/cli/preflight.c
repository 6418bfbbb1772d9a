#include "cli/preflight.h"

#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/check.h"
#include "cli/say.h"
#include "config/qemu.h"

/* Whether this very binary passed the checks before. */
static bool was_checked(const char *path, const char *identity)
{
    _cleanup_buf_ struct buf text = BUF_INIT(256);
    return identity && file_read(path, &text, NULL) == 0 && text.len == strlen(identity) &&
           !memcmp(buf_head(&text), identity, text.len);
}

static bool any_failed(const struct check_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].status == CHECK_FAIL)
            return true;
    return false;
}

static void check_qemu(struct check_list *list, const struct environment *env, enum guest_arch arch)
{
    _cleanup_free_ char *qemu = qemu_find(env, arch, NULL);
    _cleanup_free_ char *identity = qemu ? qemu_identity(qemu) : NULL;
    _cleanup_free_ char *path = xasprintf("%s/qemu-%s", env->scratch_root, arch_words[arch]);
    if (was_checked(path, identity))
        return;
    check_hypervisor(list, env, arch);
    if (identity && !any_failed(list) && environment_make_scratch(env, NULL) == 0)
        file_write_atomic(path, identity, strlen(identity), 0600, false, NULL);
}

int preflight(const struct config *config, const struct environment *env)
{
    _cleanup_(check_list_done) struct check_list list = {0};
    for (int arch = 0; arch_words[arch] && !config->local; arch++)
        if (arch_is_used(config, arch))
            check_qemu(&list, env, arch);
    check_temporary(&list, env);
    if (!any_failed(&list))
        return 0;
    for (size_t i = 0; i < list.count; i++) {
        const struct check *c = &list.items[i];
        _cleanup_err_ struct err e = ERR_INIT;
        if (c->status != CHECK_FAIL)
            continue;
        err_set(&e, 0, "%s: %s", c->name, c->finding);
        if (c->fix)
            err_hint(&e, "%s", c->fix);
        say_error(&e);
    }
    say_note("`provium doctor` runs all checks; --no-preflight skips these");
    return -1;
}
