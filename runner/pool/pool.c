#include "pool/pool.h"

bool pool_could_give(const struct pool *p, struct amount a)
{
    return a.memory_bytes <= p->total.memory_bytes && p->total.memory_bytes - a.memory_bytes >= POOL_FILE_OVERHEAD &&
           a.cpus <= p->total.cpus;
}

bool pool_fits(const struct pool *p, struct amount a)
{
    return a.memory_bytes <= p->total.memory_bytes - p->used.memory_bytes && a.cpus <= p->total.cpus - p->used.cpus;
}

bool pool_take(struct pool *p, struct amount a)
{
    if (!pool_fits(p, a))
        return false;
    p->used.memory_bytes += a.memory_bytes;
    p->used.cpus += a.cpus;
    return true;
}

void pool_give_back(struct pool *p, struct amount a)
{
    p->used.memory_bytes -= a.memory_bytes;
    p->used.cpus -= a.cpus;
}
