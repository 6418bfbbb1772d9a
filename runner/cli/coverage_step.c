/* The events go to the user's --save-events file, or to a temporary one, which is removed when the run is over, also when
 * a signal ended it: signals are taken by the dispatcher, so this process comes back from every run but a SIGKILL. Three
 * variables tell what the tests start that a file is in use: the temporary one or the user's (never deleted), and a
 * marker that only this run knows. */
#include "cli/coverage_step.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/process.h"
#include "cli/say.h"

#define PROGRAM "provium-coverage"

static const char *const variables[] = {"PROVIUM_COVERAGE_TMP", "PROVIUM_COVERAGE_USER_FILE", "PROVIUM_COVERAGE_MARKER"};

int coverage_step_begin(struct coverage_step *step, const struct options *options, const struct environment *env,
                        struct err *e)
{
    *step = (struct coverage_step){0};
    if (!options->coverage)
        return 0;
    _cleanup_free_ char *marker = xasprintf("%" PRIx64 "-%d", (uint64_t)clock_realtime_ns(), (int)getpid());
    setenv(variables[2], marker, 1);
    if (options->save_events) {
        step->path = xstrdup(options->save_events);
        setenv(variables[1], step->path, 1);
        return 0;
    }
    step->path = xasprintf("%s/" PROGRAM "-%d.msgpack", env->temporary_dir, (int)getpid());
    unlink(step->path); /* of a dead process that had our number */
    int fd = open(step->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_errno(e, "--coverage: `%s`", step->path);
        coverage_step_end(step);
        return -1;
    }
    close(fd);
    step->temporary = true;
    setenv(variables[0], step->path, 1);
    return 0;
}

/* The one on PATH, else the one beside this program. */
static void __attribute__((noreturn)) exec_report(const char *path, int fd)
{
    char self[4096];
    char *const argv[] = {(char *)PROGRAM, (char *)"--from", (char *)path, NULL};
    dup2(fd, STDOUT_FILENO);
    execvp(argv[0], argv);
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - sizeof(PROGRAM));
    char *name = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;
    if (name) {
        strcpy(name + 1, PROGRAM);
        execv(self, argv);
    }
    _exit(127);
}

bool coverage_step_report(const struct coverage_step *step, int fd)
{
    int status = -1;
    pid_t pid = process_fork();
    if (!pid)
        exec_report(step->path, fd);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
        say_warning("--coverage: " PROGRAM " is neither on PATH nor beside provium");
    else
        say_warning("--coverage: " PROGRAM " failed");
    return false;
}

void coverage_step_end(struct coverage_step *step)
{
    if (step->temporary)
        unlink(step->path);
    if (step->path)
        for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
            unsetenv(variables[i]);
    free(step->path);
    *step = (struct coverage_step){0};
}
