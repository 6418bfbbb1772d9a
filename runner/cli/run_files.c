#include "cli/run_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "cli/filter.h"
#include "cli/history.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "pool/dispatcher.h"
#include "pool/host.h"
#include "script/library.h"
#include "wire/message.h"

#define PSI_THRESHOLD_DEFAULT 50

struct run_session {
    const struct options *options;
    const struct environment *env;
    struct loop *loop;
    struct event_stream_settings sinks;
    struct event_stream *stream;
    int broker;      /* of uplinks; -1: none */
    struct run *run; /* in progress, or NULL */
    bool failed;     /* a sink ended early */
};

struct run {
    const struct options *options;
    const struct selection *selection;
    struct output output;
    struct history *history;
    struct loop *loop;
    struct event_stream *stream;
    struct progress *progress; /* NULL: none */
    struct amount budget;
    unsigned jobs;
};

struct amount pool_budget(const struct options *options)
{
    struct host_resources host = host_resources_read("/proc", "/sys/fs/cgroup");
    double cpus = options->cpus ? options->cpus : host.cpus;
    if (options->cpu_overcommit > 0)
        cpus *= options->cpu_overcommit;
    return (struct amount){
        .memory_bytes = options->memory ? options->memory : host.memory / 5 * 4,
        .cpus = cpus < 1 ? 1 : (uint64_t)cpus,
    };
}

/* Emulated guests keep every CPU busy: pressure then says nothing, and time limits are longer anyway. */
static double psi_threshold(const struct options *options, bool kvm)
{
    if (options->psi_threshold >= 0)
        return options->psi_threshold;
    return kvm ? PSI_THRESHOLD_DEFAULT : 0;
}

/* ------------------------------------------------------------------------------------------------- events */

static void emit_started(struct run *run)
{
    struct utsname host = {0};
    uname(&host);
    struct strv argv = STRV_INIT;
    for (char *const *word = run->options->argv; *word; word++)
        strv_add(&argv, *word);
    _cleanup_payload_ struct payload about = PAYLOAD_INIT, p = PAYLOAD_INIT;
    _cleanup_buf_ struct buf packed = BUF_INIT(65536);
    payload_add_text(&about, "name", host.nodename);
    payload_add_text(&about, "kernel", host.release);
    payload_add_text(&about, "machine", host.machine);
    payload_write(&about, &packed);
    payload_add_uint(&p, "protocol_version", PROTOCOL_VERSION);
    payload_add_text(&p, "provium_version", PROVIUM_VERSION);
    payload_add_strings(&p, "argv", &argv);
    payload_add_uint(&p, "seed", run->output.record.seed);
    payload_add_text(&p, "shard", run->output.record.shard);
    payload_add_text(&p, "input_hash", run->output.record.input_hash);
    payload_add_uint(&p, "files", run->selection->count);
    payload_add_amount(&p, "total", run->budget.memory_bytes, run->budget.cpus);
    payload_add_packed(&p, "host", bytes_of(buf_head(&packed), packed.len));
    event_stream_emit(run->stream, 0, "run_started", &p);
    strv_done(&argv);
}

static void emit_discovered(struct run *run)
{
    for (size_t i = 0; i < run->selection->count; i++) {
        _cleanup_payload_ struct payload p = PAYLOAD_INIT;
        const struct dispatch_file *file = &run->selection->files[i];
        payload_add_text(&p, "path", file->label);
        payload_add_strings(&p, "fixture_refs", &file->fixture_refs);
        if (file->declares_claim)
            payload_add_amount(&p, "declared_claim", file->claim.memory_bytes, file->claim.cpus);
        else
            payload_add_nil(&p, "declared_claim");
        payload_add_uint(&p, "repeat", file->repeat);
        event_stream_emit(run->stream, 0, "file_discovered", &p);
    }
}

static void emit_completed(struct run *run, const struct run_totals *t, int exit_code, int signal_number)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    run_totals_describe(&p, t, exit_code, signal_number);
    event_stream_emit(run->stream, 0, "run_completed", &p);
}

static void on_event(const struct event *ev, void *arg)
{
    struct run *run = ((struct run_session *)arg)->run;
    if (run && run->options->html)
        run_record_take(&run->output.record, ev);
    if (run && run->progress)
        progress_take(run->progress, ev);
}

/* A reader of standard output may go whenever it wants; what a file cannot take is missing. */
static void on_lost(const struct err *e, void *arg)
{
    struct run_session *session = arg;
    progress_erase(session->run ? session->run->progress : NULL);
    say_warning("%s", err_message(e));
    if (e->code != EPIPE)
        session->failed = true;
}

