/* Order: lock, look for an outcome, run, note the outcome, unlock (by closing). The lock is
 * flock(2) on <build dir>/<profile>.lock, so a killed builder releases it. The file holds a record
 * for each of the last runs that built, newest first: "<run id> <length of the
 * failure>\n<failure>". Output of the command goes to an unlinked file, not a pipe: a process that
 * it leaves behind can't make us wait. */
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
#define RECORDS_MAX 16

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

struct record {
    const char *id, *failure;
    size_t id_length, failure_length;
};

/* The record at *at, which is moved behind it; false when there is none. */
static bool next_record(const char **at, struct record *ret)
{
    char *end;
    const char *space = strchr(*at, ' ');
    if (!space)
        return false;
    unsigned long length = strtoul(space + 1, &end, 10);
    if (*end != '\n' || strlen(end + 1) < length)
        return false;
    *ret = (struct record){*at, end + 1, (size_t)(space - *at), length};
    *at = end + 1 + length;
    return true;
}

static char *read_records(int lock)
{
    _cleanup_buf_ struct buf text = BUF_INIT(RECORDS_MAX * 2 * OUTPUT_TAIL);
    if (lseek(lock, 0, SEEK_SET) < 0 || fd_read_all(lock, &text, NULL) < 0)
        buf_clear(&text);
    return buf_steal_str(&text);
}

/* Whether this run has built the profile before; then *ret_failure is NULL or what went wrong. */
static bool find_outcome(const char *records, const char *run_id, char **ret_failure)
{
    struct record r;
    while (next_record(&records, &r)) {
        if (r.id_length != strlen(run_id) || memcmp(r.id, run_id, r.id_length))
            continue;
        *ret_failure = r.failure_length ? xstrndup(r.failure, r.failure_length) : NULL;
        return true;
    }
    return false;
}

static int note_outcome(int lock, const char *records, const char *run_id, const char *failure,
                        struct err *e)
{
    const char *end = records;
    struct record r;
    for (int i = 1; i < RECORDS_MAX && next_record(&end, &r); i++)
        ;
    _cleanup_free_ char *text = xasprintf("%s %zu\n%s%.*s", run_id, strlen(failure), failure,
                                          (int)(end - records), records);
    if (ftruncate(lock, 0) < 0 || lseek(lock, 0, SEEK_SET) < 0 ||
        write_full(lock, text, strlen(text)) < 0)
        return err_errno(e, "write the lock file");
    return 0;
}

static int build_once(const struct profile *p, const struct environment *env, const char *run_id,
                      struct err *e)
{
    _cleanup_free_ char *known = NULL;
    _cleanup_err_ struct err failure = ERR_INIT;
    _cleanup_close_ int lock = take_lock(p, env, e);
    if (lock < 0)
        return -1;
    _cleanup_free_ char *records = read_records(lock);
    if (run_id && find_outcome(records, run_id, &known))
        return known ? err_set(e, ECHILD, "%s", known) : 0;
    if (dir_create_all(p->out, 0777, e) < 0)
        return -1;
    int rc = run_build(p, env, &failure);
    if (run_id && note_outcome(lock, records, run_id, rc < 0 ? err_message(&failure) : "", e) < 0)
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
        rc = build_once(p, env, options->run_id, e);
    }
    return rc < 0 ? err_prefix(e, "profile `%s`: build", p->name) : 0;
}
