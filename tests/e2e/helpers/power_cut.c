/* Preloaded into a program (LD_PRELOAD), keeps what a disk could hold if the power went away: before and after each call
 * that changes names or brings something to the disk, below the directory $POWER_CUT_WATCH.
 *
 * Two disks are kept of each moment, as directories $POWER_CUT_STATES/N:
 *   names first  all names as they are now, each file with what it held when it was last synced, or nothing;
 *   synced only  a directory has the names of when it was last synced, or none; files as above.
 * What a real disk holds is between these: fsync(2) promises no more. What is there when the first program starts counts as
 * synced. States that are equal are kept once. Processes take turns by a lock, which spans the call itself.
 *
 * $POWER_CUT_STATES/.data holds synced contents, a file for each; .names the synced listings: by inode and birth. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIGNATURE_MAX (1 << 16)

static const char *watch, *states;

static char *format(const char *text, ...)
{
    char *out;
    va_list args;
    va_start(args, text);
    if (vasprintf(&out, text, args) < 0)
        abort();
    va_end(args);
    return out;
}

/* A file's name in .data or .names: inode numbers are used again, with another birth. */
static char *identity(const char *kind, int directory, const char *name)
{
    struct statx s;
    if (statx(directory, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &s) < 0)
        abort();
    return format("%s/.%s/%" PRIu64 "-%" PRId64 ".%" PRIu32, states, kind, (uint64_t)s.stx_ino, (int64_t)s.stx_btime.tv_sec,
                  (uint32_t)s.stx_btime.tv_nsec);
}

static bool is_watched(const char *path)
{
    size_t n = strlen(watch);
    return !strncmp(path, watch, n) && (!path[n] || path[n] == '/');
}

static bool is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

/* ------------------------------------------------------------------------------------------------- syncing */

static void copy_data(int from, int to, off_t size)
{
    char bytes[65536];
    for (off_t at = lseek(from, 0, SEEK_DATA); at >= 0 && at < size;) {
        off_t end = lseek(from, at, SEEK_HOLE);
        while (at < end) {
            ssize_t n = pread(from, bytes, sizeof(bytes) < (size_t)(end - at) ? sizeof(bytes) : (size_t)(end - at), at);
            if (n <= 0 || pwrite(to, bytes, (size_t)n, at) != n)
                abort();
            at += n;
        }
        at = lseek(from, at, SEEK_DATA);
    }
}

static void keep_file(const char *path)
{
    struct stat st;
    int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0 || fstat(from, &st) < 0)
        return;
    char *to = identity("data", from, "");
    unlink(to); /* states hold the earlier one by another name */
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, st.st_size) < 0)
        abort();
    copy_data(from, fd, st.st_size);
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    futimens(fd, times);
    close(fd);
    close(from);
    free(to);
}

/* A line for each name: its kind, its file in .data or .names, itself. */
static void keep_names(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return;
    char *to = identity("names", dirfd(d), "");
    FILE *f = fopen(to, "we");
    for (struct dirent *entry; f && (entry = readdir(d));) {
        struct stat st;
        if (is_dots(entry->d_name) || fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        char *id = identity(S_ISDIR(st.st_mode) ? "names" : "data", dirfd(d), entry->d_name);
        fprintf(f, "%c %s %s\n", S_ISDIR(st.st_mode) ? 'd' : 'f', id, entry->d_name);
        free(id);
    }
    if (f)
        fclose(f);
    closedir(d);
    free(to);
}

static void keep(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode))
        keep_names(path);
    else
        keep_file(path);
}

static void keep_all(const char *path)
{
    keep(path);
    DIR *d = opendir(path);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        if (is_dots(entry->d_name))
            continue;
        char *below = format("%s/%s", path, entry->d_name);
        keep_all(below);
        free(below);
    }
    if (d)
        closedir(d);
}

/* ------------------------------------------------------------------------------------------------- states */

struct state {
    char *directory;
    char signature[SIGNATURE_MAX];
    size_t used;
};

static void put_file(struct state *s, const char *data, const char *path)
{
    struct stat st = {0};
    char *to = format("%s/%s", s->directory, path);
    if (link(data, to) < 0)
        close(open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); /* never synced */
    else
        stat(data, &st);
    s->used += (size_t)snprintf(s->signature + s->used, SIGNATURE_MAX - s->used, "%s %" PRIu64 "\n", path, (uint64_t)st.st_ino);
    if (s->used >= SIGNATURE_MAX)
        abort();
    free(to);
}

static void put_directory(struct state *s, const char *path)
{
    char *to = format("%s/%s", s->directory, path);
    mkdir(to, 0700);
    s->used += (size_t)snprintf(s->signature + s->used, SIGNATURE_MAX - s->used, "%s/\n", path);
    free(to);
}

