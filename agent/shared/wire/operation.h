/* The operations of the agent, their arguments and their values. What each does is in PROTOCOL.md.
 * A struct without a field of its own is `struct nothing`. */
#pragma once

#include "wire/message.h"
#include "wire/shape.h"

#define OPEN_READ      1
#define OPEN_WRITE     2
#define OPEN_CREATE    4
#define OPEN_TRUNCATE  8
#define OPEN_APPEND    16
#define OPEN_EXCLUSIVE 32

#define STREAM_STDOUT 0
#define STREAM_STDERR 1

struct nothing {
    char unused;
};

/* For a guest that was restored: what time it is, 0 if its clock is right, and entropy. */
struct args_hello {
    uint64_t version, nonce;
    int64_t time_ns;
    struct bytes seed;
};
struct value_hello {
    uint64_t nonce, version, pid;
    struct bytes agent_version, guest_os, agent_features;
};

/* Body: argc + envc + groupc strings, each with a final NUL. */
struct args_exec {
    uint64_t argc, envc, groupc;
    bool env_clear, groups; /* groups: the list (even an empty one) was given */
    bool stdin_open;        /* `write_stdin` calls follow; else it is empty */
    bool quiet;             /* no `started` and `eof` events */
    uint64_t umask, timeout_ns, window;
    int64_t limit; /* bytes kept per stream; -1: all */
    struct bytes cwd, user, group;
};
struct value_started {
    uint64_t pid;
};
struct value_stream {
    uint64_t stream;
};
struct value_exited {
    int64_t code;
    uint64_t signal;
    bool timed_out, truncated;
};
struct args_process {
    uint64_t process;
};
struct args_signal {
    uint64_t process, signal;
    bool group;
};
struct value_signal {
    bool delivered;
};

struct args_path {
    struct bytes path;
};
struct args_read_file {
    struct bytes path;
    uint64_t limit;
};
struct args_write_file {
    struct bytes path;
    int64_t perm; /* -1: 0644 for a new file, kept for an existing one */
};
struct args_stat {
    struct bytes path;
    bool nofollow;
};
struct value_stat {
    uint64_t size, perm, uid, gid, nlink, ino, dev, rdev;
    int64_t mtime_ns;
    struct bytes entry_type;
};
struct value_count {
    uint64_t count;
};
struct args_mkdir {
    struct bytes path;
    uint64_t perm;
    bool parents;
};
struct args_rename {
    struct bytes from, to;
};
struct args_ns {
    int64_t ns;
};

/* `file` is the id of the open call. */
struct args_open {
    struct bytes path;
    uint64_t mode, perm; /* OPEN_*; exact permissions of a new file */
}; /* value: -1 when the number is not known before it is asked for */
struct args_file {
    uint64_t file;
};
struct args_read {
    uint64_t file, size;
    bool all; /* up to the end; EFBIG when that is more than `size` */
};
struct value_written {
    uint64_t written;
};
struct args_seek {
    uint64_t file;
    int64_t offset;
    uint64_t whence; /* SEEK_SET, SEEK_CUR, SEEK_END */
};
struct value_offset {
    uint64_t offset;
};
struct value_fd {
    int64_t fd;
};
struct args_tail {
    struct bytes path;
    int64_t offset; /* of the first byte; */
    bool from_end;  /* counted from the end (0: the end), but not before the beginning */
    uint64_t window;
};
struct args_fd_stream {
    uint64_t file;
    int64_t fd; /* of the agent's kernel-call process, when `file` is 0 */
    uint64_t window;
};

/* Body: `bufs` lengths, `ptrs` slots and `nested` quadruples (parent, child, offset, child_offset; indices from 0),
 * all u64 little-endian; then the buffers. */
#define NR_IOCTL (-1) /* ioctl(2), whatever its number is there */
struct args_syscall {
    int64_t nr, a0, a1, a2, a3, a4, a5;
    uint64_t bufs, ptrs, nested;
    bool async; /* in a thread of its own */
};
struct value_syscall {
    int64_t ret;
    uint64_t errno_code, out_bufs; /* out_bufs: how many buffers the result's body has, as they were given */
};
struct args_read_mem {
    uint64_t address, size;
};

struct args_quiesce {
    bool end;
};
struct args_poweroff {
    bool reboot;
};

/* Between the agent and its worker processes only. */
struct args_spawn {
    struct bytes about; /* packed args_exec; the body as there; descriptors: stdin, stdout, stderr, error pipe */
};

