/* State comes from the run's own events. The block is redrawn as a whole in one write; whoever else writes to the
 * terminal erases it first, and the next tick brings it back. */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "cli/history.h"
#include "events/payload.h"

#define TICK_NS   (NS_PER_S / 10)
#define LINES_MAX 8

struct running {
    struct running *next;
    char *path;
    int64_t started; /* monotonic */
    double expected; /* seconds */
};

struct progress {
    const struct selection *selection;
    struct source *timer;
    struct running *running;
    unsigned jobs;
    size_t done, failed, drawn; /* drawn: lines that are on the screen */
    int64_t vms, memory_used, memory_total, cpus_used, cpus_total, started;
    double left; /* expected seconds of what has not begun */
    double mean; /* of known durations; 0: nothing is known */
    bool changed;
    int64_t drawn_at;
};

bool progress_is_wanted(const struct options *options)
{
    const char *term = getenv("TERM"), *ci = getenv("CI");
    return !options->quiet && !options->no_progress && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") &&
           !(ci && *ci);
}

/* ------------------------------------------------------------------------------------------------- state */

/* The file behind a label, "x#2" included. */
static double expected_of(const struct progress *p, const char *label)
{
    _cleanup_free_ char *path = xstrdup(label);
    char *repeat = strrchr(path, '#');
    if (repeat && access(path, F_OK) < 0)
        *repeat = '\0';
    double seconds = durations_of(p->selection->durations, path);
    return seconds >= 0 ? seconds : p->mean;
}

static void count_expected(struct progress *p)
{
    double sum = 0;
    size_t known = 0;
    for (size_t i = 0; i < p->selection->count; i++) {
        double seconds = durations_of(p->selection->durations, p->selection->files[i].path);
        known += seconds >= 0;
        sum += seconds >= 0 ? seconds : 0;
    }
    p->mean = known ? sum / (double)known : 0;
    p->left = sum + p->mean * (double)(p->selection->count - known);
}

static void take_dispatched(struct progress *p, const struct event *ev)
{
    struct running *r = xnew0(struct running);
    r->path = payload_string(ev->payload, "path");
    r->started = clock_monotonic_ns();
    r->expected = expected_of(p, r->path);
    int64_t attempt = 1;
    payload_int(ev->payload, "attempt", &attempt);
    if (attempt == 1)
        p->left -= r->expected;
    struct running **at = &p->running;
    while (*at)
        at = &(*at)->next;
    *at = r;
}

static void take_completed(struct progress *p, const struct event *ev)
{
    _cleanup_free_ char *path = payload_string(ev->payload, "path");
    for (struct running **at = &p->running; *at; at = &(*at)->next) {
        struct running *r = *at;
        if (strcmp(r->path, path))
            continue;
        *at = r->next;
        free(r->path);
        free(r);
        return;
    }
}

void progress_count(struct progress *p, bool passed)
{
    if (!p)
        return;
    p->done++;
    p->failed += !passed;
}

static void take_pool(struct progress *p, const struct event *ev)
{
    struct bytes used = {0}, available = {0};
    int64_t free_memory = 0, free_cpus = 0;
    payload_value(ev->payload, "used", &used);
    payload_value(ev->payload, "available", &available);
    payload_int(used, "memory_bytes", &p->memory_used);
    payload_int(available, "memory_bytes", &free_memory);
    p->memory_total = p->memory_used + free_memory;
    payload_int(used, "cpus", &p->cpus_used);
    payload_int(available, "cpus", &free_cpus);
    p->cpus_total = p->cpus_used + free_cpus;
}

void progress_take(struct progress *p, const struct event *ev)
{
    p->changed = true;
    if (event_is(ev, "file_dispatched"))
        take_dispatched(p, ev);
    else if (event_is(ev, "file_completed"))
        take_completed(p, ev);
    else if (event_is(ev, "pool_state"))
        take_pool(p, ev);
    else if (event_is(ev, "vm_spawned"))
        p->vms++;
    else if (event_is(ev, "vm_shutdown"))
        p->vms--;
}

/* ------------------------------------------------------------------------------------------------- drawing */

/* Seconds until the end if all goes as before; -1 when nothing is known. */
static double seconds_left(const struct progress *p)
{
    double left = p->left;
    if (!p->mean)
        return -1;
    for (const struct running *r = p->running; r; r = r->next) {
        double rest = r->expected - (double)(clock_monotonic_ns() - r->started) / 1e9;
        left += rest > 0 ? rest : 0;
    }
    return left > 0 ? left / p->jobs : 0;
}

