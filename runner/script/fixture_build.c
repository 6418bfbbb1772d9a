/* A build: the fixture's file runs in a Lua state of its own, with the root lab, the switch and the clock that it would have
 * as a test file, inside of a staging directory of the cache. What it returns is compressed beside it; then both are put
 * into their places. Whatever fails leaves the cache as it was. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "events/payload.h"
#include "fixture/meta.h"
#include "fixture/pack.h"
#include "loop/aside.h"
#include "script/fixture.h"

static void emit_started(struct script *s, const struct fixture_use *f)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_text(&p, "path", fixture_use_name(f));
    payload_add_text(&p, "key", f->key.hex);
    pool_client_emit_payload(s->pool, "fixture_build_started", &p);
}

static void emit_done(struct script *s, const struct fixture_use *f, int64_t duration, uint64_t bytes, const char *error)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_text(&p, "path", fixture_use_name(f));
    payload_add_int(&p, "duration_ns", duration);
    payload_add_uint(&p, "snapshot_bytes", bytes);
    payload_add_text(&p, "key", f->key.hex);
    payload_add_text(&p, "error", error);
    pool_client_emit_payload(s->pool, "fixture_build_done", &p);
}

/* ------------------------------------------------------------------------------------------------- installing */

struct packing {
    const struct store_id *id;
    const struct base_sources *bases;
    const char *raw, *entry;
    const char *hot;  /* takes the snapshot, or gets a copy when that is not in the staging directory */
    bool owned;       /* it is */
};

/* In a process of its own: all that reads and writes in bulk. */
static int pack(void *arg, struct err *e)
{
    const struct packing *p = arg;
    if (fixture_pack(p->id->kind, p->raw, p->entry, p->bases, e) < 0)
        return -1;
    if (!p->owned)
        return fixture_unpack(p->id->directory, p->id->kind, p->entry, p->hot, e);
    return rename(p->raw, p->hot) < 0 ? err_errno(e, "rename `%s`", p->raw) : fixture_sync(p->hot, e);
}

/* The compressed bytes, of a file or of the files of a lab. */
static uint64_t packed_size(const char *path)
{
    struct stat st;
    uint64_t total = 0;
    DIR *d = opendir(path);
    if (!d)
        return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    for (struct dirent *entry; (entry = readdir(d));)
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            total += (uint64_t)st.st_size;
    closedir(d);
    return total;
}

/* What belongs to an entry of before goes first: at no time is there a mixture. */
static int put_in_place(const struct store_id *id, const char *entry, const char *hot, const char *meta, struct err *e)
{
    store_remove(id, STORE_META);
    store_remove(id, STORE_HOT);
    if (store_install(id, STORE_ENTRY, entry, e) < 0 || store_install(id, STORE_HOT, hot, e) < 0)
        return -1;
    return store_install(id, STORE_META, meta, e);
}

static int install(struct script *s, struct fixture_use *f, const struct staging *staging, const char *raw,
                   uint64_t *ret_bytes, struct err *e)
{
    struct store_meta meta = {.fixture = (char *)fixture_use_name(f), .created_ns = clock_realtime_ns()};
    bool vm = f->id.kind == FIXTURE_VM;
    _cleanup_free_ char *entry = path_join(staging->path, "entry"), *hot = path_join(staging->path, "hot");
    _cleanup_free_ char *snapshot = vm ? path_join(hot, "vm.snap") : xstrdup(hot);
    struct packing p = {&f->id, &s->bases, raw, entry, snapshot, str_starts_with(raw, staging->path)};
    if ((vm && dir_create_all(hot, 0700, e) < 0) || aside_call(s->loop, s->deadline.file, pack, &p, e) < 0)
        return -1;
    if ((!vm && fixture_index_hash(snapshot, meta.index_hash, e) < 0) ||
        fixture_check(f->id.kind, snapshot, meta.index_hash, e) < 0)
        return err_prefix(e, "what it returned");
    _cleanup_free_ char *about = path_join(staging->path, "about");
    if (store_meta_write(about, &meta, e) < 0)
        return -1;
    *ret_bytes = packed_size(entry);
    return put_in_place(&f->id, entry, hot, about, e);
}

/* ------------------------------------------------------------------------------------------------- running */

