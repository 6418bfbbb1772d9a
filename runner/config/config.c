/* Loading collects problems as complete lines in one list and fails at the end if there are any;
 * only a file that can't be read or is no TOML stops the reading of that file. Profiles end up in
 * one array sorted by name. */
#include "config/config.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "config/profile.h"
#include "config/values.h"

#define PROFILE_FILE   "profile.provium.toml"
#define PROFILES_WHERE "[profiles]"

static const struct schema_key top_keys[] = {
    {.name = "provium", .kind = SCHEMA_IGNORE},
    {.name = "profiles", .kind = SCHEMA_IGNORE},
};

static const struct schema_key provium_keys[] = {
    {"roots", SCHEMA_STRINGS, .offset = offsetof(struct config, roots)},
    {"cache_dir", SCHEMA_STRING, .offset = offsetof(struct config, cache_dir)},
    {"cache_max_size", SCHEMA_SIZE, .offset = offsetof(struct config, cache_max_size)},
    {"sandbox", SCHEMA_WORD, .offset = offsetof(struct config, sandbox), .words = sandbox_words},
    {"ahead", SCHEMA_WORD, .offset = offsetof(struct config, ahead), .words = ahead_words},
};

/* The TOML of a file, or NULL after a "read" or "parse" line. */
static struct toml_value *read_toml(const char *path, struct strv *problems)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT(TOML_TEXT_MAX);
    if (file_read(path, &text, &e) < 0) {
        strv_addf(problems, "read `%s`: %s", path, strerror(e.code));
        return NULL;
    }
    struct toml_value *root = toml_parse(text.len ? (char *)buf_head(&text) : "", text.len, &e);
    if (!root)
        strv_addf(problems, "parse `%s`: %s", path, err_message(&e));
    return root;
}

static struct profile *add_profile(struct config *config, const char *name, const char *directory)
{
    config->profiles =
        xreallocarray(config->profiles, config->profile_count + 1, sizeof(struct profile));
    struct profile *p = &config->profiles[config->profile_count++];
    profile_init(p, name, directory);
    return p;
}

static struct profile *find_profile(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->profile_count; i++)
        if (!strcmp(config->profiles[i].name, name))
            return &config->profiles[i];
    return NULL;
}

