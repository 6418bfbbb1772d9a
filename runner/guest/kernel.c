#include "guest/kernel.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/channel.h"
#include "guest/worker.h"

#define SLOTS      6
#define COUNT_MAX  65536
#define LAST_WORDS (1500 * NS_PER_MS)

void guest_syscall_result_done(struct guest_syscall_result *r)
{
    buf_done(&r->out);
}

const char *guest_syscall_check(const struct guest_syscall *s)
{
    size_t total = 0;
    unsigned taken = 0;
    if (s->buf_count > COUNT_MAX || s->nested_count > COUNT_MAX)
        return "more than 65536 buffers";
    if (s->ptr_count > s->buf_count)
        return "more ptrs than bufs";
    for (size_t i = 0; i < s->buf_count; i++)
        if (s->bufs[i].len > GUEST_BUFFERS_MAX || (total += s->bufs[i].len) > GUEST_BUFFERS_MAX)
            return "buffers over 64 MiB";
    for (size_t i = 0; i < s->ptr_count; i++) {
        if (s->ptrs[i] >= SLOTS)
            return "slot outside 0..5";
        if (taken & 1u << s->ptrs[i])
            return "slot used twice";
        taken |= 1u << s->ptrs[i];
    }
    for (size_t i = 0; i < s->nested_count; i++) {
        const struct guest_nested *n = &s->nested[i];
        if (n->parent >= s->buf_count || n->child >= s->buf_count)
            return "nested: index out of range";
        if (s->bufs[n->parent].len < 8 || n->offset > s->bufs[n->parent].len - 8 ||
            n->child_offset > s->bufs[n->child].len)
            return "nested: offset out of range";
    }
    return NULL;
}

static void add_word(struct buf *b, uint64_t word)
{
    word = htole64(word);
    buf_append(b, &word, sizeof(word));
}

static struct guest_call *start(struct guest *g, struct guest_worker *worker, uint64_t after, bool async,
                                const struct guest_syscall *s, struct call_budget *budget)
{
    struct buf body = BUF_INIT(SIZE_MAX);
    size_t total = 0;
    struct args_syscall args = {
        .nr = s->nr,
        .a0 = s->args[0],
        .a1 = s->args[1],
        .a2 = s->args[2],
        .a3 = s->args[3],
        .a4 = s->args[4],
        .a5 = s->args[5],
        .bufs = s->buf_count,
        .ptrs = s->ptr_count,
        .nested = s->nested_count,
        .async = async,
    };
    for (size_t i = 0; i < s->buf_count; i++)
        add_word(&body, s->bufs[i].len);
    for (size_t i = 0; i < s->ptr_count; i++)
        add_word(&body, s->ptrs[i]);
    for (size_t i = 0; i < s->nested_count; i++) {
        add_word(&body, s->nested[i].parent);
        add_word(&body, s->nested[i].child);
        add_word(&body, s->nested[i].offset);
        add_word(&body, s->nested[i].child_offset);
    }
    for (size_t i = 0; i < s->buf_count; i++) {
        buf_append(&body, s->bufs[i].data, s->bufs[i].len);
        total += s->bufs[i].len;
    }
    struct guest_call_request request = {
        .args = &args,
        .len = body.len,
        .body_max = total,
        .worker = worker ? guest_worker_id(worker) : 0,
        .after = after,
        .background = async,
        .budget = budget,
    };
    request.own = buf_steal_str(&body);
    return guest_call_start(g, OPERATION_syscall, &request, "syscall %lld", (long long)s->nr);
}

struct guest_call *guest_syscall_start(struct guest *g, uint64_t after, const struct guest_syscall *s,
                                       struct call_budget *budget)
{
    return start(g, NULL, after, false, s, budget);
}

int guest_syscall_finish(struct guest_call *call, struct guest_syscall_result *ret, struct err *e)
{
    struct value_syscall value;
    if (guest_call_result(call, &value, e) < 0)
        return -1;
    *ret = (struct guest_syscall_result){
        .ret = value.ret, .errno_code = (int)value.errno_code, .out = call->body};
    call->body = BUF_INIT(0);
    return 0;
}

int guest_syscall(struct guest *g, struct guest_worker *worker, const struct guest_syscall *s,
                  struct guest_syscall_result *ret, int64_t deadline, struct err *e)
{
    _cleanup_(guest_call_freep) struct guest_call *call = start(g, worker, 0, false, s, NULL);
    if (!guest_call_await(call, deadline, NULL, e))
        return guest_syscall_finish(call, ret, e);
    if (call->done)
        return -1;
    /* Given up here; what became of the thread is worth a moment. */
    struct message m = {.kind = MESSAGE_CANCEL, .id = call->id};
    struct err end = ERR_INIT;
    guest_call_send(call, &m);
    if (!loop_wait(g->loop, &call->done, deadline_after(LAST_WORDS)) && call->error.message &&
        call->error.code != ECANCELED) {
        err_set(&end, e ? e->code : 0, "%s; %s", err_message(e), call->error.message);
        return err_move(e, &end);
    }
    return -1;
}

struct guest_async {
    struct guest_call *call;
};

struct guest_async *guest_syscall_async(struct guest *g, struct guest_worker *worker, uint64_t after,
                                        const struct guest_syscall *s)
{
    struct guest_async *a = xnew0(struct guest_async);
    a->call = start(g, worker, after, true, s, NULL);
    return a;
}

int guest_async_await(struct guest_async *a, int64_t deadline, struct guest_syscall_result *ret,
                      struct err *e)
{
    if (guest_call_await(a->call, deadline, NULL, e) < 0)
        return -1;
    return guest_syscall_finish(a->call, ret, e);
}

void guest_async_give_up(struct guest_async *a, const char *why)
{
    guest_call_give_up(a->call, ETIMEDOUT, why);
}

bool guest_async_is_done(const struct guest_async *a)
{
    return a->call->done;
}

void guest_async_free(struct guest_async *a)
{
    if (!a)
        return;
    guest_call_free(a->call);
    free(a);
}

int guest_read_mem(struct guest *g, struct guest_worker *worker, uint64_t address, size_t n, struct buf *out,
                   int64_t deadline, struct err *e)
{
    struct args_read_mem args = {.address = address, .size = n};
    struct guest_call_request request = {
        .args = &args, .body_max = n, .worker = worker ? guest_worker_id(worker) : 0};
    _cleanup_(guest_call_freep) struct guest_call *call =
        guest_call_start(g, OPERATION_read_mem, &request, "read_mem 0x%llx", (unsigned long long)address);
    if (guest_call_await(call, deadline, NULL, e) < 0)
        return -1;
    return buf_append(out, buf_head(&call->body), call->body.len) < 0 ? err_set(e, EFBIG, "read_mem") : 0;
}

struct guest_gate {
    struct guest_call *call;
};

struct guest_gate *guest_gate_new(struct guest *g)
{
    struct guest_gate *gate = xnew0(struct guest_gate);
    struct guest_call_request request = {.background = true};
    gate->call = guest_call_start(g, OPERATION_gate, &request, "gate");
    return gate;
}

uint64_t guest_gate_id(const struct guest_gate *gate)
{
    return gate->call->id;
}

void guest_gate_open(struct guest_gate *gate)
{
    struct message m = {.kind = MESSAGE_CANCEL, .id = gate->call->id};
    if (!gate->call->done)
        guest_call_send(gate->call, &m);
}

void guest_gate_free(struct guest_gate *gate)
{
    if (!gate)
        return;
    guest_call_free(gate->call);
    free(gate);
}
