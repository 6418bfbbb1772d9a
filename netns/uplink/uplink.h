/* What travels between a runner, the broker and a helper.
 *
 *   runner → broker  one SOCK_SEQPACKET message: uplink_config, then an array of uplink_port; with
 * three descriptors: the link (a stream of frames in QEMU's framing), a stream socket for the
 * answer, and a file for stderr helper → runner  on the answer's socket: true, uplink_state, array
 * of resolvers, array of host ports; or false and a message. The socket stays open as long as the
 * helper lives.
 *
 * The helper ends when the link does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "switch/record.h"
#include "switch/types.h"

#define UPLINK_MESSAGE_MAX   65536
#define UPLINK_FORWARDS_MAX  256
#define UPLINK_RESOLVERS_MAX 8
#define UPLINK_MTU_MIN       576

struct uplink_config {
    uint32_t net4, prefix4, gateway4; /* addresses in host order */
    bool has6;
    uint8_t net6[16], gateway6[16];
    uint32_t mtu;
    bool host_loopback;
};

struct uplink_port {
    char bind[ADDR6_TEXT];
    char guest[ADDR6_TEXT]; /* of the family of `bind` */
    uint16_t host_port, guest_port;
    bool udp;
};

struct uplink_state {
    bool icmp, ipv6;
};

struct uplink_text {
    char text[ADDR6_TEXT];
};

struct uplink_number {
    uint16_t number;
};

extern const struct record record_uplink_config, record_uplink_port, record_uplink_state,
    record_uplink_text, record_uplink_number;

/* An address and port for the socket calls; 0: the text is no address. */
socklen_t uplink_address(struct sockaddr_storage *to, const char *text, uint16_t port);
uint16_t uplink_address_port(const struct sockaddr_storage *address);
