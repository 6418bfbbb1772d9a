/* One worker process per file: fork and exec of this binary, in a process group of its own, linked by a socket pair
 * (events and pool requests, see client.c) and a pipe for its standard error, which is passed on as it comes and whose
 * end is kept for the report of a crash.
 *
 * A file is over when its process has been reaped and its link is at end of file. A process that ends without having
 * said worker_done has crashed. Everything the file held of the pool goes back then.
 *
 * The dispatcher is the reaper of all orphans of the run (pid 1 of the sandbox, or child subreaper). */
#include "pool/dispatcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"
#include "events/event.h"
#include "pool/worker.h"

#define STDERR_KEPT   65536
#define KILL_GRACE_NS (20 * NS_PER_S) /* past a file's limit: the worker ends itself within 10 s of it */
#define STOP_GRACE_NS (5 * NS_PER_S)

struct job {
    struct job *next;
    struct dispatcher *d;
    struct file_result *result;
    pid_t pid; /* 0: reaped */
    int status;
    int link_fd, stderr_fd; /* -1: at end of file */
    struct buf input, stderr_tail;
    struct source *link_source, *stderr_source, *child_source, *kill_timer;
    struct amount held, wanted;
    bool waiting, done;
    int64_t started, waited_ns, wait_started;
};

struct dispatcher {
    const struct dispatcher_settings *settings;
    struct run_totals *totals;
    struct loop *loop;
    struct pool pool;
    struct job *jobs;
    unsigned running;
    size_t next_file;
    bool stop;    /* dispatch nothing more */
    bool over;    /* nothing runs and nothing will */
    int signal_number;
    int signal_fd;
    struct source *signal_source, *stop_timer;
};

static void advance(struct dispatcher *d);

/* ------------------------------------------------------------------------------------------------- the pool */

static void reply(struct job *job, const char *kind, const char *message, const char *hint)
{
    _cleanup_buf_ struct buf payload = BUF_INIT(4096);
    struct packer p = {.to = &payload};
    pack_map(&p, 2);
    pack_str(&p, "message");
    pack_str(&p, message);
    pack_str(&p, "hint");
    pack_str(&p, hint);
    if (job->link_fd >= 0)
        event_write(job->link_fd, kind, &payload);
}

static void grant(struct job *job)
{
    job->held.memory_bytes += job->wanted.memory_bytes;
    job->held.cpus += job->wanted.cpus;
    if (job->waiting)
        job->waited_ns += clock_monotonic_ns() - job->wait_started;
    job->waiting = false;
    reply(job, "pool_granted", "", "");
}

/* Every running file waits: nothing will ever be given back. The newest request breaks the circle. */
static void break_deadlock(struct dispatcher *d)
{
    struct job *newest = NULL;
    for (struct job *j = d->jobs; j; j = j->next) {
        if (!j->waiting)
            return;
        if (!newest || j->wait_started > newest->wait_started)
            newest = j;
    }
    if (!newest)
        return;
    newest->waiting = false;
    newest->waited_ns += clock_monotonic_ns() - newest->wait_started;
    _cleanup_free_ char *message =
        xasprintf("the pool is deadlocked: all %u running files wait for memory; this one asked for %llu MiB",
                  d->running, (unsigned long long)(newest->wanted.memory_bytes >> 20));
    reply(newest, "pool_refused", message, "declare provium:claim{memory=…}, or use a smaller --jobs or a larger --mem");
}

static void serve_waiting(struct dispatcher *d)
{
    for (struct job *j = d->jobs; j; j = j->next)
        if (j->waiting && pool_take(&d->pool, j->wanted))
            grant(j);
    break_deadlock(d);
}

