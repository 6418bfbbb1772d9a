/* Netlink messages: putting them together and taking them apart; and requests to rtnetlink(7). */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

struct netlink_request {
    struct nlmsghdr header;
    char rest[256];
};

/* A socket of NETLINK_ROUTE that hears of `groups` (RTMGRP_*). -1 with errno. */
int netlink_open(unsigned groups);
/* Begins a request; returns its zeroed body of `size` bytes (struct ifaddrmsg and such). */
void *netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, size_t size);
/* There has to be room: requests are made of few small attributes. */
void netlink_add(struct netlink_request *r, uint16_t type, const void *data, size_t size);
/* Sends it, hands each message of the answer to `fn` (may be NULL), until the kernel has acknowledged it or ended its
 * dump. -1 with errno. */
int netlink_ask(int fd, struct netlink_request *r, void (*fn)(const struct nlmsghdr *h, void *arg), void *arg);

/* The first attribute of that type among `len` bytes of attributes, or NULL. */
const struct nlattr *netlink_find(const void *from, size_t len, uint16_t type);
const void *netlink_payload(const struct nlattr *a, size_t *ret_len);
