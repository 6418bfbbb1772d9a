#include "uplink/uplink.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/cleanup.h"

#define T struct uplink_config
RECORD(record_uplink_config, T, FIELD(FIELD_UNSIGNED, T, net4), FIELD(FIELD_UNSIGNED, T, prefix4),
       FIELD(FIELD_UNSIGNED, T, gateway4), FIELD(FIELD_BOOL, T, has6), FIELD(FIELD_BYTES, T, net6),
       FIELD(FIELD_BYTES, T, gateway6), FIELD(FIELD_UNSIGNED, T, mtu),
       FIELD(FIELD_BOOL, T, host_loopback));
#undef T

#define T struct uplink_port
RECORD(record_uplink_port, T, FIELD(FIELD_TEXT, T, bind), FIELD(FIELD_TEXT, T, guest),
       FIELD(FIELD_UNSIGNED, T, host_port), FIELD(FIELD_UNSIGNED, T, guest_port),
       FIELD(FIELD_BOOL, T, udp));
#undef T

#define T struct uplink_state
RECORD(record_uplink_state, T, FIELD(FIELD_BOOL, T, icmp), FIELD(FIELD_BOOL, T, ipv6));
#undef T

RECORD(record_uplink_text, struct uplink_text, FIELD(FIELD_TEXT, struct uplink_text, text));
RECORD(record_uplink_number, struct uplink_number,
       FIELD(FIELD_UNSIGNED, struct uplink_number, number));

socklen_t uplink_address(struct sockaddr_storage *to, const char *text, uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    memset(to, 0, sizeof(*to));
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        return sizeof(*in);
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1)
        return 0;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    return sizeof(*in6);
}

uint16_t uplink_address_port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
                                               : ((const struct sockaddr_in6 *)address)->sin6_port);
}