static void take_request(struct job *job, const struct event *ev)
{
    struct dispatcher *d = job->d;
    int64_t memory = 0, cpus = 0;
    payload_int(ev->payload, "memory_bytes", &memory);
    payload_int(ev->payload, "cpus", &cpus);
    struct amount amount = {.memory_bytes = (uint64_t)memory, .cpus = (uint64_t)cpus};
    if (event_is(ev, "pool_release")) {
        if (amount.memory_bytes > job->held.memory_bytes || amount.cpus > job->held.cpus)
            return;
        job->held.memory_bytes -= amount.memory_bytes;
        job->held.cpus -= amount.cpus;
        pool_give_back(&d->pool, amount);
        advance(d);
        return;
    }
    job->wanted = amount;
    if (!pool_could_give(&d->pool, amount)) {
        _cleanup_free_ char *message = xasprintf(
            "%llu MiB and %llu vCPUs are more than the whole pool of %llu MiB and %llu vCPUs",
            (unsigned long long)(amount.memory_bytes >> 20), (unsigned long long)amount.cpus,
            (unsigned long long)(d->pool.total.memory_bytes >> 20), (unsigned long long)d->pool.total.cpus);
        reply(job, "pool_refused", message, "raise --mem or --cpus, or ask for less");
    } else if (pool_take(&d->pool, amount)) {
        grant(job);
    } else {
        job->waiting = true;
        job->wait_started = clock_monotonic_ns();
        break_deadlock(d);
    }
}

/* ------------------------------------------------------------------------------------------------- a file's end */

static char *describe_status(int status)
{
    if (WIFSIGNALED(status))
        return xasprintf("worker killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    return xasprintf("worker exited %d", WEXITSTATUS(status));
}

static void count(struct run_totals *t, const struct file_result *r)
{
    t->files++;
    t->files_bad += r->status != FILE_PASSED;
    t->passed += r->passed;
    t->failed += r->failed;
    t->skipped += r->skipped;
}

static void free_job(struct job *job)
{
    source_remove(job->link_source);
    source_remove(job->stderr_source);
    source_remove(job->child_source);
    source_remove(job->kill_timer);
    close_fd(&job->link_fd);
    close_fd(&job->stderr_fd);
    buf_done(&job->input);
    buf_done(&job->stderr_tail);
    file_result_free(job->result);
    free(job);
}

/* Reaps whatever was left to us, but no child that a source waits for. */
static void reap_orphans(struct dispatcher *d)
{
    siginfo_t info;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
            return;
        for (struct job *j = d->jobs; j; j = j->next)
            if (j->pid == info.si_pid)
                return;
        waitpid(info.si_pid, NULL, WNOHANG);
    }
}

/* Passes on what the worker has said; false at end of file. */
static bool drain_stderr(struct job *job)
{
    char chunk[4096];
    ssize_t got;
    while ((got = read(job->stderr_fd, chunk, sizeof(chunk))) > 0) {
        size_t n = (size_t)got;
        if (job->stderr_tail.len + n > STDERR_KEPT)
            buf_consume(&job->stderr_tail, job->stderr_tail.len + n - STDERR_KEPT);
        buf_append(&job->stderr_tail, chunk, n);
        if (write_full(STDERR_FILENO, chunk, n) < 0)
            return false;
    }
    return got < 0 && errno == EAGAIN;
}

static void on_stderr(struct source *s, uint32_t events, void *arg)
{
    struct job *job = arg;
    (void)events;
    if (drain_stderr(job))
        return;
    source_remove(s);
    job->stderr_source = NULL;
}

static void finish_job(struct job *job)
{
    struct dispatcher *d = job->d;
    struct file_result *r = job->result;
    if (job->pid || job->link_fd >= 0)
        return;
    drain_stderr(job);
    if (!job->done) {
        _cleanup_free_ char *reason = d->signal_number ? xstrdup("interrupted") : describe_status(job->status);
        file_result_crash(r, reason);
        r->stderr_tail = xstrndup((const char *)buf_head(&job->stderr_tail), job->stderr_tail.len);
    }
    int64_t now = clock_monotonic_ns();
    if (job->waiting)
        job->waited_ns += now - job->wait_started;
    r->duration_ns = now - job->started - job->waited_ns;
    file_result_settle(r);
    count(d->totals, r);
    d->settings->on_file(r, d->settings->arg);
    if (r->status != FILE_PASSED && d->settings->fail_fast)
        d->stop = true;
    pool_give_back(&d->pool, job->held);
    for (struct job **at = &d->jobs; *at; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            break;
        }
    }
    d->running--;
    free_job(job);
    reap_orphans(d);
    advance(d);
}

