/* Going down in order is the work of a child, so that pid 1 goes on reaping: everyone gets SIGTERM, then SIGKILL;
 * file systems on disks are written out and unmounted or made read-only; then the machine stops. */
#include "power.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"

#define GRACE_MS 2000
#define LOOK_MS  10

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * NS_PER_MS}, NULL);
}

/* What is mounted from a device, in reverse order of mounting. Mount points with odd characters are escaped in
 * /proc/mounts and not found: they were synced. */
static void unmount_disks(void)
{
    _cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
    _cleanup_strv_ struct strv mounts = STRV_INIT;
    file_read("/proc/mounts", &b, NULL);
    _cleanup_free_ char *text = buf_steal_str(&b);
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        const char *device = strsep(&line, " "), *where = strsep(&line, " ");
        if (where && str_starts_with(device, "/dev/"))
            strv_add(&mounts, where);
    }
    for (size_t i = mounts.count; i--;)
        if (umount(mounts.items[i]) < 0)
            mount(NULL, mounts.items[i], NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

/* Is there a process besides pid 1 and this one? Kernel threads and zombies have no executable. */
static bool others_live(void)
{
    _cleanup_closedir_ DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        char path[300], target[8];
        int pid = atoi(entry->d_name);
        snprintf(path, sizeof(path), "/proc/%s/exe", entry->d_name);
        if (pid > 1 && pid != getpid() && readlink(path, target, sizeof(target)) > 0)
            return true;
    }
    return false;
}

static void go_down(int how)
{
    kill(-1, SIGTERM); /* all but pid 1 and this process */
    for (int ms = 0; ms < GRACE_MS && others_live(); ms += LOOK_MS)
        nap();
    kill(-1, SIGKILL);
    sync();
    unmount_disks();
    reboot(how);
    _exit(1);
}

void power_signals(sigset_t *set)
{
    reboot(RB_DISABLE_CAD); /* ctrl-alt-del becomes SIGINT */
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
}

void power_signal(int signal_number)
{
    static bool going_down;
    int how = signal_number == SIGUSR2   ? RB_POWER_OFF
              : signal_number == SIGUSR1 ? RB_HALT_SYSTEM
                                         : RB_AUTOBOOT;
    if (going_down)
        return;
    going_down = true;
    if (!fork())
        go_down(how);
}

void power_op(struct call *call)
{
    const struct args_poweroff *args = call_args(call);
    if (call->agent->options.init) {
        power_signal(args->reboot ? SIGTERM : SIGUSR2);
        return;
    }
    /* Another init: its own program knows how to ask it. */
    const char *program = args->reboot ? "reboot" : "poweroff";
    pid_t pid = fork();
    if (!pid) {
        execlp(program, program, NULL);
        _exit(127);
    }
    if (pid < 0)
        call_fail(call, errno);
}
