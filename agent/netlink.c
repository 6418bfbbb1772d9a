#include "netlink.h"

#include <assert.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ANSWER_MAX 32768 /* what the kernel puts into one datagram of a dump */

int netlink_open(unsigned groups)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    return steal_fd(&fd);
}

void *netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, size_t size)
{
    memset(r, 0, sizeof(*r));
    r->header.nlmsg_len = (uint32_t)NLMSG_SPACE(size);
    r->header.nlmsg_type = type;
    r->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    return r->rest;
}

void netlink_add(struct netlink_request *r, uint16_t type, const void *data, size_t size)
{
    struct nlattr a = {.nla_len = (uint16_t)(NLA_HDRLEN + size), .nla_type = type};
    assert(r->header.nlmsg_len + NLA_HDRLEN + size <= sizeof(*r));
    char *at = (char *)r + r->header.nlmsg_len;
    memcpy(at, &a, sizeof(a));
    memcpy(at + NLA_HDRLEN, data, size);
    r->header.nlmsg_len += (uint32_t)NLA_ALIGN(a.nla_len);
}

/* 1: the answer goes on; 0: it is complete; -1 with errno. */
static int take_answer(const void *data, size_t len, uint32_t seq, void (*fn)(const struct nlmsghdr *h, void *arg),
                       void *arg)
{
    for (const struct nlmsghdr *h = data; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
        if (h->nlmsg_seq != seq)
            continue;
        if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) { /* both begin with an error number */
            int code = 0;
            if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
                memcpy(&code, NLMSG_DATA(h), sizeof(code));
            errno = -code;
            return code ? -1 : 0;
        }
        if (fn)
            fn(h, arg);
    }
    return 1;
}

int netlink_ask(int fd, struct netlink_request *r, void (*fn)(const struct nlmsghdr *h, void *arg), void *arg)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_MAX];
    static uint32_t last_seq;
    uint32_t seq = __atomic_add_fetch(&last_seq, 1, __ATOMIC_RELAXED);
    r->header.nlmsg_seq = seq;
    if (send(fd, r, r->header.nlmsg_len, 0) < 0)
        return -1;
    for (;;) {
        ssize_t got = recv(fd, answer, sizeof(answer), 0);
        if (got < 0 && errno == EINTR) /* the kernel answers at once */
            continue;
        int status = got < 0 ? -1 : take_answer(answer, (size_t)got, seq, fn, arg);
        if (status <= 0)
            return status;
    }
}

const struct nlattr *netlink_find(const void *from, size_t len, uint16_t type)
{
    const char *at = from;
    while (len >= NLA_HDRLEN) {
        const struct nlattr *a = (const struct nlattr *)(const void *)at;
        if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
            return NULL;
        if ((a->nla_type & NLA_TYPE_MASK) == type)
            return a;
        size_t step = NLA_ALIGN(a->nla_len);
        if (step > len)
            return NULL;
        at += step;
        len -= step;
    }
    return NULL;
}

const void *netlink_payload(const struct nlattr *a, size_t *ret_len)
{
    *ret_len = a->nla_len - NLA_HDRLEN;
    return (const char *)a + NLA_HDRLEN;
}
