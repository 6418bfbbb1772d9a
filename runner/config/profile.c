/* A profile is read in three steps: the schema stores what is there, then every path is made
 * absolute (with {out} replaced), then the rules that need several keys are checked. Each step
 * reports and goes on, so that the user sees all problems at once. */
#include "config/profile.h"

#include <string.h>

#include "base/alloc.h"
#include "config/values.h"

#define OUT_TOKEN     "{out}"
#define DISK_ID_MAX   64
#define SERIAL_MAX    20
#define ID_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

const char *const accel_words[] = {"auto", "kvm", "tcg", NULL};
const char *const sandbox_words[] = {"auto", "require", "off", NULL};
const char *const ahead_words[] = {"idle", "always", "never", NULL};
const char *const arch_words[] = {"x86_64", "aarch64", NULL};
static const char *const format_words[] = {"raw", "qcow2", NULL};
static const char *const cache_words[] = {"writeback", "writethrough", NULL};

#define FIELD(field) .offset = offsetof(struct profile, field)
static const struct schema_key profile_keys[] = {
    {"kernel", SCHEMA_STRING, FIELD(kernel)},
    {"initrd", SCHEMA_STRING, FIELD(initrd)},
    {"cmdline", SCHEMA_TEXT, FIELD(cmdline)},
    {"cmdline_file", SCHEMA_STRING, FIELD(cmdline_file)},
    {"guest_os", SCHEMA_TEXT, FIELD(guest_os)},
    {"inject_agent", SCHEMA_BOOLEAN, FIELD(inject_agent)},
    {"agent_overlay_path", SCHEMA_STRING, FIELD(agent_overlay_path)},
    {"agent_boot_timeout", SCHEMA_DURATION, FIELD(agent_boot_timeout_ns)},
    {"root", SCHEMA_STRING, FIELD(root)},
    {"build", SCHEMA_STRING, FIELD(build)},
    {"build_out", SCHEMA_STRING, FIELD(build_out)},
    {.name = "disks", .kind = SCHEMA_IGNORE},
    {"accel", SCHEMA_WORD, FIELD(accel), .words = accel_words},
    {"arch", SCHEMA_WORD, FIELD(arch), .words = arch_words},
    {"machine", SCHEMA_STRING, FIELD(machine)},
    {"cpu", SCHEMA_STRING, FIELD(cpu)},
    {"memory", SCHEMA_SIZE, FIELD(memory)},
    {"cpus", SCHEMA_COUNT, FIELD(cpus), .max = GUEST_CPUS_MAX},
};
#undef FIELD

#define FIELD(field) .offset = offsetof(struct profile_disk, field)
static const struct schema_key disk_keys[] = {
    {"path", SCHEMA_STRING, FIELD(path)},
    {"scratch", SCHEMA_SIZE, FIELD(scratch)},
    {"template", SCHEMA_STRING, FIELD(template)},
    {"id", SCHEMA_STRING, FIELD(id)},
    {"readonly", SCHEMA_BOOLEAN, FIELD(readonly)},
    {"mediated", SCHEMA_BOOLEAN, FIELD(mediated)},
    {"format", SCHEMA_TEXT_WORD, FIELD(format), .words = format_words},
    {"cache", SCHEMA_TEXT_WORD, FIELD(cache), .words = cache_words},
    {"serial", SCHEMA_STRING, FIELD(serial)},
};
#undef FIELD

void profile_init(struct profile *p, const char *name, const char *directory)
{
    *p = (struct profile){
        .name = xstrdup(name),
        .directory = xstrdup(directory),
        .guest_os = xstrdup("peios"),
        .inject_agent = true,
        .agent_boot_timeout_ns = -1,
        .machine = xstrdup("auto"),
        .cpu = xstrdup("auto"),
        .memory = 512 * MIB,
        .cpus = 1,
    };
}

void profile_init_builtin(struct profile *p, const char *directory)
{
    profile_init(p, DEFAULT_PROFILE, directory);
    p->kernel = xstrdup(BUNDLED_GUEST);
    p->initrd = xstrdup(BUNDLED_GUEST);
    p->cmdline = xstrdup("console=ttyS0 quiet panic=-1");
}

static void free_all(char *const *strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(strings[i]);
}

void profile_done(struct profile *p)
{
    char *owned[] = {
        p->name,    p->file,         p->directory,      p->kernel,   p->initrd,
        p->cmdline, p->cmdline_file, p->cmdline_append, p->guest_os, p->agent_overlay_path,
        p->root,    p->build,        p->build_out,      p->out,      p->machine,
        p->cpu};
    free_all(owned, ARRAY_SIZE(owned));
    for (size_t i = 0; i < p->disk_count; i++) {
        struct profile_disk *d = &p->disks[i];
        char *disk_owned[] = {d->path, d->template, d->id, d->format, d->cache, d->serial};
        free_all(disk_owned, ARRAY_SIZE(disk_owned));
    }
    free(p->disks);
    *p = (struct profile){0};
}

/* Replaces {out}; a token without a directory to stand for is reported. */
static void expand_out(const struct profile *p, const struct schema_report *report, const char *key,
                       char **text)
{
    if (!*text || !strstr(*text, OUT_TOKEN))
        return;
    if (!p->out) {
        schema_invalid(report,
                       "profile `%s` uses {out} in `%s` but has neither build nor build_out",
                       p->name, key);
        return;
    }
    char *expanded = text_replace(*text, OUT_TOKEN, p->out);
    free(*text);
    *text = expanded;
}