/* Body: the plan. */
#define NETWORK_PLAN_MAX  (20 * 1024 * 1024)
#define NETWORK_REPLY_MAX (1024 * 1024)
struct args_configure_network {
    uint64_t wait_ns;  /* for interfaces to show up */
    bool resolv_force; /* resolv.conf is written whatever it holds */
};
struct value_warning {
    struct bytes warning; /* what went wrong without being a failure; lines */
};

struct value_err {
    uint64_t errno_code;
    struct bytes detail; /* names what failed where that is not the call's main argument, or says why */
    uint64_t version;    /* of a refused hello */
};

/* OPERATION(name, arguments, value). The last five are between the agent and its worker processes only. */
#define OPERATIONS(OPERATION)                                                                      \
    OPERATION(hello, args_hello, value_hello)                                                      \
    OPERATION(ping, nothing, nothing)                                                              \
    OPERATION(sync, nothing, nothing)                                                              \
    OPERATION(exec, args_exec, value_exited)                                                       \
    OPERATION(write_stdin, args_process, nothing)                                                  \
    OPERATION(close_stdin, args_process, nothing)                                                  \
    OPERATION(signal, args_signal, value_signal)                                                   \
    OPERATION(release, args_process, nothing)                                                      \
    OPERATION(read_file, args_read_file, nothing)                                                  \
    OPERATION(write_file, args_write_file, nothing)                                                \
    OPERATION(stat, args_stat, value_stat)                                                         \
    OPERATION(listdir, args_path, value_count)                                                     \
    OPERATION(mkdir, args_mkdir, nothing)                                                          \
    OPERATION(unlink, args_path, nothing)                                                          \
    OPERATION(rename, args_rename, nothing)                                                        \
    OPERATION(clock_get, nothing, args_ns)                                                         \
    OPERATION(clock_set, args_ns, nothing)                                                         \
    OPERATION(clock_advance, args_ns, nothing)                                                     \
    OPERATION(clock_sleep, args_ns, nothing)                                                       \
    OPERATION(open, args_open, value_fd)                                                           \
    OPERATION(read, args_read, nothing)                                                            \
    OPERATION(write, args_file, value_written)                                                     \
    OPERATION(seek, args_seek, value_offset)                                                       \
    OPERATION(fd, args_file, value_fd)                                                             \
    OPERATION(close, args_file, nothing)                                                           \
    OPERATION(tail, args_tail, nothing)                                                            \
    OPERATION(fd_stream, args_fd_stream, nothing)                                                  \
    OPERATION(worker, nothing, value_exited)                                                       \
    OPERATION(syscall, args_syscall, value_syscall)                                                \
    OPERATION(read_mem, args_read_mem, nothing)                                                    \
    OPERATION(settle, nothing, nothing)                                                            \
    OPERATION(quiesce, args_quiesce, nothing)                                                      \
    OPERATION(poweroff, args_poweroff, nothing)                                                    \
    OPERATION(gate, nothing, nothing)                                                              \
    OPERATION(lane, nothing, nothing)                                                              \
    OPERATION(adopt, nothing, value_fd)                                                            \
    OPERATION(share, value_fd, nothing)                                                            \
    OPERATION(drop, value_fd, nothing)                                                             \
    OPERATION(spawn, args_spawn, value_started)                                                    \
    OPERATION(configure_network, args_configure_network, value_warning)

enum operation {
#define OPERATION(name, args, value) OPERATION_##name,
    OPERATIONS(OPERATION)
#undef OPERATION
        OPERATION_COUNT
};

struct operation_shape {
    const char *name;
    const struct shape *args, *value;
};
extern const struct operation_shape operations[OPERATION_COUNT];
/* Values of events, and of MESSAGE_ERR. */
extern const struct shape shape_value_started, shape_value_stream, shape_value_exited, shape_value_err,
    shape_value_hello, shape_value_offset;

/* The operation of that name, or OPERATION_COUNT. */
enum operation operation_find(struct bytes name);

/* Types of directory entries: the letter in the records of listdir, and their names. The last one is "other". */
extern const struct entry_type {
    char letter;
    const char *name;
} entry_types[8];
/* NULL for a letter that is none. */
const char *entry_type_name(char letter);

/* Large enough for any args or value struct. */
union operation_object {
    uint64_t align;
    char bytes[256];
};
