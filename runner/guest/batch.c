/* A batch is a chain of ordinary calls, each made to wait for the one before it (`after`), and all sent without waiting.
 * At most IN_FLIGHT of them are unfinished at a time, fewer than the agent takes. */
#include "guest/batch.h"

#include <errno.h>

#include "base/alloc.h"
#include "guest/channel.h"
#include "guest/start.h"

#define IN_FLIGHT 2000

struct item {
    struct guest_batch_entry entry;
    struct guest_call *call; /* until its result was taken */
    struct guest_run *run;   /* owns the call of a command */
};

struct guest_batch {
    struct guest *guest;
    struct item *items;
    size_t count, cap, taken; /* taken: results */
    uint64_t last;            /* id */
    struct call_budget budget;
};

struct guest_batch *guest_batch_new(struct guest *g)
{
    struct guest_batch *b = xnew0(struct guest_batch);
    b->guest = g;
    b->budget.left = GUEST_BATCH_MAX;
    guest_call_cork(g);
    return b;
}

static void entry_done(struct guest_batch_entry *entry)
{
    if (!entry->error.message) {
        switch (entry->kind) {
        case BATCH_RUN:
            guest_result_done(&entry->result);
            break;
        case BATCH_DATA:
            buf_done(&entry->data);
            break;
        case BATCH_LISTING:
            guest_listing_done(&entry->listing);
            break;
        case BATCH_SYSCALL:
            guest_syscall_result_done(&entry->syscall);
            break;
        case BATCH_NOTHING:
        case BATCH_STAT:
            break;
        }
    }
    err_clear(&entry->error);
}

static void drop_call(struct item *item)
{
    if (item->run)
        guest_run_free(item->run);
    else
        guest_call_free(item->call);
    item->run = NULL;
    item->call = NULL;
}

void guest_batch_free(struct guest_batch *b)
{
    if (!b)
        return;
    guest_call_uncork(b->guest);
    for (size_t i = b->count; i--;) { /* last first: nothing more begins */
        if (i >= b->taken)
            drop_call(&b->items[i]);
        else
            entry_done(&b->items[i].entry);
    }
    free(b->items);
    free(b);
}

/* The result of a call that is done. */
static void take_result(struct item *item)
{
    struct guest_batch_entry *entry = &item->entry;
    struct guest_call *call = item->call;
    switch (entry->kind) {
    case BATCH_RUN:
        guest_run_finish(item->run, &entry->result, &entry->error);
        break;
    case BATCH_DATA:
        if (!guest_call_result(call, NULL, &entry->error)) {
            entry->data = call->body;
            call->body = BUF_INIT(0);
        }
        break;
    case BATCH_STAT:
        guest_stat_finish(call, &entry->stat, &entry->error);
        break;
    case BATCH_LISTING:
        guest_listdir_finish(call, &entry->listing, &entry->error);
        break;
    case BATCH_SYSCALL:
        guest_syscall_finish(call, &entry->syscall, &entry->error);
        break;
    case BATCH_NOTHING:
        guest_call_result(call, NULL, &entry->error);
        break;
    }
    drop_call(item);
}

/* Waits for the oldest calls, until at most `left` are unfinished. */
static int wait_until(struct guest_batch *b, size_t left, int64_t deadline, struct err *e)
{
    while (b->count - b->taken > left) {
        struct item *item = &b->items[b->taken];
        if (b->budget.exceeded)
            guest_call_give_up(item->call, EOVERFLOW, CALL_BUDGET_EXCEEDED);
        guest_call_uncork(b->guest);
        if (loop_wait(b->guest->loop, &item->call->done, deadline) < 0)
            return err_set(e, errno, "batch: %s", errno == ETIMEDOUT ? "timed out" : "cancelled");
        take_result(item);
        b->taken++;
    }
    return 0;
}

/* Room for one more; the caller starts its call, after this one. */
static struct item *add(struct guest_batch *b, enum guest_batch_kind kind)
{
    if (b->count - b->taken >= IN_FLIGHT) {
        wait_until(b, IN_FLIGHT / 2, DEADLINE_NONE, NULL);
        guest_call_cork(b->guest);
    }
    if (b->count == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 64;
        b->items = xreallocarray(b->items, b->cap, sizeof(*b->items));
    }
    struct item *item = &b->items[b->count++];
    *item = (struct item){.entry.kind = kind};
    return item;
}

static void added(struct guest_batch *b, struct item *item, struct guest_call *call)
{
    item->call = call;
    b->last = call->id;
}

void guest_batch_run(struct guest_batch *b, const struct guest_command *command)
{
    struct item *item = add(b, BATCH_RUN);
    item->run = guest_run_start(b->guest, 0, b->last, &b->budget, command);
    added(b, item, guest_run_call(item->run));
}

void guest_batch_read_file(struct guest_batch *b, const char *path)
{
    struct item *item = add(b, BATCH_DATA);
    added(b, item, guest_read_file_start(b->guest, b->last, &b->budget, path));
}

void guest_batch_write_file(struct guest_batch *b, const char *path, const void *data, size_t n, int perm)
{
    struct item *item = add(b, BATCH_NOTHING);
    added(b, item, guest_write_file_start(b->guest, b->last, path, data, n, perm));
}

void guest_batch_stat(struct guest_batch *b, const char *path, bool follow)
{
    struct item *item = add(b, BATCH_STAT);
    added(b, item, guest_stat_start(b->guest, b->last, path, follow));
}

void guest_batch_listdir(struct guest_batch *b, const char *path)
{
    struct item *item = add(b, BATCH_LISTING);
    added(b, item, guest_listdir_start(b->guest, b->last, &b->budget, path));
}

void guest_batch_mkdir(struct guest_batch *b, const char *path, unsigned perm, bool parents)
{
    struct item *item = add(b, BATCH_NOTHING);
    added(b, item, guest_mkdir_start(b->guest, b->last, path, perm, parents));
}

void guest_batch_unlink(struct guest_batch *b, const char *path)
{
    struct item *item = add(b, BATCH_NOTHING);
    added(b, item, guest_unlink_start(b->guest, b->last, path));
}

void guest_batch_rename(struct guest_batch *b, const char *from, const char *to)
{
    struct item *item = add(b, BATCH_NOTHING);
    added(b, item, guest_rename_start(b->guest, b->last, from, to));
}

void guest_batch_syscall(struct guest_batch *b, const struct guest_syscall *s)
{
    struct item *item = add(b, BATCH_SYSCALL);
    added(b, item, guest_syscall_start(b->guest, b->last, s, &b->budget));
}

int guest_batch_wait(struct guest_batch *b, int64_t deadline, struct err *e)
{
    return wait_until(b, 0, deadline, e);
}

size_t guest_batch_count(const struct guest_batch *b)
{
    return b->count;
}

const struct guest_batch_entry *guest_batch_entry(const struct guest_batch *b, size_t index)
{
    return &b->items[index].entry;
}
