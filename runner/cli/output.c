/* Text and the formats of standard output are written file by file; --junit, --html and --github need all results and
 * come at the end, also of an interrupted run. Results are kept only for them. */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "cli/say.h"

#define REPORT_MAX      ((size_t)2 << 30)
#define STEP_SUMMARY_MAX ((size_t)1 << 20) /* of GitHub, per step */

bool output_owns_stdout(const struct options *options)
{
    return options->json || options->tap || options->ktap || options->events_stdout;
}

static bool wants_colour(const struct options *options, FILE *out)
{
    const char *none = getenv("NO_COLOR");
    if (options->color != COLOR_AUTO)
        return options->color == COLOR_ALWAYS;
    return isatty(fileno(out)) && !(none && *none);
}

/* Standard output is not waited for twice: after an error nothing more is tried. */
static void write_chunk(struct output *o)
{
    if (!o->failed && o->chunk.len &&
        (fwrite(buf_head(&o->chunk), 1, o->chunk.len, stdout) != o->chunk.len || fflush(stdout) == EOF))
        o->failed = true;
    buf_clear(&o->chunk);
}

void output_begin(struct output *o, const struct options *options, uint64_t seed, char *shard, char *input_hash,
                  size_t files)
{
    *o = (struct output){.options = options, .chunk = BUF_INIT(REPORT_MAX)};
    o->text.out = output_owns_stdout(options) ? stderr : stdout;
    o->text.colour = wants_colour(options, o->text.out);
    o->text.verbosity = options->quiet     ? VERBOSITY_QUIET
                        : options->verbose ? VERBOSITY_VERBOSE
                                           : VERBOSITY_NORMAL;
    o->record.started = clock_realtime_ns();
    o->record.seed = seed;
    o->record.shard = shard;
    o->record.input_hash = input_hash;
    if (options->tap)
        tap_report_begin(&o->chunk);
    if (options->ktap)
        ktap_report_begin(&o->chunk, files);
    write_chunk(o);
}

void output_file(struct output *o, struct file_result *r)
{
    const struct options *options = o->options;
    text_report_file(&o->text, r);
    o->files_shown++;
    if (options->json)
        json_report_file(&o->chunk, r, &o->record);
    if (options->tap)
        tap_report_file(&o->chunk, r, o->files_shown);
    if (options->ktap)
        ktap_report_file(&o->chunk, r, o->files_shown);
    write_chunk(o);
    if (options->junit || options->html || options->github)
        run_record_add(&o->record, r);
    else
        file_result_free(r);
}

/* A regular file is replaced as a whole; a device or FIFO is written to. */
static int write_report(const char *path, const struct buf *text, struct err *e)
{
    struct stat st;
    if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
        return file_write_atomic(path, buf_head(text), text->len, 0644, false, e);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || write_full(fd, buf_head(text), text->len) < 0)
        return err_errno(e, "`%s`", path);
    return 0;
}

static void leave_report(struct output *o, const char *flag, const char *path,
                         void (*report)(struct buf *, const struct run_record *))
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT(REPORT_MAX);
    if (!path)
        return;
    report(&text, &o->record);
    if (write_report(path, &text, &e) < 0) {
        err_prefix(&e, "--%s", flag);
        say_error(&e);
        o->failed = true;
    }
}

static void leave_step_summary(struct output *o)
{
    const char *path = getenv("GITHUB_STEP_SUMMARY");
    _cleanup_buf_ struct buf text = BUF_INIT(REPORT_MAX);
    if (!path || !*path)
        return;
    github_summary(&text, &o->record, STEP_SUMMARY_MAX);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd >= 0 && write_full(fd, buf_head(&text), text.len) == 0)
        return;
    say_warning("--github: `%s`: %s", path, strerror(errno));
    o->failed = true;
}

static void annotate(struct output *o)
{
    _cleanup_buf_ struct buf text = BUF_INIT(REPORT_MAX);
    github_annotations(&text, &o->record);
    if (text.len && fwrite(buf_head(&text), 1, text.len, o->text.out) != text.len)
        o->failed = true;
}

void output_end(struct output *o, const struct run_totals *totals, int signal_number)
{
    const struct options *options = o->options;
    o->record.totals = *totals;
    o->record.signal_number = signal_number;
    if (options->tap)
        tap_report_end(&o->chunk, &o->record);
    write_chunk(o);
    text_report_end(&o->text, totals);
    if (options->github) {
        annotate(o);
        leave_step_summary(o);
    }
    leave_report(o, "junit", options->junit, junit_report);
    leave_report(o, "html", options->html, html_report);
    if (fflush(stdout) == EOF || ferror(stdout))
        o->failed = true;
}

void output_done(struct output *o)
{
    run_record_done(&o->record);
    buf_done(&o->chunk);
}
