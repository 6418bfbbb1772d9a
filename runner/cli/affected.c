/* Each file's uses are followed through fixtures and modules, as the scan sees them (fixture/scan.h). A changed Lua file
 * that no test is known to use may be loaded in a way that the scan cannot see: then everything is run, as after a
 * change of the config, a kernel or an initrd. */
#include "cli/affected.h"

#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/changes.h"
#include "fixture/scan.h"

#define SOURCE_MAX ((size_t)64 << 20)

struct dependencies {
    struct strv *used; /* per file: its own name and those of all that it uses */
    size_t count;
    struct strv common; /* what concerns every file */
};

/* ------------------------------------------------------------------------------------------------- following */

static void follow(const char *path, const struct strv *roots, struct strv *seen);

static void follow_in_roots(const char *relative, const struct strv *roots, struct strv *seen)
{
    for (size_t i = 0; i < roots->count; i++) {
        _cleanup_free_ char *path = path_join(roots->items[i], relative);
        if (access(path, F_OK) == 0)
            follow(path, roots, seen);
    }
}

static void follow_use(const struct lua_use *use, const char *directory, const struct strv *roots, struct strv *seen)
{
    if (use->kind == LUA_USE_FIXTURE) {
        _cleanup_free_ char *name = xasprintf("%s.fixture.lua", use->name);
        follow_in_roots(name, roots, seen);
    } else if (use->kind == LUA_USE_MODULE) {
        _cleanup_free_ char *module = xstrdup(use->name);
        for (char *c = module; *c; c++)
            *c = *c == '.' ? '/' : *c;
        _cleanup_free_ char *file = xasprintf("%s.lua", module), *package = xasprintf("%s/init.lua", module);
        follow_in_roots(file, roots, seen);
        follow_in_roots(package, roots, seen);
    } else {
        _cleanup_free_ char *path = path_join(directory, use->name);
        strv_take(seen, changes_name(path));
    }
}

static void follow(const char *path, const struct strv *roots, struct strv *seen)
{
    _cleanup_free_ char *name = changes_name(path), *directory = path_directory(path);
    _cleanup_buf_ struct buf text = BUF_INIT(SOURCE_MAX);
    struct lua_uses uses = {0};
    if (strv_contains(seen, name))
        return;
    strv_add(seen, name);
    if (file_read(path, &text, NULL) < 0)
        return;
    lua_scan((const char *)buf_head(&text), text.len, &uses);
    for (size_t i = 0; i < uses.count; i++)
        follow_use(&uses.items[i], directory, roots, seen);
    lua_uses_done(&uses);
}

/* ------------------------------------------------------------------------------------------------- the whole */

static void add_common(struct dependencies *d, const struct config *config)
{
    strv_take(&d->common, changes_name(config->file ? config->file : "provium.toml"));
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct profile *p = &config->profiles[i];
        const char *const paths[] = {p->file, p->kernel, p->initrd, p->cmdline_file, p->agent_overlay_path};
        for (size_t j = 0; j < ARRAY_SIZE(paths); j++)
            if (paths[j] && *paths[j] == '/')
                strv_take(&d->common, changes_name(paths[j]));
    }
    strv_sort(&d->common);
    strv_unique(&d->common);
}

struct dependencies *dependencies_new(const struct selection *selection, const struct config *config)
{
    struct dependencies *d = xnew0(struct dependencies);
    d->count = selection->count;
    d->used = xnewa(struct strv, d->count + 1);
    for (size_t i = 0; i < d->count; i++)
        follow(selection->files[i].path, &selection->found.roots, &d->used[i]);
    add_common(d, config);
    return d;
}

void dependencies_free(struct dependencies *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++)
        strv_done(&d->used[i]);
    free(d->used);
    strv_done(&d->common);
    free(d);
}

void dependencies_add_paths(const struct dependencies *d, struct strv *out)
{
    for (size_t i = 0; i < d->count; i++)
        for (size_t j = 0; j < d->used[i].count; j++)
            if (!str_ends_with(d->used[i].items[j], ".lua"))
                strv_add(out, d->used[i].items[j]);
    for (size_t i = 0; i < d->common.count; i++)
        strv_add(out, d->common.items[i]);
    strv_sort(out);
    strv_unique(out);
}

static bool is_used(const struct dependencies *d, const char *name)
{
    for (size_t i = 0; i < d->count; i++)
        if (strv_contains(&d->used[i], name))
            return true;
    return false;
}

bool dependencies_affect(const struct dependencies *d, size_t index, const struct strv *changed)
{
    for (size_t i = 0; i < changed->count; i++) {
        const char *name = changed->items[i];
        if (strv_contains(&d->used[index], name) || strv_contains(&d->common, name))
            return true;
        if (str_ends_with(name, ".lua") && !str_ends_with(name, ".test.lua") && !is_used(d, name))
            return true;
    }
    return false;
}
