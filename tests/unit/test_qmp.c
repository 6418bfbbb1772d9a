#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "qmp/qmp.h"

struct seen {
    char events[256];
    bool closed;
};

static void on_event(const char *event, json_t *data, void *arg)
{
    struct seen *seen = arg;
    (void)data;
    strcat(seen->events, event);
    strcat(seen->events, " ");
}

static void on_closed(void *arg)
{
    ((struct seen *)arg)->closed = true;
}

/* A QEMU that says `text` and then answers nothing; for `hold`, keeps the line open. */
static struct qmp *connect_to(struct loop *loop, const char *text, bool hold, struct seen *seen, int *ret_peer)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(write_full(pair[1], text, strlen(text)), 0);
    if (!hold) {
        shutdown(pair[1], SHUT_WR);
    }
    *ret_peer = pair[1];
    return qmp_new(loop, pair[0], on_event, on_closed, seen);
}

static void replies_and_events(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    struct seen seen = {0};
    int peer;
    _cleanup_(qmp_freep) struct qmp *qmp = connect_to(
        loop, "{\"QMP\": {}}\r\n{\"return\": {}}\r\n{\"event\": \"STOP\", \"data\": {}}\r\n"
              "{\"return\": 9007199254740993, \"id\": 1}\r\n",
        true, &seen, &peer);
    json_t *reply = NULL;
    assert_int_equal(qmp_call(qmp, "stop", NULL, deadline_after(NS_PER_S), &reply, NULL), 0);
    assert_true(json_integer_value(reply) == INT64_C(9007199254740993));
    json_decref(reply);
    assert_string_equal(seen.events, "STOP ");
    static const char refusal[] = "{\"error\": {\"class\": \"X\", \"desc\": \"no such thing\"}, \"id\": 2}\r\n";
    assert_int_equal(write_full(peer, refusal, sizeof(refusal) - 1), 0);
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(qmp_call(qmp, "device_add", json_pack("{s:s}", "id", "x"), deadline_after(NS_PER_S), NULL, &e), -1);
    assert_string_equal(e.message, "qmp: device_add: no such thing");
    close(peer);
}

static void silence_and_death(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    struct seen seen = {0};
    int peer;
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(qmp_freep) struct qmp *qmp = connect_to(loop, "{\"QMP\": {}}\n", true, &seen, &peer);
    assert_int_equal(qmp_call(qmp, "stop", NULL, deadline_after(NS_PER_MS), NULL, &e), -1);
    assert_int_equal(e.code, ETIMEDOUT);
    close(peer);
    assert_int_equal(qmp_call(qmp, "stop", NULL, deadline_after(NS_PER_S), NULL, &e), -1);
    assert_string_equal(e.message, "qmp: stop: QEMU closed its monitor");
    loop_poll(loop);
    assert_true(seen.closed);
    assert_int_equal(qmp_call(qmp, "stop", json_object(), deadline_after(NS_PER_S), NULL, &e), -1);
}

static void nonsense_is_skipped(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    struct seen seen = {0};
    int peer;
    _cleanup_(qmp_freep) struct qmp *qmp =
        connect_to(loop, "\n[]\nnull\n{\"event\": 5}\n{\"id\": {}, \"return\": 1}\n{{{\n{\"event\": \"RESET\"}\n", false, &seen, &peer);
    loop_poll(loop);
    loop_poll(loop);
    assert_string_equal(seen.events, "RESET ");
    assert_true(seen.closed);
    close(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_and_events),
        cmocka_unit_test(silence_and_death),
        cmocka_unit_test(nonsense_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
