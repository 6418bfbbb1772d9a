#include "ns/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"

#define MAP_TEXT_MAX 4096 /* the kernel takes at most a page */

/* One write(2), as the kernel wants it. */
static int write_proc(pid_t pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", process_number_in_proc(pid), name);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

/* The extents of our own map, each id to itself. */
static char *identity_map(const char *name)
{
    _cleanup_free_ char *path = xasprintf("/proc/self/%s", name);
    _cleanup_fclose_ FILE *own = fopen(path, "re");
    _cleanup_buf_ struct buf text = BUF_INIT(MAP_TEXT_MAX);
    unsigned long inside, outside, count;
    while (own && fscanf(own, "%lu %lu %lu", &inside, &outside, &count) == 3)
        buf_printf(&text, "%lu %lu %lu\n", inside, inside, count);
    return buf_steal_str(&text);
}

static int map_single(pid_t pid, const char *name, unsigned id)
{
    char text[64];
    snprintf(text, sizeof(text), "%u %u 1\n", id, id);
    return write_proc(pid, name, text);
}

int ids_map(pid_t pid, struct err *e)
{
    _cleanup_free_ char *uids = identity_map("uid_map"), *gids = identity_map("gid_map");
    if (write_proc(pid, "uid_map", uids) < 0 && map_single(pid, "uid_map", geteuid()) < 0) {
        err_errno(e, "user id map");
        /* CAP_SETFCAP is needed to map uid 0 since Linux 5.12. */
        return geteuid()
                   ? -1
                   : err_hint(e,
                              "root without its capabilities can't do this; run as another user");
    }
    if (write_proc(pid, "gid_map", gids) == 0)
        return 0;
    /* Required for an unprivileged group map since Linux 3.19. */
    if (write_proc(pid, "setgroups", "deny") < 0 || map_single(pid, "gid_map", getegid()) < 0)
        return err_errno(e, "group id map");
    return 0;
}

int mounts_separate(struct err *e)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_errno(e, "mount namespace: making / private");
    /* Refused where parts of /proc are covered, as in containers (mount_too_revealing() in the
     * kernel); the old one then stays, whose /proc/self is right but whose numbers are those of the
     * outer pid namespace. */
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    return 0;
}

int loopback_up(struct err *e)
{
    struct ifreq request = {.ifr_name = "lo"};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return err_errno(e, "network namespace: loopback interface");
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return err_errno(e, "network namespace: bringing up loopback");
    return 0;
}

/* CAP_SETFCAP: without it a user namespace made in here could not have root's id (Linux 5.12 and later), as --vmm local's
 * has. */
static const cap_value_t file_capabilities[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
                                                CAP_FOWNER, CAP_FSETID,       CAP_SETFCAP};

uint64_t capabilities_over_files(void)
{
    uint64_t have = 0;
    cap_t now = cap_get_proc();
    for (size_t i = 0; now && i < ARRAY_SIZE(file_capabilities); i++) {
        cap_flag_value_t set = CAP_CLEAR;
        if (cap_get_flag(now, file_capabilities[i], CAP_EFFECTIVE, &set) == 0 && set == CAP_SET)
            have |= UINT64_C(1) << file_capabilities[i];
    }
    cap_free(now);
    return have;
}

int capabilities_keep(uint64_t keep, struct err *e)
{
    cap_t wanted = cap_init();
    int rc = wanted ? 0 : -1;
    for (cap_value_t c = 0; rc == 0 && CAP_IS_SUPPORTED(c); c++) {
        if (!(keep >> c & 1)) {
            rc = cap_drop_bound(c);
            continue;
        }
        rc = cap_set_flag(wanted, CAP_PERMITTED, 1, &c, CAP_SET);
        if (rc == 0)
            rc = cap_set_flag(wanted, CAP_EFFECTIVE, 1, &c, CAP_SET);
    }
    if (rc < 0 || cap_set_proc(wanted) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        rc = err_errno(e, "dropping capabilities");
    cap_free(wanted);
    return rc;
}
