/* One worker process per file: fork and exec of this binary, in a process group of its own, linked by a socket pair
 * (events and pool requests, see client.c) and pipes for its standard output and standard error, which are passed on as
 * they come and whose ends are kept for the report of a failure.
 *
 * A file is over when its process has been reaped and its link is at end of file. A process that ends without having
 * said worker_done has crashed: the ends of its tests, VMs and claim are announced in its place. Everything the file
 * held of the pool goes back then. A file that did not pass may be started anew, in a fresh process. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"
#include "pool/dispatch.h"
#include "pool/worker.h"
#include "uplink/broker.h"

#define KILL_GRACE_NS (20 * NS_PER_S) /* past a file's limit: the worker ends itself within 10 s of it */

bool job_may_retry(const struct job *job)
{
    return job->work->attempt <= job->d->settings->retries && !job->d->signal_number;
}

void job_begin_wait(struct job *job)
{
    job->wait_started = clock_monotonic_ns();
}

void job_end_wait(struct job *job)
{
    if (job->waiting || job->waits_for_build)
        job->waited_ns += clock_monotonic_ns() - job->wait_started;
    job->waiting = job->waits_for_build = false;
}

void job_kill(struct job *job, int number)
{
    if (job->pid) /* SIGTERM is for the worker, which ends its VMs itself */
        kill(number == SIGKILL ? -job->pid : job->pid, number);
}

/* ------------------------------------------------------------------------------------------------- its end */

static void free_job(struct job *job)
{
    source_remove(job->link_source);
    source_remove(job->child_source);
    source_remove(job->kill_timer);
    close_fd(&job->link_fd);
    close_fd(&job->console_fd);
    captured_close(&job->out);
    captured_close(&job->err);
    buf_done(&job->input);
    file_result_free(job->result);
    work_free(job->work);
    free(job);
}

static char *describe_status(int status)
{
    if (WIFSIGNALED(status))
        return xasprintf("worker killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    return xasprintf("worker exited %d", WEXITSTATUS(status));
}

static int64_t time_run(const struct job *job)
{
    bool waits = job->waiting || job->waits_for_build;
    return (waits ? job->wait_started : clock_monotonic_ns()) - job->started - job->waited_ns;
}

/* Killed past its limit, by the dispatcher or by itself: a worker that gets no further says nothing more, and its own
 * alarm may come before the dispatcher's timer. */
static bool was_killed_late(const struct job *job)
{
    int64_t limit = job->d->settings->timeout_ns;
    return limit && time_run(job) >= limit && WIFSIGNALED(job->status) && WTERMSIG(job->status) == SIGKILL;
}

/* The process is gone before it was done. */
static void take_crash(struct job *job)
{
    struct file_result *r = job->result;
    double limit = (double)job->d->settings->timeout_ns / 1e9;
    _cleanup_free_ char *later = NULL;
    if (job->d->signal_number) {
        r->status = FILE_FAILED;
        r->detail = xstrdup("interrupted");
        later = xstrdup("not run: interrupted");
    } else if (r->status == FILE_TIMED_OUT || was_killed_late(job)) {
        r->status = FILE_TIMED_OUT;
        r->detail = xasprintf("file timed out after %gs, and had to be killed", limit);
        later = xasprintf("not run: file timed out after %gs", limit);
    } else {
        r->status = FILE_CRASHED;
        r->detail = describe_status(job->status);
        later = xasprintf("failed-due-to-poisoned-state: %s", r->detail);
    }
    announce_lost(job, r->detail, later);
}

static void remember_failures(struct work *work, const struct file_result *r)
{
    for (size_t i = 0; i < r->test_count; i++) {
        if (r->tests[i].status != TEST_FAILED || strv_contains(&work->failed, r->tests[i].name))
            continue;
        strv_add(&work->failed, r->tests[i].name);
        strv_add(&work->reasons, r->tests[i].message);
    }
}

/* To the end of the files that are to be run again; they go before new ones. */
static void run_again(struct job *job)
{
    struct work *work = steal_ptr(job->work);
    remember_failures(work, job->result);
    work->attempt++;
    struct work **at = &job->d->again;
    while (*at)
        at = &(*at)->next;
    *at = work;
}

static void finish_job(struct job *job)
{
    struct dispatcher *d = job->d;
    struct file_result *r = job->result;
    if (job->pid || job->link_fd >= 0)
        return;
    captured_drain(&job->out);
    captured_drain(&job->err);
    if (!job->done)
        take_crash(job);
    job_end_wait(job);
    r->waited_ns = job->waited_ns;
    r->duration_ns = time_run(job);
    file_result_settle(r);
    if (r->status != FILE_PASSED) {
        r->stdout_tail = captured_text(&job->out);
        r->stderr_tail = captured_text(&job->err);
    }
    announce_completed(job);
    pool_give_back(&d->pool, job->held);
    for (struct job **at = &d->jobs; *at; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            break;
        }
    }
    d->running--;
    if (r->status != FILE_PASSED && job_may_retry(job))
        run_again(job);
    else
        dispatcher_deliver(d, steal_ptr(job->result));
    free_job(job);
    dispatcher_reap_orphans(d);
    dispatcher_advance(d);
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
    int64_t left = job->d->settings->timeout_ns + KILL_GRACE_NS - time_run(job);
    bool waits = job->waiting || job->waits_for_build;
    if (waits || left > 0) {
        source_set_deadline(s, deadline_after(waits ? KILL_GRACE_NS : left));
        return;
    }
    job_kill(job, SIGKILL);
}