/* *ret_waited: of the time that passes, what counts for nobody. */
static int run(struct script *parent, struct fixture_use *f, const struct staging *staging, uint64_t *ret_bytes,
               int64_t *ret_waited, struct err *e)
{
    struct environment environment = *parent->settings->host.environment;
    struct script_settings settings = *parent->settings;
    environment.temporary_dir = staging->path;
    settings.host.environment = &environment;
    _cleanup_free_ char *raw = NULL;
    struct script *s = script_new(f->key.source.path, &settings, parent->loop, parent->pool, e);
    if (!s)
        return -1;
    s->parent = parent;
    s->covers = &f->key;
    s->vm_count = parent->vm_count;
    bool lab = false;
    int result = script_run_fixture(s, f->any_kind ? NULL : fixture_kind_words[f->id.kind], &raw, &lab, e);
    if (!result)
        f->id.kind = lab ? FIXTURE_LAB : FIXTURE_VM;
    script_close(s);
    if (!result)
        result = install(s, f, staging, raw, ret_bytes, e);
    parent->vm_count = s->vm_count;
    *ret_waited = s->deadline.waited;
    deadline_inherit(&parent->deadline, &s->deadline);
    script_free(s);
    return result;
}

int fixture_use_build(struct script *s, struct fixture_use *f, struct err *e)
{
    _cleanup_err_ struct err problem = ERR_INIT;
    struct staging staging = STAGING_INIT;
    uint64_t bytes = 0;
    int64_t start = clock_monotonic_ns(), waited = 0;
    emit_started(s, f);
    deadline_suspend(&s->deadline);
    int result = staging_new(f->id.directory, STORE_STAGING, &staging, &problem);
    if (!result)
        result = run(s, f, &staging, &bytes, &waited, &problem);
    staging_done(&staging);
    deadline_resume(&s->deadline, waited);
    emit_done(s, f, clock_monotonic_ns() - start, result ? 0 : bytes, result ? err_message(&problem) : NULL);
    if (result)
        return err_move(e, &problem);
    f->built = true;
    free(f->snapshot);
    f->snapshot = store_hot_snapshot(&f->id);
    if (f->lock.held)
        store_lock_share(&f->lock);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- by itself */

/* Takes the locks of both kinds, as only the fixture knows which it is. */
static int lock_both(struct script *s, struct fixture_use *f, struct store_lock locks[2], struct err *e)
{
    for (int kind = FIXTURE_VM; kind <= FIXTURE_LAB; kind++) {
        f->id.kind = (enum fixture_kind)kind;
        if (store_lock_wait(&f->id, true, s->loop, DEADLINE_NONE, &locks[kind], e) < 0)
            return -1;
        store_lock_sign(&locks[kind], s->path);
    }
    return 0;
}

/* Until there is a new entry, the old one stays. */
static int make(struct script *s, struct fixture_use *f, bool again, struct err *e)
{
    for (int kind = FIXTURE_VM; kind <= FIXTURE_LAB; kind++) {
        f->id.kind = (enum fixture_kind)kind;
        if (!again && base_is_complete(&f->id)) {
            printf("already built: %s\n", fixture_use_name(f));
            return 0;
        }
    }
    if (fixture_use_build(s, f, e) < 0)
        return -1;
    struct store_id other = f->id;
    other.kind = f->id.kind == FIXTURE_VM ? FIXTURE_LAB : FIXTURE_VM;
    store_remove(&other, STORE_ENTRY);
    return 0;
}

int fixture_make(struct script *s, const char *name, bool again, int64_t file_limit_ns, struct err *e)
{
    const struct fixture_world world = {s->settings->config, &s->settings->host, s->settings->roots};
    struct store_lock locks[2] = {STORE_LOCK_INIT, STORE_LOCK_INIT};
    struct fixture_use f = {.lock = STORE_LOCK_INIT, .any_kind = true};
    if (fixture_key(&world, name, &f.key, e) < 0)
        return -1;
    f.id = (struct store_id){.directory = s->settings->config->cache_dir, .key = f.key.hex};
    deadline_start_file(&s->deadline, file_limit_ns);
    int result = lock_both(s, &f, locks, e) < 0 ? -1 : make(s, &f, again, e);
    deadline_start_file(&s->deadline, 0);
    fflush(stdout);
    store_unlock(&locks[0]);
    store_unlock(&locks[1]);
    store_unlock(&f.lock);
    fixture_key_done(&f.key);
    free(f.snapshot);
    return result;
}
