/* Time from left to right, places for workers from top to bottom: a bar per file, its fixtures at its upper edge, its VMs
 * below it. Then why the next file had to wait, and the pool's memory in use. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "report/html.h"

#define WIDTH      1000.0
#define LANE       26.0
#define EDGE       4.0  /* height of VMs and fixtures */
#define BLOCKED    10.0
#define POOL       40.0
#define SCALE      14.0
#define LABELS_MIN 60.0 /* a bar at least that wide carries its name */

struct timeline {
    const struct html_page *page;
    struct buf *out;
    const struct run_record *run;
    int64_t from, to;
    unsigned lanes;
    bool blocked;
};

static double x_of(const struct timeline *t, int64_t ts)
{
    return WIDTH * (double)(ts - t->from) / (double)(t->to - t->from);
}

static void add_grid(const struct timeline *t, double height)
{
    static const double steps[] = {0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 36000};
    double seconds = (double)(t->to - t->from) / 1e9, step = steps[ARRAY_SIZE(steps) - 1];
    for (size_t i = ARRAY_SIZE(steps); i-- > 0;)
        if (seconds / steps[i] <= 10)
            step = steps[i];
    for (double at = 0; at <= seconds; at += step) {
        double x = WIDTH * at / seconds;
        buf_printf(t->out, "<line class=grid x1=%.1f x2=%.1f y1=0 y2=%.0f /><text x=%.1f y=%.0f>%g s</text>\n", x, x,
                   height, x + 2, height - 2, at);
    }
}

static void add_file_bar(const struct timeline *t, size_t index)
{
    const struct file_result *r = t->run->files[index];
    double x = x_of(t, r->started), width = x_of(t, r->ended) - x, y = LANE * r->worker + 2;
    buf_printf(t->out, "<a href=\"#f%zu\"><rect id=b%zu class=%s x=%.1f y=%.0f width=%.1f height=%.0f rx=2><title>", index,
               index, file_status_name(r->status), x, y, width < 1 ? 1 : width, LANE - EDGE - 6);
    xml_append(t->out, r->path);
    buf_printf(t->out, ": %s, %.2f s</title></rect>", file_status_name(r->status), (double)r->duration_ns / 1e9);
    if (width >= LABELS_MIN) {
        const char *name = strrchr(r->path, '/');
        _cleanup_free_ char *label = xstrndup(name ? name + 1 : r->path, (size_t)(width / 6));
        buf_printf(t->out, "<text x=%.1f y=%.0f>", x + 4, y + 12);
        xml_append(t->out, label);
        buf_append_str(t->out, "</text>");
    }
    buf_append_str(t->out, "</a>\n");
}

/* A thin bar that leads to the file; its title is still open. */
static void begin_edge(const struct timeline *t, size_t file, char id, size_t index, const char *class_name, int64_t from,
                       int64_t to, double y, double height)
{
    double x = x_of(t, from), width = x_of(t, to) - x;
    buf_printf(t->out, "<a href=\"#f%zu\"><rect id=%c%zu class=%s x=%.1f y=%.0f width=%.1f height=%.0f><title>", file, id, index,
               class_name, x, y, width < 1 ? 1 : width, height);
}

static void add_vm(const struct timeline *t, size_t index)
{
    const struct vm_span *vm = &t->run->vms[index];
    size_t file = t->page->vm_files[index];
    if (file == SIZE_MAX)
        return;
    const struct file_result *r = t->run->files[file];
    begin_edge(t, file, 'v', index, "vm", vm->spawned, vm->ended ? vm->ended : r->ended,
               LANE * (r->worker + 1) - EDGE - 2, EDGE);
    buf_append_str(t->out, "vm ");
    xml_append(t->out, vm->name);
    buf_printf(t->out, " (%" PRId64 " MiB, ", vm->memory_bytes >> 20);
    xml_append(t->out, vm->profile);
    buf_append_str(t->out, ")</title></rect></a>\n");
}

