/* Uplinks: ask the broker for a helper, give the other end of its link to the switch, remember what
 * was agreed.
 *
 * Three channels per uplink: the link (frames), the answer's socket, whose end of file tells that
 * the helper is gone, and a memory file as the helper's stderr, whose last line says why. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/io.h"
#include "network/private.h"
#include "uplink/uplink.h"

#define ANSWER_NS (15 * NS_PER_S)
#define END_NS    (5 * NS_PER_S)

struct uplink {
    struct uplink *next;
    uint32_t bridge;
    struct uplink_info info;
    struct uplink_forward *forwards; /* their strings are owned */
    char **dns;
    int answer_fd, stderr_fd;
    struct buf answer;
    struct source *readable;
    bool settled; /* answered, or gone */
    bool gone;
};

struct uplinks {
    struct loop *loop;
    int broker;
    struct uplink *first;
};

struct uplinks *uplinks_new(struct loop *loop, int broker)
{
    struct uplinks *u = xnew0(struct uplinks);
    u->loop = loop;
    u->broker = broker;
    return u;
}

static void uplink_free(struct uplink *u)
{
    if (!u)
        return;
    source_remove(u->readable);
    close_fd(&u->answer_fd);
    close_fd(&u->stderr_fd);
    buf_done(&u->answer);
    for (size_t i = 0; i < u->info.forward_count; i++) {
        free((char *)u->forwards[i].bind);
        free((char *)u->forwards[i].member);
    }
    free(u->forwards);
    for (size_t i = 0; i < u->info.dns_count; i++)
        free(u->dns[i]);
    free(u->dns);
    free(u);
}
DEFINE_CLEANUP(struct uplink, uplink_free)

/* The link is closed, so the helper ends: when it has, its ports are free again. */
void uplinks_forget(struct uplinks *u, uint32_t bridge)
{
    for (struct uplink **at = &u->first; *at; at = &(*at)->next) {
        if ((*at)->bridge != bridge)
            continue;
        struct uplink *over = *at;
        *at = over->next;
        if (over->readable)
            loop_wait(u->loop, &over->gone, deadline_after(END_NS));
        uplink_free(over);
        return;
    }
}

void uplinks_free(struct uplinks *u)
{
    if (!u)
        return;
    while (u->first)
        uplinks_forget(u, u->first->bridge);
    close_fd(&u->broker);
    free(u);
}

/* ---- the helper's answer ---- */

static bool answer_is_whole(const struct uplink *u)
{
    struct unpacker all = unpacker_of(bytes_of(buf_head(&u->answer), u->answer.len));
    bool ok;
    if (unpack_bool(&all, &ok) < 0)
        return false;
    for (unsigned values = ok ? 3 : 2; values; values--)
        if (unpack_skip(&all, NULL) < 0)
            return false;
    return true;
}

static void on_readable(struct source *s, uint32_t events, void *arg)
{
    struct uplink *u = arg;
    (void)events;
    uint8_t *to = buf_reserve(&u->answer, 4096);
    ssize_t n = to ? recv(u->answer_fd, to, 4096, MSG_DONTWAIT) : -1;
    if (n < 0 && to && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        u->gone = u->settled = u->info.failed = true;
        source_remove(s);
        u->readable = NULL;
        return;
    }
    buf_commit(&u->answer, (size_t)n);
    if (answer_is_whole(u))
        u->settled = true;
}

static int no_answer(const struct uplink *u, struct err *e)
{
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
    lseek(u->stderr_fd, 0, SEEK_SET);
    fd_read_all(u->stderr_fd, &text, NULL);
    _cleanup_free_ char *all = buf_steal_str(&text);
    for (size_t n = strlen(all); n && all[n - 1] == '\n';)
        all[--n] = '\0';
    const char *last = strrchr(all, '\n');
    last = last ? last + 1 : all;
    return err_set(e, EIO, "the uplink helper failed%s%s", *last ? ": " : "", last);
}

