/* Host time. A deadline is an absolute CLOCK_MONOTONIC value in nanoseconds; DEADLINE_NONE never passes. */
#pragma once

#include <stdint.h>

#define NS_PER_S      INT64_C(1000000000)
#define NS_PER_MS     INT64_C(1000000)
#define DEADLINE_NONE INT64_MAX

int64_t clock_monotonic_ns(void);
int64_t clock_realtime_ns(void);
/* now + `ns`, saturating. */
int64_t deadline_after(int64_t ns);
/* Milliseconds until the deadline for poll(2)/epoll_wait(2), rounded up: 0 when passed, -1 for none. */
int deadline_poll_ms(int64_t deadline);