static void on_worker_exit(struct source *s, pid_t pid, int status, void *arg)
{
    struct job *job = arg;
    (void)s;
    job->pid = 0;
    job->status = status;
    job->child_source = NULL;
    kill(-pid, SIGKILL); /* whatever it left in its group */
    finish_job(job);
}

static void on_kill_timer(struct source *s, void *arg)
{
    struct job *job = arg;
    int64_t due = job->started + job->waited_ns + job->d->settings->timeout_ns + KILL_GRACE_NS;
    if (job->waiting || due > clock_monotonic_ns()) {
        source_set_deadline(s, job->waiting ? deadline_after(KILL_GRACE_NS) : due);
        return;
    }
    job->result->status = FILE_TIMED_OUT;
    if (job->pid)
        kill(-job->pid, SIGKILL);
}

/* ------------------------------------------------------------------------------------------------- its output */

static void take_event(struct job *job, const struct event *ev)
{
    if (event_is(ev, "pool_acquire") || event_is(ev, "pool_release"))
        take_request(job, ev);
    else if (event_is(ev, "worker_done"))
        job->done = true;
    else
        file_result_take(job->result, ev);
}

static void on_link(struct source *s, uint32_t events, void *arg)
{
    struct job *job = arg;
    (void)events;
    uint8_t *to = buf_reserve(&job->input, 65536);
    ssize_t got = to ? recv(job->link_fd, to, 65536, MSG_DONTWAIT) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0)
        buf_commit(&job->input, (size_t)got);
    struct event ev;
    int found;
    while ((found = event_next(&job->input, &ev, NULL)) > 0) {
        size_t size = ev.frame.len;
        take_event(job, &ev);
        buf_consume(&job->input, size);
    }
    if (got > 0 && !found)
        return;
    source_remove(s);
    job->link_source = NULL;
    close_fd(&job->link_fd);
    if (job->pid && found < 0)
        kill(-job->pid, SIGKILL); /* it speaks something else: not a worker any more */
    finish_job(job);
}


/* ------------------------------------------------------------------------------------------------- starting */

/* In the child: leads its group; has the terminal's or CI's 0 and 1, the pipe as 2, and the link. */
static void __attribute__((noreturn)) exec_worker(const struct dispatcher_settings *settings, int link_fd, int stderr_fd)
{
    char number[16];
    setpgid(0, 0);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd >= 0)
        dup2(null_fd, STDIN_FILENO);
    dup2(stderr_fd, STDERR_FILENO);
    process_keep_fds(&link_fd, 1);
    fd_set_cloexec(link_fd, false);
    snprintf(number, sizeof(number), "%d", link_fd);
    setenv(WORKER_FD_VARIABLE, number, 1);
    setenv(WORKER_FILTER_VARIABLE, settings->filter_json, 1);
    execv("/proc/self/exe", settings->argv);
    _exit(127);
}

static void send_job(struct job *job)
{
    const struct buf *common = job->d->settings->job;
    _cleanup_buf_ struct buf payload = BUF_INIT(EVENT_FRAME_MAX);
    struct packer p = {.to = &payload};
    pack_map(&p, 3);
    pack_str(&p, "path");
    pack_str(&p, job->result->path);
    pack_str(&p, "index");
    pack_uint(&p, job->d->next_file);
    pack_str(&p, "run");
    pack_raw(&p, buf_head(common), common->len);
    event_write(job->link_fd, "job", &payload);
}

