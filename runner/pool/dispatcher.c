/* Files start in the given order, each when there is a place and memory for it; the first that does not fit holds back
 * those behind it, or with --backfill lets those pass that fit, for PASS_NS at most. Retries go before new files, requests
 * of running files before both.
 *
 * The dispatcher is the reaper of all orphans of the run (pid 1 of the sandbox, or child subreaper). The first signal
 * stops it starting files and ends those that run, at most STOP_GRACE_NS later; a second one kills them at once. */
#include "pool/dispatcher.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "pool/dispatch.h"

#define STOP_GRACE_NS (5 * NS_PER_S)
#define PASS_NS       (30 * NS_PER_S)
/* Signals nearer than this are one: timeout(1) and terminals may send to the process and to its group. */
#define SAME_SIGNAL_NS (200 * NS_PER_MS)

void dispatcher_reap_orphans(struct dispatcher *d)
{
    siginfo_t info;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
            return;
        for (struct job *j = d->jobs; j; j = j->next)
            if (j->pid == info.si_pid)
                return; /* a source waits for it */
        waitpid(info.si_pid, NULL, WNOHANG);
    }
}

/* ------------------------------------------------------------------------------------------------- files */

struct work *work_new(const struct dispatch_file *file)
{
    struct work *w = xnew0(struct work);
    w->file = file;
    w->attempt = 1;
    return w;
}

void work_free(struct work *w)
{
    if (!w)
        return;
    strv_done(&w->failed);
    strv_done(&w->reasons);
    free(w);
}

void dispatcher_deliver(struct dispatcher *d, struct file_result *r)
{
    run_totals_add(d->totals, r);
    if (r->status != FILE_PASSED && d->settings->fail_fast)
        d->stop = true;
    d->settings->on_file(r, d->settings->arg);
}

/* The file that is next, or NULL. */
static const struct dispatch_file *next_file(const struct dispatcher *d)
{
    if (d->stop)
        return NULL;
    if (d->again)
        return d->again->file;
    return d->next_file < d->settings->file_count ? &d->settings->files[d->next_file] : NULL;
}

static struct work *take_file(struct dispatcher *d, size_t index)
{
    d->begun[index] = true;
    d->begun_count++;
    while (d->next_file < d->settings->file_count && d->begun[d->next_file])
        d->next_file++;
    return work_new(&d->settings->files[index]);
}

static struct work *take_next(struct dispatcher *d)
{
    struct work *work = d->again;
    d->passed_since = 0;
    if (!work)
        return take_file(d, d->next_file);
    d->again = work->next;
    work->next = NULL;
    return work;
}

static void fail_unstarted(struct dispatcher *d, struct work *work, enum file_status status, const struct err *e)
{
    struct file_result *r = file_result_new(work->file->label);
    r->status = status;
    r->attempt = work->attempt;
    r->source = xstrdup(work->file->path);
    r->repeat = work->file->repeat;
    char **where = status == FILE_CRASHED ? &r->detail : &r->chunk_error;
    *where = e->hint ? xasprintf("%s; %s", err_message(e), e->hint) : xstrdup(err_message(e));
    announce_unstarted(d, work, r);
    work_free(work);
    dispatcher_deliver(d, r);
}

/* What a file needs to start: its overhead and the claim that it declares. */
static struct amount reservation(const struct dispatch_file *file)
{
    struct amount a = {.memory_bytes = POOL_FILE_OVERHEAD};
    if (file->declares_claim) {
        a.memory_bytes += file->claim.memory_bytes;
        a.cpus = file->claim.cpus;
    }
    return a;
}

static bool fits_empty_pool(const struct dispatcher *d, const struct dispatch_file *file, struct err *e)
{
    const struct amount needed = reservation(file), *total = &d->pool.total;
    if (needed.memory_bytes >= file->claim.memory_bytes && needed.memory_bytes <= total->memory_bytes &&
        needed.cpus <= total->cpus)
        return true;
    if (!file->declares_claim) {
        err_set(e, 0, "a file needs %llu MiB, and the whole pool has %llu MiB", (unsigned long long)POOL_FILE_OVERHEAD >> 20,
                (unsigned long long)total->memory_bytes >> 20);
        err_hint(e, "raise --mem");
        return false;
    }
    err_set(e, 0, "its claim of %llu MiB and %llu vCPUs, with %llu MiB for the file itself, is more than the whole pool of "
                  "%llu MiB and %llu vCPUs",
            (unsigned long long)file->claim.memory_bytes >> 20, (unsigned long long)file->claim.cpus,
            (unsigned long long)POOL_FILE_OVERHEAD >> 20, (unsigned long long)total->memory_bytes >> 20,
            (unsigned long long)total->cpus);
    err_hint(e, "raise --mem or --cpus, or lower provium:claim");
    return false;
}

/* Takes what a file needs from the pool, or says why it has to wait. */
static const char *reserve(struct dispatcher *d, const struct dispatch_file *file)
{
    if (d->running >= d->settings->jobs)
        return "jobs";
    if (d->running && d->settings->psi_threshold > 0 && d->psi >= d->settings->psi_threshold)
        return "psi_pressure";
    return !lend_someone_waits(d) && pool_take(&d->pool, reservation(file)) ? NULL : "pool_full";
}

