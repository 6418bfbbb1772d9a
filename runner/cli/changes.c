/* inotify(7) only says when to look: what has changed is found by comparing states of files (inode, size, time), so
 * that an editor's way of saving, a checkout and a missed event all end alike. Directories are watched, not files,
 * because saving by rename replaces the file. Where inotify does not work (no watches left, network file systems) the
 * same comparison is made every POLL_NS. */
#include "cli/changes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/alloc.h"
#include "cli/say.h"

#define GATHER_NS  (100 * NS_PER_MS)
#define POLL_NS    (500 * NS_PER_MS)
#define LEVELS_MAX 64
#define EVENTS     (IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB)

#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif

struct state {
    char *path; /* as changes_name gives it */
    ino_t inode;
    off_t size;
    struct timespec modified; /* all 0: not there */
};

struct states {
    struct state *items; /* sorted by path */
    size_t count, capacity;
};

struct changes {
    struct loop *loop;
    int inotify_fd, signal_fd;
    bool polling, ready;
    int signal_number;
    struct strv paths;
    struct states seen;
};

/* ------------------------------------------------------------------------------------------------- states */

static void states_done(struct states *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->items[i].path);
    free(s->items);
    *s = (struct states){0};
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct state *)a)->path, ((const struct state *)b)->path);
}

static void settle(struct states *s)
{
    size_t kept = 0;
    if (s->count)
        qsort(s->items, s->count, sizeof(*s->items), by_path);
    for (size_t i = 0; i < s->count; i++) {
        if (kept && !strcmp(s->items[kept - 1].path, s->items[i].path))
            free(s->items[i].path);
        else
            s->items[kept++] = s->items[i];
    }
    s->count = kept;
}

char *changes_name(const char *path)
{
    char *real = realpath(path, NULL);
    if (real)
        return real;
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *parent = path_directory(path), *directory = realpath(parent, NULL);
    return directory ? path_join(directory, slash ? slash + 1 : path) : path_absolute(path);
}

static void add_state(struct states *s, const char *path)
{
    struct stat st = {0};
    (void)!stat(path, &st);
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 64;
        s->items = xreallocarray(s->items, s->capacity, sizeof(*s->items));
    }
    s->items[s->count++] = (struct state){changes_name(path), st.st_ino, st.st_size, st.st_mtim};
}

static bool same_state(const struct state *a, const struct state *b)
{
    return a->inode == b->inode && a->size == b->size && a->modified.tv_sec == b->modified.tv_sec &&
           a->modified.tv_nsec == b->modified.tv_nsec;
}

static void compare(const struct states *before, const struct states *after, struct strv *ret)
{
    size_t i = 0, j = 0;
    while (i < before->count || j < after->count) {
        const struct state *a = i < before->count ? &before->items[i] : NULL;
        const struct state *b = j < after->count ? &after->items[j] : NULL;
        int order = !a ? 1 : !b ? -1 : strcmp(a->path, b->path);
        if (order || !same_state(a, b))
            strv_add(ret, order <= 0 ? a->path : b->path);
        i += order <= 0;
        j += order >= 0;
    }
}

/* ------------------------------------------------------------------------------------------------- looking */

static void poll_from_now(struct changes *c, const char *why)
{
    if (!c->polling)
        say_note("--watch: %s; looking twice a second instead", why);
    c->polling = true;
}

static void watch_directory(struct changes *c, const char *path)
{
    struct statfs fs;
    if (c->polling)
        return;
    if (inotify_add_watch(c->inotify_fd, path, EVENTS) < 0 && errno != ENOENT && errno != ENOTDIR)
        poll_from_now(c, errno == ENOSPC ? "no inotify watches are left (sysctl fs.inotify.max_user_watches)" : strerror(errno));
    else if (statfs(path, &fs) == 0) {
        unsigned long type = (unsigned long)fs.f_type & 0xffffffff;
        if (type == NFS_SUPER_MAGIC || type == SMB_SUPER_MAGIC || type == SMB2_SUPER_MAGIC || type == CIFS_SUPER_MAGIC ||
            type == V9FS_MAGIC || type == FUSE_SUPER_MAGIC)
            poll_from_now(c, "a network file system tells nothing about changes elsewhere");
    }
}

