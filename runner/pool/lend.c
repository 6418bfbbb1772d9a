/* Files ask the pool for memory and CPUs, one request at a time, and may wait: the oldest request goes first, and no file
 * starts before it. What a file holds goes back when it releases it or ends.
 *
 * When all running files wait, nothing will ever be given back. Then a request that fits goes before its turn, and if
 * there is none, the newest, which closed the circle, is refused. A file that waits for a fixture which another running
 * file builds waits too; a builder outside of this run proves nothing.
 *
 * Memory for machines that are started ahead of need is lent while there is some and nobody waits, and asked back when
 * somebody does. */
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

static void grant(struct job *job)
{
    job->held.memory_bytes += job->wanted.memory_bytes;
    job->held.cpus += job->wanted.cpus;
    job_end_wait(job);
    if (job->wants_claim) {
        job->has_claim = true;
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

static bool all_wait(const struct dispatcher *d)
{
    for (const struct job *j = d->jobs; j; j = j->next)
        if (!j->waiting && !(j->waits_for_build && j->builder_is_here))
            return false;
    return true;
}

/* The oldest or newest request that waits; with `fitting` only among those that could be served now. */
static struct job *find_waiting(const struct dispatcher *d, bool newest, bool fitting)
{
    struct job *found = NULL;
    for (struct job *j = d->jobs; j; j = j->next) {
        if (!j->waiting || (fitting && !pool_fits(&d->pool, j->wanted)))
            continue;
        if (!found || (newest ? j->wait_started >= found->wait_started : j->wait_started <= found->wait_started))
            found = j;
    }
    return found;
}

static void refuse_newest(struct dispatcher *d)
{
    struct job *newest = find_waiting(d, true, false);
    job_end_wait(newest);
    _cleanup_free_ char *holders = name_holders(d);
    _cleanup_free_ char *message =
        xasprintf("the pool is deadlocked: all %u running files wait for memory or CPUs (%s); this one asked for %llu MiB "
                  "and %llu vCPUs",
                  d->running, holders, mebibytes(newest->wanted.memory_bytes), (unsigned long long)newest->wanted.cpus);
    reply(newest, "pool_refused", message,
          "declare provium:claim{memory=…} at file scope, or use a smaller --jobs or a larger --mem");
}

bool lend_someone_waits(const struct dispatcher *d)
{
    return find_waiting(d, false, false);
}

bool lend_recall(struct dispatcher *d)
{
    bool any = false;
    for (struct job *j = d->jobs; j; j = j->next) {
        if (!j->spare_bytes)
            continue;
        any = true;
        if (!j->recalled)
            reply(j, "spare_recalled", "", "");
        j->recalled = true;
    }
    return any;
}

void lend_serve_waiting(struct dispatcher *d)
{
    struct job *j;
    while ((j = find_waiting(d, false, false))) {
        if (!pool_take(&d->pool, j->wanted)) {
            if (lend_recall(d) || !all_wait(d))
                return;
            j = find_waiting(d, false, true);
            if (!j) {
                refuse_newest(d);
                return;
            }
            pool_take(&d->pool, j->wanted);
        }
        grant(j);
    }
}

void lend_wait_for_build(struct job *job, const struct event *ev)
{
    struct bytes holder = {0};
    payload_bytes(ev->payload, "held_by_file", &holder);
    job->waits_for_build = true;
    job->builder_is_here = false;
    for (const struct job *j = job->d->jobs; j; j = j->next)
        if (j != job && (bytes_is(holder, j->work->file->label) || bytes_is(holder, j->work->file->path)))
            job->builder_is_here = true;
    job_begin_wait(job);
    lend_serve_waiting(job->d);
}

static void take_spare(struct job *job, uint64_t memory_bytes)
{
    struct dispatcher *d = job->d;
    bool wanted = lend_someone_waits(d) || (d->blocked && !strcmp(d->blocked_why, "pool_full"));
    bool lent = !wanted && pool_take(&d->pool, (struct amount){.memory_bytes = memory_bytes});
    if (lent) {
        job->held.memory_bytes += memory_bytes;
        job->spare_bytes += memory_bytes;
        job->recalled = false;
    }
    reply(job, lent ? "spare_granted" : "spare_refused", "", "");
}

static void take_release(struct job *job, struct amount amount, bool spare)
{
    if (amount.memory_bytes > (spare ? job->spare_bytes : job->held.memory_bytes) || amount.cpus > job->held.cpus)
        return;
    job->spare_bytes -= spare ? amount.memory_bytes : 0;
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

static uint64_t take_part(uint64_t *wanted, uint64_t reserved)
{
    uint64_t part = *wanted < reserved ? *wanted : reserved;
    *wanted -= part;
    return reserved - part;
}

/* The claim is made: what was reserved for it counts, and what it does not need goes back. */
static void use_reservation(struct job *job)
{
    job->claimed = job->wanted;
    struct amount rest = {.memory_bytes = take_part(&job->wanted.memory_bytes, job->reserved.memory_bytes),
                          .cpus = take_part(&job->wanted.cpus, job->reserved.cpus)};
    job->reserved = (struct amount){0};
    job->held.memory_bytes -= rest.memory_bytes;
    job->held.cpus -= rest.cpus;
    pool_give_back(&job->d->pool, rest);
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
        take_release(job, amount, bytes_is(what, "spare"));
        return;
    }
    if (event_is(ev, "pool_spare")) {
        take_spare(job, amount.memory_bytes);
        return;
    }
    job->wanted = amount;
    job->wants_claim = bytes_is(what, "claim");
    if (!pool_could_give(&d->pool, amount)) {
        refuse(job);
        return;
    }
    if (job->wants_claim)
        use_reservation(job);
    job_begin_wait(job);
    job->waiting = true;
    lend_serve_waiting(d);
}