static int take_answer(struct uplink *u, struct err *e)
{
    struct unpacker at = unpacker_of(bytes_of(buf_head(&u->answer), u->answer.len));
    struct uplink_state state;
    void *resolvers, *numbers;
    size_t resolver_count, count;
    bool ok;
    int64_t code;
    struct bytes message;
    if (unpack_bool(&at, &ok) < 0)
        return no_answer(u, e);
    if (!ok) {
        if (unpack_int(&at, &code) < 0 || unpack_bytes(&at, &message) < 0)
            return no_answer(u, e);
        return err_set(e, (int)code, "%.*s", (int)message.len, (const char *)message.data);
    }
    if (record_unpack(&at, &record_uplink_state, &state) < 0 ||
        records_unpack(&at, &record_uplink_text, UPLINK_RESOLVERS_MAX, &resolvers,
                       &resolver_count) < 0)
        return no_answer(u, e);
    u->info.icmp = state.icmp;
    u->info.ipv6 = state.ipv6;
    u->dns = xnewa(char *, resolver_count);
    for (size_t i = 0; i < resolver_count; i++)
        u->dns[i] = xstrdup(((struct uplink_text *)resolvers)[i].text);
    u->info.dns = (const char *const *)u->dns;
    u->info.dns_count = resolver_count;
    free(resolvers);
    if (records_unpack(&at, &record_uplink_number, UPLINK_FORWARDS_MAX, &numbers, &count) < 0)
        return no_answer(u, e);
    for (size_t i = 0; i < count && i < u->info.forward_count; i++)
        u->forwards[i].host = ((struct uplink_number *)numbers)[i].number;
    free(numbers);
    return 0;
}

/* ---- asking ---- */

/* "a/n" as the numbers that the helper wants. */
static void fill_config(const struct bridge_info *info, bool host_loopback, struct uplink_config *c)
{
    struct in_addr in;
    char text[SUBNET_TEXT];
    *c = (struct uplink_config){.mtu = info->mtu, .host_loopback = host_loopback};
    snprintf(text, sizeof(text), "%s", info->subnet4);
    char *slash = strchr(text, '/');
    *slash = '\0';
    c->prefix4 = (uint32_t)atoi(slash + 1);
    inet_pton(AF_INET, text, &in);
    c->net4 = ntohl(in.s_addr);
    inet_pton(AF_INET, info->gateway4, &in);
    c->gateway4 = ntohl(in.s_addr);
    if (!*info->subnet6)
        return;
    c->has6 = true;
    snprintf(text, sizeof(text), "%s", info->subnet6);
    *strchr(text, '/') = '\0';
    inet_pton(AF_INET6, text, c->net6);
    inet_pton(AF_INET6, info->gateway6, c->gateway6);
}

static int fill_port(struct network *n, uint32_t bridge, const struct uplink_forward *f,
                     struct uplink_port *p, struct err *e)
{
    struct member_info member;
    const char *bind = f->bind ? f->bind : "127.0.0.1";
    if (!f->guest)
        return err_set(e, EINVAL, "forward: the guest's port is missing");
    if (strlen(bind) >= sizeof(p->bind))
        return err_set(e, EINVAL, "forward: `%s` is not an address to listen on", bind);
    if (network_member(n, bridge, f->member, &member, e) < 0)
        return err_prefix(e, "forward");
    *p = (struct uplink_port){.host_port = f->host, .guest_port = f->guest, .udp = f->udp};
    snprintf(p->bind, sizeof(p->bind), "%s", bind);
    snprintf(p->guest, sizeof(p->guest), "%s",
             strchr(bind, ':') ? member.reserved6 : member.reserved4);
    return 0;
}

static int pack_request(struct network *n, uint32_t bridge, const struct uplink_options *o,
                        struct buf *to, struct err *e)
{
    struct bridge_info info;
    struct uplink_config config;
    struct packer p = {.to = to};
    if (network_bridge_info(n, bridge, &info, e) < 0)
        return -1;
    if (info.mtu < UPLINK_MTU_MIN)
        return err_set(e, EINVAL, "an uplink needs an mtu of at least %d", UPLINK_MTU_MIN);
    if (o->forward_count > UPLINK_FORWARDS_MAX)
        return err_set(e, E2BIG, "more than %d forwards", UPLINK_FORWARDS_MAX);
    fill_config(&info, o->host_loopback, &config);
    record_pack(&p, &record_uplink_config, &config);
    pack_array(&p, (uint32_t)o->forward_count);
    for (size_t i = 0; i < o->forward_count; i++) {
        struct uplink_port port;
        if (fill_port(n, bridge, &o->forwards[i], &port, e) < 0)
            return -1;
        record_pack(&p, &record_uplink_port, &port);
    }
    return 0;
}

