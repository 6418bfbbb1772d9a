/* Which function does which operation. */
#include "call.h"
#include "clock_ops.h"
#include "exec.h"
#include "files.h"
#include "session.h"
#include "stdin.h"

const struct handler handlers[OPERATION_COUNT] = {
    [OPERATION_hello] = {.begin = session_hello},
    [OPERATION_ping] = {.begin = session_ping},
    [OPERATION_sync] = {.run = files_sync},
    [OPERATION_exec] = {.begin = exec_begin,
                        .body = exec_body,
                        .cancel = exec_cancel,
                        .credit = exec_credit,
                        .paths = true,
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
};
