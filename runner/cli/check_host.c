#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/check.h"
#include "config/resolve.h"
#include "config/values.h"
#include "ns/sandbox.h"
#include "pool/host.h"
#include "vm/launch.h"

#define FREE_SPACE_MIN (2 * GIB)
#define MEMORY_MIN     GIB
#define OPEN_FILES_MIN 1024
#define SPARSE_LENGTH  (16 * MIB)

static int find_overlay(const struct profile *p, const struct environment *env, struct err *e)
{
    _cleanup_(overlay_done) struct overlay overlay = OVERLAY_INIT;
    return p->inject_agent ? launch_find_overlay(p, env, &overlay, e) : 0;
}

void check_profiles(struct check_list *list, const struct config *config,
                    const struct environment *env)
{
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct profile *p = &config->profiles[i];
        _cleanup_err_ struct err e = ERR_INIT;
        _cleanup_(profile_files_done) struct profile_files files = {0};
        if (!p->file && config->profile_count > 1)
            continue;
        if (p->out && access(p->out, F_OK) < 0)
            check_add(list, CHECK_OK, "profile", NULL, "`%s` is built before its first use",
                      p->name);
        else if (profile_resolve(p, env, &files, &e) < 0 || find_overlay(p, env, &e) < 0)
            check_add(list, CHECK_WARN, "profile", e.hint ? e.hint : "correct it in provium.toml",
                      "%s", err_message(&e));
        else
            check_add(list, CHECK_OK, "profile", NULL, "`%s`: kernel %s", p->name, files.kernel);
    }
}

/* An unlinked file in `directory`, or -1 with errno. */
static int scratch_file(const char *directory)
{
    _cleanup_free_ char *path = path_join(directory, ".doctor-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static bool holes_work(int fd)
{
    struct stat st;
    return ftruncate(fd, (off_t)SPARSE_LENGTH) == 0 && fstat(fd, &st) == 0 &&
           (uint64_t)st.st_blocks * 512 < SPARSE_LENGTH / 2;
}

static bool reflinks_work(int from, const char *directory)
{
    _cleanup_close_ int to = scratch_file(directory);
    return to >= 0 && pwrite(from, "x", 1, 0) == 1 && ioctl(to, FICLONE, from) == 0;
}

/* The directory itself, or the nearest parent that exists: it is made when first needed, not by a
 * check. */
static char *existing_directory(const char *path)
{
    char *at = xstrdup(path);
    while (access(at, F_OK) < 0 && errno == ENOENT && strcmp(at, "/") && strcmp(at, ".")) {
        char *parent = path_directory(at);
        free(at);
        at = parent;
    }
    return at;
}

static void check_directory(struct check_list *list, const char *name, const char *directory,
                            enum check_status when_unwritable, const char *fix)
{
    struct statvfs fs;
    _cleanup_free_ char *existing = existing_directory(directory);
    _cleanup_close_ int fd = scratch_file(existing);
    if (fd < 0) {
        check_add(list, when_unwritable, name, fix, "%s is not writable: %s", existing,
                  strerror(errno));
        return;
    }
    uint64_t available = fstatvfs(fd, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
    _cleanup_free_ char *space = size_format(available);
    if (available < FREE_SPACE_MIN)
        check_add(list, CHECK_WARN, name, "free some space", "%s has only %s left", directory,
                  space);
    else if (!holes_work(fd))
        check_add(list, CHECK_WARN, name, fix,
                  "%s, %s free, no sparse files: disks take their full size", directory, space);
    else
        check_add(list, CHECK_OK, name, NULL, "%s, %s free%s", directory, space,
                  reflinks_work(fd, existing) ? ", reflinks"
                                              : ", no reflinks: disk copies are overlays");
}

void check_temporary(struct check_list *list, const struct environment *env)
{
    check_directory(list, "temporary", env->temporary_dir, CHECK_FAIL,
                    "set TMPDIR to a writable directory");
}

void check_storage(struct check_list *list, const struct config *config,
                   const struct environment *env)
{
    _cleanup_err_ struct err e = ERR_INIT;
    if (env->scratch_in_tmp && environment_make_scratch(env, &e) < 0)
        check_add(list, CHECK_FAIL, "scratch", e.hint, "%s", err_message(&e));
    else
        check_directory(
            list, "scratch", env->scratch_root, CHECK_WARN,
            "set XDG_CACHE_HOME to a writable directory, else nothing is kept for the next run");
    if (config)
        check_directory(list, "cache", config->cache_dir, CHECK_WARN,
                        "set cache_dir, or PROVIUM_FIXTURE_CACHE");
}

void check_sandbox(struct check_list *list, const struct config *config)
{
    _cleanup_err_ struct err e = ERR_INIT;
    bool required = config && config->sandbox == SANDBOX_REQUIRE;
    if (config && config->sandbox == SANDBOX_OFF)
        check_add(list, CHECK_OK, "sandbox", NULL, "off");
    else if (sandbox_probe(&e) == 0)
        check_add(list, CHECK_OK, "sandbox", NULL,
                  "own user, network, mount, pid and ipc namespaces");
    else
        check_add(list, required ? CHECK_FAIL : CHECK_WARN, "sandbox", e.hint,
                  "%s; tests run without it and share the host's network", err_message(&e));
}

void check_limits(struct check_list *list, const struct options *options)
{
    struct host_resources host = host_resources_read("/proc", "/sys/fs/cgroup");
    uint64_t pool = options->memory ? options->memory : host.memory / 10 * 8;
    unsigned cpus = options->cpus ? options->cpus : host.cpus;
    _cleanup_free_ char *total = size_format(host.memory_total), *usable = size_format(host.memory),
                        *used = size_format(pool);
    check_add(list, pool < MEMORY_MIN ? CHECK_WARN : CHECK_OK, "memory",
              pool < MEMORY_MIN
                  ? "guests want 512M each; raise the limit of the container or cgroup"
                  : NULL,
              "%s of RAM%s%s%s, pool of %s", total,
              host.memory < host.memory_total ? ", limited to " : "",
              host.memory < host.memory_total ? usable : "",
              host.memory < host.memory_total ? " by a cgroup" : "", used);
    check_add(list, CHECK_OK, "cpus", NULL, "%u online, %u usable, pool of %u", host.cpus_online,
              host.cpus, cpus);

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        check_add(list, files.rlim_max < OPEN_FILES_MIN ? CHECK_WARN : CHECK_OK, "open-files",
                  files.rlim_max < OPEN_FILES_MIN ? "raise the hard limit (ulimit -Hn)" : NULL,
                  "at most %llu", (unsigned long long)files.rlim_max);
}