/* ------------------------------------------------------------------------------------------------- its output */

static bool is_private(const struct event *ev)
{
    static const char prefix[] = "worker_";
    return ev->kind.len >= strlen(prefix) && !memcmp(ev->kind.data, prefix, strlen(prefix));
}

static void take_event(struct job *job, const struct event *ev)
{
    if (job->waits_for_build)
        job_end_wait(job); /* whatever it says, it goes on */
    if (event_is(ev, "pool_acquire") || event_is(ev, "pool_release") || event_is(ev, "pool_spare"))
        lend_take_request(job, ev);
    else if (event_is(ev, "worker_done"))
        job->done = true;
    else if (is_private(ev))
        file_result_take(job->result, ev);
    else
        announce_forward(job, ev);
    if (event_is(ev, "fixture_build_waiting")) {
        announce_build_lock(job);
        lend_wait_for_build(job, ev);
    }
}

static void on_link(struct source *s, uint32_t events, void *arg)
{
    struct job *job = arg;
    (void)events;
    uint8_t *to = buf_reserve(&job->input, 65536);
    int passed = -1;
    size_t count = 0;
    ssize_t got = to ? fds_recv(job->link_fd, to, 65536, &passed, 1, &count) : 0;
    if (count) {
        close_fd(&job->console_fd);
        job->console_fd = passed;
    }
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
    if (found < 0)
        job_kill(job, SIGKILL); /* it speaks something else: not a worker any more */
    finish_job(job);
}

/* ------------------------------------------------------------------------------------------------- starting */

/* In the child: leads its group; has pipes as 1 and 2, the link, the connection to the uplink broker and the library, if
 * there are such. */
static void __attribute__((noreturn))
exec_worker(const struct dispatcher_settings *settings, int link_fd, int stdout_fd, int stderr_fd, int uplink_fd)
{
    char number[16];
    int kept[3] = {link_fd};
    size_t count = 1;
    if (uplink_fd >= 0)
        kept[count++] = uplink_fd;
    if (settings->library >= 0)
        kept[count++] = settings->library;
    setpgid(0, 0);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd >= 0)
        dup2(null_fd, STDIN_FILENO);
    dup2(stdout_fd, STDOUT_FILENO);
    dup2(stderr_fd, STDERR_FILENO);
    process_keep_fds(kept, count);
    for (size_t i = 0; i < count; i++)
        fd_set_cloexec(kept[i], false);
    snprintf(number, sizeof(number), "%d", link_fd);
    setenv(WORKER_FD_VARIABLE, number, 1);
    setenv(WORKER_FILTER_VARIABLE, settings->filter_json, 1);
    execv("/proc/self/exe", settings->argv);
    _exit(127);
}

