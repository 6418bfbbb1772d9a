/* A guest that sends what it should not, and a host that does: each end closes the channel or the session with a reason,
 * and lives on with bounded memory. */
#include "unit.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "agent_fixture.h"
#include "base/alloc.h"
#include "base/io.h"
#include "guest/exec.h"
#include "guest/files.h"
#include "guest/tail.h"
#include "wire/operation.h"

/* ------------------------------------------------------------------------------- the host against a guest */

struct played {
    struct loop *loop;
    struct guest *guest;
    int fd; /* the guest's end */
    struct frame_reader reader;
    unsigned lost;
};

static void on_event(struct guest *g, enum guest_event event, const char *why, void *arg)
{
    struct played *p = arg;
    (void)g, (void)why;
    p->lost += event == GUEST_LOST;
}

static void send_message(struct played *p, const struct message *m)
{
    _cleanup_buf_ struct buf b = BUF_INIT(2 * FRAME_MAX);
    assert_true(message_put(&b, m) >= 0);
    assert_int_equal(write_full(p->fd, buf_head(&b), b.len), 0);
}

static void send_packed(struct played *p, struct message m, const struct shape *shape, const void *value)
{
    _cleanup_buf_ struct buf b = BUF_INIT(FRAME_MAX);
    struct packer packer = {.to = &b};
    shape_pack(&packer, shape, value);
    m.args = bytes_of(buf_head(&b), b.len);
    send_message(p, &m);
}

static void announce(struct played *p, const char *detail)
{
    struct value_err value = {.version = PROTOCOL_VERSION, .detail = bytes_str(detail)};
    struct message m = {.kind = MESSAGE_EVENT, .op = bytes_str("agent")};
    assert_int_equal(write_full(p->fd, SYNC_MARK, SYNC_MARK_LEN), 0);
    send_packed(p, m, &shape_value_err, &value);
}

/* The next message from the host; borrows from the reader. */
static struct message receive(struct played *p)
{
    struct message m;
    struct bytes body;
    for (;;) {
        enum frame_status status = frame_reader_next(&p->reader, &body);
        if (status == FRAME_READY) {
            assert_int_equal(message_get(body, &m), 0);
            return m;
        }
        assert_int_not_equal(status, FRAME_BAD);
        if (status == FRAME_SYNC)
            continue;
        struct pollfd ready = {.fd = p->fd, .events = POLLIN};
        loop_poll(p->loop);
        if (poll(&ready, 1, 10) <= 0)
            continue;
        size_t room;
        uint8_t *to = frame_reader_space(&p->reader, &room);
        ssize_t got = read(p->fd, to, room);
        assert_true(got > 0);
        frame_reader_fed(&p->reader, (size_t)got);
    }
}

static void answer_hello(struct played *p, uint64_t nonce_change)
{
    struct args_hello args;
    struct message hello = receive(p);
    assert_true(bytes_is(hello.op, "hello"));
    assert_int_equal(shape_unpack(hello.args, operations[OPERATION_hello].args, &args), 0);
    assert_int_equal(args.version, PROTOCOL_VERSION);
    struct value_hello value = {.nonce = args.nonce + nonce_change,
                                .version = PROTOCOL_VERSION,
                                .agent_version = bytes_str("x"),
                                .guest_os = bytes_str("x")};
    struct message m = {.kind = MESSAGE_OK, .id = hello.id};
    send_packed(p, m, operations[OPERATION_hello].value, &value);
}

static int play(void **state)
{
    struct played *p = xnew0(struct played);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    p->loop = loop_new();
    p->guest = guest_new(p->loop, pair[0], -1);
    p->fd = pair[1];
    frame_reader_init(&p->reader, false);
    guest_set_event_fn(p->guest, on_event, p);
    assert_int_equal(write_full(p->fd, "[ 0.0] console noise", 20), 0);
    announce(p, NULL);
    answer_hello(p, 0);
    assert_int_equal(guest_wait_ready(p->guest, SOON, NULL), 0);
    *state = p;
    return 0;
}

static int stop_playing(void **state)
{
    struct played *p = *state;
    guest_free(p->guest);
    loop_free(p->loop);
    frame_reader_done(&p->reader);
    close(p->fd);
    free(p);
    return 0;
}

/* After `bytes` from the guest, a ping fails like this. */
static void assert_closed(struct played *p, const char *why)
{
    _cleanup_free_ char *text = xasprintf("ping: the agent channel was closed: %s", why);
    struct err e = ERR_INIT;
    assert_int_equal(guest_ping(p->guest, SOON, &e), -1);
    assert_string_equal(err_message(&e), text);
    err_clear(&e);
    assert_int_equal(guest_ping(p->guest, SOON, &e), -1);
    assert_string_equal(err_message(&e), text);
    err_clear(&e);
    assert_int_equal(p->lost, 1);
}