static void names_first(struct state *s, const char *from, const char *path)
{
    struct dirent **list;
    int n = scandir(from, &list, NULL, alphasort);
    put_directory(s, path);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        struct stat st;
        char *source = format("%s/%s", from, name), *below = format("%s%s%s", path, *path ? "/" : "", name);
        if (!is_dots(name) && lstat(source, &st) == 0) {
            char *data = identity("data", AT_FDCWD, source);
            if (S_ISDIR(st.st_mode))
                names_first(s, source, below);
            else
                put_file(s, data, below);
            free(data);
        }
        free(source);
        free(below);
        free(list[i]);
    }
    free(list);
}

static void synced_only(struct state *s, const char *names, const char *path)
{
    char kind, id[PATH_MAX], name[NAME_MAX + 1];
    FILE *f = fopen(names, "re");
    put_directory(s, path);
    while (f && fscanf(f, "%c %4095s %255[^\n]\n", &kind, id, name) == 3) {
        char *below = format("%s%s%s", path, *path ? "/" : "", name);
        if (kind == 'd')
            synced_only(s, id, below);
        else
            put_file(s, id, below);
        free(below);
    }
    if (f)
        fclose(f);
}

/* Keeps the state unless one is the same. */
static void finish(struct state *s)
{
    for (int i = 0;; i++) {
        char earlier[SIGNATURE_MAX] = "";
        char *to = format("%s/%d", states, i), *text = format("%s/.signature-%d", states, i);
        int fd = open(text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        bool fresh = read(fd, earlier, sizeof(earlier) - 1) <= 0, same = !strcmp(earlier, s->signature);
        if (fresh && (write(fd, s->signature, s->used) != (ssize_t)s->used || rename(s->directory, to) < 0))
            abort();
        close(fd);
        free(to);
        free(text);
        if (fresh || same)
            break;
    }
    free(s->directory);
    free(s);
}

static struct state *begin(void)
{
    struct state *s = calloc(1, sizeof(*s));
    s->directory = format("%s/.new-XXXXXX", states);
    return mkdtemp(s->directory) ? s : NULL;
}

static void cut(void)
{
    struct state *s = begin();
    names_first(s, watch, "");
    finish(s);
    char *root = identity("names", AT_FDCWD, watch);
    s = begin();
    synced_only(s, root, "");
    finish(s);
    free(root);
}

/* ------------------------------------------------------------------------------------------------- calls */

static __thread bool inside; /* what is done here is not looked at */

/* Takes the turn; -1 when the paths are none of the watched. */
static int enter(const char *a, const char *b)
{
    if (inside)
        return -1;
    watch = getenv("POWER_CUT_WATCH");
    states = getenv("POWER_CUT_STATES");
    if (!watch || !states || (!is_watched(a) && !is_watched(b)))
        return -1;
    inside = true;
    char *path = format("%s/.lock", states), *data = format("%s/.data", states), *names = format("%s/.names", states);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        abort();
    if (mkdir(data, 0700) == 0 && mkdir(names, 0700) == 0)
        keep_all(watch);
    free(path);
    free(data);
    free(names);
    cut();
    return fd;
}

static void leave(int turn)
{
    int code = errno;
    cut();
    close(turn);
    inside = false;
    errno = code;
}

/* "<directory of the descriptor>/<name>" */
static void resolve(int directory, const char *name, char out[static PATH_MAX])
{
    char self[64];
    *out = '\0';
    snprintf(self, sizeof(self), "/proc/self/fd/%d", directory);
    ssize_t n = *name == '/' ? 0 : directory == AT_FDCWD ? (getcwd(out, PATH_MAX) ? (ssize_t)strlen(out) : 0)
                                                          : readlink(self, out, PATH_MAX - 1);
    snprintf(out + (n < 0 ? 0 : n), (size_t)(PATH_MAX - n), "%s%s", *name == '/' || !*name ? "" : "/", name);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int sync_descriptor(int fd, int (*real)(int))
{
    char path[PATH_MAX], self[64];
    resolve(fd, "", path);
    int turn = enter(path, path), result = real(fd);
    if (turn < 0)
        return result;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (!result)
        keep(self);
    leave(turn);
    return result;
}

int fsync(int fd)
{
    return sync_descriptor(fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return sync_descriptor(fd, REAL(fdatasync));
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    char a[PATH_MAX], b[PATH_MAX];
    resolve(from_directory, from, a);
    resolve(to_directory, to, b);
    int turn = enter(a, b), result = REAL(renameat2)(from_directory, from, to_directory, to, flags);
    if (turn >= 0)
        leave(turn);
    return result;
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    char b[PATH_MAX];
    resolve(to_directory, to, b);
    int turn = enter(b, b), result = REAL(linkat)(from_directory, from, to_directory, to, flags);
    if (turn >= 0)
        leave(turn);
    return result;
}

int unlinkat(int directory, const char *name, int flags)
{
    char path[PATH_MAX];
    resolve(directory, name, path);
    int turn = enter(path, path), result = REAL(unlinkat)(directory, name, flags);
    if (turn >= 0)
        leave(turn);
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
