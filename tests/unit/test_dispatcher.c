/* The dispatcher with a clock and a pressure file of the test's. Workers are this program again, see act_as_worker. */
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "events/event.h"
#include "pool/dispatcher.h"
#include "pool/worker.h"
#include "temp.h"

#define MIB (UINT64_C(1) << 20)

/* What to do is the last part of the path: "wait" ends when a file of that name with ".go" behind it is there, "late"
 * kills itself after a while, "dies" at once, all others just end. */
static int act_as_worker(int fd)
{
    _cleanup_buf_ struct buf in = BUF_INIT(EVENT_FRAME_MAX), empty = BUF_INIT(16);
    struct event job;
    while (!event_next(&in, &job, NULL)) {
        uint8_t *to = buf_reserve(&in, 1);
        if (read_full(fd, to, 1) != 1)
            return 1;
        buf_commit(&in, 1);
    }
    _cleanup_free_ char *path = payload_string(job.payload, "path"), *go = xasprintf("%s.go", path);
    while (strstr(path, "/wait") && access(go, F_OK) < 0)
        usleep(5000);
    if (strstr(path, "/late"))
        usleep(300000);
    if (strstr(path, "/late") || strstr(path, "/dies"))
        raise(SIGKILL);
    struct packer p = {.to = &empty};
    pack_map(&p, 0);
    event_write(fd, "worker_done", &empty);
    return 0;
}

struct fixture {
    char *dir, *pressure;
    struct dispatch_file files[8];
    size_t count;
    struct strv order;  /* "begin X" and "end X" */
    struct strv results; /* "X status" */
    int ticks;          /* pool_state events so far */
    void (*on_event)(struct fixture *f, const struct event *ev, const char *name);
};

static int64_t now;

static int64_t fake_now(void)
{
    return now;
}

static void add_file(struct fixture *f, const char *name, uint64_t claim_mib)
{
    struct dispatch_file *file = &f->files[f->count++];
    file->path = path_join(f->dir, name);
    file->label = strrchr(file->path, '/') + 1;
    file->repeat = 1;
    file->declares_claim = claim_mib;
    file->claim.memory_bytes = claim_mib * MIB;
}

static void let_go(const struct fixture *f, const char *name)
{
    _cleanup_free_ char *go = xasprintf("%s.go", name), *path = temp_file(f->dir, go, "");
}

static void set_pressure(const struct fixture *f, const char *percent)
{
    _cleanup_free_ char *text = xasprintf("some avg10=%s avg60=0.00 avg300=0.00 total=0\n", percent);
    _cleanup_free_ char *path = temp_file(f->dir, "pressure", text);
}

static void take_event(const struct event *ev, void *arg)
{
    struct fixture *f = arg;
    _cleanup_free_ char *name = payload_string(ev->payload, "path");
    f->ticks += event_is(ev, "pool_state");
    if (event_is(ev, "file_dispatched"))
        strv_addf(&f->order, "begin %s", name);
    if (event_is(ev, "file_completed"))
        strv_addf(&f->order, "end %s", name);
    if (f->on_event)
        f->on_event(f, ev, name);
}

static void on_file(struct file_result *r, void *arg)
{
    struct fixture *f = arg;
    strv_addf(&f->results, "%s %s", r->path, file_status_name(r->status));
    file_result_free(r);
}

static void on_output(int fd, const char *text, size_t n, void *arg)
{
    (void)fd, (void)text, (void)n, (void)arg;
}

/* Runs the files with those of the settings that differ between tests. */
static void run(struct fixture *f, struct dispatcher_settings settings)
{
    char *argv[] = {(char *)"worker", NULL};
    struct run_totals totals;
    _cleanup_buf_ struct buf job = BUF_INIT(16);
    struct packer p = {.to = &job};
    pack_map(&p, 0);
    const struct event_stream_settings sinks = {.temporary_dir = f->dir, .on_event = take_event, .arg = f};
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    _cleanup_(event_stream_freep) struct event_stream *stream = event_stream_new(loop, &sinks, NULL);
    settings.loop = loop;
    settings.stream = stream;
    settings.files = f->files;
    settings.file_count = f->count;
    settings.argv = argv;
    settings.filter_json = "{}";
    settings.total = (struct amount){.memory_bytes = 400 * MIB, .cpus = 8};
    settings.broker = settings.library = -1;
    settings.job = &job;
    settings.on_file = on_file;
    settings.on_output = on_output;
    settings.now = fake_now;
    settings.arg = f;
    assert_int_equal(dispatcher_run(&settings, &totals), 0);
    assert_int_equal(totals.files_not_run, 0);
}

static void assert_order(const struct fixture *f, const char *expected)
{
    _cleanup_free_ char *order = strv_join(&f->order, ", ");
    assert_string_equal(order, expected);
}

static int begin(void **state)
{
    struct fixture *f = xnew0(struct fixture);
    f->dir = temp_new();
    f->pressure = path_join(f->dir, "pressure");
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < f->count; i++)
        free((char *)f->files[i].path);
    strv_done(&f->order);
    strv_done(&f->results);
    free(f->pressure);
    temp_free(&f->dir);
    free(f);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- backfill */

