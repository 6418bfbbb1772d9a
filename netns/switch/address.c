#include "switch/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "switch/bytes.h"

static void hash(const char *text, uint8_t ret[SHA256_DIGEST_SIZE])
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, strlen(text), (const uint8_t *)text);
    sha256_digest(&context, SHA256_DIGEST_SIZE, ret);
}

unsigned address_number(const char *bridge)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    hash(bridge, digest);
    return get16(digest) % BRIDGE_NUMBERS;
}

void subnet_of_number(unsigned n, struct subnet *ret)
{
    static const uint8_t prefix[6] = {0xfd, 0x70, 0x72, 0x6f, 0x76, 0x69};
    ret->net4 = 10u << 24 | (64 + n / 256) << 16 | (n % 256) << 8;
    ret->prefix4 = 24;
    memset(ret->net6, 0, sizeof(ret->net6));
    memcpy(ret->net6, prefix, sizeof(prefix));
    put16(ret->net6 + 6, (uint16_t)n);
}

/* Splits "address/prefix"; the address part goes to `address`. Returns the prefix or -1. */
static int split(const char *text, char *address, size_t size)
{
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= size || slash[1] < '0' || slash[1] > '9')
        return -1;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    char *end;
    unsigned long prefix = strtoul(slash + 1, &end, 10);
    return *end || prefix > 128 ? -1 : (int)prefix;
}

int subnet_parse4(const char *text, struct subnet *ret, struct err *e)
{
    char address[ADDR4_TEXT];
    struct in_addr in;
    int prefix = split(text, address, sizeof(address));
    if (prefix < 0 || inet_pton(AF_INET, address, &in) != 1) {
        err_set(e, EINVAL, "subnet `%s` is not an IPv4 network", text);
        return err_hint(e, "write it like \"10.9.0.0/24\"");
    }
    if (prefix < 8 || prefix > 28)
        return err_set(e, EINVAL, "subnet `%s`: the prefix must be 8 to 28", text);
    struct subnet s = *ret;
    s.net4 = ntohl(in.s_addr);
    s.prefix4 = (unsigned)prefix;
    unsigned first = s.net4 >> 24;
    if (s.net4 & ~subnet_mask(&s))
        return err_set(e, EINVAL, "subnet `%s` has bits set beyond its prefix", text);
    if (!first || first == 127 || first >= 224)
        return err_set(e, EINVAL, "subnet `%s` can't be used for hosts", text);
    *ret = s;
    return 0;
}

int subnet_parse6(const char *text, struct subnet *ret, struct err *e)
{
    static const uint8_t none[8];
    char address[ADDR6_TEXT];
    struct in6_addr in;
    int prefix = split(text, address, sizeof(address));
    if (prefix < 0 || inet_pton(AF_INET6, address, &in) != 1) {
        err_set(e, EINVAL, "subnet `%s` is not an IPv6 network", text);
        return err_hint(e, "write it like \"fd00:1::/64\"");
    }
    if (prefix != 64)
        return err_set(e, EINVAL, "subnet `%s`: the prefix must be 64", text);
    if (memcmp(in.s6_addr + 8, none, 8))
        return err_set(e, EINVAL, "subnet `%s` has bits set beyond its prefix", text);
    if (!memcmp(in.s6_addr, none, 8) || in.s6_addr[0] == 0xff ||
        (in.s6_addr[0] == 0xfe && (in.s6_addr[1] & 0xc0) == 0x80))
        return err_set(e, EINVAL, "subnet `%s` can't be used for hosts", text);
    memcpy(ret->net6, in.s6_addr, 16);
    return 0;
}

int subnet_overlap(const struct subnet *a, const struct subnet *b)
{
    uint32_t mask = a->prefix4 < b->prefix4 ? subnet_mask(a) : subnet_mask(b);
    if ((a->net4 & mask) == (b->net4 & mask))
        return 4;
    return a->has6 && b->has6 && !memcmp(a->net6, b->net6, 8) ? 6 : 0;
}

bool subnet_has6(const struct subnet *s, const uint8_t address[16])
{
    return s->has6 && !memcmp(s->net6, address, 8);
}

void subnet_host6(const struct subnet *s, uint32_t host, uint8_t ret[16])
{
    memcpy(ret, s->net6, 16);
    put32(ret + 12, host);
}

uint32_t subnet_first_member(const struct subnet *s)
{
    return s->prefix4 > 26 ? 2 : 10;
}

void address_text4(uint32_t address, char ret[ADDR4_TEXT])
{
    struct in_addr in = {.s_addr = htonl(address)};
    inet_ntop(AF_INET, &in, ret, ADDR4_TEXT);
}

void address_text6(const uint8_t address[16], char ret[ADDR6_TEXT])
{
    inet_ntop(AF_INET6, address, ret, ADDR6_TEXT);
}

static void mac_of_text(const char *text, uint8_t ret[MAC_SIZE])
{
    static const uint8_t qemu[3] = {0x52, 0x54, 0x00};
    uint8_t digest[SHA256_DIGEST_SIZE];
    hash(text, digest);
    memcpy(ret, qemu, 3);
    memcpy(ret + 3, digest, 3);
}

void mac_of_member(const char *vm, const char *bridge, unsigned attempt, uint8_t ret[MAC_SIZE])
{
    _cleanup_free_ char *text =
        attempt ? xasprintf("%s-%s-%u", vm, bridge, attempt) : xasprintf("%s-%s", vm, bridge);
    mac_of_text(text, ret);
}

void mac_of_gateway(const char *bridge, uint8_t ret[MAC_SIZE])
{
    _cleanup_free_ char *text = xasprintf(GATEWAY_NAME "-%s", bridge);
    mac_of_text(text, ret);
}

void mac_text(const uint8_t mac[MAC_SIZE], char ret[MAC_TEXT])
{
    snprintf(ret, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
}
