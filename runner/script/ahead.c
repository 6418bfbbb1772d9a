/* Whoever restores a snapshot is likely to restore it again: fixtures, resets between tests. So a next machine is started
 * in the background, in the loop's idle time, one for each of a few snapshots. It never stands in anybody's way: it
 * begins only while a CPU has nothing to do (`ahead = "idle"`) and with memory of the pool that nobody wants, and ends when
 * the pool asks for that, when its snapshot changes or goes, and with the file. */
#include "script/ahead.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "pool/host.h"
#include "pool/pool.h"

#define SNAPSHOTS_MAX 4 /* for which machines are started ahead, of one file */
#define FAILURES_MAX  2 /* of one snapshot's machines */
#define BEGIN_NS      (20 * NS_PER_MS) /* what the test does first with the machine it got goes first */
#define BUSY_NS       (50 * NS_PER_MS)
#define REFUSED_NS    NS_PER_S

struct entry {
    char *path, *name;
    bool warm;
    unsigned failures;
    struct ahead_machine machine; /* no spare: not yet */
};

struct ahead {
    struct script *script;
    struct entry *entries[SNAPSHOTS_MAX]; /* the newest first */
    struct entry *asking;                 /* the pool, for this one */
    bool asked;                           /* … and it has not answered */
    struct source *timer;
    unsigned cpus;
};

/* ------------------------------------------------------------------------------------------------- entries */

static void drop_machine(struct ahead *a, struct entry *entry)
{
    if (!entry->machine.spare)
        return;
    spare_free(steal_ptr(entry->machine.spare));
    launch_done(&entry->machine.launch);
    pool_client_release_spare(a->script->pool, POOL_VM_OVERHEAD);
}

static void remove_entry(struct ahead *a, size_t index)
{
    struct entry *entry = a->entries[index];
    memmove(a->entries + index, a->entries + index + 1, (SNAPSHOTS_MAX - 1 - index) * sizeof(entry));
    a->entries[SNAPSHOTS_MAX - 1] = NULL;
    if (!entry)
        return;
    if (a->asking == entry)
        a->asking = NULL;
    drop_machine(a, entry);
    free(entry->path);
    free(entry->name);
    free(entry);
}

static struct entry *find(const struct ahead *a, const char *path)
{
    for (size_t i = 0; i < SNAPSHOTS_MAX && a->entries[i]; i++)
        if (!strcmp(a->entries[i]->path, path))
            return a->entries[i];
    return NULL;
}

/* ------------------------------------------------------------------------------------------------- starting */

/* Are there as many runnable threads as CPUs, this one included? See proc(5), loadavg. */
static bool is_host_busy(const struct ahead *a)
{
    unsigned runnable = 0;
    _cleanup_buf_ struct buf text = BUF_INIT(256);
    if (file_read("/proc/loadavg", &text, NULL) < 0)
        return false;
    buf_append_byte(&text, '\0');
    return sscanf((const char *)buf_head(&text), "%*f %*f %*f %u/", &runnable) == 1 && runnable > a->cpus;
}

/* Everything that a restore does before QEMU starts. A file that has to be verified or copied first is not worth it. */
static int begin(struct script *s, struct entry *entry, struct err *e)
{
    struct ahead_machine *m = &entry->machine;
    _cleanup_(snapshot_file_freep) struct snapshot_file *file = snapshot_file_open_unverified(entry->path, e);
    if (!file)
        return -1;
    if (snapshot_file_touched(file) || !snapshot_file_writable(file))
        return err_set(e, ENOTSUP, "the snapshot cannot be used as it is");
    const struct snapshot_info *info = snapshot_file_info(file);
    m->profile = config_profile(s->settings->config, info->profile, e);
    if (!m->profile || launch_restore(m->profile, &s->settings->host, entry->name, info, &m->launch, e) < 0)
        return -1;
    m->spare = spare_new(s->loop, &m->launch.boot, steal_ptr(file), entry->warm, e);
    if (!m->spare)
        launch_done(&m->launch);
    return m->spare ? 0 : -1;
}

static struct entry *find_wanting(const struct ahead *a)
{
    for (size_t i = 0; i < SNAPSHOTS_MAX && a->entries[i]; i++)
        if (!a->entries[i]->machine.spare && a->entries[i]->failures < FAILURES_MAX)
            return a->entries[i];
    return NULL;
}

