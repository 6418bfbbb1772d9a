#include "config/environment.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"

static char *lookup_path(char *(*lookup)(const char *name), const char *name)
{
    const char *value = lookup(name);
    return value && *value ? path_absolute(value) : NULL;
}

static char *binary_directory(const char *binary)
{
    char resolved[PATH_MAX];
    if (!realpath(binary ? binary : "/proc/self/exe", resolved))
        return xstrdup("/usr/bin");
    return path_directory(resolved);
}

struct environment *environment_new(char *(*lookup)(const char *name), const char *binary)
{
    struct environment *env = xnew0(struct environment);
    env->home = lookup_path(lookup, "HOME");
    _cleanup_free_ char *cache = lookup_path(lookup, "XDG_CACHE_HOME");
    env->scratch_in_tmp = !cache && !env->home;
    if (cache)
        env->scratch_root = path_join(cache, "provium");
    else if (env->home)
        env->scratch_root = path_join(env->home, ".cache/provium");
    else
        env->scratch_root = xasprintf("/tmp/provium-%u", (unsigned)getuid());

    env->build_dir = lookup_path(lookup, "PROVIUM_BUILD_DIR");
    if (!env->build_dir)
        env->build_dir = path_join(env->scratch_root, "build");
    env->rerun_state = lookup_path(lookup, "PROVIUM_RERUN_STATE");
    if (!env->rerun_state)
        env->rerun_state = env->scratch_in_tmp ? xstrdup("/tmp/provium-rerun.json")
                                               : path_join(env->scratch_root, "rerun.json");
    env->fixture_cache = lookup_path(lookup, "PROVIUM_FIXTURE_CACHE");
    env->overlay = lookup_path(lookup, "PROVIUM_OVERLAY");
    env->guest_dir = lookup_path(lookup, "PROVIUM_GUEST_DIR");
    env->temporary_dir = lookup_path(lookup, "TMPDIR");
    if (!env->temporary_dir)
        env->temporary_dir = xstrdup("/tmp");
    /* A bare name is looked up in PATH by whoever starts it. */
    const char *qemu = lookup("PROVIUM_QEMU");
    if (qemu && *qemu)
        env->qemu = strchr(qemu, '/') ? path_absolute(qemu) : xstrdup(qemu);
    env->binary_dir = binary_directory(binary);
    return env;
}

void environment_free(struct environment *env)
{
    if (!env)
        return;
    char *owned[] = {env->home,          env->scratch_root, env->build_dir, env->fixture_cache,
                     env->rerun_state,   env->overlay,      env->guest_dir, env->qemu,
                     env->temporary_dir, env->binary_dir};
    for (size_t i = 0; i < ARRAY_SIZE(owned); i++)
        free(owned[i]);
    free(env);
}

int environment_make_scratch(const struct environment *env, struct err *e)
{
    struct stat st;
    if (!env->scratch_in_tmp)
        return dir_create_all(env->scratch_root, 0700, e);
    /* Anyone can make this name in /tmp first, as a link or as a directory of theirs. */
    if (mkdir(env->scratch_root, 0700) < 0 && errno != EEXIST)
        return err_errno(e, "create directory `%s`", env->scratch_root);
    if (lstat(env->scratch_root, &st) < 0)
        return err_errno(e, "`%s`", env->scratch_root);
    if (!S_ISDIR(st.st_mode) || st.st_uid != getuid() || (st.st_mode & 077)) {
        err_set(e, EPERM, "`%s` is not a private directory of this user", env->scratch_root);
        return err_hint(e, "remove it, or set HOME or XDG_CACHE_HOME");
    }
    return 0;
}
