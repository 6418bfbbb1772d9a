/* The DNS responder (RFC 1035): messages in, messages out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "switch/switch.h"

#define DNS_HEADER_SIZE 12
#define DNS_ANSWER_MAX  512 /* of our own answers */

enum dns_rcode { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED };

enum dns_outcome {
    DNS_DROP,     /* not a query at all */
    DNS_ANSWERED, /* `answer` has *ret_size bytes */
    DNS_UNKNOWN,  /* a proper question about a name that isn't ours */
};

enum dns_outcome dns_answer(const struct port *viewer, const uint8_t *query, size_t size,
                            uint8_t answer[DNS_ANSWER_MAX], size_t *ret_size);
/* An answer without records to a query that dns_answer found proper. */
size_t dns_refuse(const uint8_t *query, size_t size, enum dns_rcode rcode,
                  uint8_t answer[DNS_ANSWER_MAX]);