static void on_granted(bool granted, void *arg)
{
    struct ahead *a = arg;
    _cleanup_err_ struct err e = ERR_INIT;
    struct entry *entry = steal_ptr(a->asking);
    a->asked = false;
    if (granted && (!entry || begin(a->script, entry, &e) < 0)) {
        pool_client_release_spare(a->script->pool, POOL_VM_OVERHEAD);
        if (entry)
            entry->failures = FAILURES_MAX;
    }
    if (find_wanting(a))
        source_set_deadline(a->timer, deadline_after(granted ? BEGIN_NS : REFUSED_NS));
}

static void on_recalled(void *arg)
{
    struct ahead *a = arg;
    for (size_t i = 0; i < SNAPSHOTS_MAX && a->entries[i]; i++)
        drop_machine(a, a->entries[i]);
    source_set_deadline(a->timer, deadline_after(REFUSED_NS));
}

static void on_timer(struct source *source, void *arg)
{
    struct ahead *a = arg;
    struct entry *entry = find_wanting(a);
    if (!entry || a->asked)
        return;
    if (a->script->settings->config->ahead == AHEAD_IDLE && is_host_busy(a)) {
        source_set_deadline(source, deadline_after(BUSY_NS));
        return;
    }
    a->asking = entry;
    a->asked = true;
    pool_client_ask_spare(a->script->pool, POOL_VM_OVERHEAD, &(struct pool_spare_events){on_granted, on_recalled, a});
}

/* ------------------------------------------------------------------------------------------------- the file's side */

static struct ahead *ahead_new(struct script *s)
{
    struct ahead *a = xnew0(struct ahead);
    a->script = s;
    a->timer = loop_add_timer(s->loop, DEADLINE_NONE, on_timer, a);
    a->cpus = host_resources_read("/proc", "/sys/fs/cgroup").cpus;
    return a;
}

void ahead_expect(struct script *s, const char *path, const char *name, bool warm)
{
    if (s->settings->config->ahead == AHEAD_NEVER || s->parent)
        return;
    if (!s->ahead)
        s->ahead = ahead_new(s);
    struct ahead *a = s->ahead;
    struct entry *entry = find(a, path);
    if (!entry) {
        remove_entry(a, SNAPSHOTS_MAX - 1);
        memmove(a->entries + 1, a->entries, (SNAPSHOTS_MAX - 1) * sizeof(entry));
        entry = a->entries[0] = xnew0(struct entry);
        entry->path = xstrdup(path);
        entry->name = xstrdup(name);
    }
    entry->warm = warm;
    source_set_deadline(a->timer, deadline_after(BEGIN_NS));
}

static bool is_below(const char *path, const char *top)
{
    size_t n = strlen(top);
    return !strncmp(path, top, n) && (!path[n] || path[n] == '/');
}

void ahead_forget(struct script *s, const char *path)
{
    for (size_t i = SNAPSHOTS_MAX; s->ahead && i-- > 0;)
        if (s->ahead->entries[i] && (!path || is_below(s->ahead->entries[i]->path, path)))
            remove_entry(s->ahead, i);
}

static bool is_usable(const struct entry *entry)
{
    const struct spare *spare = entry ? entry->machine.spare : NULL;
    return spare && spare_is_good(spare) && snapshot_file_is_at(spare_file(spare), entry->path);
}

const struct snapshot_file *ahead_file(const struct script *s, const char *path)
{
    struct entry *entry = s->ahead ? find(s->ahead, path) : NULL;
    return is_usable(entry) ? spare_file(entry->machine.spare) : NULL;
}

bool ahead_take(struct script *s, const char *path, bool warm, struct ahead_machine *ret)
{
    struct ahead *a = s->ahead;
    struct entry *entry = a ? find(a, path) : NULL;
    if (!entry || !entry->machine.spare)
        return false;
    const struct spare *spare = entry->machine.spare;
    entry->failures += !spare_is_good(spare);
    if (!is_usable(entry) || (spare_is_warm(spare) && !warm)) {
        drop_machine(a, entry);
        return false;
    }
    *ret = entry->machine;
    entry->machine = (struct ahead_machine){0};
    pool_client_release_spare(s->pool, POOL_VM_OVERHEAD);
    return true;
}

void ahead_free(struct ahead *a)
{
    if (!a)
        return;
    while (a->entries[0])
        remove_entry(a, 0);
    pool_client_forget_spare(a->script->pool);
    source_remove(a->timer);
    free(a);
}
