/* A session begins with a sync mark and hello. A mark in the middle of one means that another host speaks now, or the
 * same one after it restored the guest from a snapshot: the calls of the old session are cancelled and their
 * replies dropped. Processes, files and workers outlive it, and hello lists those that the new session keeps; the
 * others are let go. */
#include "session.h"

#include <errno.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "button.h"
#include "clock_ops.h"
#include "handle.h"
#include "process.h"
#include "random.h"
#include "worker.h"

#define PORT_READ 4096

#ifndef PROVIUM_VERSION
#define PROVIUM_VERSION "unknown"
#endif

static void begin_session(struct agent *a)
{
    a->session++;
    a->greeted = false;
    buf_clear(&a->channel.out);
    call_cancel_all(a);
}

void session_announce(struct agent *a, const char *why)
{
    struct buf packed = BUF_INIT(1024);
    struct packer p = {.to = &packed};
    struct value_err value = {.version = PROTOCOL_VERSION, .detail = bytes_str(why)};
    shape_pack(&p, &shape_value_err, &value);
    struct message m = {.kind = MESSAGE_EVENT,
                        .op = bytes_str("agent"),
                        .args = bytes_of(buf_head(&packed), packed.len)};
    channel_put_mark(&a->channel);
    channel_put(&a->channel, &m);
    buf_done(&packed);
}

void session_violation(struct agent *a, const char *why)
{
    agent_log("protocol violation: %s", why);
    begin_session(a);
    session_announce(a, why);
}

static void dispatch(struct agent *a, const struct message *m)
{
    struct call *call = m->kind == MESSAGE_REQUEST ? NULL : call_find(a, m->id);
    switch (m->kind) {
    case MESSAGE_REQUEST:
        call_request(a, m);
        break;
    case MESSAGE_DATA:
        call_body(a, m);
        break;
    case MESSAGE_CREDIT: /* for a call that is over already: nothing to do; so below */
        if (call && call->state != CALL_WAITING && call->handler->credit)
            call->handler->credit(call, m->stream, m->credit);
        break;
    case MESSAGE_CANCEL:
        if (call)
            call_cancel(call);
        break;
    case MESSAGE_OK:
    case MESSAGE_ERR:
    case MESSAGE_EVENT:
        session_violation(a, "a message that only an agent sends");
        break;
    }
}

static void handle_all(struct agent *a)
{
    struct message m;
    for (;;) {
        switch (channel_receive(&a->channel, &m)) {
        case 0:
            return;
        case 1:
            dispatch(a, &m);
            break;
        case 2:
            begin_session(a);
            break;
        default:
            session_violation(a, "a malformed frame");
            break;
        }
    }
}

/* A virtio port gives at most a page at a time: after less, there is most likely no more. Not for ever, because other
 * descriptors have their turn too. */
void session_receive(struct agent *a)
{
    size_t got = PORT_READ;
    for (int round = 0; round < 64 && got >= PORT_READ; round++) {
        got = channel_fill(&a->channel);
        handle_all(a);
    }
}

void session_settle(struct call *call)
{
    button_settle(call->agent);
    call_finish(call);
}

/* Before a snapshot, output stays in the pipes, so that the host has all that was sent when it is taken. */
static void set_quiet(struct agent *a, bool quiet)
{
    a->quiet = quiet;
    process_resume(a);
}

void session_quiesce(struct call *call)
{
    const struct args_quiesce *args = call_args(call);
    set_quiet(call->agent, !args->end);
    call_finish(call);
}

/* What waits for a gate (`after`) starts when the host cancels it: many calls at the same moment. */
void session_gate(struct call *call)
{
    (void)call;
}

void session_open_gate(struct call *call)
{
    call_finish(call);
}

/* A restored guest's clock stands where it stood, and its random numbers would be those of every other clone. */
static bool refresh(struct call *call, const struct args_hello *args)
{
    if (args->version != PROTOCOL_VERSION)
        call_fail(call, EPROTO);
    else if (args->time_ns && clock_change(args->time_ns) < 0)
        call_fail_about(call, errno, "set the clock");
    else if (args->seed.len && random_add(args->seed) < 0)
        call_fail_about(call, errno, "add to the random pool");
    return !call->failed;
}

void session_hello(struct call *call)
{
    struct agent *a = call->agent;
    const struct args_hello *args = call_args(call);
    struct utsname name;
    char system[sizeof(name.sysname) + sizeof(name.release)];
    channel_put_mark(&a->channel);
    if (!refresh(call, args)) {
        call_finish(call);
        return;
    }
    size_t len;
    uint8_t *keep = call_take_body(call, &len);
    const uint64_t *ids = (const uint64_t *)(const void *)keep;
    process_adopt(a, ids, len / sizeof(*ids));
    worker_adopt(a, ids, len / sizeof(*ids));
    handle_adopt(a, ids, len / sizeof(*ids));
    free(keep);
    set_quiet(a, false);
    a->greeted = true;
    uname(&name);
    snprintf(system, sizeof(system), "%s %s", name.sysname, name.release);
    struct value_hello value = {
        .nonce = args->nonce,
        .version = PROTOCOL_VERSION,
        .pid = (uint64_t)getpid(),
        .agent_version = bytes_str(PROVIUM_VERSION),
        .guest_os = bytes_str(system),
        .agent_features = bytes_str(a->options.channel_name),
    };
    call_value(call, &value);
    call_finish(call);
    if (a->options.init)
        button_watch(a);
}

void session_ping(struct call *call)
{
    call_finish(call);
}