void html_span_title(struct buf *out, const struct run_span *span)
{
    static const char *const begins[] = {
        [SPAN_BLOCKED] = "blocked: ", [SPAN_BUILD] = "builds fixture ", [SPAN_WAIT] = "waits for fixture "};
    buf_append_str(out, begins[span->kind]);
    xml_append(out, span->what);
    if (*span->other) {
        buf_append_str(out, ", built by ");
        xml_append(out, span->other);
    }
}

static void add_span(const struct timeline *t, size_t index)
{
    static const char *const classes[] = {[SPAN_BLOCKED] = "blocked", [SPAN_BUILD] = "build", [SPAN_WAIT] = "wait"};
    const struct run_span *span = &t->run->spans[index];
    size_t file = t->page->span_files[index];
    if (file == SIZE_MAX)
        return;
    const struct file_result *r = t->run->files[file];
    bool blocked = span->kind == SPAN_BLOCKED;
    begin_edge(t, file, 's', index, classes[span->kind], span->started, span->ended ? span->ended : r->ended,
               blocked ? LANE * t->lanes + 1 : LANE * r->worker + 2, blocked ? BLOCKED - 2 : EDGE);
    if (blocked) {
        xml_append(t->out, span->file);
        buf_append_byte(t->out, ' ');
    }
    html_span_title(t->out, span);
    buf_append_str(t->out, "</title></rect></a>\n");
}

static void add_memory(const struct timeline *t, double bottom)
{
    const struct run_record *run = t->run;
    if (!run->pool_count)
        return;
    buf_printf(t->out, "<polygon class=memory points=\"%.1f,%.1f", x_of(t, run->pool[0].ts), bottom);
    for (size_t i = 0; i < run->pool_count; i++) {
        const struct pool_sample *s = &run->pool[i];
        double total = (double)(s->memory_used + s->memory_available), used = (double)s->memory_used;
        buf_printf(t->out, " %.1f,%.1f", x_of(t, s->ts), bottom - (total > 0 ? POOL * used / total : 0));
    }
    buf_printf(t->out, " %.1f,%.1f\"><title>memory of the pool in use</title></polygon>\n",
               x_of(t, run->pool[run->pool_count - 1].ts), bottom);
}

void html_timeline(const struct html_page *page)
{
    const struct run_record *run = page->run;
    struct timeline t = {.page = page, .out = page->out, .run = run, .from = INT64_MAX, .to = 0, .lanes = 1};
    for (size_t i = 0; i < run->file_count; i++) {
        const struct file_result *r = run->files[i];
        t.from = r->started && r->started < t.from ? r->started : t.from;
        t.to = r->ended > t.to ? r->ended : t.to;
        t.lanes = r->worker >= t.lanes ? r->worker + 1 : t.lanes;
    }
    for (size_t i = 0; i < run->pool_count; i++)
        t.to = run->pool[i].ts > t.to ? run->pool[i].ts : t.to;
    for (size_t i = 0; i < run->span_count; i++) {
        const struct run_span *span = &run->spans[i];
        t.from = span->started < t.from ? span->started : t.from;
        t.blocked = t.blocked || span->kind == SPAN_BLOCKED;
    }
    if (t.to <= t.from)
        return;
    double height = LANE * t.lanes + (t.blocked ? BLOCKED : 0) + POOL + SCALE;
    buf_printf(t.out, "<svg id=timeline viewBox=\"0 0 %.0f %.0f\" role=img aria-label=\"timeline of the run\">\n", WIDTH,
               height);
    add_grid(&t, height);
    add_memory(&t, height - SCALE);
    for (size_t i = 0; i < run->file_count; i++)
        if (run->files[i]->started)
            add_file_bar(&t, i);
    for (size_t i = 0; i < run->vm_count; i++)
        add_vm(&t, i);
    for (size_t i = 0; i < run->span_count; i++)
        add_span(&t, i);
    buf_append_str(t.out, "</svg>\n");
}
