/* Merging of equal pages (Documentation/admin-guide/mm/ksm.rst). */
#pragma once

#include <stdbool.h>

#define KSM_DIRECTORY "/sys/kernel/mm/ksm"

/* Whether this process may tune it. */
bool ksm_is_writable(const char *directory);
/* Makes it run at the pace that suits guests. True when that changed something: it is to be told. */
bool ksm_tune(const char *directory);