/* One subdirectory of from_dir. */
static void read_profile_directory(struct config *config, const struct environment *env,
                                   const char *directory, const char *name, struct strv *problems)
{
    _cleanup_free_ char *file = path_join(directory, PROFILE_FILE);
    struct stat st;
    if (stat(file, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return;
    struct schema_report report = {file, problems};
    const struct profile *twin = find_profile(config, name);
    if (twin) {
        schema_invalid(&report, "profile `%s` is also declared in `%s`", name, twin->file);
        return;
    }
    _cleanup_(toml_freep) struct toml_value *table = read_toml(file, problems);
    if (table)
        profile_read(add_profile(config, name, directory), &report, table, env);
}

static void read_from_dir(struct config *config, const struct environment *env, const char *base,
                          const struct toml_value *value, const struct schema_report *report)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *path = NULL;
    if (value->type != TOML_STRING) {
        schema_wrong_type(report, value, PROFILES_WHERE,
                          "a string (it is no possible profile name)");
        return;
    }
    if (strlen(value->string) != value->length ||
        path_resolve(value->string, base, env->home, &path, &e) < 0) {
        schema_invalid(report, "`from_dir` in [profiles]: %s (line %u, column %u)",
                       e.message ? e.message : "holds a NUL character", value->line, value->column);
        return;
    }
    _cleanup_closedir_ DIR *dir = opendir(path);
    if (!dir) {
        schema_invalid(report, "`from_dir` in [profiles]: `%s`: %s (line %u, column %u)", path,
                       strerror(errno), value->line, value->column);
        return;
    }
    _cleanup_strv_ struct strv names = STRV_INIT;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            strv_add(&names, entry->d_name);
    strv_sort(&names);
    for (size_t i = 0; i < names.count; i++) {
        _cleanup_free_ char *directory = path_join(path, names.items[i]);
        read_profile_directory(config, env, directory, names.items[i], report->lines);
    }
}

static void read_profiles(struct config *config, const struct environment *env,
                          const char *directory, const struct toml_value *profiles,
                          const struct schema_report *report)
{
    const struct toml_value *from_dir = schema_find(profiles, "from_dir");
    for (size_t i = 0; i < profiles->count; i++) {
        const struct toml_value *item = &profiles->items[i];
        if (item == from_dir)
            continue;
        if (item->type != TOML_TABLE)
            schema_wrong_type(report, item, PROFILES_WHERE, "a table (a profile)");
        else if (strlen(item->key) != item->key_length)
            schema_invalid(report, "the name of profile `%s` holds a NUL character", item->key);
        else
            profile_read(add_profile(config, item->key, directory), report, item, env);
    }
    if (from_dir)
        read_from_dir(config, env, directory, from_dir, report);
}

/* Paths of [provium]. Roots stay relative to the current directory as far as they were: they are
 * shown. */
static void expand_provium(struct config *config, const struct environment *env,
                           const char *shown_directory, const char *directory,
                           const struct schema_report *report)
{
    for (size_t i = 0; i < config->roots.count; i++) {
        _cleanup_err_ struct err e = ERR_INIT;
        char **root = &config->roots.items[i];
        bool as_is = !strcmp(shown_directory, ".") && !str_starts_with(*root, "~/");
        char *path = NULL;
        if (as_is)
            continue;
        if (path_resolve(*root, shown_directory, env->home, &path, &e) < 0) {
            schema_invalid(report, "`roots` in [provium]: %s", err_message(&e));
            continue;
        }
        free(*root);
        *root = path;
    }
    if (config->cache_dir) {
        _cleanup_err_ struct err e = ERR_INIT;
        char *path = NULL;
        if (path_resolve(config->cache_dir, directory, env->home, &path, &e) < 0)
            schema_invalid(report, "`cache_dir` in [provium]: %s", err_message(&e));
        free(config->cache_dir);
        config->cache_dir = path;
    }
}

static const struct toml_value *find_table(const struct schema_report *report,
                                           const struct toml_value *root, const char *key)
{
    const struct toml_value *table = schema_find(root, key);
    if (table && table->type != TOML_TABLE) {
        schema_wrong_type(report, table, "the top level", "a table");
        return NULL;
    }
    return table;
}

static void read_config(struct config *config, const struct environment *env, const char *path,
                        const char *directory, struct strv *problems)
{
    _cleanup_(toml_freep) struct toml_value *root = read_toml(path, problems);
    if (!root)
        return;
    struct schema_report report = {path, problems};
    schema_read(&report, root, "the top level", top_keys, ARRAY_SIZE(top_keys), config);
    const struct toml_value *provium = find_table(&report, root, "provium");
    if (provium)
        schema_read(&report, provium, "[provium]", provium_keys, ARRAY_SIZE(provium_keys), config);
    _cleanup_free_ char *shown_directory = path_directory(path);
    expand_provium(config, env, shown_directory, directory, &report);
    const struct toml_value *profiles = find_table(&report, root, "profiles");
    if (profiles)
        read_profiles(config, env, directory, profiles, &report);
}

static int compare_profiles(const void *a, const void *b)
{
    return strcmp(((const struct profile *)a)->name, ((const struct profile *)b)->name);
}

static void finish(struct config *config, const struct environment *env, const char *directory)
{
    if (!find_profile(config, DEFAULT_PROFILE)) {
        struct profile *p = add_profile(config, DEFAULT_PROFILE, directory);
        profile_done(p);
        profile_init_builtin(p, directory);
    }
    qsort(config->profiles, config->profile_count, sizeof(struct profile), compare_profiles);
    const char *cache = env->fixture_cache;
    if (cache) {
        free(config->cache_dir);
        config->cache_dir = xstrdup(cache);
    } else if (!config->cache_dir) {
        config->cache_dir = path_join(env->scratch_root, "fixtures");
    }
}

struct config *config_load(const char *path, const struct environment *env, struct err *e)
{
    _cleanup_(config_freep) struct config *config = xnew0(struct config);
    const char *file = path ? path : "provium.toml";
    struct stat st;
    bool present = path || stat(file, &st) == 0 || errno != ENOENT;
    _cleanup_strv_ struct strv problems = STRV_INIT;
    _cleanup_free_ char *shown_directory = path_directory(file);
    _cleanup_free_ char *directory = path_absolute(shown_directory);
    size_parse(DEFAULT_CACHE_MAX_SIZE, &config->cache_max_size, NULL);
    if (present) {
        config->file = xstrdup(file);
        read_config(config, env, file, directory, &problems);
    }
    if (problems.count) {
        _cleanup_free_ char *message = strv_join(&problems, "\n");
        err_set(e, EINVAL, "%s", message);
        return NULL;
    }
    finish(config, env, directory);
    return steal_ptr(config);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->profile_count; i++)
        profile_done(&config->profiles[i]);
    free(config->profiles);
    strv_done(&config->roots);
    free(config->file);
    free(config->cache_dir);
    free(config);
}

char *config_profile_names(const struct config *config)
{
    _cleanup_strv_ struct strv names = STRV_INIT;
    for (size_t i = 0; i < config->profile_count; i++)
        strv_add(&names, config->profiles[i].name);
    return strv_join(&names, ", ");
}

const struct profile *config_profile(const struct config *config, const char *name, struct err *e)
{
    const struct profile *p = find_profile(config, name);
    if (!p) {
        _cleanup_free_ char *known = config_profile_names(config);
        err_set(e, ENOENT, "profile `%s` not found; known: %s", name, known);
    }
    return p;
}

const struct profile *config_first_profile(const struct config *config)
{
    for (size_t i = 0; i < config->profile_count; i++)
        if (config->profiles[i].file)
            return &config->profiles[i];
    return &config->profiles[0];
}
