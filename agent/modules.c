/* Modules come from the guest's /lib/modules/<release>, else from MODULES_OVERLAY in the initramfs; both have a
 * modules.dep, as depmod(8) writes it: `path: dependency dependency…`, the last dependency to be loaded first.
 * Compressed modules are the kernel's business (Linux 5.17 with CONFIG_MODULE_DECOMPRESS), else modprobe's. */
#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"

#define MODULES_OVERLAY "/.provium-modules"
#define DEP_MAX         (8 * 1024 * 1024)

#define INIT_COMPRESSED_FILE 4 /* MODULE_INIT_COMPRESSED_FILE */

static bool is_loaded(const char *path)
{
    const char *base = strrchr(path, '/');
    _cleanup_free_ char *directory = xasprintf("/sys/module/%s", base ? base + 1 : path);
    *strchrnul(directory + strlen("/sys/module/"), '.') = '\0';
    for (char *c = directory; *c; c++)
        *c = *c == '-' ? '_' : *c;
    return !access(directory, F_OK);
}

/* A module that is there already is not even opened: the kernel would verify its signature before it says so. */
static int insert(const char *directory, const char *path)
{
    if (is_loaded(path))
        return 0;
    _cleanup_free_ char *file = path_join(directory, path);
    _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int flags = str_ends_with(path, ".ko") ? 0 : INIT_COMPRESSED_FILE;
    return syscall(SYS_finit_module, fd, "", flags) < 0 && errno != EEXIST ? -1 : 0;
}

/* Is `path` the file of module `name`? `-` and `_` are the same. */
static bool is_module(const char *path, size_t len, const char *name)
{
    const char *base = memrchr(path, '/', len);
    base = base ? base + 1 : path;
    for (; *name; name++, base++)
        if (*base != *name && !(*name == '_' && *base == '-'))
            return false;
    return str_starts_with(base, ".ko");
}

static int load_from(const char *directory, const char *name)
{
    _cleanup_free_ char *dep = path_join(directory, "modules.dep");
    _cleanup_buf_ struct buf b = BUF_INIT(DEP_MAX);
    if (file_read(dep, &b, NULL) < 0)
        return -1;
    _cleanup_free_ char *text = buf_steal_str(&b);
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char *colon = strchr(line, ':');
        if (!colon || !is_module(line, (size_t)(colon - line), name))
            continue;
        *colon = '\0';
        char *dependency;
        while ((dependency = strrchr(colon + 1, ' '))) {
            *dependency++ = '\0';
            if (*dependency && insert(directory, dependency) < 0)
                return -1;
        }
        return insert(directory, line);
    }
    return -1;
}

static int modprobe(const char *name)
{
    int status;
    pid_t pid = fork();
    if (!pid) {
        execlp("modprobe", "modprobe", "-q", name, NULL);
        _exit(127);
    }
    return pid < 0 || waitpid(pid, &status, 0) < 0 || status ? -1 : 0;
}

int modules_load(const char *name)
{
    struct utsname system;
    uname(&system);
    _cleanup_free_ char *directory = xasprintf("/lib/modules/%s", system.release);
    if (!load_from(directory, name) || !load_from(MODULES_OVERLAY, name))
        return 0;
    return modprobe(name);
}
