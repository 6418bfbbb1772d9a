/* Each test forks a process that plays provium: it enters the sandbox and goes on inside. Where the
 * host forbids that, the tests are skipped, unless PROVIUM_MUST_WORK is set. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "ns/sandbox.h"
#include "temp.h"

#define PATIENCE    (30 * NS_PER_S)
#define NOT_ENTERED 100

static bool allowed;

/* Starts `inner` in a sandbox of its own; the pid is that of the outer process, which leads a
 * process group. */
static pid_t launch(void (*inner)(void *arg), void *arg)
{
    pid_t outer = fork();
    if (outer)
        return outer;
    setpgid(0, 0);
    if (sandbox_enter(NULL) < 0)
        _exit(NOT_ENTERED);
    inner(arg);
    _exit(0);
}

static void assert_exit(pid_t pid, int code)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void need_sandbox(void)
{
    if (!allowed)
        skip();
}

static bool status_has(const char *line)
{
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 16);
    file_read("/proc/self/status", &text, NULL);
    buf_append_byte(&text, '\0');
    return strstr((char *)buf_head(&text), line) != NULL;
}

static bool loopback_works(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    _cleanup_close_ int server = socket(AF_INET, SOCK_STREAM, 0),
                        client = socket(AF_INET, SOCK_STREAM, 0);
    return bind(server, (struct sockaddr *)&address, length) == 0 && listen(server, 1) == 0 &&
           getsockname(server, (struct sockaddr *)&address, &length) == 0 &&
           connect(client, (struct sockaddr *)&address, length) == 0;
}

static void look_around(void *arg)
{
    struct if_nameindex *interfaces = if_nameindex();
    if (getpid() != 1 || getpgid(0) != 1)
        _exit(10);
    if (!interfaces || strcmp(interfaces[0].if_name, "lo") || interfaces[1].if_index ||
        !loopback_works())
        _exit(11);
    if (getuid() && !status_has("CapBnd:\t0000000000000000"))
        _exit(12);
    if (!status_has("NoNewPrivs:\t1") || mount("none", "/mnt", "tmpfs", 0, NULL) == 0 ||
        sethostname("x", 1) == 0 || unshare(CLONE_NEWNET) == 0)
        _exit(13);
    if (signal(SIGTERM, SIG_DFL) != SIG_DFL)
        _exit(14);
    free(temp_file(arg, "made inside", "x"));
}

static void inside_is_as_promised(void **state)
{
    (void)state;
    struct stat st;
    need_sandbox();
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_free_ char *path = path_join(dir, "made inside");
    assert_exit(launch(look_around, dir), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(st.st_gid, getegid());
}

/* Root may read what belongs to others, outside and inside. */
static void read_secret(void *arg)
{
    _cleanup_buf_ struct buf text = BUF_INIT(16);
    _exit(file_read(arg, &text, NULL) < 0 || text.len != 6);
}

static void root_keeps_its_files(void **state)
{
    (void)state;
    need_sandbox();
    if (geteuid())
        skip();
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_free_ char *path = temp_file(dir, "secret", "secret");
    assert_int_equal(chmod(path, 0600), 0);
    if (chown(path, 1000, 1000) < 0)
        skip();
    assert_exit(launch(read_secret, path), 0);
}

static void exit_seven(void *arg)
{
    (void)arg;
    _exit(7);
}

static void trap(void *arg)
{
    (void)arg;
    signal(SIGILL, SIG_DFL); /* cmocka has a handler */
    __builtin_trap();
}

static void exit_status_is_passed_on(void **state)
{
    (void)state;
    need_sandbox();
    assert_exit(launch(exit_seven, NULL), 7);
    assert_exit(launch(trap, NULL), 128 + SIGILL);
}

static void expect_byte(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;
    assert_int_equal(poll(&p, 1, PATIENCE / NS_PER_MS), 1);
    assert_int_equal(read(fd, &byte, 1), 1);
}

/* Exits with 7 after exactly one SIGINT. */
static void count_interrupts(void *arg)
{
    struct timespec moment = {.tv_nsec = 100 * NS_PER_MS};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    write_full(*(int *)arg, "r", 1);
    if (sigwaitinfo(&set, NULL) == SIGINT && sigtimedwait(&set, NULL, &moment) < 0)
        _exit(7);
}

static void a_signal_to_the_group_arrives_once(void **state)
{
    (void)state;
    need_sandbox();
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t outer = launch(count_interrupts, &ends[1]);
    expect_byte(ends[0]);
    assert_int_equal(kill(-outer, SIGINT), 0);
    assert_exit(outer, 7);
    close(ends[0]);
    close(ends[1]);
}

static void be_stubborn(void)
{
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_IGN);
    for (;;)
        pause();
}

