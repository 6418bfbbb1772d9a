/* A boot with a seed is deterministic until the host first says something: then the kernel stirs the time of that into its
 * pool. It takes a new key from there every minute, but in the first two minutes more often, by the uptime. So the boot goes
 * on until those are over, which takes no time as the emulated clock jumps when the guest idles; the last key is taken then. From
 * there on the clock must not jump any more, or the minute would be over at once: a process of the lowest class keeps the
 * CPU busy. */
#include "random.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "modules.h"

#define PARAMETER  " provium.rng_seed="
#define EARLY_BOOT 121 /* seconds; drivers/char/random.c, crng_reseed_interval */

/* Stays open: a restored guest has the less to do, whatever has become of /dev. */
static int random_fd(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    return fd;
}

static bool has_seed(void)
{
    char text[4096] = " ";
    _cleanup_close_ int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read_full(fd, text + 1, sizeof(text) - 2) > 0 && strstr(text, PARAMETER);
}

static void keep_busy(void)
{
    const int lowest = 0; /* all there is in struct sched_param */
    if (fork())
        return;
    syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &lowest); /* the C library refuses */
    for (;;)
        __asm__ volatile("");
}

void random_settle(void)
{
    const struct timespec end = {.tv_sec = EARLY_BOOT};
    uint8_t byte;
    int fd = random_fd();
    if (!has_seed())
        return;
    modules_load("button"); /* or it would draw numbers some time after the first hello */
    if (getrandom(&byte, 1, 0) != 1 || clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) || fd < 0 ||
        ioctl(fd, RNDRESEEDCRNG) < 0)
        agent_log("random numbers will not depend on the seed alone: %s", strerror(errno));
    keep_busy();
}

int random_add(struct bytes seed)
{
    int fd = random_fd();
    if (fd < 0)
        return -1;
    _cleanup_free_ struct rand_pool_info *pool = xmalloc(sizeof(*pool) + seed.len);
    pool->entropy_count = (int)(8 * seed.len);
    pool->buf_size = (int)seed.len;
    memcpy(pool->buf, seed.data, seed.len);
    /* RNDRESEEDCRNG: before Linux 4.14 there is none, and nothing to do. */
    return ioctl(fd, RNDADDENTROPY, pool) < 0 || (ioctl(fd, RNDRESEEDCRNG) < 0 && errno != EINVAL) ? -1 : 0;
}
