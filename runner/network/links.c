/* The calls of network.h about what happens between ports: partitions, impairments, routes,
 * captures. */
#include <stdlib.h>

#include "network/private.h"

static int partition(struct network *n, uint32_t bridge, const char *a, const char *b,
                     bool directional, bool on, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_PARTITION, bridge, a);
    pack_str(&r.p, b);
    pack_bool(&r.p, directional);
    pack_bool(&r.p, on);
    return channel_do(n->channel, &r, e);
}

int network_partition(struct network *n, uint32_t bridge, const char *a, const char *b,
                      bool directional, struct err *e)
{
    return partition(n, bridge, a, b, directional, true, e);
}

int network_unpartition(struct network *n, uint32_t bridge, const char *a, const char *b,
                        bool directional, struct err *e)
{
    return partition(n, bridge, a, b, directional, false, e);
}

static int partition_all(struct network *n, uint32_t bridge, bool on, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_PARTITION_ALL, bridge, NULL);
    pack_bool(&r.p, on);
    return channel_do(n->channel, &r, e);
}

int network_partition_all(struct network *n, uint32_t bridge, struct err *e)
{
    return partition_all(n, bridge, true, e);
}

int network_restore_all(struct network *n, uint32_t bridge, struct err *e)
{
    return partition_all(n, bridge, false, e);
}

int network_is_partitioned(struct network *n, uint32_t bridge, const char *a, const char *b,
                           struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_IS_PARTITIONED, bridge, a);
    pack_str(&r.p, b);
    return channel_bool(n->channel, &r, e);
}

int network_isolate(struct network *n, uint32_t bridge, const char *member, bool on, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_ISOLATE, bridge, member);
    pack_bool(&r.p, on);
    return channel_do(n->channel, &r, e);
}

int network_is_isolated(struct network *n, uint32_t bridge, const char *member, struct err *e)
{
    struct member_info info;
    return network_member(n, bridge, member, &info, e) < 0 ? -1 : info.isolated;
}

int network_impair(struct network *n, uint32_t bridge, const struct impairment *rule, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_IMPAIR, bridge, NULL);
    record_pack(&r.p, &record_impairment, rule);
    return channel_do(n->channel, &r, e);
}

int network_impairments(struct network *n, uint32_t bridge, struct impairment **ret,
                        size_t *ret_count, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_IMPAIRMENTS, bridge, NULL);
    return channel_records(n->channel, &r, &record_impairment, (void **)ret, ret_count, e);
}

void impairments_free(struct impairment *rules, size_t count)
{
    records_done(&record_impairment, rules, count);
}

int network_seed(struct network *n, uint32_t bridge, int64_t seed, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_SEED, bridge, NULL);
    pack_int(&r.p, seed);
    return channel_do(n->channel, &r, e);
}

int network_reset(struct network *n, uint32_t bridge, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_RESET, bridge, NULL);
    return channel_do(n->channel, &r, e);
}

/* ---- routes ---- */

int network_route(struct network *n, uint32_t bridge, const uint32_t *others, size_t count,
                  struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_ROUTE, bridge, NULL);
    pack_array(&r.p, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        pack_uint(&r.p, others[i]);
    return channel_do(n->channel, &r, e);
}

int network_unroute(struct network *n, uint32_t bridge, uint32_t other, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_UNROUTE, bridge, NULL);
    pack_uint(&r.p, other);
    return channel_do(n->channel, &r, e);
}

int network_routes(struct network *n, uint32_t bridge, uint32_t **ret, size_t *ret_count,
                   struct err *e)
{
    struct request r;
    void *routes;
    request_about(&r, SWITCH_ROUTES, bridge, NULL);
    if (channel_records(n->channel, &r, &record_id, &routes, ret_count, e) < 0)
        return -1;
    *ret = routes;
    return 0;
}

/* ---- captures ---- */

int network_capture(struct network *n, uint32_t bridge, const char *member,
                    const struct capture_options *options, int fd, uint32_t *ret_id, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_CAPTURE, bridge, member ? member : "");
    record_pack(&r.p, &record_capture_options, options);
    r.fd = fd;
    return channel_uint(n->channel, &r, ret_id, e);
}

int network_capture_stats(struct network *n, uint32_t capture, struct capture_stats *ret,
                          struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_CAPTURE_STATS, capture, NULL);
    return channel_record(n->channel, &r, &record_capture_stats, ret, e);
}

int network_capture_close(struct network *n, uint32_t capture, struct err *e)
{
    struct request r;
    request_about(&r, SWITCH_CAPTURE_CLOSE, capture, NULL);
    return channel_do(n->channel, &r, e);
}
