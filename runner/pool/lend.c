/* Files ask the pool for memory and CPUs, one request at a time, and may wait. What a file holds goes back when it
 * releases it or ends. */
#include <string.h>

#include "base/alloc.h"
#include "pool/dispatch.h"

#define HOLDERS_NAMED 8

static void reply(struct job *job, const char *kind, const char *message, const char *hint)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    _cleanup_buf_ struct buf packed = BUF_INIT(65536);
    payload_add_text(&p, "message", message);
    payload_add_text(&p, "hint", hint);
    payload_write(&p, &packed);
    if (job->link_fd >= 0)
        event_write(job->link_fd, kind, &packed);
}

static void end_wait(struct job *job)
{
    if (job->waiting)
        job->waited_ns += clock_monotonic_ns() - job->wait_started;
    job->waiting = false;
}

static void grant(struct job *job)
{
    job->held.memory_bytes += job->wanted.memory_bytes;
    job->held.cpus += job->wanted.cpus;
    end_wait(job);
    if (job->wants_claim) {
        job->has_claim = true;
        job->claimed = job->wanted;
        announce_claim(job, "claim_acquired");
    }
    reply(job, "pool_granted", "", "");
}

static unsigned long long mebibytes(uint64_t bytes)
{
    return (unsigned long long)(bytes >> 20);
}

/* "a.test.lua holds 612 MiB, …"; malloc'ed. */
static char *name_holders(const struct dispatcher *d)
{
    _cleanup_strv_ struct strv holders = STRV_INIT;
    for (const struct job *j = d->jobs; j && holders.count < HOLDERS_NAMED; j = j->next)
        strv_addf(&holders, "%s holds %llu MiB", j->work->file->label, mebibytes(j->held.memory_bytes));
    if (d->running > HOLDERS_NAMED)
        strv_addf(&holders, "and %u more", d->running - HOLDERS_NAMED);
    return strv_join(&holders, ", ");
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
    end_wait(newest);
    _cleanup_free_ char *holders = name_holders(d);
    _cleanup_free_ char *message =
        xasprintf("the pool is deadlocked: all %u running files wait for memory (%s); this one asked for %llu MiB",
                  d->running, holders, mebibytes(newest->wanted.memory_bytes));
    reply(newest, "pool_refused", message, "declare provium:claim{memory=…}, or use a smaller --jobs or a larger --mem");
}

void lend_serve_waiting(struct dispatcher *d)
{
    for (struct job *j = d->jobs; j; j = j->next)
        if (j->waiting && pool_take(&d->pool, j->wanted))
            grant(j);
    break_deadlock(d);
}

static void take_release(struct job *job, struct amount amount)
{
    if (amount.memory_bytes > job->held.memory_bytes || amount.cpus > job->held.cpus)
        return;
    job->held.memory_bytes -= amount.memory_bytes;
    job->held.cpus -= amount.cpus;
    pool_give_back(&job->d->pool, amount);
    dispatcher_advance(job->d);
}

static void refuse(struct job *job)
{
    const struct pool *pool = &job->d->pool;
    _cleanup_free_ char *message = xasprintf(
        "%llu MiB and %llu vCPUs are more than the whole pool of %llu MiB and %llu vCPUs",
        mebibytes(job->wanted.memory_bytes), (unsigned long long)job->wanted.cpus,
        mebibytes(pool->total.memory_bytes), (unsigned long long)pool->total.cpus);
    reply(job, "pool_refused", message, "raise --mem or --cpus, or ask for less");
}

void lend_take_request(struct job *job, const struct event *ev)
{
    struct dispatcher *d = job->d;
    int64_t memory = 0, cpus = 0;
    struct bytes what = {0};
    payload_int(ev->payload, "memory_bytes", &memory);
    payload_int(ev->payload, "cpus", &cpus);
    payload_bytes(ev->payload, "what", &what);
    struct amount amount = {.memory_bytes = (uint64_t)memory, .cpus = (uint64_t)cpus};
    if (event_is(ev, "pool_release")) {
        take_release(job, amount);
        return;
    }
    job->wanted = amount;
    job->wants_claim = bytes_is(what, "claim");
    if (!pool_could_give(&d->pool, amount)) {
        refuse(job);
    } else if (pool_take(&d->pool, amount)) {
        grant(job);
    } else {
        job->waiting = true;
        job->wait_started = clock_monotonic_ns();
        break_deadlock(d);
    }
}
