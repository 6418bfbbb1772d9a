/* Order: lock, look for an outcome, run, note the outcome, unlock (by closing). The lock is
 * flock(2) on <build dir>/<profile>.lock, so a killed builder releases it. Output goes to an
 * unlinked file, not a pipe: a process left behind by the command can't make us wait for it. */
#include "config/build.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"
#include "base/strv.h"

#define OUTPUT_TAIL 4096
#define OUTCOME_MAX 65536

static int take_lock(const struct profile *p, const struct environment *env, struct err *e)
{
    _cleanup_free_ char *path = xasprintf("%s/%s.lock", env->build_dir, p->name);
    if (dir_create_all(env->build_dir, 0777, e) < 0)
        return -1;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_errno(e, "lock `%s`", path);
    int rc;
    do
        rc = flock(fd, LOCK_EX);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return err_errno(e, "lock `%s`", path);
    return steal_fd(&fd);
}

static int make_output_file(const struct environment *env, struct err *e)
{
    _cleanup_free_ char *path = path_join(env->build_dir, "output-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "create `%s`", path);
    unlink(path);
    return fd;
}

/* Process: child, see process_fork. Input is empty, output goes to the file. */
static void exec_build(const struct profile *p, int output) __attribute__((noreturn));
static void exec_build(const struct profile *p, int output)
{
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(output, STDERR_FILENO) >= 0) {
        if (chdir(p->directory) == 0)
            execl("/bin/sh", "sh", "-c", p->build, NULL);
        dprintf(output, "%s: %s\n", p->directory, strerror(errno));
    }
    _exit(127);
}

static char *read_tail(int fd)
{
    char tail[OUTPUT_TAIL];
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > OUTPUT_TAIL ? size - OUTPUT_TAIL : 0;
    ssize_t n = pread(fd, tail, sizeof(tail), from);
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == '\0'))
        n--;
    return n > 0 ? xstrndup(tail, (size_t)n) : xstrdup("(no output)");
}

static int run_build(const struct profile *p, const struct environment *env, struct err *e)
{
    _cleanup_close_ int output = make_output_file(env, e);
    if (output < 0)
        return -1;
    pid_t child = process_fork();
    if (child < 0)
        return err_errno(e, "fork");
    if (!child)
        exec_build(p, output);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(e, "wait for `%s`", p->build);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    _cleanup_free_ char *tail = read_tail(output);
    if (WIFSIGNALED(status))
        return err_set(e, ECHILD, "`%s` was killed by SIG%s\n%s", p->build,
                       sigabbrev_np(WTERMSIG(status)), tail);
    return err_set(e, ECHILD, "`%s` exited with status %d\n%s", p->build, WEXITSTATUS(status),
                   tail);
}

static char *outcome_path(const struct profile *p, const struct build_options *options)
{
    return options->run_dir ? xasprintf("%s/build-%s", options->run_dir, p->name) : NULL;
}

/* True when this run has built the profile before; an empty outcome is success. */
static bool find_outcome(const char *path, struct buf *text)
{
    return path && file_read(path, text, NULL) == 0;
}

static int build_once(const struct profile *p, const struct environment *env,
                      const struct build_options *options, struct err *e)
{
    _cleanup_free_ char *path = outcome_path(p, options);
    _cleanup_buf_ struct buf outcome = BUF_INIT(OUTCOME_MAX);
    _cleanup_err_ struct err failure = ERR_INIT;
    _cleanup_close_ int lock = take_lock(p, env, e);
    if (lock < 0)
        return -1;
    if (find_outcome(path, &outcome)) {
        if (!outcome.len)
            return 0;
        return err_set(e, ECHILD, "%.*s", (int)outcome.len, (char *)buf_head(&outcome));
    }
    if (dir_create_all(p->out, 0777, e) < 0)
        return -1;
    int rc = run_build(p, env, &failure);
    const char *text = rc < 0 ? err_message(&failure) : "";
    if (path && file_write_atomic(path, text, strlen(text), 0600, false, e) < 0)
        return -1;
    return rc < 0 ? err_move(e, &failure) : 0;
}

int profile_build(const struct profile *p, const struct environment *env,
                  const struct build_options *options, struct err *e)
{
    if (!p->out)
        return 0;
    int rc;
    if (options->skip || !p->build) {
        rc = options->skip ? 0 : dir_create_all(p->out, 0777, e);
        if (options->skip && access(p->out, F_OK) < 0) {
            err_errno(e, "output directory `%s`", p->out);
            rc = err_hint(e, "run without --no-build once");
        }
    } else {
        rc = build_once(p, env, options, e);
    }
    return rc < 0 ? err_prefix(e, "profile `%s`: build", p->name) : 0;
}
