/* A command is an exec call whose output the agent cuts at the limit. When the process has exited but somebody still
 * holds its pipes, the agent is told after LINGER to let go of them, which ends the call. */
#include "guest/exec.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/channel.h"
#include "guest/exec_call.h"
#include "guest/start.h"
#include "guest/worker.h"

#define WINDOW   (1024 * 1024)
#define LINGER   (200 * NS_PER_MS)
#define PATIENCE (10 * NS_PER_S) /* after a timeout that the agent should have enforced */

struct guest_run {
    struct guest_call *call;
    struct guest_result result;
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
        .worker = mode->worker,
        .after = mode->after,
        .budget = mode->budget,
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
    struct guest_run *run = call->arg;
    if (buf_append(stream ? &run->result.err : &run->result.out, data.data, data.len) < 0) {
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
    struct guest_run *run = call->arg;
    (void)value;
    if (bytes_is(name, "exited") && !run->linger)
        run->linger = loop_add_timer(call->guest->loop, deadline_after(LINGER), on_linger, call);
}

static void on_done(struct guest_call *call)
{
    struct guest_run *run = call->arg;
    source_remove(run->linger);
    run->linger = NULL;
}

struct guest_run *guest_run_start(struct guest *g, uint64_t worker, uint64_t after, struct call_budget *budget,
                                  const struct guest_command *command)
{
    static const struct guest_call_handlers handlers = {.data = on_data, .event = on_event, .done = on_done};
    struct guest_run *run = xnew0(struct guest_run);
    struct exec_mode mode = {.verb = "run",
                             .quiet = true,
                             .window = WINDOW,
                             .limit = (int64_t)command->max_output,
                             .worker = worker,
                             .after = after,
                             .budget = budget,
                             .handlers = &handlers,
                             .arg = run};
    run->result.out = run->result.err = BUF_INIT(command->max_output);
    run->call = guest_exec_start(g, command, &mode);
    return run;
}

struct guest_call *guest_run_call(struct guest_run *run)
{
    return run->call;
}

int guest_run_finish(struct guest_run *run, struct guest_result *ret, struct err *e)
{
    struct value_exited value;
    if (guest_call_result(run->call, &value, e) < 0)
        return -1;
    guest_exec_describe(&value, &run->result);
    *ret = run->result;
    run->result = (struct guest_result){0};
    return 0;
}

void guest_run_free(struct guest_run *run)
{
    if (!run)
        return;
    guest_call_free(run->call);
    source_remove(run->linger);
    guest_result_done(&run->result);
    free(run);
}

static int run_to_end(struct guest *g, uint64_t worker, const struct guest_command *command,
                      struct guest_result *ret, int64_t deadline, struct err *e)
{
    int64_t limit = command->timeout_ns ? deadline_after(command->timeout_ns + PATIENCE) : DEADLINE_NONE;
    _cleanup_(guest_run_freep) struct guest_run *run = guest_run_start(g, worker, 0, NULL, command);
    if (guest_call_await(run->call, limit < deadline ? limit : deadline, NULL, e) < 0)
        return -1;
    return guest_run_finish(run, ret, e);
}

int guest_run(struct guest *g, const struct guest_command *command, struct guest_result *ret,
              int64_t deadline, struct err *e)
{
    return run_to_end(g, 0, command, ret, deadline, e);
}

int guest_worker_run(struct guest_worker *w, const struct guest_command *command, struct guest_result *ret,
                     int64_t deadline, struct err *e)
{
    return run_to_end(guest_worker_guest(w), guest_worker_id(w), command, ret, deadline, e);
}
