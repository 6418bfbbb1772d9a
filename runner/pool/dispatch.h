/* What the files of the dispatcher share: dispatcher.c starts files and takes signals, job.c is one running file,
 * lend.c its dealings with the pool, announce.c its events. */
#pragma once

#include <sys/types.h>

#include "pool/captured.h"
#include "pool/dispatcher.h"

/* A file to run, with what its earlier attempts left. */
struct work {
    struct work *next;
    const struct dispatch_file *file;
    unsigned attempt; /* from 1 */
    struct strv failed, reasons; /* names of tests that failed in earlier attempts, and why */
};

struct live_vm {
    struct live_vm *next;
    int64_t cid, spawned; /* when its boot began, since the epoch */
    char *name;
    int console_fd; /* its log, or -1 */
};

struct live_build {
    struct live_build *next;
    int64_t started; /* since the epoch */
    char *fixture, *key;
};

/* A running file. */
struct job {
    struct job *next;
    struct dispatcher *d;
    struct work *work;
    struct file_result *result;
    unsigned worker; /* which of the places for workers it has */
    pid_t pid;       /* 0: reaped */
    int status;
    int link_fd; /* -1: at end of file */
    struct captured out, err;
    struct buf input;
    struct source *link_source, *child_source, *kill_timer;
    struct amount held, wanted, claimed;
    struct amount reserved; /* part of `held`: for the claim that the file declares, until it makes it */
    uint64_t spare_bytes;   /* part of `held`: lent as long as nobody needs it */
    bool recalled;          /* … and asked back */
    bool waiting, wants_claim, has_claim, done;
    bool waits_for_build; /* of a fixture, by another file… */
    bool builder_is_here; /* … of this run */
    int64_t started, waited_ns, wait_started; /* monotonic */
    int64_t last_ts;                          /* of its newest event */
    struct live_vm *vms; /* the newest first */
    int console_fd; /* of the VM whose vm_spawned comes next, or -1 */
    struct live_build *builds; /* of fixtures, the innermost first */
};

struct dispatcher {
    const struct dispatcher_settings *settings;
    struct run_totals *totals;
    struct pool pool;
    struct job *jobs;
    unsigned running;
    bool *begun;      /* per file */
    size_t next_file; /* the first that has not begun */
    size_t begun_count;
    size_t started; /* attempts of files so far */
    struct work *again; /* to be retried, before any new file */
    const struct dispatch_file *blocked;
    const char *blocked_why; /* why `blocked` waits, as last announced */
    int64_t passed_since;    /* since when later files pass the blocked one, monotonic; 0: none has */
    double psi;
    bool stop; /* dispatch nothing more */
    bool over; /* nothing runs and nothing will */
    int signal_number;
    int64_t signalled; /* when the newest signal came, monotonic */
    int signal_fd;
    struct source *signal_source, *stop_timer, *second_timer;
};

/* dispatcher.c: starts what can be started now. */
void dispatcher_advance(struct dispatcher *d);
void dispatcher_reap_orphans(struct dispatcher *d);
/* Counts and hands over the result of a file that is done with. */
void dispatcher_deliver(struct dispatcher *d, struct file_result *r);
struct work *work_new(const struct dispatch_file *file);
void work_free(struct work *w);

/* job.c: takes over `work` on success; `held` is of the pool. */
int job_start(struct dispatcher *d, struct work *work, struct amount held, struct err *e);
/* It waits for the pool or for another file's build: its clock stands still. */
void job_begin_wait(struct job *job);
void job_end_wait(struct job *job);
void job_kill(struct job *job, int number);
bool job_may_retry(const struct job *job);

/* lend.c: a pool_acquire, pool_spare or pool_release; all that wait and can be served now. */
void lend_take_request(struct job *job, const struct event *ev);
/* A fixture_build_waiting: until the job's next event it waits for the file that builds. */
void lend_wait_for_build(struct job *job, const struct event *ev);
void lend_serve_waiting(struct dispatcher *d);
bool lend_someone_waits(const struct dispatcher *d);
/* Asks back what is lent for spare machines; false when nothing is. */
bool lend_recall(struct dispatcher *d);

/* announce.c */
void announce_blocked(struct dispatcher *d, const struct dispatch_file *file, struct amount wanted, const char *why);
/* It runs, and waits for a build that somebody else has begun. */
void announce_build_lock(struct job *job);
void announce_dispatched(struct job *job);
void announce_claim(struct job *job, const char *kind);
/* An event of the worker's, completed by what only the dispatcher knows. */
void announce_forward(struct job *job, const struct event *ev);
/* The worker has ended before it was done: its running test failed for `reason`, those after it for `later`. */
void announce_lost(struct job *job, const char *reason, const char *later);
void announce_completed(struct job *job);
/* A file that could not be started. */
void announce_unstarted(struct dispatcher *d, const struct work *work, struct file_result *r);
void announce_pool(struct dispatcher *d);
