/* pcap-filter(7) expressions, compiled and run by libpcap, which is loaded when the first filter is
 * asked for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

struct filter;

struct filter *filter_compile(const char *expression, struct err *e);
void filter_free(struct filter *f);
DEFINE_CLEANUP(struct filter, filter_free)
bool filter_matches(const struct filter *f, const uint8_t *data, uint32_t len);
