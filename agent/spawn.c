#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "root.h"
#include "users.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

/* Before the agent raised it for itself, and as raised: a worker may have set another one since. */
static struct rlimit files_limit, raised_limit;

void spawn_init(void)
{
    struct rlimit wanted = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    getrlimit(RLIMIT_NOFILE, &files_limit);
    if (setrlimit(RLIMIT_NOFILE, &wanted) < 0) {
        wanted = files_limit;
        wanted.rlim_cur = wanted.rlim_max;
        setrlimit(RLIMIT_NOFILE, &wanted);
    }
    getrlimit(RLIMIT_NOFILE, &raised_limit);
    setenv("PATH", DEFAULT_PATH, 0);
}

/* `count` NUL-terminated strings from *at on; NULL if there are fewer. */
static char **take_strings(char **at, char *end, uint64_t count)
{
    if (count > (uint64_t)(end - *at))
        return NULL;
    char **list = xnewa(char *, count + 1);
    for (uint64_t i = 0; i < count; i++) {
        list[i] = *at;
        *at = memchr(*at, 0, (size_t)(end - *at));
        if (!*at) {
            free(list);
            return NULL;
        }
        ++*at;
    }
    return list;
}

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return strcspn(b, "=") == n && !strncmp(a, b, n);
}

/* The environment with changes made to it: `NAME=value` sets, `NAME` removes. */
static char **merge_environment(char **changes, size_t count, bool clear)
{
    size_t have = 0, n = 0;
    while (!clear && environ[have])
        have++;
    char **merged = xnewa(char *, have + count + 1);
    for (size_t i = 0; i < have + count; i++) {
        char *entry = i < have ? environ[i] : changes[i - have];
        size_t at = 0;
        while (at < n && !same_name(merged[at], entry))
            at++;
        if (strchr(entry, '=')) {
            merged[at] = entry;
            n += at == n;
        } else if (at < n) {
            merged[at] = merged[--n];
        }
    }
    merged[n] = NULL;
    return merged;
}

static char *optional(struct bytes b)
{
    return b.len ? xstrndup((const char *)b.data, b.len) : NULL;
}

int spawn_parse(struct spawn *s, const struct args_exec *args, uint8_t *body, size_t len)
{
    char *at = (char *)body, *end = at + len;
    *s = (struct spawn){.memory = body,
                        .fds = {-1, -1, -1},
                        .error_fd = -1,
                        .umask = args->umask & 0777,
                        .cwd = optional(args->cwd),
                        .user = optional(args->user),
                        .group = optional(args->group),
                        .set_groups = args->groups};
    s->argv = take_strings(&at, end, args->argc);
    char **changes = s->argv ? take_strings(&at, end, args->envc) : NULL;
    s->groups = changes ? take_strings(&at, end, args->groupc) : NULL;
    bool ok = s->groups && args->argc && at == end;
    if (ok) {
        s->groupc = args->groupc;
        s->envp = merge_environment(changes, args->envc, args->env_clear);
    }
    free(changes);
    return ok ? 0 : -1;
}

void spawn_done(struct spawn *s)
{
    free(s->argv);
    free(s->envp);
    free(s->groups);
    free((char *)s->cwd);
    free((char *)s->user);
    free((char *)s->group);
    free(s->memory);
}

static void fail(const struct spawn *s, int code, const char *detail)
    __attribute__((noreturn));
static void fail(const struct spawn *s, int code, const char *detail)
{
    struct spawn_error e = {.code = code};
    strncpy(e.detail, detail, sizeof(e.detail) - 1);
    if (write(s->error_fd, &e, sizeof(e)) < 0)
        _exit(126);
    _exit(127);
}

static void become_user(const struct spawn *s)
{
    struct identity id;
    char why[200];
    if (users_resolve(s->user, s->group, s->groups, s->groupc, s->set_groups, &id, why, sizeof(why)) < 0)
        fail(s, 0, why);
    if ((id.set_groups && setgroups(id.group_count, id.groups) < 0) ||
        (id.set_gid && setgid(id.gid) < 0) || (id.set_uid && setuid(id.uid) < 0))
        fail(s, errno, "change user");
}

/* execvp(3) with the PATH of the new environment, and without its fallback to a shell. */
static void search_and_exec(const struct spawn *s)
{
    const char *name = s->argv[0], *path = "/bin:/usr/bin";
    int code = ENOENT;
    if (strchr(name, '/') || !*name) {
        execve(name, s->argv, s->envp);
        fail(s, errno, "");
    }
    for (char **e = s->envp; *e; e++)
        if (!strncmp(*e, "PATH=", 5))
            path = *e + 5;
    for (const char *end; ; path = end + 1) {
        end = strchrnul(path, ':');
        _cleanup_free_ char *file =
            xasprintf("%.*s%s%s", (int)(end - path), path, end > path ? "/" : "./", name);
        execve(file, s->argv, s->envp);
        if (errno == EACCES)
            code = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            fail(s, errno, "");
        if (!*end)
            fail(s, code, "");
    }
}

void spawn_ordinary(void)
{
    _cleanup_close_ int fd = proc_open("self/oom_score_adj", O_WRONLY);
    if (fd >= 0 && write(fd, "0", 1) < 0)
        errno = 0; /* it was not protected */
    struct rlimit now;
    if (!getrlimit(RLIMIT_NOFILE, &now) && !memcmp(&now, &raised_limit, sizeof(now)))
        setrlimit(RLIMIT_NOFILE, &files_limit);
}

void spawn_child(const struct spawn *s)
{
    sigset_t none;
    sigemptyset(&none);
    setsid();
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 0; i < 3; i++)
        if (dup2(s->fds[i], i) < 0)
            fail(s, errno, "dup2");
    spawn_ordinary();
    umask(s->umask);
    become_user(s);
    if (s->cwd && chdir(s->cwd) < 0) {
        char about[252];
        snprintf(about, sizeof(about), "cwd \"%s\"", s->cwd);
        fail(s, errno, about);
    }
    search_and_exec(s);
    _exit(127);
}
