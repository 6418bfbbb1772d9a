#include "config/qemu.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"

static const char *const packages[] = {
    [ARCH_X86_64] = "qemu-system-x86", [ARCH_AARCH64] = "qemu-system-arm"};

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static char *find_in_path(const char *name)
{
    const char *path = getenv("PATH");
    _cleanup_free_ char *copy = xstrdup(path ? path : "/usr/local/bin:/usr/bin:/bin");
    char *rest = copy, *directory;
    while ((directory = strsep(&rest, ":"))) {
        _cleanup_free_ char *candidate = path_join(*directory ? directory : ".", name);
        if (is_program(candidate))
            return steal_ptr(candidate);
    }
    return NULL;
}

char *qemu_find(const struct environment *env, enum guest_arch arch, struct err *e)
{
    _cleanup_free_ char *name =
        env->qemu ? xstrdup(env->qemu) : xasprintf("qemu-system-%s", arch_words[arch]);
    char *found = NULL;
    if (!strchr(name, '/'))
        found = find_in_path(name);
    else if (is_program(name))
        found = xstrdup(name);
    if (!found) {
        err_set(e, ENOENT,
                strchr(name, '/') ? "QEMU `%s` is not an executable file"
                                  : "QEMU `%s` not found in PATH",
                name);
        err_hint(e, "install the package %s, or name the binary with --qemu", packages[arch]);
    }
    return found;
}

char *qemu_identity(const char *qemu)
{
    struct stat st;
    if (stat(qemu, &st) < 0)
        return NULL;
    return xasprintf("%llx:%llx:%llx:%llx.%lx", (unsigned long long)st.st_dev,
                     (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
                     (unsigned long long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec);
}
