/* Which function does which operation. */
#include "call.h"
#include "clock_ops.h"
#include "exec.h"
#include "files.h"
#include "handle.h"
#include "network.h"
#include "power.h"
#include "session.h"
#include "stdin.h"
#include "tail.h"
#include "worker.h"

#define FOR_WORKERS                                                                                \
    {.begin = worker_begin, .body = worker_body, .cancel = worker_cancel, .in_worker = true}

/* A request that names a worker, and that the agent does not execute for it (as it does exec). */
const struct handler handler_for_workers = FOR_WORKERS;

const struct handler handlers[OPERATION_COUNT] = {
    [OPERATION_hello] = {.begin = session_hello},
    [OPERATION_ping] = {.begin = session_ping},
    [OPERATION_sync] = {.run = files_sync},
    [OPERATION_exec] = {.begin = exec_begin,
                        .body = exec_body,
                        .cancel = exec_cancel,
                        .credit = exec_credit,
                        .paths = true,
                        .in_worker = true,
                        .object = true},
    [OPERATION_write_stdin] = {.begin = stdin_write, .body = stdin_more, .cancel = stdin_cancel},
    [OPERATION_close_stdin] = {.begin = stdin_end},
    [OPERATION_signal] = {.begin = exec_signal},
    [OPERATION_release] = {.begin = exec_release},
    [OPERATION_read_file] = {.run = files_read, .paths = true},
    [OPERATION_write_file] = {.run = files_write, .paths = true},
    [OPERATION_stat] = {.run = files_stat, .paths = true},
    [OPERATION_listdir] = {.run = files_listdir, .paths = true},
    [OPERATION_mkdir] = {.run = files_mkdir, .paths = true},
    [OPERATION_unlink] = {.run = files_unlink, .paths = true},
    [OPERATION_rename] = {.run = files_rename, .paths = true},
    [OPERATION_clock_get] = {.run = clock_op_get},
    [OPERATION_clock_set] = {.run = clock_op_set},
    [OPERATION_clock_advance] = {.run = clock_op_advance},
    [OPERATION_clock_sleep] = {.run = clock_op_sleep},
    [OPERATION_open] = {.run = handle_open, .paths = true, .in_worker = true},
    [OPERATION_read] = {.run = handle_read},
    [OPERATION_write] = {.run = handle_write},
    [OPERATION_seek] = {.run = handle_seek},
    [OPERATION_fd] = {.begin = worker_fd},
    [OPERATION_close] = {.begin = handle_close},
    [OPERATION_tail] = {.run = tail_path, .credit = call_add_credit, .paths = true},
    [OPERATION_fd_stream] = {.run = tail_descriptor, .credit = call_add_credit},
    [OPERATION_worker] = {.begin = worker_new, .cancel = worker_end, .object = true},
    [OPERATION_syscall] = FOR_WORKERS,
    [OPERATION_read_mem] = FOR_WORKERS,
    [OPERATION_settle] = {.begin = session_settle},
    [OPERATION_quiesce] = {.begin = session_quiesce},
    [OPERATION_poweroff] = {.run = power_op},
    [OPERATION_gate] = {.begin = session_gate, .cancel = session_open_gate},
    [OPERATION_configure_network] = {.run = network_configure, .paths = true},
};
