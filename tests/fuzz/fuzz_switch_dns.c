/* The responder alone: an answer repeats the question's id, is one, and fits. */
#include "switch_world.h"

#include "switch/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t answer[DNS_ANSWER_MAX];
    size_t answer_size = 0;
    struct world w;
    world_init(&w);
    if (size > 65535)
        size = 65535;
    switch (dns_answer(w.ports[0], data, size, answer, &answer_size)) {
    case DNS_DROP:
        break;
    case DNS_UNKNOWN:
        answer_size = dns_refuse(data, size, DNS_NXDOMAIN, answer);
        /* fall through */
    case DNS_ANSWERED:
        must(answer_size >= DNS_HEADER_SIZE && answer_size <= sizeof(answer));
        must(!memcmp(answer, data, 2) && answer[2] & 0x80);
    }
    switch_free(w.s);
    return 0;
}
