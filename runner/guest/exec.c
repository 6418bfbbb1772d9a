/* A command is an exec call whose output the agent cuts at the limit. When the process has exited but somebody still
 * holds its pipes, the agent is told after LINGER to let go of them, which ends the call. */
#include "guest/exec.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/channel.h"
#include "guest/exec_call.h"

#define WINDOW   (1024 * 1024)
#define LINGER   (200 * NS_PER_MS)
#define PATIENCE (10 * NS_PER_S) /* after a timeout that the agent should have enforced */

struct run {
    struct guest_result *result;
    struct source *linger;
    uint64_t taken[2];
};

void guest_result_done(struct guest_result *r)
{
    buf_done(&r->out);
    buf_done(&r->err);
}

static uint64_t add_strings(struct buf *b, const char *const *list)
{
    uint64_t count = 0;
    for (; list && list[count]; count++)
        buf_append(b, list[count], strlen(list[count]) + 1);
    return count;
}

struct guest_call *guest_exec_start(struct guest *g, const struct guest_command *c, const struct exec_mode *mode)
{
    struct buf strings = BUF_INIT(SIZE_MAX);
    struct args_exec args = {
        .argc = add_strings(&strings, c->argv),
        .envc = add_strings(&strings, c->env),
        .groupc = add_strings(&strings, c->groups),
        .env_clear = c->env_clear,
        .groups = c->groups,
        .stdin_open = mode->keep_stdin || c->input_len,
        .quiet = mode->quiet,
        .umask = c->umask,
        .timeout_ns = (uint64_t)c->timeout_ns,
        .window = mode->window,
        .limit = mode->limit,
        .cwd = bytes_str(c->cwd),
        .user = bytes_str(c->user),
        .group = bytes_str(c->group),
    };
    struct guest_call_request request = {
        .args = &args,
        .len = strings.len,
        .handlers = mode->handlers,
        .arg = mode->arg,
        .window = mode->window,
        .background = mode->background,
    };
    request.own = buf_steal_str(&strings);
    guest_call_cork(g);
    struct guest_call *call =
        guest_call_start(g, OPERATION_exec, &request, "%s \"%s\"", mode->verb, c->name ? c->name : c->argv[0]);
    if (c->input_len) {
        struct args_process process = {.process = call->id};
        struct guest_call_request input = {
            .args = &process, .own = xmemdup(c->input, c->input_len), .len = c->input_len};
        guest_call_detach(guest_call_start(g, OPERATION_write_stdin, &input, "write_stdin"));
        if (!mode->keep_stdin) {
            struct guest_call_request end = {.args = &process};
            guest_call_detach(guest_call_start(g, OPERATION_close_stdin, &end, "close_stdin"));
        }
    }
    guest_call_uncork(g);
    return call;
}

void guest_exec_describe(const struct value_exited *value, struct guest_result *ret)
{
    ret->status = value->timed_out ? GUEST_TIMED_OUT : value->signal ? GUEST_SIGNALLED : GUEST_EXITED;
    ret->exit_code = value->timed_out ? -2 : value->signal ? -1 : (int)value->code;
    ret->signal = value->timed_out ? 0 : (int)value->signal;
    ret->truncated = value->truncated;
}

static void on_data(struct guest_call *call, unsigned stream, struct bytes data)
{
    struct run *run = call->arg;
    if (buf_append(stream ? &run->result->err : &run->result->out, data.data, data.len) < 0) {
        guest_channel_violation(call->guest, "more output of %s than was asked for", call->label);
        return;
    }
    run->taken[stream] += data.len;
    if (run->taken[stream] >= WINDOW / 2) {
        guest_call_grant(call, stream, run->taken[stream]);
        run->taken[stream] = 0;
    }
}

static void on_linger(struct source *s, void *arg)
{
    struct guest_call *call = arg;
    struct args_process args = {.process = call->id};
    struct guest_call_request request = {.args = &args};
    (void)s;
    guest_call_detach(guest_call_start(call->guest, OPERATION_release, &request, "release"));
}

static void on_event(struct guest_call *call, struct bytes name, struct bytes value)
{
    struct run *run = call->arg;
    (void)value;
    if (bytes_is(name, "exited") && !run->linger)
        run->linger = loop_add_timer(call->guest->loop, deadline_after(LINGER), on_linger, call);
}

static void on_done(struct guest_call *call)
{
    struct run *run = call->arg;
    source_remove(run->linger);
    run->linger = NULL;
}

int guest_run(struct guest *g, const struct guest_command *command, struct guest_result *ret,
              int64_t deadline, struct err *e)
{
    static const struct guest_call_handlers handlers = {.data = on_data, .event = on_event, .done = on_done};
    struct guest_result result = {.out = BUF_INIT(command->max_output), .err = BUF_INIT(command->max_output)};
    struct run run = {.result = &result};
    struct exec_mode mode = {.verb = "run",
                             .quiet = true,
                             .window = WINDOW,
                             .limit = (int64_t)command->max_output,
                             .handlers = &handlers,
                             .arg = &run};
    struct value_exited value;
    int64_t limit = command->timeout_ns ? deadline_after(command->timeout_ns + PATIENCE) : DEADLINE_NONE;
    _cleanup_(guest_call_freep) struct guest_call *call = guest_exec_start(g, command, &mode);
    int failed = guest_call_await(call, limit < deadline ? limit : deadline, &value, e);
    source_remove(run.linger);
    if (failed) {
        guest_result_done(&result);
        return -1;
    }
    guest_exec_describe(&value, &result);
    *ret = result;
    return 0;
}
