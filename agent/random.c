#include "random.h"

#include <fcntl.h>
#include <linux/random.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/alloc.h"

#define SEED_MAX 4096

void random_reseed(struct call *call)
{
    size_t len;
    _cleanup_free_ uint8_t *seed = call_receive_all(call, &len);
    _cleanup_close_ int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (!seed || len > SEED_MAX || fd < 0) {
        if (!call->failed)
            call_fail(call, fd < 0 ? errno : E2BIG);
        return;
    }
    _cleanup_free_ struct rand_pool_info *pool = xmalloc(sizeof(*pool) + len);
    pool->entropy_count = (int)(8 * len);
    pool->buf_size = (int)len;
    memcpy(pool->buf, seed, len);
    /* RNDRESEEDCRNG: before Linux 4.14 there is none, and nothing to do. */
    if (ioctl(fd, RNDADDENTROPY, pool) < 0 || (ioctl(fd, RNDRESEEDCRNG) < 0 && errno != EINVAL))
        call_fail(call, errno);
}