/* Watches come before the look, so that nothing falls between them. */
static void walk(struct changes *c, const char *path, int level, struct states *out)
{
    struct dirent *entry;
    watch_directory(c, path);
    _cleanup_closedir_ DIR *directory = level < LEVELS_MAX ? opendir(path) : NULL;
    while (directory && (entry = readdir(directory))) {
        struct stat st;
        _cleanup_free_ char *below = path_join(path, entry->d_name);
        if (*entry->d_name == '.' || fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            walk(c, below, level + 1, out);
        else if (str_ends_with(entry->d_name, ".lua"))
            add_state(out, below);
    }
}

static void look(struct changes *c, struct states *out)
{
    for (size_t i = 0; i < c->paths.count; i++) {
        struct stat st;
        const char *path = c->paths.items[i];
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            walk(c, path, 0, out);
            continue;
        }
        _cleanup_free_ char *parent = path_directory(path);
        watch_directory(c, parent);
        add_state(out, path);
    }
    settle(out);
}

/* Whether anything differs from what was last seen; appends it, and remembers the new state. */
static bool find_changes(struct changes *c, struct strv *ret)
{
    struct states now = {0};
    size_t before = ret->count;
    look(c, &now);
    compare(&c->seen, &now, ret);
    states_done(&c->seen);
    c->seen = now;
    return ret->count > before;
}

void changes_watch(struct changes *c, const struct strv *paths)
{
    bool first = !c->paths.count;
    struct states known = c->seen, now = {0};
    strv_done(&c->paths);
    for (size_t i = 0; i < paths->count; i++)
        strv_add(&c->paths, paths->items[i]);
    look(c, &now);
    /* What was known keeps its old state: a change since then is still to be told. */
    for (size_t i = 0; !first && i < now.count; i++) {
        const struct state *old = known.count ? bsearch(&now.items[i], known.items, known.count, sizeof(known.items[0]), by_path) : NULL;
        if (!old)
            continue;
        now.items[i].inode = old->inode;
        now.items[i].size = old->size;
        now.items[i].modified = old->modified;
    }
    states_done(&known);
    c->seen = now;
}

/* ------------------------------------------------------------------------------------------------- waiting */

static void on_inotify(struct source *s, uint32_t events, void *arg)
{
    char buffer[16384];
    struct changes *c = arg;
    (void)s, (void)events;
    while (read(c->inotify_fd, buffer, sizeof(buffer)) > 0)
        c->ready = true;
}

static void on_poll(struct source *s, void *arg)
{
    (void)s;
    ((struct changes *)arg)->ready = true;
}

static void on_signal(struct source *s, uint32_t events, void *arg)
{
    struct changes *c = arg;
    struct signalfd_siginfo info;
    (void)s, (void)events;
    if (read(c->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    c->signal_number = (int)info.ssi_signo;
    c->ready = true;
}

/* Until an event, the next poll or a signal; with a deadline also until then. */
static void wait_ready(struct changes *c, int64_t deadline)
{
    c->ready = false;
    struct source *timer = c->polling ? loop_add_timer(c->loop, deadline_after(POLL_NS), on_poll, c) : NULL;
    loop_wait(c->loop, &c->ready, deadline);
    source_remove(timer);
}

int changes_wait(struct changes *c, struct strv *ret)
{
    struct source *signals = loop_add_fd(c->loop, c->signal_fd, EPOLLIN, on_signal, c);
    struct source *events = c->polling ? NULL : loop_add_fd(c->loop, c->inotify_fd, EPOLLIN, on_inotify, c);
    c->signal_number = 0;
    while (!find_changes(c, ret) && !c->signal_number)
        wait_ready(c, DEADLINE_NONE);
    do
        wait_ready(c, deadline_after(GATHER_NS));
    while (find_changes(c, ret) && !c->signal_number);
    source_remove(signals);
    source_remove(events);
    strv_sort(ret);
    strv_unique(ret);
    return c->signal_number;
}

struct changes *changes_new(struct loop *loop)
{
    sigset_t set;
    struct changes *c = xnew0(struct changes);
    c->loop = loop;
    c->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (c->inotify_fd < 0)
        poll_from_now(c, strerror(errno));
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return c;
}

void changes_free(struct changes *c)
{
    if (!c)
        return;
    close_fd(&c->inotify_fd);
    close_fd(&c->signal_fd);
    strv_done(&c->paths);
    states_done(&c->seen);
    free(c);
}