static int start_job(struct dispatcher *d, const char *path, struct amount held, struct err *e)
{
    int link[2] = {-1, -1}, error_pipe[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) < 0 || pipe2(error_pipe, O_CLOEXEC) < 0)
        return err_errno(e, "start a worker");
    pid_t pid = process_fork();
    if (!pid)
        exec_worker(d->settings, link[1], error_pipe[1]);
    close(link[1]);
    close(error_pipe[1]);
    if (pid < 0) {
        close(link[0]);
        close(error_pipe[0]);
        return err_errno(e, "start a worker");
    }
    setpgid(pid, pid);
    struct job *job = xnew0(struct job);
    job->d = d;
    job->pid = pid;
    job->link_fd = link[0];
    job->stderr_fd = error_pipe[0];
    fd_set_nonblock(job->stderr_fd, true);
    job->input = BUF_INIT(2 * EVENT_FRAME_MAX);
    job->stderr_tail = BUF_INIT(STDERR_KEPT);
    job->result = file_result_new(path);
    job->held = held;
    job->started = clock_monotonic_ns();
    job->link_source = loop_add_fd(d->loop, job->link_fd, EPOLLIN, on_link, job);
    job->stderr_source = loop_add_fd(d->loop, job->stderr_fd, EPOLLIN, on_stderr, job);
    job->child_source = loop_add_child(d->loop, pid, on_worker_exit, job);
    if (d->settings->timeout_ns)
        job->kill_timer = loop_add_timer(d->loop, deadline_after(d->settings->timeout_ns + KILL_GRACE_NS),
                                         on_kill_timer, job);
    job->next = d->jobs;
    d->jobs = job;
    d->running++;
    send_job(job);
    return 0;
}

static void fail_unstarted(struct dispatcher *d, const char *path, const struct err *e)
{
    _cleanup_(file_result_freep) struct file_result *r = file_result_new(path);
    file_result_crash(r, err_message(e));
    count(d->totals, r);
    d->settings->on_file(r, d->settings->arg);
}

/* Requests of running files go before new files. */
static void advance(struct dispatcher *d)
{
    const struct strv *files = d->settings->files;
    serve_waiting(d);
    while (!d->stop && d->next_file < files->count && d->running < d->settings->jobs) {
        _cleanup_err_ struct err e = ERR_INIT;
        struct amount overhead = {.memory_bytes = POOL_FILE_OVERHEAD};
        if (!pool_take(&d->pool, overhead)) {
            if (d->running)
                break;
            overhead = (struct amount){0}; /* a pool too small for any file still runs one at a time */
        }
        const char *path = files->items[d->next_file++];
        if (start_job(d, path, overhead, &e) < 0) {
            pool_give_back(&d->pool, overhead);
            fail_unstarted(d, path, &e);
        }
    }
    if (!d->running && (d->stop || d->next_file == files->count))
        d->over = true;
}

/* ------------------------------------------------------------------------------------------------- signals */

static void signal_jobs(struct dispatcher *d, int number)
{
    for (struct job *j = d->jobs; j; j = j->next)
        if (j->pid)
            kill(-j->pid, number);
}

static void on_stop_timer(struct source *s, void *arg)
{
    (void)s;
    signal_jobs(arg, SIGKILL);
}

static void on_signal(struct source *s, uint32_t events, void *arg)
{
    struct dispatcher *d = arg;
    struct signalfd_siginfo info;
    (void)s, (void)events;
    while (read(d->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap_orphans(d);
            continue;
        }
        bool again = d->signal_number != 0;
        d->signal_number = (int)info.ssi_signo;
        d->stop = true;
        signal_jobs(d, again ? SIGKILL : SIGTERM);
        source_set_deadline(d->stop_timer, deadline_after(STOP_GRACE_NS));
    }
    advance(d);
}

static void watch_signals(struct dispatcher *d)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    d->signal_source = loop_add_fd(d->loop, d->signal_fd, EPOLLIN, on_signal, d);
    d->stop_timer = loop_add_timer(d->loop, DEADLINE_NONE, on_stop_timer, d);
}

int dispatcher_run(const struct dispatcher_settings *settings, struct run_totals *totals)
{
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    struct dispatcher d = {.settings = settings, .totals = totals, .loop = loop, .pool = {.total = settings->total}};
    int64_t start = clock_monotonic_ns();
    *totals = (struct run_totals){0};
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    watch_signals(&d);
    advance(&d);
    loop_wait(loop, &d.over, DEADLINE_NONE);
    close(d.signal_fd);
    totals->files_not_run = settings->files->count - d.next_file;
    totals->duration_ns = clock_monotonic_ns() - start;
    return d.signal_number;
}
