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

struct args_hello {
    uint64_t version, nonce;
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

struct value_err {
    uint64_t errno_code;
    struct bytes detail; /* names what failed where that is not the call's main argument, or says why */
    uint64_t version;    /* of a refused hello */
};

/* OPERATION(name, arguments, value) */
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
    OPERATION(clock_sleep, args_ns, nothing)

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
    shape_value_hello;

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