static void malformed_frame(void **state)
{
    struct played *p = *state;
    assert_int_equal(write_full(p->fd, "\0\0\0\2\xc1\xc1", 6), 0);
    assert_closed(p, "a malformed frame");
}

static void oversized_frame(void **state)
{
    struct played *p = *state;
    assert_int_equal(write_full(p->fd, "\0\2\0\0", 4), 0);
    assert_closed(p, "a malformed frame");
}

static void unknown_call(void **state)
{
    struct played *p = *state;
    struct message m = {.kind = MESSAGE_OK, .id = 4711};
    send_message(p, &m);
    assert_closed(p, "a message for call 4711, which is not in flight");
}

static void replayed_result(void **state)
{
    struct played *p = *state;
    struct message ok = {.kind = MESSAGE_OK};
    /* The first ping is answered twice. */
    struct err e = ERR_INIT;
    assert_int_equal(guest_ping(p->guest, 0, &e), -1); /* is sent, and given up at once */
    err_clear(&e);
    ok.id = receive(p).id;
    assert_int_equal(receive(p).kind, MESSAGE_CANCEL);
    send_message(p, &ok);
    send_message(p, &ok);
    _cleanup_free_ char *why =
        xasprintf("a message for call %llu, which is not in flight", (unsigned long long)ok.id);
    assert_closed(p, why);
}

static void wrong_direction(void **state)
{
    struct played *p = *state;
    struct err e = ERR_INIT;
    assert_int_equal(guest_ping(p->guest, 0, &e), -1);
    err_clear(&e);
    struct message m = {.kind = MESSAGE_CANCEL, .id = receive(p).id};
    send_message(p, &m);
    assert_closed(p, "a message that only a host sends");
}

/* An answer of the guest, sent by a child while the parent waits for it. */
static pid_t in_background(struct played *p, void (*fn)(struct played *))
{
    pid_t pid = fork();
    if (!pid) {
        fn(p);
        _exit(0);
    }
    return pid;
}

/* Answers the next request with more than it asked for. */
static void flood(struct played *p)
{
    static uint8_t block[PIECE_MAX];
    signal(SIGPIPE, SIG_DFL);
    struct message request, m = {.kind = MESSAGE_DATA, .data = bytes_of(block, sizeof(block))};
    uint8_t in[4096];
    struct frame_reader *r = &p->reader;
    struct bytes body;
    while (frame_reader_next(r, &body) != FRAME_READY) {
        size_t room;
        uint8_t *to = frame_reader_space(r, &room);
        ssize_t got = read(p->fd, in, sizeof(in));
        if (got <= 0)
            _exit(1);
        memcpy(to, in, (size_t)got);
        frame_reader_fed(r, (size_t)got);
    }
    message_get(body, &request);
    m.id = request.id;
    for (;;) {
        _cleanup_buf_ struct buf b = BUF_INIT(2 * FRAME_MAX);
        if (message_put(&b, &m) < 0 || write_full(p->fd, buf_head(&b), b.len) < 0)
            _exit(0);
    }
}

static void too_much_output(void **state)
{
    struct played *p = *state;
    struct guest_command c = GUEST_COMMAND_INIT;
    const char *argv[] = {"x", NULL};
    struct guest_result r;
    struct err e = ERR_INIT;
    c.argv = argv;
    c.max_output = 3000000;
    pid_t pid = in_background(p, flood);
    close_fd(&p->fd);
    size_t before = mallinfo2().uordblks;
    assert_int_equal(guest_run(p->guest, &c, &r, SOON, &e), -1);
    assert_string_equal(e.message, "run \"x\": the agent channel was closed: more output of run \"x\" than was asked for");
    err_clear(&e);
    assert_true(mallinfo2().uordblks < before + (1 << 20));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    p->fd = -1;
}

