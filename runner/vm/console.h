/* The serial console of a VM: a log on disk that never loses a byte while the test computes, and a way to type.
 *
 * One console lives as long as its VM object and spans its boots. Offsets count bytes since the first boot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"

#define CONSOLE_LOG_MAX (UINT64_C(256) << 20) /* older bytes are given back to the file system */

struct console;

/* The log is an unnamed file in `directory`: nothing to clean up. */
struct console *console_new(struct loop *loop, const char *directory, struct err *e);
void console_free(struct console *c);
DEFINE_CLEANUP(struct console, console_free)

/* A boot begins. `fd` becomes the console's: a socket whose far end is QEMU's serial port. */
int console_connect(struct console *c, int fd, struct err *e);
/* Waits until everything that QEMU wrote before it ended is in the log (bounded by `deadline`). */
void console_finish(struct console *c, int64_t deadline);

uint64_t console_end(const struct console *c);        /* offset after the last byte */
uint64_t console_start(const struct console *c);      /* offset of the oldest byte still kept */
uint64_t console_boot_start(const struct console *c); /* offset of the newest boot's first byte */
void console_mark_boot(struct console *c);            /* a warm reset: the next byte is a new boot's */
bool console_connected(const struct console *c);      /* false: no more bytes can come */

/* The log, for whoever outlives this process: the newest bytes are at its end. */
int console_log_fd(const struct console *c);

/* Reads at `offset`; 0 when there is nothing there. */
ssize_t console_read(const struct console *c, uint64_t offset, void *p, size_t n);
/* The last `n` bytes since `from`, as a malloc'ed string. */
char *console_tail(const struct console *c, uint64_t from, size_t n);
/* Waits for more than `offset` bytes: 1 there are, 0 the console ended, -1 deadline (ETIMEDOUT, ECANCELED). */
int console_wait(struct console *c, uint64_t offset, int64_t deadline);
/* Types all bytes. *ret_sent counts those sent, on failure too. */
int console_write(struct console *c, const void *p, size_t n, int64_t deadline, size_t *ret_sent,
                  struct err *e);
/* `fn` runs from the loop whenever bytes have arrived; one listener, NULL to remove. */
void console_on_output(struct console *c, void (*fn)(void *arg), void *arg);
