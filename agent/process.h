/* Processes started for the host: their pipes, their end, their input. All with the lock. */
#pragma once

#include "call.h"
#include "spawn.h"

struct output {
    struct process *process;
    struct watch watch;
    unsigned stream;
    int64_t credit; /* what the host still takes */
    int64_t left;   /* until the limit, after which output is read and dropped; -1: no limit */
    bool eof, truncated;
};

struct process {
    struct process *next;
    struct agent *agent;
    struct call *call; /* the exec call, until it is over */
    pid_t pid;
    int status;       /* when reaped */
    bool asked;       /* a worker is to start it, and has not answered */
    bool killed;
    bool started;     /* the program runs, or cannot */
    bool reaped;
    bool released;    /* what it still writes is dropped */
    bool timed_out;
    bool quiet;
    struct watch start_watch; /* error pipe of the child */
    struct output out[2];
    struct timer timeout;

    struct watch stdin_watch;
    struct call *writers, **writers_end; /* write_stdin calls, by queue_next; their data is this process */
    bool stdin_ends;                     /* close it after the last writer */
};

/* A new process object for the exec call. */
struct process *process_new(struct call *call);
/* Ends the object and the call of a process that was never started. */
void process_abandon(struct process *p, int code);
struct process *process_find(struct agent *a, uint64_t id);
/* SIGKILL to its group. */
void process_kill(struct process *p);
/* The host wants no more of its output; the exec call ends as soon as the process has. */
void process_release(struct process *p);
/* It was waited for. May free it. */
void process_ended(struct process *p, int status);
/* The host takes `n` more bytes of an output. */
void process_take(struct process *p, unsigned stream, uint64_t n);

/* A child has ended (SIGCHLD). */
void process_reap(struct agent *a);
/* The channel has room again. */
void process_resume(struct agent *a);
/* A new session begins: it keeps the processes with these ids, the others go on without a listener. */
void process_adopt(struct agent *a, const uint64_t *ids, size_t count);
/* The agent ends, and what it started with it. */
void process_kill_all(struct agent *a);
