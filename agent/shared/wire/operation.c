#include "wire/operation.h"

#include "base/cleanup.h"

#define FIELD(type, field, shape_type)                                                             \
    {                                                                                              \
#field, shape_type, offsetof(struct type, field)                                           \
    }
#define B(type, field) FIELD(type, field, SHAPE_BOOL)
#define I(type, field) FIELD(type, field, SHAPE_INT)
#define U(type, field) FIELD(type, field, SHAPE_UINT)
#define T(type, field) FIELD(type, field, SHAPE_TEXT)
#define D(type, field) FIELD(type, field, SHAPE_BYTES)

#define SHAPE(type, ...)                                                                           \
    static const struct shape_field fields_##type[] = {__VA_ARGS__};                               \
    _Static_assert(sizeof(struct type) <= sizeof(union operation_object), "operation_object");     \
    const struct shape shape_##type = {fields_##type, ARRAY_SIZE(fields_##type),                   \
                                       sizeof(struct type)}

static const struct shape shape_nothing = {NULL, 0, sizeof(struct nothing)};

SHAPE(args_hello, U(args_hello, version), U(args_hello, nonce), I(args_hello, time_ns), D(args_hello, seed));
SHAPE(value_hello, U(value_hello, version), U(value_hello, nonce), U(value_hello, pid),
      T(value_hello, agent_version), T(value_hello, guest_os), T(value_hello, agent_features));
SHAPE(args_exec, U(args_exec, argc), U(args_exec, envc), U(args_exec, groupc),
      B(args_exec, env_clear), B(args_exec, groups), B(args_exec, stdin_open), B(args_exec, quiet),
      U(args_exec, umask), U(args_exec, timeout_ns), U(args_exec, window), I(args_exec, limit),
      D(args_exec, cwd), D(args_exec, user), D(args_exec, group));
SHAPE(value_started, U(value_started, pid));
SHAPE(value_stream, U(value_stream, stream));
SHAPE(value_exited, I(value_exited, code), U(value_exited, signal), B(value_exited, timed_out),
      B(value_exited, truncated));
SHAPE(args_process, U(args_process, process));
SHAPE(args_signal, U(args_signal, process), U(args_signal, signal), B(args_signal, group));
SHAPE(value_signal, B(value_signal, delivered));
SHAPE(args_path, D(args_path, path));
SHAPE(args_read_file, D(args_read_file, path), U(args_read_file, limit));
SHAPE(args_write_file, D(args_write_file, path), I(args_write_file, perm));
SHAPE(args_stat, D(args_stat, path), B(args_stat, nofollow));
SHAPE(value_stat, U(value_stat, size), I(value_stat, mtime_ns), U(value_stat, perm),
      T(value_stat, entry_type), U(value_stat, uid), U(value_stat, gid), U(value_stat, nlink),
      U(value_stat, ino), U(value_stat, dev), U(value_stat, rdev));
SHAPE(value_count, U(value_count, count));
SHAPE(args_mkdir, D(args_mkdir, path), U(args_mkdir, perm), B(args_mkdir, parents));
SHAPE(args_rename, D(args_rename, from), D(args_rename, to));
SHAPE(args_ns, I(args_ns, ns));
SHAPE(args_configure_network, U(args_configure_network, wait_ns), B(args_configure_network, resolv_force));
SHAPE(value_warning, D(value_warning, warning));

SHAPE(args_open, D(args_open, path), U(args_open, mode), U(args_open, perm));
SHAPE(args_file, U(args_file, file));
SHAPE(args_read, U(args_read, file), U(args_read, size), B(args_read, all));
SHAPE(value_written, U(value_written, written));
SHAPE(args_seek, U(args_seek, file), I(args_seek, offset), U(args_seek, whence));
SHAPE(value_offset, U(value_offset, offset));
SHAPE(value_fd, I(value_fd, fd));
SHAPE(args_tail, D(args_tail, path), I(args_tail, offset), B(args_tail, from_end),
      U(args_tail, window));
SHAPE(args_fd_stream, U(args_fd_stream, file), I(args_fd_stream, fd), U(args_fd_stream, window));
SHAPE(args_syscall, I(args_syscall, nr), I(args_syscall, a0), I(args_syscall, a1),
      I(args_syscall, a2), I(args_syscall, a3), I(args_syscall, a4), I(args_syscall, a5),
      U(args_syscall, bufs), U(args_syscall, ptrs), U(args_syscall, nested), B(args_syscall, async));
SHAPE(args_read_mem, U(args_read_mem, address), U(args_read_mem, size));
SHAPE(args_quiesce, B(args_quiesce, end));
SHAPE(args_poweroff, B(args_poweroff, reboot));
SHAPE(args_spawn, D(args_spawn, about));

static const struct shape_field fields_value_syscall[] = {
    {"ret", SHAPE_INT, offsetof(struct value_syscall, ret)},
    {"errno", SHAPE_UINT, offsetof(struct value_syscall, errno_code)},
    {"out_bufs", SHAPE_UINT, offsetof(struct value_syscall, out_bufs)},
};
static const struct shape shape_value_syscall = {
    fields_value_syscall, ARRAY_SIZE(fields_value_syscall), sizeof(struct value_syscall)};

static const struct shape_field fields_value_err[] = {
    {"errno", SHAPE_UINT, offsetof(struct value_err, errno_code)},
    {"detail", SHAPE_BYTES, offsetof(struct value_err, detail)},
    {"version", SHAPE_UINT, offsetof(struct value_err, version)},
};
const struct shape shape_value_err = {fields_value_err, ARRAY_SIZE(fields_value_err),
                                      sizeof(struct value_err)};

const struct operation_shape operations[OPERATION_COUNT] = {
#define OPERATION(name, args, value) {#name, &shape_##args, &shape_##value},
    OPERATIONS(OPERATION)
#undef OPERATION
};

enum operation operation_find(struct bytes name)
{
    enum operation op = 0;
    while (op < OPERATION_COUNT && !bytes_is(name, operations[op].name))
        op++;
    return op;
}

const struct entry_type entry_types[8] = {
    {'f', "file"},   {'d', "directory"},    {'l', "symlink"},     {'p', "fifo"},
    {'s', "socket"}, {'b', "block_device"}, {'c', "char_device"}, {'o', "other"},
};

const char *entry_type_name(char letter)
{
    for (size_t i = 0; i < ARRAY_SIZE(entry_types); i++)
        if (entry_types[i].letter == letter)
            return entry_types[i].name;
    return NULL;
}