static void expand_path(const struct profile *p, const struct schema_report *report,
                        const struct environment *env, const char *key, char **path)
{
    _cleanup_err_ struct err e = ERR_INIT;
    if (!*path)
        return;
    expand_out(p, report, key, path);
    char *resolved = NULL;
    if (path_resolve(*path, p->directory, env->home, &resolved, &e) < 0) {
        schema_invalid(report, "profile `%s`: `%s`: %s", p->name, key, err_message(&e));
        return;
    }
    free(*path);
    *path = resolved;
}

static void expand_image(const struct profile *p, const struct schema_report *report,
                         const struct environment *env, const char *key, char **path)
{
    if (*path && strcmp(*path, BUNDLED_GUEST))
        expand_path(p, report, env, key, path);
}

static void expand_paths(struct profile *p, const struct schema_report *report,
                         const struct environment *env)
{
    expand_path(p, report, env, "build_out", &p->build_out);
    if (p->build_out)
        p->out = xstrdup(p->build_out);
    else if (p->build)
        p->out = path_join(env->build_dir, p->name);

    expand_out(p, report, "build", &p->build);
    expand_image(p, report, env, "kernel", &p->kernel);
    expand_image(p, report, env, "initrd", &p->initrd);
    expand_path(p, report, env, "cmdline_file", &p->cmdline_file);
    expand_path(p, report, env, "agent_overlay_path", &p->agent_overlay_path);
    expand_path(p, report, env, "root", &p->root);
    for (size_t i = 0; i < p->disk_count; i++) {
        expand_path(p, report, env, "path", &p->disks[i].path);
        expand_path(p, report, env, "template", &p->disks[i].template);
    }
}

static void check_disk(const struct profile *p, const struct schema_report *report, size_t index,
                       const char *where)
{
    const struct profile_disk *d = &p->disks[index];
    _cleanup_strv_ struct strv sources = STRV_INIT;
    if (d->path)
        strv_add(&sources, "path");
    if (d->scratch)
        strv_add(&sources, "scratch");
    if (d->template)
        strv_add(&sources, "template");
    if (sources.count != 1) {
        _cleanup_free_ char *found = sources.count ? strv_join(&sources, ", ") : xstrdup("none");
        schema_invalid(report,
                       "%s needs exactly one source, found %s; accepted: path, scratch, template",
                       where, found);
    }
    if (d->id && (strlen(d->id) > DISK_ID_MAX || d->id[strspn(d->id, ID_CHARACTERS)]))
        schema_invalid(report,
                       "`id` in %s: invalid value `%s`, accepted: 1 to %d of A-Z a-z 0-9 . _ -",
                       where, d->id, DISK_ID_MAX);
    if (d->serial && strlen(d->serial) > SERIAL_MAX)
        schema_invalid(report, "`serial` in %s: `%s` is longer than %d bytes", where, d->serial,
                       SERIAL_MAX);
    for (size_t i = 0; d->id && i < index; i++)
        if (p->disks[i].id && !strcmp(p->disks[i].id, d->id))
            schema_invalid(report, "%s has the same id `%s` as entry %zu", where, d->id, i + 1);
}

static void read_disks(struct profile *p, const struct schema_report *report,
                       const struct toml_value *list, const char *profile_where)
{
    bool tables = list->type == TOML_ARRAY;
    for (size_t i = 0; tables && i < list->count; i++)
        tables = list->items[i].type == TOML_TABLE;
    if (!tables) {
        schema_wrong_type(report, list, profile_where, "an array of tables");
        return;
    }
    p->disks = xnewa(struct profile_disk, list->count);
    for (size_t i = 0; i < list->count; i++) {
        _cleanup_free_ char *where = xasprintf("[[profiles.%s.disks]] entry %zu", p->name, i + 1);
        p->disks[i].mediated = true;
        p->disk_count++;
        schema_read(report, &list->items[i], where, disk_keys, ARRAY_SIZE(disk_keys), &p->disks[i]);
        check_disk(p, report, i, where);
    }
}

static bool is_blank(const char *s)
{
    return !s[strspn(s, " \t\r\n\v\f")];
}

static void check_rules(const struct profile *p, const struct schema_report *report)
{
    if (!*p->name || !strcmp(p->name, ".") || !strcmp(p->name, "..") || strchr(p->name, '/'))
        schema_invalid(report, "profile name `%s` must be usable as a file name", p->name);
    if (p->cmdline && p->cmdline_file)
        schema_invalid(report, "profile `%s` has both cmdline and cmdline_file", p->name);
    else if (!p->cmdline_file && (!p->cmdline || is_blank(p->cmdline)))
        schema_invalid(report, "profile `%s` has empty cmdline", p->name);
    if (strcmp(p->guest_os, "peios"))
        schema_invalid(report, "profile `%s` has guest_os = `%s`, only `peios` is supported in v1",
                       p->name, p->guest_os);
    if (p->kernel && p->root)
        schema_invalid(report, "profile `%s` has both kernel and root", p->name);
    else if (!p->kernel && !p->root)
        schema_invalid(report, "profile `%s` has no kernel (set kernel or root)", p->name);
    if (p->memory < MIB)
        schema_invalid(report, "profile `%s` has memory = %llu bytes, at least 1M is needed",
                       p->name, (unsigned long long)p->memory);
}

void profile_read(struct profile *p, const struct schema_report *report,
                  const struct toml_value *table, const struct environment *env)
{
    _cleanup_free_ char *where = xasprintf("[profiles.%s]", p->name);
    p->file = xstrdup(report->file);
    schema_read(report, table, where, profile_keys, ARRAY_SIZE(profile_keys), p);
    const struct toml_value *disks = schema_find(table, "disks");
    if (disks)
        read_disks(p, report, disks, where);
    expand_paths(p, report, env);
    check_rules(p, report);
}
