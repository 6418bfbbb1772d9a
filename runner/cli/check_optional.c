/* What costs only comfort or speed when it is missing. */
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "cli/check.h"
#include "cli/ksm.h"

void check_pressure(struct check_list *list)
{
    if (access("/proc/pressure/cpu", R_OK) == 0)
        check_add(list, CHECK_OK, "pressure", NULL, "/proc/pressure/cpu tells how busy the CPUs are");
    else
        check_add(list, CHECK_WARN, "pressure", "boot the host with psi=1, or use --jobs",
                  "no /proc/pressure/cpu: files start on a busy machine too");
}

void check_ksm(struct check_list *list)
{
    if (access(KSM_DIRECTORY, F_OK) < 0)
        check_add(list, CHECK_OK, "ksm", NULL, "none in this kernel");
    else if (ksm_is_writable(KSM_DIRECTORY))
        check_add(list, CHECK_OK, "ksm", NULL, "is tuned by a run, unless --no-ksm");
    else
        check_add(list, CHECK_OK, "ksm", NULL, "left as it is: %s is not writable", KSM_DIRECTORY);
}

void check_watches(struct check_list *list)
{
    _cleanup_close_ int fd = inotify_init1(IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, "/", IN_CREATE) >= 0)
        check_add(list, CHECK_OK, "inotify", NULL, "--watch is told of changes");
    else
        check_add(list, CHECK_WARN, "inotify", "raise sysctl fs.inotify.max_user_watches and max_user_instances",
                  "%s: --watch looks twice a second", strerror(errno));
}

static bool on_path(const char *name)
{
    const char *path = getenv("PATH");
    _cleanup_free_ char *copy = xstrdup(path ? path : "");
    char *rest = copy, *directory;
    while ((directory = strsep(&rest, ":"))) {
        _cleanup_free_ char *file = path_join(*directory ? directory : ".", name);
        if (access(file, X_OK) == 0)
            return true;
    }
    return false;
}

void check_coverage(struct check_list *list, const struct environment *env)
{
    _cleanup_free_ char *beside = path_join(env->binary_dir, "provium-coverage");
    if (on_path("provium-coverage") || access(beside, X_OK) == 0)
        check_add(list, CHECK_OK, "coverage", NULL, "provium-coverage is there");
    else
        check_add(list, CHECK_WARN, "coverage", "install it beside provium",
                  "provium-coverage is neither on PATH nor beside provium: no --coverage");
}

void check_terminal(struct check_list *list)
{
    const char *term = getenv("TERM");
    bool utf8 = setlocale(LC_CTYPE, "") && !strcmp(nl_langinfo(CODESET), "UTF-8");
    setlocale(LC_CTYPE, "C");
    if (!isatty(STDERR_FILENO) || !term || !strcmp(term, "dumb"))
        check_add(list, CHECK_OK, "terminal", NULL, "none here: no live progress");
    else if (!utf8)
        check_add(list, CHECK_WARN, "terminal", "set LANG to a UTF-8 locale, such as C.UTF-8",
                  "the locale is not UTF-8: names of tests may look wrong");
    else
        check_add(list, CHECK_OK, "terminal", NULL, "%s, UTF-8", term);
}