/* Descriptors have the same numbers there. */
static void send_job(struct job *job, int uplink_fd)
{
    const struct buf *common = job->d->settings->job;
    _cleanup_buf_ struct buf payload = BUF_INIT(EVENT_FRAME_MAX);
    struct packer p = {.to = &payload};
    pack_map(&p, 5);
    pack_str(&p, "library");
    pack_int(&p, job->d->settings->library);
    pack_str(&p, "path");
    pack_str(&p, job->work->file->path);
    pack_str(&p, "index");
    pack_uint(&p, job->d->started);
    pack_str(&p, "uplink");
    pack_int(&p, uplink_fd);
    pack_str(&p, "run");
    pack_raw(&p, buf_head(common), common->len);
    event_write(job->link_fd, "job", &payload);
}

/* The lowest number that no running file has. */
static unsigned free_place(const struct dispatcher *d)
{
    for (unsigned place = 0;; place++) {
        const struct job *j = d->jobs;
        while (j && j->worker != place)
            j = j->next;
        if (!j)
            return place;
    }
}

static void watch_job(struct job *job)
{
    const struct dispatcher_settings *settings = job->d->settings;
    struct loop *loop = settings->loop;
    job->link_source = loop_add_fd(loop, job->link_fd, EPOLLIN, on_link, job);
    job->child_source = loop_add_child(loop, job->pid, on_worker_exit, job);
    if (settings->timeout_ns)
        job->kill_timer =
            loop_add_timer(loop, deadline_after(settings->timeout_ns + KILL_GRACE_NS), on_kill_timer, job);
}

/* Starts the process and gives the job its ends of everything. */
static int launch(struct job *job, int *ret_uplink, struct err *e)
{
    const struct dispatcher_settings *settings = job->d->settings;
    int link[2] = {-1, -1};
    _cleanup_close_ int stdout_fd = captured_open(&job->out, STDOUT_FILENO, settings);
    _cleanup_close_ int stderr_fd = captured_open(&job->err, STDERR_FILENO, settings);
    if (stdout_fd < 0 || stderr_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) < 0)
        return err_errno(e, "start a worker");
    job->link_fd = link[0];
    *ret_uplink = settings->broker < 0 ? -1 : uplink_broker_connect(settings->broker, NULL);
    job->pid = process_fork();
    if (!job->pid)
        exec_worker(settings, link[1], stdout_fd, stderr_fd, *ret_uplink);
    close(link[1]);
    if (job->pid < 0)
        return err_errno(e, "start a worker");
    setpgid(job->pid, job->pid);
    return 0;
}

int job_start(struct dispatcher *d, struct work *work, struct amount held, struct err *e)
{
    _cleanup_close_ int uplink = -1;
    struct job *job = xnew0(struct job);
    *job = (struct job){.d = d, .worker = free_place(d), .link_fd = -1, .console_fd = -1, .out = CAPTURED_INIT, .err = CAPTURED_INIT};
    if (launch(job, &uplink, e) < 0) {
        free_job(job);
        return -1;
    }
    job->work = work;
    job->input = BUF_INIT(2 * EVENT_FRAME_MAX);
    job->result = file_result_new(work->file->label);
    job->result->source = xstrdup(work->file->path);
    job->result->repeat = work->file->repeat;
    job->held = held;
    if (work->file->declares_claim)
        job->reserved = work->file->claim;
    job->started = clock_monotonic_ns();
    watch_job(job);
    job->next = d->jobs;
    d->jobs = job;
    d->running++;
    d->started++;
    announce_dispatched(job);
    send_job(job, uplink);
    return 0;
}
