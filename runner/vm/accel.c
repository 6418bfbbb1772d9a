/* The remembered outcome is one line in <scratch_root>/accel: the boot of the host, the identity of
 * the QEMU binary, and "usable" or the reason. A line that does not match is as good as none. */
#include "vm/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "config/qemu.h"
#include "vm/accel_kvm.h"

#define KVM_API       12
#define CACHE_FILE    "accel"
#define LINE_MAX_SIZE 4096
#define USABLE        "usable"
#define OVERFLOW_GID  65534 /* what an unmapped group shows as in a user namespace */

static int open_failed(const char *device, struct err *e)
{
    struct stat st;
    if (errno == ENOENT || errno == ENXIO || errno == ENODEV) {
        err_set(e, errno, "%s does not exist", device);
        return err_hint(e,
                        "enable virtualization in the firmware (or nested virtualization of this "
                        "machine), load the "
                        "module kvm_intel or kvm_amd; in a container add --device %s",
                        device);
    }
    if (errno != EACCES && errno != EPERM)
        return err_errno(e, "%s", device);
    if (stat(device, &st) < 0 || st.st_gid == OVERFLOW_GID || !(st.st_mode & S_IWGRP)) {
        err_set(e, EACCES, "no permission to open %s", device);
        return err_hint(e, "ask the administrator for read and write access");
    }
    const struct group *group = getgrgid(st.st_gid);
    _cleanup_free_ char *name =
        group ? xstrdup(group->gr_name) : xasprintf("%u", (unsigned)st.st_gid);
    err_set(e, EACCES, "no permission to open %s, which is for the group %s", device, name);
    return err_hint(e, "join it: sudo usermod -aG %s $USER, and log in again", name);
}

/* What the outcome depends on; NULL when the QEMU binary is not there. */
static char *cache_key(const char *qemu)
{
    _cleanup_free_ char *identity = qemu_identity(qemu);
    _cleanup_buf_ struct buf boot = BUF_INIT(64);
    if (!identity || file_read("/proc/sys/kernel/random/boot_id", &boot, NULL) < 0 || !boot.len)
        return NULL;
    return xasprintf("%.*s %s", (int)boot.len - 1, (char *)buf_head(&boot), identity);
}

/* What is remembered under `key`, or NULL; malloc'ed. */
static char *recall(const char *path, const char *key)
{
    _cleanup_buf_ struct buf text = BUF_INIT(LINE_MAX_SIZE);
    if (file_read(path, &text, NULL) < 0)
        return NULL;
    _cleanup_free_ char *line = buf_steal_str(&text);
    line[strcspn(line, "\n")] = '\0';
    if (!str_starts_with(line, key) || line[strlen(key)] != ' ')
        return NULL;
    return xstrdup(line + strlen(key) + 1);
}

static void remember(const char *path, const char *key, const char *outcome)
{
    _cleanup_free_ char *line = xasprintf("%s %s\n", key, outcome);
    file_write_atomic(path, line, strlen(line), 0600, false, NULL);
}

static int check_api(int fd, const char *device, struct err *e)
{
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return err_errno(e, "%s is no KVM device", device);
    if (version != KVM_API)
        return err_set(e, ENOTSUP, "%s speaks version %d of the KVM API, not %d", device, version,
                       KVM_API);
    return 0;
}

static int run_trial(const struct accel_probe *probe, int device, struct err *e)
{
    _cleanup_free_ char *key = cache_key(probe->qemu);
    _cleanup_free_ char *path =
        probe->scratch_root ? path_join(probe->scratch_root, CACHE_FILE) : NULL;
    _cleanup_free_ char *known = key && path && !probe->fresh ? recall(path, key) : NULL;
    _cleanup_err_ struct err failure = ERR_INIT;
    if (known)
        return !strcmp(known, USABLE) ? 0 : err_set(e, EIO, "%s", known);
    int rc = kvm_trial_run(device, &failure);
    if (key && path)
        remember(path, key, rc < 0 ? err_message(&failure) : USABLE);
    return rc < 0 ? err_move(e, &failure) : 0;
}

int accel_probe_kvm(const struct accel_probe *probe, struct err *e)
{
    const char *device = probe->device ? probe->device : "/dev/kvm";
    _cleanup_close_ int fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return open_failed(device, e);
    if (check_api(fd, device, e) < 0)
        return -1;
    if (run_trial(probe, fd, e) < 0)
        return err_hint(e, "use a machine with hardware virtualization; emulation works, only more slowly");
    return 0;
}
