/* The guest's NICs, by netlink alone. What the agent has set is remembered, so that a later plan takes away exactly what
 * it no longer holds; an address or route that was there before is somebody else's and stays so. Everything wanted
 * is asked for each time: taking a link down makes the kernel forget routes and IPv6 addresses.
 *
 * An interface is known by the MAC its device came with, where the kernel tells that (Linux 5.6), since bonds change
 * the other one; of several, the oldest is the device, and the others are VLANs and such on top of it. */
#include "network.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "modules.h"
#include "netlink.h"
#include "network_files.h"
#include "network_plan.h"

#define DRIVER   "/sys/bus/virtio/drivers/virtio_net"
#define IPV6     "/sys/module/ipv6"
#define LOOPBACK 1 /* its index in every network namespace */
#define ADD      (NLM_F_CREATE | NLM_F_EXCL)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for what follows, and the order of changes */
static struct network_setting *owned;
static size_t owned_count;

static bool has_mac(const struct nlattr *attribute, const uint8_t mac[MAC_SIZE])
{
    size_t len;
    const void *bytes = netlink_payload(attribute, &len);
    return len == MAC_SIZE && !memcmp(bytes, mac, MAC_SIZE);
}

static void match_link(const struct nlmsghdr *h, void *arg)
{
    struct network_plan *plan = arg;
    const struct ifinfomsg *info = NLMSG_DATA(h);
    if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_SPACE(sizeof(*info)))
        return;
    const void *attributes = (const char *)h + NLMSG_SPACE(sizeof(*info));
    size_t len = h->nlmsg_len - NLMSG_SPACE(sizeof(*info)), mac_len, name_len;
    const struct nlattr *mac = netlink_find(attributes, len, IFLA_PERM_ADDRESS);
    const struct nlattr *now = netlink_find(attributes, len, IFLA_ADDRESS);
    const struct nlattr *name = netlink_find(attributes, len, IFLA_IFNAME);
    if (!mac)
        mac = now;
    if (!mac || !name)
        return;
    const void *mac_bytes = netlink_payload(mac, &mac_len), *name_bytes = netlink_payload(name, &name_len);
    for (size_t i = 0; mac_len == MAC_SIZE && i < plan->nic_count; i++) {
        struct network_nic *nic = &plan->nics[i];
        bool same = !memcmp(nic->mac, mac_bytes, MAC_SIZE) || !memcmp(nic->device_mac, mac_bytes, MAC_SIZE);
        if (!same || (nic->index && nic->index < (uint32_t)info->ifi_index))
            continue;
        nic->index = (uint32_t)info->ifi_index;
        nic->other_mac = memcmp(nic->mac, nic->device_mac, MAC_SIZE) && now && has_mac(now, nic->device_mac);
        memset(nic->name, 0, sizeof(nic->name));
        memcpy(nic->name, name_bytes, name_len < sizeof(nic->name) ? name_len : sizeof(nic->name) - 1);
    }
}