static int64_t passed_for; /* when "b" ends */

static void pass(struct fixture *f, const struct event *ev, const char *name)
{
    if (event_is(ev, "file_completed") && !strcmp(name, "b")) {
        now += passed_for;
        f->ticks = 0;
    }
    bool may_pass = passed_for < 30 * NS_PER_S;
    if (may_pass ? event_is(ev, "file_completed") && !strcmp(name, "c") : event_is(ev, "pool_state") && f->ticks == 2)
        let_go(f, "wait");
}

static void backfill(struct fixture *f, int64_t seconds)
{
    now = NS_PER_S;
    passed_for = seconds * NS_PER_S;
    add_file(f, "wait", 200);
    add_file(f, "head", 300);
    add_file(f, "a", 0);
    add_file(f, "b", 0);
    add_file(f, "c", 0);
    f->on_event = pass;
    run(f, (struct dispatcher_settings){.jobs = 2, .backfill = true});
}

static void later_files_pass_the_blocked_one(void **state)
{
    backfill(*state, 29);
    assert_order(*state, "begin wait, begin a, end a, begin b, end b, begin c, end c, end wait, begin head, end head");
}

static void after_30_s_none_passes_it(void **state)
{
    struct fixture *f = *state;
    backfill(f, 30);
    _cleanup_free_ char *order = strv_join(&f->order, ", ");
    assert_true(str_starts_with(order, "begin wait, begin a, end a, begin b, end b, end wait, begin head, "));
}

/* ------------------------------------------------------------------------------------------------- pressure */

static void relieve(struct fixture *f, const struct event *ev, const char *name)
{
    if (event_is(ev, "file_blocked")) {
        _cleanup_free_ char *reason = payload_string(ev->payload, "reason");
        strv_addf(&f->order, "%s: %s", name, reason);
    }
    if (event_is(ev, "pool_state") && f->ticks == 2)
        set_pressure(f, "49.99");
    if (event_is(ev, "file_dispatched") && !strcmp(name, "b"))
        let_go(f, "wait");
}

static void pressure_holds_back_until_it_is_gone(void **state)
{
    struct fixture *f = *state;
    set_pressure(f, "50.00");
    add_file(f, "wait", 0);
    add_file(f, "b", 0);
    f->on_event = relieve;
    run(f, (struct dispatcher_settings){.jobs = 2, .psi_threshold = 50, .pressure_file = f->pressure});
    _cleanup_free_ char *order = strv_join(&f->order, ", ");
    assert_true(str_starts_with(order, "begin wait, b: psi_pressure, begin b, "));
    assert_true(f->ticks > 2);
}

static void with_nothing_in_flight_it_never_pauses(void **state)
{
    struct fixture *f = *state;
    set_pressure(f, "100.00");
    add_file(f, "a", 0);
    add_file(f, "b", 0);
    run(f, (struct dispatcher_settings){.jobs = 2, .psi_threshold = 50, .pressure_file = f->pressure});
    assert_order(f, "begin a, end a, begin b, end b");
}

static void let_all_go(struct fixture *f, const struct event *ev, const char *name)
{
    if (event_is(ev, "file_dispatched") && !strcmp(name, "b"))
        let_go(f, "wait");
}

static void without_pressure_all_start(void **state)
{
    struct fixture *f = *state;
    add_file(f, "wait", 0);
    add_file(f, "b", 0);
    f->on_event = let_all_go;
    run(f, (struct dispatcher_settings){.jobs = 2, .psi_threshold = 50, .pressure_file = f->pressure}); /* no such file */
    assert_string_equal(f->order.items[1], "begin b");
}

/* ------------------------------------------------------------------------------------------------- ends */

static void killed_past_its_limit_is_timed_out(void **state)
{
    struct fixture *f = *state;
    add_file(f, "late", 0);
    run(f, (struct dispatcher_settings){.jobs = 1, .timeout_ns = 50 * NS_PER_MS});
    assert_string_equal(f->results.items[0], "late timed_out");
}

static void killed_before_it_has_crashed(void **state)
{
    struct fixture *f = *state;
    add_file(f, "dies", 0);
    add_file(f, "late", 0);
    run(f, (struct dispatcher_settings){.jobs = 1, .timeout_ns = 1000 * NS_PER_S});
    assert_string_equal(f->results.items[0], "dies crashed");
    assert_string_equal(f->results.items[1], "late crashed");
}

int main(void)
{
    const char *link_fd = getenv(WORKER_FD_VARIABLE);
    if (link_fd)
        return act_as_worker(atoi(link_fd));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(later_files_pass_the_blocked_one, begin, end),
        cmocka_unit_test_setup_teardown(after_30_s_none_passes_it, begin, end),
        cmocka_unit_test_setup_teardown(pressure_holds_back_until_it_is_gone, begin, end),
        cmocka_unit_test_setup_teardown(with_nothing_in_flight_it_never_pauses, begin, end),
        cmocka_unit_test_setup_teardown(without_pressure_all_start, begin, end),
        cmocka_unit_test_setup_teardown(killed_past_its_limit_is_timed_out, begin, end),
        cmocka_unit_test_setup_teardown(killed_before_it_has_crashed, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