static void add_time(struct buf *out, int64_t seconds)
{
    if (seconds >= 3600)
        buf_printf(out, "%lld:%02lld:%02lld", (long long)seconds / 3600, (long long)seconds / 60 % 60,
                   (long long)seconds % 60);
    else
        buf_printf(out, "%lld:%02lld", (long long)seconds / 60, (long long)seconds % 60);
}

/* Appends the line, cut to the terminal's width, and counts it. */
static void add_line(struct progress *p, struct buf *out, const struct buf *line, size_t columns)
{
    const char *s = (const char *)buf_head(line);
    size_t at = 0;
    for (size_t shown = 0; at < line->len && shown + 1 < columns; shown++) {
        size_t n = utf8_length(s + at, line->len - at);
        at += n ? n : 1;
    }
    if (p->drawn++)
        buf_append_byte(out, '\n');
    utf8_append_clean(out, s, at);
}

static void add_summary(struct progress *p, struct buf *out, size_t columns)
{
    _cleanup_buf_ struct buf line = BUF_INIT(1024);
    size_t running = 0;
    double left = seconds_left(p);
    for (const struct running *r = p->running; r; r = r->next)
        running++;
    buf_printf(&line, "[%zu/%zu]", p->done, p->selection->count);
    if (p->failed)
        buf_printf(&line, " %zu failed,", p->failed);
    buf_printf(&line, " %zu running, %lld VMs, ", running, (long long)p->vms);
    add_time(&line, (clock_monotonic_ns() - p->started) / NS_PER_S);
    if (left >= 0) {
        buf_append_str(&line, ", about ");
        add_time(&line, (int64_t)(left + 0.5));
        buf_append_str(&line, " left");
    }
    if (p->memory_total)
        buf_printf(&line, ", %.1f of %.1f GiB, %lld of %lld vCPUs", (double)p->memory_used / (1 << 30),
                   (double)p->memory_total / (1 << 30), (long long)p->cpus_used, (long long)p->cpus_total);
    add_line(p, out, &line, columns);
}

static void add_erasure(struct progress *p, struct buf *out)
{
    if (!p->drawn)
        return;
    buf_append_byte(out, '\r');
    if (p->drawn > 1)
        buf_printf(out, "\033[%zuA", p->drawn - 1);
    buf_append_str(out, "\033[J");
    p->drawn = 0;
}

static void draw(struct progress *p)
{
    struct winsize size = {0};
    _cleanup_buf_ struct buf out = BUF_INIT(65536);
    ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    size_t columns = size.ws_col ? size.ws_col : 80, rows = size.ws_row ? size.ws_row : 24, lines = 0;
    add_erasure(p, &out);
    add_summary(p, &out, columns);
    for (const struct running *r = p->running; r && lines < LINES_MAX && lines + 2 < rows; r = r->next, lines++) {
        _cleanup_buf_ struct buf line = BUF_INIT(8192);
        buf_append_str(&line, "  ");
        add_time(&line, (clock_monotonic_ns() - r->started) / NS_PER_S);
        buf_printf(&line, " %s", r->path);
        add_line(p, &out, &line, columns);
    }
    write_full(STDERR_FILENO, buf_head(&out), out.len);
    p->changed = false;
    p->drawn_at = clock_monotonic_ns();
}

static void on_tick(struct source *s, void *arg)
{
    struct progress *p = arg;
    source_set_deadline(s, deadline_after(TICK_NS));
    if (p->changed || !p->drawn || clock_monotonic_ns() - p->drawn_at >= NS_PER_S)
        draw(p);
}

void progress_erase(struct progress *p)
{
    _cleanup_buf_ struct buf out = BUF_INIT(64);
    if (!p || !p->drawn)
        return;
    add_erasure(p, &out);
    write_full(STDERR_FILENO, buf_head(&out), out.len);
}

struct progress *progress_new(struct loop *loop, const struct selection *selection, unsigned jobs)
{
    struct progress *p = xnew0(struct progress);
    p->selection = selection;
    p->jobs = jobs;
    p->started = clock_monotonic_ns();
    count_expected(p);
    p->timer = loop_add_timer(loop, deadline_after(TICK_NS), on_tick, p);
    return p;
}

void progress_free(struct progress *p)
{
    if (!p)
        return;
    progress_erase(p);
    source_remove(p->timer);
    while (p->running) {
        struct running *r = p->running;
        p->running = r->next;
        free(r->path);
        free(r);
    }
    free(p);
}