/* Looks for all interfaces; returns how many NICs have none, or -1 with errno. *ret_wanted: any that is to be configured? */
static int find_links(int fd, struct network_plan *plan, bool *ret_wanted)
{
    struct netlink_request r;
    int missing = 0;
    for (size_t i = 0; i < plan->nic_count; i++)
        plan->nics[i].index = 0;
    netlink_begin(&r, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
    if (netlink_ask(fd, &r, match_link, plan) < 0)
        return -1;
    for (size_t i = 0; i < plan->nic_count; i++)
        if (!plan->nics[i].index) {
            missing++;
            *ret_wanted |= !plan->nics[i].raw;
        }
    return missing;
}

/* Waits for all interfaces until the deadline; -1: the call has failed. */
static int await_links(struct call *call, int fd, struct network_plan *plan, int64_t deadline)
{
    char news[4096];
    int missing;
    _cleanup_close_ int heard = netlink_open(RTMGRP_LINK);
    struct pollfd p = {.fd = heard, .events = POLLIN};
    for (bool tried = false, wanted = false; (missing = heard < 0 ? -1 : find_links(fd, plan, &wanted)) > 0;) {
        if (!tried && wanted) {
            tried = true;
            if (access(DRIVER, F_OK) < 0 && !modules_load("virtio_net"))
                continue;
        }
        int timeout = deadline_poll_ms(deadline);
        if (!timeout)
            return 0;
        if (poll(&p, 1, timeout) < 0 && !call_retry(call, errno)) {
            call_fail(call, errno == EINTR ? ECANCELED : errno);
            return -1;
        }
        while (recv(heard, news, sizeof(news), MSG_DONTWAIT) > 0)
            ;
    }
    if (missing < 0)
        call_fail_about(call, errno, "netlink");
    return missing;
}

static int set_link(int fd, uint32_t index, uint32_t mtu, bool up)
{
    struct netlink_request r;
    struct ifinfomsg *info = netlink_begin(&r, RTM_NEWLINK, 0, sizeof(*info));
    info->ifi_index = (int)index;
    info->ifi_flags = info->ifi_change = up ? IFF_UP : 0;
    if (mtu)
        netlink_add(&r, IFLA_MTU, &mtu, sizeof(mtu));
    return netlink_ask(fd, &r, NULL, NULL);
}

/* Of a clone on the same bridge as its original. The link goes down for it, so that its IPv6 address follows. */
static int set_mac(int fd, const struct network_nic *nic)
{
    struct netlink_request r;
    for (int step = 0; step < 2; step++) {
        struct ifinfomsg *info = netlink_begin(&r, RTM_NEWLINK, 0, sizeof(*info));
        info->ifi_index = (int)nic->index;
        info->ifi_change = IFF_UP;
        if (step)
            netlink_add(&r, IFLA_ADDRESS, nic->mac, MAC_SIZE);
        if (netlink_ask(fd, &r, NULL, NULL) < 0)
            return -1;
    }
    return 0;
}

static void put_address(struct netlink_request *r, const struct network_setting *s, bool add)
{
    struct ifaddrmsg *m = netlink_begin(r, add ? RTM_NEWADDR : RTM_DELADDR, add ? ADD : 0, sizeof(*m));
    m->ifa_family = s->size == 4 ? AF_INET : AF_INET6;
    m->ifa_prefixlen = (uint8_t)s->prefix;
    m->ifa_index = s->index;
    m->ifa_flags = s->size == 4 ? 0 : IFA_F_NODAD;
    netlink_add(r, IFA_LOCAL, s->address, s->size);
    netlink_add(r, IFA_ADDRESS, s->address, s->size);
    if (s->size == 4 && s->prefix < 31) { /* some programs ask for it; the kernel would not */
        uint32_t broadcast;
        memcpy(&broadcast, s->address, sizeof(broadcast));
        broadcast |= htonl(UINT32_MAX >> s->prefix);
        netlink_add(r, IFA_BROADCAST, &broadcast, sizeof(broadcast));
    }
}

static void put_route(struct netlink_request *r, const struct network_setting *s, bool add)
{
    struct rtmsg *m = netlink_begin(r, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? ADD : 0, sizeof(*m));
    m->rtm_family = s->size == 4 ? AF_INET : AF_INET6;
    m->rtm_dst_len = (uint8_t)s->prefix;
    m->rtm_table = RT_TABLE_MAIN;
    m->rtm_protocol = RTPROT_STATIC;
    m->rtm_scope = RT_SCOPE_UNIVERSE;
    m->rtm_type = RTN_UNICAST;
    if (s->prefix)
        netlink_add(r, RTA_DST, s->address, s->size);
    netlink_add(r, RTA_GATEWAY, s->gateway, s->size);
    netlink_add(r, RTA_OIF, &s->index, sizeof(s->index));
}

/* Adds or removes a setting. -1 with errno. */
static int change(int fd, const struct network_setting *s, bool add)
{
    struct netlink_request r;
    (s->route ? put_route : put_address)(&r, s, add);
    return netlink_ask(fd, &r, NULL, NULL);
}

static bool contains(const struct network_setting *list, size_t count, const struct network_setting *s)
{
    for (size_t i = 0; i < count; i++)
        if (!memcmp(&list[i], s, offsetof(struct network_setting, ours)))
            return true;
    return false;
}

static void fail(struct network_nic *nic, const char *what)
{
    if (!*nic->reason)
        snprintf(nic->reason, sizeof(nic->reason), "%s: %s", what, strerror(errno));
}

/* The kernel has no IPv6, or it is turned off. */
static bool lacks_ipv6(int code)
{
    return code == EOPNOTSUPP || code == EAFNOSUPPORT || code == EACCES;
}

static void add_settings(int fd, struct network_nic *nic, struct network_setting *settings)
{
    bool ipv6 = true, tried = false;
    for (size_t i = 0; i < nic->count; i++) {
        struct network_setting *s = &settings[i];
        bool is6 = s->size == 16;
        if (is6 && !ipv6)
            continue;
        int done = change(fd, s, true);
        if (done < 0 && is6 && lacks_ipv6(errno) && !tried) {
            tried = true;
            int code = errno;
            if (access(IPV6, F_OK) < 0 && !modules_load("ipv6"))
                done = change(fd, s, true);
            else
                errno = code;
        }
        if (!done || (errno == EEXIST && contains(owned, owned_count, s)))
            s->ours = true;
        else if (is6 && lacks_ipv6(errno))
            ipv6 = false;
        else if (errno != EEXIST)
            fail(nic, s->route ? "route" : "address");
    }
}

static void configure_nic(int fd, struct network_nic *nic, struct network_setting *settings)
{
    if (nic->other_mac && set_mac(fd, nic) < 0)
        fail(nic, "MAC address");
    if (nic->mtu && set_link(fd, nic->index, nic->mtu, false) < 0)
        fail(nic, "MTU");
    if (set_link(fd, nic->index, 0, true) < 0)
        fail(nic, "link up");
    add_settings(fd, nic, settings);
}

/* Remembers what of the plan is the agent's. */
static void remember(struct network_plan *plan)
{
    owned_count = 0;
    for (size_t i = 0; i < plan->setting_count; i++)
        if (plan->settings[i].ours)
            plan->settings[owned_count++] = plan->settings[i];
    free(owned);
    owned = steal_ptr(plan->settings);
    plan->setting_count = 0;
}

static void apply(int fd, struct network_plan *plan)
{
    bool any = false;
    for (size_t i = 0; i < plan->nic_count; i++) {
        struct network_nic *nic = &plan->nics[i];
        any |= nic->index && !nic->raw;
        for (size_t k = 0; k < nic->count && !nic->raw; k++)
            plan->settings[nic->first + k].index = nic->index;
    }
    /* Those set last first: routes before the addresses that they need. */
    for (size_t i = owned_count; i-- > 0;)
        if (!contains(plan->settings, plan->setting_count, &owned[i]))
            change(fd, &owned[i], false);
    if (any)
        set_link(fd, LOOPBACK, 0, true); /* the way to the guest's own addresses */
    for (size_t i = 0; i < plan->nic_count; i++) {
        struct network_nic *nic = &plan->nics[i];
        if (nic->index && !nic->raw)
            configure_nic(fd, nic, plan->settings + nic->first);
        else if (!nic->raw)
            snprintf(nic->reason, sizeof(nic->reason), "the guest shows no interface with this MAC address");
    }
    remember(plan);
}

/* -1: the call has failed. */
static int take_body(struct call *call, struct buf *body)
{
    struct piece *piece;
    while (!call->failed && (piece = call_receive(call))) {
        if (buf_append(body, piece->data, piece->len) < 0)
            call_fail(call, EFBIG);
        call_recycle(call, piece);
    }
    if (call->cancelled)
        call_fail(call, ECANCELED);
    return call->failed ? -1 : 0;
}

static void reply(struct call *call, const struct network_plan *plan, const struct buf *warnings)
{
    _cleanup_buf_ struct buf records = BUF_INIT(NETWORK_REPLY_MAX);
    struct value_warning value = {.warning = bytes_of(buf_head(warnings), warnings->len)};
    for (size_t i = 0; i < plan->nic_count; i++) {
        const struct network_nic *nic = &plan->nics[i];
        const char *name = nic->index ? nic->name : "";
        buf_append(&records, name, strlen(name) + 1);
        buf_append(&records, nic->reason, strlen(nic->reason) + 1);
    }
    if (!call_send(call, buf_head(&records), records.len))
        call_value(call, &value);
}

void network_configure(struct call *call)
{
    const struct args_configure_network *args = call_args(call);
    int64_t wait_ns = args->wait_ns < INT64_MAX ? (int64_t)args->wait_ns : INT64_MAX;
    _cleanup_buf_ struct buf body = BUF_INIT(NETWORK_PLAN_MAX), warnings = BUF_INIT(1024);
    _cleanup_(network_plan_done) struct network_plan plan = {0};
    if (take_body(call, &body) < 0)
        return;
    if (network_plan_parse(bytes_of(buf_head(&body), body.len), &plan) < 0) {
        call_fail_about(call, EPROTO, "malformed plan");
        return;
    }
    _cleanup_close_ int fd = netlink_open(0);
    if (fd < 0)
        call_fail_about(call, errno, "netlink");
    if (fd < 0 || await_links(call, fd, &plan, deadline_after(wait_ns)) < 0)
        return;
    pthread_mutex_lock(&lock);
    apply(fd, &plan);
    network_write_hosts(plan.hosts, &warnings);
    network_write_resolv_conf(plan.resolv_conf, args->resolv_force, &warnings);
    pthread_mutex_unlock(&lock);
    reply(call, &plan, &warnings);
}