static struct uplink *uplink_new(uint32_t bridge, const struct uplink_options *o)
{
    struct uplink *u = xnew0(struct uplink);
    *u = (struct uplink){
        .bridge = bridge,
        .answer_fd = -1,
        .stderr_fd = -1,
        .answer = BUF_INIT(UPLINK_MESSAGE_MAX),
        .info = {.host_loopback = o->host_loopback, .forward_count = o->forward_count}};
    u->forwards = xnewa(struct uplink_forward, o->forward_count);
    for (size_t i = 0; i < o->forward_count; i++) {
        u->forwards[i] = o->forwards[i];
        u->forwards[i].bind = xstrdup(o->forwards[i].bind ? o->forwards[i].bind : "127.0.0.1");
        u->forwards[i].member = xstrdup(o->forwards[i].member);
    }
    u->info.forwards = u->forwards;
    return u;
}

static int ask_broker(struct uplinks *all, struct uplink *u, const struct buf *request, int link,
                      struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "socketpair");
    _cleanup_close_ int theirs = pair[1];
    u->answer_fd = pair[0];
    u->stderr_fd = memfd_create("provium-uplink-stderr", MFD_CLOEXEC);
    if (u->stderr_fd < 0)
        return err_errno(e, "memfd_create");
    int fds[3] = {link, theirs, u->stderr_fd};
    if (fds_send(all->broker, buf_head(request), request->len, fds, 3) < 0)
        return err_errno(e, "the uplink broker is gone");
    close_fd(&theirs);
    u->readable = loop_add_fd(all->loop, u->answer_fd, EPOLLIN, on_readable, u);
    if (!u->readable)
        return err_errno(e, "epoll");
    if (loop_wait(all->loop, &u->settled, deadline_after(ANSWER_NS)) < 0)
        return err_errno(e, "the uplink helper did not answer");
    return take_answer(u, e);
}

const struct uplink_info *network_uplink(struct network *n, uint32_t bridge)
{
    for (struct uplink *u = n->uplinks->first; u; u = u->next)
        if (u->bridge == bridge)
            return &u->info;
    return NULL;
}

int network_enable_uplink(struct network *n, uint32_t bridge, const struct uplink_options *options,
                          struct err *e)
{
    struct request r;
    int pair[2];
    _cleanup_buf_ struct buf request = BUF_INIT(UPLINK_MESSAGE_MAX);
    if (n->uplinks->broker < 0)
        return err_set(e, ENOTSUP, "there is no uplink broker");
    if (network_uplink(n, bridge)) {
        err_set(e, EALREADY, "the bridge has an uplink already");
        return err_hint(e, "call bridge:disable_uplink first");
    }
    if (pack_request(n, bridge, options, &request, e) < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "socketpair");
    _cleanup_close_ int helpers = pair[0], switches = pair[1];
    _cleanup_(uplink_freep) struct uplink *u = uplink_new(bridge, options);
    if (ask_broker(n->uplinks, u, &request, helpers, e) < 0)
        return -1;
    request_about(&r, SWITCH_UPLINK_START, bridge, NULL);
    pack_bool(&r.p, u->info.ipv6);
    r.fd = switches;
    if (channel_do(n->channel, &r, e) < 0)
        return -1;
    u->next = n->uplinks->first;
    n->uplinks->first = steal_ptr(u);
    return 0;
}

int network_disable_uplink(struct network *n, uint32_t bridge, struct err *e)
{
    struct request r;
    if (!network_uplink(n, bridge))
        return 0;
    request_about(&r, SWITCH_UPLINK_STOP, bridge, NULL);
    if (channel_do(n->channel, &r, e) < 0)
        return -1;
    uplinks_forget(n->uplinks, bridge);
    return 0;
}