/* ------------------------------------------------------------------------------------------------- the run */

static void on_file(struct file_result *r, void *arg)
{
    struct run *run = arg;
    history_note(run->history, r);
    progress_count(run->progress, r->status == FILE_PASSED);
    progress_erase(run->progress);
    output_file(&run->output, r);
}

/* Standard output that carries a report is not for what tests print. */
static void on_output(int fd, const char *text, size_t n, void *arg)
{
    struct run *run = arg;
    progress_erase(run->progress);
    write_full(output_owns_stdout(run->options) ? STDERR_FILENO : fd, text, n);
}

static int dispatch(struct run *run, const struct worker_run *worker, int broker, struct run_totals *totals)
{
    const struct options *options = run->options;
    _cleanup_buf_ struct buf job = BUF_INIT(1 << 20);
    worker_run_pack(worker, &job);
    _cleanup_free_ char *filter = filter_json(options);
    _cleanup_close_ int library = library_compile();
    const struct dispatcher_settings settings = {
        .loop = run->loop,
        .stream = run->stream,
        .files = run->selection->files,
        .file_count = run->selection->count,
        .argv = options->argv,
        .filter_json = filter,
        .total = run->budget,
        .jobs = run->jobs,
        .retries = options->retries,
        .timeout_ns = options->timeout_ns,
        .psi_threshold = psi_threshold(options, worker->kvm),
        .pressure_file = "/proc/pressure/cpu",
        .now = clock_monotonic_ns,
        .fail_fast = options->fail_fast,
        .backfill = options->backfill,
        .job = &job,
        .library = library,
        .broker = broker,
        .on_file = on_file,
        .on_output = on_output,
        .arg = run,
    };
    return dispatcher_run(&settings, totals);
}

static int exit_code_of(const struct run_session *session, const struct run_totals *totals, int signal_number)
{
    if (signal_number)
        return 128 + signal_number;
    if (session->failed || session->run->output.failed)
        return EXIT_USAGE;
    return totals->files_bad ? EXIT_TESTS_FAILED : 0;
}

int run_session_run(struct run_session *session, const struct selection *selection, const struct worker_run *worker,
                    int *ret_signal)
{
    const struct options *options = session->options;
    struct run run = {.options = options,
                      .selection = selection,
                      .budget = pool_budget(options),
                      .loop = session->loop,
                      .stream = session->stream};
    struct run_totals totals;
    session->run = &run;
    run.jobs = options->jobs ? options->jobs : (unsigned)run.budget.cpus;
    if (progress_is_wanted(options))
        run.progress = progress_new(run.loop, selection, run.jobs);
    run.history = history_new();
    output_begin(&run.output, options, worker->seed, xstrdup(selection->shard), xstrdup(selection->input_hash),
                 selection->count);
    emit_started(&run);
    emit_discovered(&run);
    *ret_signal = dispatch(&run, worker, session->broker, &totals);
    progress_free(run.progress);
    run.progress = NULL;
    output_end(&run.output, &totals, *ret_signal);
    history_save(run.history, session->env, options->durations);
    if (totals.files_bad || options->seed_given || options->shuffle >= 0)
        say_note("seed %llu", (unsigned long long)worker->seed);
    int code = exit_code_of(session, &totals, *ret_signal);
    emit_completed(&run, &totals, code, *ret_signal);
    session->run = NULL;
    history_free(run.history);
    output_done(&run.output);
    return code;
}

/* ------------------------------------------------------------------------------------------------- sessions */

struct run_session *run_session_new(const struct options *options, const struct environment *env, int broker, struct err *e)
{
    struct run_session *s = xnew0(struct run_session);
    *s = (struct run_session){.options = options, .env = env, .broker = broker, .loop = loop_new()};
    s->sinks = (struct event_stream_settings){
        .save_path = options->save_events,
        .to_stdout = options->events_stdout,
        .socket_path = options->events_socket,
        .temporary_dir = env->temporary_dir,
        .on_lost = on_lost,
        .on_event = on_event,
        .arg = s,
    };
    s->stream = event_stream_new(s->loop, &s->sinks, e);
    if (s->stream)
        return s;
    loop_free(s->loop);
    free(s);
    return NULL;
}

struct loop *run_session_loop(struct run_session *s)
{
    return s->loop;
}

int run_session_restart(struct run_session *s, struct err *e)
{
    return event_stream_restart(s->stream, e);
}

int run_session_end(struct run_session *s, int code)
{
    event_stream_free(s->stream);
    loop_free(s->loop);
    if (s->failed && code <= EXIT_TESTS_FAILED)
        code = EXIT_USAGE;
    free(s);
    return code;
}
