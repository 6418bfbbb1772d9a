#include "switch/dns.h"

#include <stdio.h>
#include <string.h>

#include "switch/bytes.h"
#include "switch/core.h"
#include "switch/names.h"
#include "switch/packet.h"

#define TYPE_A    1
#define TYPE_PTR  12
#define TYPE_AAAA 28
#define TYPE_ANY  255
#define CLASS_IN  1
#define CLASS_ANY 255

#define FLAG_RESPONSE  0x8000
#define FLAG_OPCODE    0x7800
#define FLAG_AUTHORITY 0x0400
#define FLAG_DESIRED   0x0100 /* recursion */
#define FLAG_AVAILABLE 0x0080

#define NAME_TEXT 256
#define POINTER   0xc00c /* to the question's name */

struct question {
    char name[NAME_TEXT]; /* dotted, without the final dot */
    uint16_t type, class;
    size_t end;        /* of the question in the message */
    struct ip reverse; /* what a name under in-addr.arpa or ip6.arpa means; else family 0 */
};

struct answer {
    const struct question *question;
    uint8_t *bytes;
    size_t size;
    unsigned count;
    bool known;
};

/* "4.3.2.1.in-addr.arpa"; 32 nibbles from the last on and "ip6.arpa". */
static struct ip parse_reverse(const char *name)
{
    static const char digits[] = "0123456789abcdef";
    struct ip ip = {.family = 6}, none = {0};
    unsigned a, b, c, d;
    int end = 0;
    if (sscanf(name, "%3u.%3u.%3u.%3u.%n", &a, &b, &c, &d, &end) == 4 && end &&
        !strcasecmp(name + end, "in-addr.arpa") && a < 256 && b < 256 && c < 256 && d < 256)
        return ip4_of(d << 24 | c << 16 | b << 8 | a);
    if (strlen(name) != 64 + strlen("ip6.arpa") || strcasecmp(name + 64, "ip6.arpa"))
        return none;
    for (unsigned i = 0; i < 32; i++, name += 2) {
        const char *digit = strchr(digits, name[0] | (name[0] >= 'A' ? 0x20 : 0));
        if (!name[0] || !digit || name[1] != '.')
            return none;
        ip.bytes[15 - i / 2] |= (uint8_t)((digit - digits) << (i % 2 * 4));
    }
    return ip;
}

static bool parse_question(const uint8_t *query, size_t size, struct question *q)
{
    size_t at = DNS_HEADER_SIZE, len = 0;
    for (;;) {
        if (at >= size)
            return false;
        uint8_t label = query[at++];
        if (!label)
            break;
        if (label > 63 || at + label > size || len + label + 2 > sizeof(q->name))
            return false;
        if (len)
            q->name[len++] = '.';
        for (; label; label--, at++) /* a dot or NUL within a label is in no name of ours */
            q->name[len++] = query[at] == '.' || !query[at] ? '\x01' : (char)query[at];
    }
    q->name[len] = '\0';
    if (size - at < 4)
        return false;
    q->type = get16(query + at);
    q->class = get16(query + at + 2);
    q->end = at + 4;
    q->reverse = parse_reverse(q->name);
    return true;
}

static void add_record(struct answer *a, uint16_t type, const void *data, size_t size)
{
    if (a->size + 12 + size > DNS_ANSWER_MAX)
        return;
    uint8_t *to = a->bytes + a->size;
    put16(to, POINTER);
    put16(to + 2, type);
    put16(to + 4, CLASS_IN);
    put32(to + 6, 0); /* TTL */
    put16(to + 10, (uint16_t)size);
    memcpy(to + 12, data, size);
    a->size += 12 + size;
    a->count++;
}

static void add_pointer(struct answer *a, const char *name)
{
    uint8_t encoded[NAME_TEXT + 1];
    size_t len = 0;
    while (*name) {
        size_t label = strcspn(name, ".");
        if (!label || label > 63 || len + label + 2 > sizeof(encoded))
            return;
        encoded[len++] = (uint8_t)label;
        memcpy(encoded + len, name, label);
        len += label;
        name += label + (name[label] == '.');
    }
    encoded[len++] = 0;
    add_record(a, TYPE_PTR, encoded, len);
}

static struct ip address4(const struct port *p)
{
    return ip4_of(subnet_host4(&p->bridge->subnet, p->host));
}

static struct ip address6(const struct port *p)
{
    struct ip ip = {.family = 6};
    subnet_host6(&p->bridge->subnet, p->host, ip.bytes);
    return ip;
}

static bool look(const struct port *p, bool bare, void *arg)
{
    struct answer *a = arg;
    const struct question *q = a->question;
    char full[2 * NAME_TEXT];
    struct ip four = address4(p), six = address6(p);
    bool has6 = p->bridge->subnet.has6;
    snprintf(full, sizeof(full), "%s.%s", p->name, p->bridge->name);
    if (!strcasecmp(q->name, full) || (bare && !strcasecmp(q->name, p->name))) {
        a->known = true;
        if (q->type == TYPE_A || q->type == TYPE_ANY)
            add_record(a, TYPE_A, four.bytes, 4);
        if (has6 && (q->type == TYPE_AAAA || q->type == TYPE_ANY))
            add_record(a, TYPE_AAAA, six.bytes, 16);
    } else if (ip_equal(&q->reverse, &four) || (has6 && ip_equal(&q->reverse, &six))) {
        a->known = true;
        if (q->type == TYPE_PTR || q->type == TYPE_ANY)
            add_pointer(a, full);
    }
    return !a->known;
}

static size_t begin(const uint8_t *query, size_t question_end, enum dns_rcode rcode,
                    uint8_t *answer)
{
    uint16_t flags = get16(query + 2);
    memcpy(answer, query, question_end);
    put16(answer + 2, (uint16_t)(FLAG_RESPONSE | FLAG_AUTHORITY | FLAG_AVAILABLE |
                                 (flags & (FLAG_OPCODE | FLAG_DESIRED)) | rcode));
    put16(answer + 4, question_end > DNS_HEADER_SIZE);
    memset(answer + 6, 0, 6);
    return question_end;
}

size_t dns_refuse(const uint8_t *query, size_t size, enum dns_rcode rcode,
                  uint8_t answer[DNS_ANSWER_MAX])
{
    struct question q;
    return begin(query, parse_question(query, size, &q) ? q.end : DNS_HEADER_SIZE, rcode, answer);
}

enum dns_outcome dns_answer(const struct port *viewer, const uint8_t *query, size_t size,
                            uint8_t answer[DNS_ANSWER_MAX], size_t *ret_size)
{
    struct question q;
    if (size < DNS_HEADER_SIZE || get16(query + 2) & FLAG_RESPONSE)
        return DNS_DROP;
    enum dns_rcode problem = DNS_NOERROR;
    if (get16(query + 2) & FLAG_OPCODE)
        problem = DNS_NOTIMP;
    else if (get16(query + 4) != 1 || !parse_question(query, size, &q))
        problem = DNS_FORMERR;
    else if (q.class != CLASS_IN && q.class != CLASS_ANY)
        problem = DNS_REFUSED;
    if (problem) {
        *ret_size = begin(query, DNS_HEADER_SIZE, problem, answer);
        return DNS_ANSWERED;
    }
    struct answer a = {.question = &q, .bytes = answer, .size = q.end};
    names_each(viewer, look, &a);
    if (!a.known)
        return DNS_UNKNOWN;
    begin(query, q.end, DNS_NOERROR, answer);
    put16(answer + 6, (uint16_t)a.count);
    *ret_size = a.size;
    return DNS_ANSWERED;
}