/* A file for which everything is reserved. */
static void start(struct dispatcher *d, struct work *work)
{
    _cleanup_err_ struct err e = ERR_INIT;
    struct amount held = reservation(work->file);
    if (job_start(d, work, held, &e) == 0)
        return;
    pool_give_back(&d->pool, held);
    fail_unstarted(d, work, FILE_CRASHED, &e);
}

/* Starts what fits of the files behind the blocked one. */
static void backfill(struct dispatcher *d)
{
    int64_t now = d->settings->now();
    if (d->passed_since && now - d->passed_since >= PASS_NS)
        return;
    for (size_t i = d->next_file; i < d->settings->file_count; i++) {
        const struct dispatch_file *file = &d->settings->files[i];
        if (d->begun[i] || file == d->blocked || !fits_empty_pool(d, file, NULL) || reserve(d, file))
            continue;
        if (!d->passed_since)
            d->passed_since = now;
        start(d, take_file(d, i));
    }
}

void dispatcher_advance(struct dispatcher *d)
{
    const struct dispatch_file *file;
    lend_serve_waiting(d);
    while ((file = next_file(d))) {
        _cleanup_err_ struct err e = ERR_INIT;
        if (!fits_empty_pool(d, file, &e)) {
            fail_unstarted(d, take_next(d), FILE_FAILED, &e);
            continue;
        }
        const char *why = reserve(d, file);
        if (why) {
            announce_blocked(d, file, reservation(file), why);
            if (!strcmp(why, "pool_full") && lend_recall(d))
                break;
            if (d->settings->backfill && !strcmp(why, "pool_full"))
                backfill(d);
            break;
        }
        start(d, take_next(d));
    }
    if (!d->running && !next_file(d))
        d->over = true;
}

/* ------------------------------------------------------------------------------------------------- time */

/* Percent of the last ten seconds in which something waited for a CPU; 0 where the kernel does not tell. */
static double read_cpu_pressure(const char *path)
{
    double percent = 0;
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    if (!path || file_read(path, &text, NULL) < 0)
        return 0;
    buf_append_byte(&text, '\0');
    return sscanf((const char *)buf_head(&text), "some avg10=%lf", &percent) == 1 ? percent : 0;
}

static void on_second(struct source *s, void *arg)
{
    struct dispatcher *d = arg;
    source_set_deadline(s, deadline_after(NS_PER_S));
    d->psi = read_cpu_pressure(d->settings->pressure_file);
    announce_pool(d);
    dispatcher_advance(d);
}

/* ------------------------------------------------------------------------------------------------- signals */

static void signal_jobs(struct dispatcher *d, int number)
{
    for (struct job *j = d->jobs; j; j = j->next)
        job_kill(j, number);
}

static void on_stop_timer(struct source *s, void *arg)
{
    (void)s;
    signal_jobs(arg, SIGKILL);
}

static void take_signal(struct dispatcher *d, int number)
{
    int64_t now = clock_monotonic_ns();
    bool same = d->signal_number && now - d->signalled < SAME_SIGNAL_NS;
    if (same)
        return;
    signal_jobs(d, d->signal_number ? SIGKILL : SIGTERM);
    d->signal_number = number;
    d->signalled = now;
    d->stop = true;
    source_set_deadline(d->stop_timer, deadline_after(STOP_GRACE_NS));
}

static void on_signal(struct source *s, uint32_t events, void *arg)
{
    struct dispatcher *d = arg;
    struct signalfd_siginfo info;
    (void)s, (void)events;
    while (read(d->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            dispatcher_reap_orphans(d);
        else
            take_signal(d, (int)info.ssi_signo);
    }
    dispatcher_advance(d);
}

/* They stay blocked afterwards: whoever comes behind dispatcher_run still has reports to write. */
static void watch_signals(struct dispatcher *d)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    d->signal_source = loop_add_fd(d->settings->loop, d->signal_fd, EPOLLIN, on_signal, d);
    d->stop_timer = loop_add_timer(d->settings->loop, DEADLINE_NONE, on_stop_timer, d);
}

int dispatcher_run(const struct dispatcher_settings *settings, struct run_totals *totals)
{
    struct dispatcher d = {.settings = settings, .totals = totals, .pool = {.total = settings->total}};
    _cleanup_free_ bool *begun = d.begun = xnewa(bool, settings->file_count + 1);
    int64_t start = clock_monotonic_ns();
    *totals = (struct run_totals){0};
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    watch_signals(&d);
    d.psi = read_cpu_pressure(settings->pressure_file);
    d.second_timer = loop_add_timer(settings->loop, deadline_after(NS_PER_S), on_second, &d);
    dispatcher_advance(&d);
    loop_wait(settings->loop, &d.over, DEADLINE_NONE);
    announce_pool(&d);
    source_remove(d.signal_source);
    source_remove(d.stop_timer);
    source_remove(d.second_timer);
    close(d.signal_fd);
    for (struct work *w = d.again, *next; w; w = next) {
        next = w->next;
        totals->files_not_run++;
        work_free(w);
    }
    totals->files_not_run += settings->file_count - d.begun_count;
    totals->duration_ns = clock_monotonic_ns() - start;
    return d.signal_number;
}
