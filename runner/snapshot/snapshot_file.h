/* The file of one snapshot: guest memory at offset 0, the devices' state, a manifest, a trailer (layout: snapshot_file.c).
 *
 * The file is also what a restored machine maps, privately: nothing of the memory is read in bulk. Its parts but the memory
 * are hashed at each opening. The memory is verified when the file was touched since it was written, that is when its
 * modification time is not the one in the trailer, so an untouched file costs nothing. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

#define SNAPSHOT_FORMAT     1
#define SNAPSHOT_CHUNK      (UINT64_C(1) << 20) /* of memory, that has a checksum of its own */
#define SNAPSHOT_MEMORY_MAX (UINT64_C(1) << 42)
#define SNAPSHOT_STATE_MAX  (UINT64_C(256) << 20)
#define SNAPSHOT_NICS_MAX   32
#define SNAPSHOT_UNFIT      EBADMSG /* the code of an error whose cause is the snapshot: damaged, or taken elsewhere */

struct snapshot_nic {
    char *bridge;  /* its name in the lab */
    char *mac;
    int slot;      /* of the bridge for hot-plug, from 0; -1: on the root bus */
    bool link;
};

/* The manifest: everything from which the machine is built again, and whose it was. */
struct snapshot_info {
    char *provium;     /* version */
    char *agent;       /* version of the guest's agent */
    char *hypervisor;  /* "7.2.22 (Debian …)", QEMU's own words */
    char *vm, *profile;
    char *arch, *machine, *cpu; /* as QEMU takes them, or "auto" */
    bool kvm;
    char *host_cpu;    /* under KVM: vendor, family, model, stepping and flags of the host; else "" */
    uint64_t memory_bytes;
    unsigned cpus;
    char *cmdline;     /* the kernel's, complete */
    bool seeded;       /* rng_seed was given */
    uint64_t rng_seed;
    bool time_pinned;  /* initial_time was given, or a test set the clock: not corrected after a restore */
    bool serial_agent; /* the agent speaks on the serial line, not on the virtio port */
    bool paused;       /* the state of the VM when it was taken */
    int64_t taken_ns;  /* CLOCK_REALTIME */
    struct snapshot_nic *nics; /* in the order of their devices */
    size_t nic_count;
    char *disks;       /* a JSON array that belongs to the disks' side */
};

void snapshot_info_done(struct snapshot_info *info);

struct snapshot_file;

/* Opens it for reading (and, where permitted, for mapping: snapshot_file_fd), checks the trailer, the lengths, the hashes
 * of manifest, state and checksums, and the fields of the manifest. When the file was touched, its memory too. Errors name
 * the path and what is wrong: `x.snap: truncated: …`, `…: damaged: …`, `…: format 2; this provium reads 1`. */
struct snapshot_file *snapshot_file_open(const char *path, struct err *e);
/* The same without the look at the memory, whatever the file's time. */
struct snapshot_file *snapshot_file_open_unverified(const char *path, struct err *e);
void snapshot_file_free(struct snapshot_file *f);
DEFINE_CLEANUP(struct snapshot_file, snapshot_file_free)

/* Is the file at `path` the one that was opened, and not changed since? */
bool snapshot_file_is_at(const struct snapshot_file *f, const char *path);
const char *snapshot_file_path(const struct snapshot_file *f);
const struct snapshot_info *snapshot_file_info(const struct snapshot_file *f);
/* Offset 0 is the memory. Open for reading and writing when the file permits it. */
int snapshot_file_fd(const struct snapshot_file *f);
/* A descriptor of its own, for reading, that stands where the devices' state begins; the caller's. */
int snapshot_file_state(const struct snapshot_file *f, struct err *e);
/* Was the file's time not that of its trailer? */
bool snapshot_file_touched(const struct snapshot_file *f);
/* Reads all memory and compares the checksums: an error says at which offset. */
int snapshot_file_verify(const struct snapshot_file *f, struct err *e);
/* Which one it is: the hash of its trailer, which covers all of it. */
void snapshot_file_identity(const struct snapshot_file *f, uint8_t out[static 32]);
/* How many chunks of memory both have alike, holes not counted. */
uint64_t snapshot_file_shared(const struct snapshot_file *f, const struct snapshot_file *other);
/* Can it be mapped? QEMU 7.2 opens a memory's file for writing, even when it maps it privately. */
bool snapshot_file_writable(const struct snapshot_file *f);
/* The same in a new file, holes included. */
int snapshot_file_copy(const struct snapshot_file *f, const char *path, struct err *e);
/* For who has just written the very bytes of a snapshot (and knows it): gives the file the time of its trailer. */
int snapshot_file_trust(int fd, struct err *e);

/* Writing: memory first, then state and manifest, then finish. The file is under a temporary name in the same directory
 * until snapshot_writer_finish, and goes with snapshot_writer_free. */
struct snapshot_writer;

struct snapshot_writer *snapshot_writer_new(const char *path, uint64_t memory_bytes, struct err *e);
void snapshot_writer_free(struct snapshot_writer *w);
DEFINE_CLEANUP(struct snapshot_writer, snapshot_writer_free)
/* Memory in ascending order; `p` may be of any length. Pages of zeros, and what is left out, become holes. */
int snapshot_writer_memory(struct snapshot_writer *w, uint64_t offset, const void *p, size_t n, struct err *e);
/* `info->memory_bytes` is that of snapshot_writer_new. `durable`: the bytes are on the disk before the name is. */
int snapshot_writer_finish(struct snapshot_writer *w, const void *state, size_t state_size, const struct snapshot_info *info,
                           bool durable, struct err *e);

/* The manifest alone. Unpacking checks every field. */
int snapshot_info_pack(const struct snapshot_info *info, struct buf *out, struct err *e);
int snapshot_info_unpack(const char *text, size_t n, struct snapshot_info *ret, struct err *e);