static void too_much_of_a_stream(void **state)
{
    struct played *p = *state;
    struct err e = ERR_INIT;
    pid_t pid = in_background(p, flood);
    close_fd(&p->fd);
    assert_null(guest_tail(p->guest, "/x", 0, false, GUEST_WINDOW_MIN, SOON, &e));
    assert_string_equal(
        e.message, "tail_file \"/x\": the agent channel was closed: more of tail_file \"/x\" than its window");
    err_clear(&e);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void too_much_of_nothing(void **state)
{
    struct played *p = *state;
    struct err e = ERR_INIT;
    pid_t pid = in_background(p, flood);
    close_fd(&p->fd);
    assert_int_equal(guest_ping(p->guest, SOON, &e), -1);
    assert_string_equal(e.message, "ping: the agent channel was closed: more of ping than was asked for");
    err_clear(&e);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void false_hello(void **state)
{
    struct played *p = *state;
    /* The guest reboots by itself; the answer to an older hello does not count. */
    announce(p, NULL);
    answer_hello(p, 1);
    struct err e = ERR_INIT;
    assert_int_equal(guest_wait_ready(p->guest, deadline_after(20 * NS_PER_MS), &e), -1);
    assert_int_equal(e.code, ETIMEDOUT);
    err_clear(&e);
    announce(p, NULL);
    answer_hello(p, 0);
    assert_int_equal(guest_wait_ready(p->guest, SOON, &e), 0);
    assert_int_equal(p->lost, 0);
}

static void another_version(void **state)
{
    struct played *p = *state;
    struct value_err refusal = {.errno_code = EPROTO, .version = PROTOCOL_VERSION + 1};
    struct err e = ERR_INIT;
    announce(p, NULL);
    struct message m = {.kind = MESSAGE_ERR, .id = receive(p).id};
    send_packed(p, m, &shape_value_err, &refusal);
    assert_int_equal(guest_wait_ready(p->guest, SOON, &e), -1);
    assert_string_equal(e.message, "the agent speaks protocol version 3, this provium 2");
    err_clear(&e);
}

/* ------------------------------------------------------------------------------- the agent against a host */

struct raw {
    int fd;
    pid_t pid;
    struct frame_reader reader;
};

static struct message raw_receive(struct raw *r)
{
    struct message m = {0};
    struct bytes body;
    for (;;) {
        enum frame_status status = frame_reader_next(&r->reader, &body);
        if (status == FRAME_READY) {
            assert_int_equal(message_get(body, &m), 0);
            return m;
        }
        assert_int_not_equal(status, FRAME_BAD);
        if (status == FRAME_SYNC)
            continue;
        size_t room;
        uint8_t *to = frame_reader_space(&r->reader, &room);
        ssize_t got = read(r->fd, to, room);
        assert_true(got > 0);
        frame_reader_fed(&r->reader, (size_t)got);
    }
}

static void raw_send(struct raw *r, struct message m, const struct shape *shape, const void *args)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(FRAME_MAX), b = BUF_INIT(2 * FRAME_MAX);
    struct packer packer = {.to = &packed};
    if (shape)
        shape_pack(&packer, shape, args);
    m.args = bytes_of(buf_head(&packed), packed.len);
    assert_true(message_put(&b, &m) >= 0);
    assert_int_equal(write_full(r->fd, buf_head(&b), b.len), 0);
}

static void raw_hello(struct raw *r, uint64_t id, uint64_t version)
{
    struct args_hello args = {.version = version, .nonce = 9};
    struct message m = {.kind = MESSAGE_REQUEST, .id = id, .op = bytes_str("hello")};
    assert_int_equal(write_full(r->fd, SYNC_MARK, SYNC_MARK_LEN), 0);
    raw_send(r, m, operations[OPERATION_hello].args, &args);
}

/* Waits for the agent's announcement that it dropped the session, with this reason, and greets it again. */
static void assert_dropped(struct raw *r, const char *why)
{
    struct value_err value;
    struct message m;
    do
        m = raw_receive(r);
    while (m.kind != MESSAGE_EVENT || m.id);
    assert_int_equal(shape_unpack(m.args, &shape_value_err, &value), 0);
    assert_true(bytes_is(value.detail, why));
    raw_hello(r, 1, PROTOCOL_VERSION);
    assert_int_equal(raw_receive(r).kind, MESSAGE_OK);
}

static void hostile_host(void **state)
{
    (void)state;
    struct raw r = {.fd = -1};
    r.pid = fixture_spawn_agent(&r.fd);
    frame_reader_init(&r.reader, false);
    struct message m = raw_receive(&r), ping = {.kind = MESSAGE_REQUEST, .id = 5, .op = bytes_str("ping")};
    assert_int_equal(m.kind, MESSAGE_EVENT);
    raw_send(&r, ping, NULL, NULL);
    assert_dropped(&r, "a request came before hello");
    /* Garbage, then a mark: nothing between counts. */
    assert_int_equal(write_full(r.fd, "\xff\xff\xff\xff", 4), 0);
    assert_dropped(&r, "a malformed frame");
    assert_int_equal(write_full(r.fd, "\0\0\0\1\xc1", 5), 0);
    assert_dropped(&r, "a malformed frame");
    struct message ok = {.kind = MESSAGE_OK, .id = 3};
    raw_send(&r, ok, NULL, NULL);
    assert_dropped(&r, "a message that only an agent sends");
    /* A request that goes on, and the same id again. */
    struct args_write_file write_args = {.path = bytes_str("/dev/null"), .perm = -1};
    struct message request = {.kind = MESSAGE_REQUEST, .id = 7, .op = bytes_str("write_file"), .more = true};
    raw_send(&r, request, operations[OPERATION_write_file].args, &write_args);
    raw_send(&r, request, operations[OPERATION_write_file].args, &write_args);
    assert_dropped(&r, "a request id was used again");
    /* A body beyond its window. */
    static uint8_t block[PIECE_MAX];
    struct args_ns forever = {.ns = INT64_MAX / 2};
    request = (struct message){.kind = MESSAGE_REQUEST, .id = 8, .op = bytes_str("clock_sleep"), .more = true};
    raw_send(&r, request, operations[OPERATION_clock_sleep].args, &forever);
    struct message data = {.kind = MESSAGE_DATA, .id = 8, .data = bytes_of(block, sizeof(block)), .more = true};
    for (int i = 0; i < 7; i++)
        raw_send(&r, data, NULL, NULL);
    assert_dropped(&r, "a body goes on after its end or beyond its window");
    /* Requests that make no sense get an answer each. */
    static const char *const names[] = {"nonsense", "adopt", "spawn", "lane"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        request = (struct message){.kind = MESSAGE_REQUEST, .id = 20 + i, .op = bytes_str(names[i])};
        raw_send(&r, request, NULL, NULL);
        m = raw_receive(&r);
        assert_int_equal(m.kind, MESSAGE_ERR);
        assert_int_equal(m.id, 20 + i);
    }
    request = (struct message){.kind = MESSAGE_REQUEST, .id = 30, .op = bytes_str("stat"), .worker = 99};
    raw_send(&r, request, NULL, NULL);
    assert_int_equal(raw_receive(&r).kind, MESSAGE_ERR);
    struct args_syscall big = {.bufs = UINT64_MAX, .ptrs = UINT64_MAX, .nested = UINT64_MAX};
    request = (struct message){.kind = MESSAGE_REQUEST, .id = 31, .op = bytes_str("syscall")};
    raw_send(&r, request, operations[OPERATION_syscall].args, &big);
    assert_int_equal(raw_receive(&r).kind, MESSAGE_ERR);
    struct args_exec strings = {.argc = UINT64_MAX, .envc = 1};
    request = (struct message){.kind = MESSAGE_REQUEST, .id = 32, .op = bytes_str("exec"), .data = bytes_str("x")};
    raw_send(&r, request, operations[OPERATION_exec].args, &strings);
    assert_int_equal(raw_receive(&r).kind, MESSAGE_ERR);
    /* Another version. */
    raw_hello(&r, 40, PROTOCOL_VERSION + 1);
    assert_int_equal(raw_receive(&r).kind, MESSAGE_ERR);
    raw_hello(&r, 41, PROTOCOL_VERSION);
    assert_int_equal(raw_receive(&r).kind, MESSAGE_OK);
    /* More calls than there may be. */
    unsigned refused = 0;
    for (uint64_t id = 100; id < 4300; id++) {
        request = (struct message){.kind = MESSAGE_REQUEST, .id = id, .op = bytes_str("gate")};
        raw_send(&r, request, NULL, NULL);
    }
    ping.id = 5000;
    raw_send(&r, ping, NULL, NULL);
    while ((m = raw_receive(&r)).id != 5000)
        refused += m.kind == MESSAGE_ERR;
    assert_in_range(refused, 1, 300);
    close(r.fd);
    int status;
    waitpid(r.pid, &status, 0);
    assert_int_equal(status, 0);
    frame_reader_done(&r.reader);
}

#define AGAINST_GUEST(test) cmocka_unit_test_setup_teardown(test, play, stop_playing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGAINST_GUEST(malformed_frame),
        AGAINST_GUEST(oversized_frame),
        AGAINST_GUEST(unknown_call),
        AGAINST_GUEST(replayed_result),
        AGAINST_GUEST(wrong_direction),
        AGAINST_GUEST(too_much_output),
        AGAINST_GUEST(too_much_of_a_stream),
        AGAINST_GUEST(too_much_of_nothing),
        AGAINST_GUEST(false_hello),
        AGAINST_GUEST(another_version),
        cmocka_unit_test(hostile_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