/* A tree of processes that do what they can to stay; all hold the descriptor. */
static void grow_tree(void *arg)
{
    for (int i = 0; i < 3; i++)
        if (!fork()) {
            setsid();
            if (!fork())
                be_stubborn();
            if (i == 1)
                _exit(0);
            be_stubborn();
        }
    write_full(*(int *)arg, "r", 1);
    be_stubborn();
}

/* Everyone who held the write end is gone. */
static void assert_all_gone(int fd)
{
    int64_t deadline = deadline_after(PATIENCE);
    char byte;
    ssize_t n;
    do {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, deadline_poll_ms(deadline)), 1);
        n = read(fd, &byte, 1);
    } while (n > 0);
    assert_int_equal(n, 0);
}

static void nothing_survives_the_outer_one(void **state)
{
    (void)state;
    need_sandbox();
    for (int round = 0; round < 20; round++) {
        int ends[2], status;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t outer = launch(grow_tree, &ends[1]);
        close(ends[1]);
        if (round >= 15)
            expect_byte(ends[0]);
        else
            nanosleep(&(struct timespec){.tv_nsec = random() % (20 * NS_PER_MS)}, NULL);
        assert_int_equal(kill(outer, SIGKILL), 0);
        assert_int_equal(waitpid(outer, &status, 0), outer);
        assert_true(WIFSIGNALED(status));
        assert_all_gone(ends[0]);
        close(ends[0]);
    }
}

static pid_t only_child_of(pid_t pid)
{
    char path[64];
    int child = -1;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    return f && fscanf(f, "%d", &child) == 1 ? child : -1;
}

static void nothing_survives_the_inner_one(void **state)
{
    (void)state;
    need_sandbox();
    for (int round = 0; round < 3; round++) {
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t outer = launch(grow_tree, &ends[1]);
        close(ends[1]);
        expect_byte(ends[0]);
        pid_t inner = only_child_of(outer);
        if (inner > 0) /* the kernel may lack the children file */
            kill(inner, SIGKILL);
        else
            kill(outer, SIGKILL);
        assert_all_gone(ends[0]);
        if (inner > 0)
            assert_exit(outer, 128 + SIGKILL);
        else
            waitpid(outer, NULL, 0);
        close(ends[0]);
    }
}

static void probe_leaves_nothing(void **state)
{
    (void)state;
    _cleanup_err_ struct err e = ERR_INIT;
    int rc = sandbox_probe(&e);
    assert_int_equal(rc, allowed ? 0 : -1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Makes a system call fail in this process and its children, as a seccomp profile or AppArmor
 * would. */
static void deny(unsigned number, unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {ARRAY_SIZE(code), code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(20);
}

/* In a child: entering is refused with this message, and the process goes on as it was. */
static void assert_denied(unsigned number, unsigned error, const char *message)
{
    pid_t child = fork();
    if (!child) {
        struct err e = ERR_INIT;
        pid_t self = getpid();
        deny(number, error);
        int rc = sandbox_enter(&e);
        bool unchanged = getpid() == self && waitpid(-1, NULL, 0) < 0 && errno == ECHILD;
        if (rc == 0 || !e.hint || strcmp(e.message, message))
            fprintf(stderr, "rc %d: %s\n", rc, err_message(&e));
        _exit(rc < 0 && unchanged && e.hint && !strcmp(e.message, message) ? 0 : 1);
    }
    assert_exit(child, 0);
}

static void denial_names_the_missing_piece(void **state)
{
    (void)state;
    assert_denied(SYS_unshare, EPERM, "user namespace: Operation not permitted");
    need_sandbox();
    assert_denied(SYS_mount, EACCES, "mount namespace: making / private: Permission denied");
    assert_denied(SYS_ioctl, EPERM,
                  "network namespace: loopback interface: Operation not permitted");
}

int main(void)
{
    _cleanup_err_ struct err e = ERR_INIT;
    allowed = sandbox_probe(&e) == 0;
    if (!allowed)
        fprintf(stderr, "no sandbox here: %s (%s)\n", err_message(&e), e.hint);
    if (!allowed && getenv("PROVIUM_MUST_WORK"))
        return 1;
    srandom((unsigned)clock_monotonic_ns());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_is_as_promised),
        cmocka_unit_test(root_keeps_its_files),
        cmocka_unit_test(exit_status_is_passed_on),
        cmocka_unit_test(a_signal_to_the_group_arrives_once),
        cmocka_unit_test(nothing_survives_the_outer_one),
        cmocka_unit_test(nothing_survives_the_inner_one),
        cmocka_unit_test(probe_leaves_nothing),
        cmocka_unit_test(denial_names_the_missing_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
