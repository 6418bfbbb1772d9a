#include "random.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/alloc.h"
#include "base/cleanup.h"

int random_add(struct bytes seed)
{
    _cleanup_close_ int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    _cleanup_free_ struct rand_pool_info *pool = xmalloc(sizeof(*pool) + seed.len);
    pool->entropy_count = (int)(8 * seed.len);
    pool->buf_size = (int)seed.len;
    memcpy(pool->buf, seed.data, seed.len);
    /* RNDRESEEDCRNG: before Linux 4.14 there is none, and nothing to do. */
    return ioctl(fd, RNDADDENTROPY, pool) < 0 || (ioctl(fd, RNDRESEEDCRNG) < 0 && errno != EINVAL) ? -1 : 0;
}
