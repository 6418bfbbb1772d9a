/* The real agent, as a child process on the other end of a socketpair: the same code, or, with PROVIUM_AGENT in the
 * environment, that binary. */
#pragma once

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "guest/guest.h"
#include "root.h"

struct agent_fixture {
    struct loop *loop;
    struct guest *guest;
    pid_t pid;
    char directory[32]; /* scratch */
};

#define SOON deadline_after(60 * NS_PER_S)

static inline pid_t fixture_spawn_agent(int *ret_fd)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        close(pair[0]);
        for (int number = 1; number < 32; number++) /* cmocka's handlers are not for the agent's children */
            signal(number, SIG_DFL);
        if (chdir("/") < 0)
            _exit(9);
        const char *binary = getenv("PROVIUM_AGENT");
        if (binary) {
            char number[16];
            snprintf(number, sizeof(number), "%d", dup(pair[1])); /* which is not close-on-exec */
            execl(binary, "provium-agent", "--fd", number, NULL);
            _exit(9);
        }
        struct agent_options options = {.fd = pair[1], .channel_name = "test"};
        if (root_init() < 0)
            _exit(9);
        _exit(agent_serve(&options));
    }
    close(pair[1]);
    *ret_fd = pair[0];
    return pid;
}

static inline int fixture_setup(void **state)
{
    struct agent_fixture *f = calloc(1, sizeof(*f));
    int fd;
    f->pid = fixture_spawn_agent(&fd);
    f->loop = loop_new();
    f->guest = guest_new(f->loop, fd, -1);
    strcpy(f->directory, "/tmp/provium-unit-XXXXXX");
    _cleanup_err_ struct err e = ERR_INIT;
    if (!mkdtemp(f->directory) || guest_wait_ready(f->guest, SOON, &e) < 0) {
        print_error("%s\n", err_message(&e));
        return -1;
    }
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct agent_fixture *f = *state;
    int status = 0;
    guest_free(f->guest);
    loop_free(f->loop);
    waitpid(f->pid, &status, 0);
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", f->directory);
    int failed = system(command);
    free(f);
    return status || failed ? -1 : 0; /* the agent ends by itself, and without a complaint of a sanitizer */
}

/* A path in the scratch directory; one at a time. */
static inline const char *in_scratch(struct agent_fixture *f, const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", f->directory, name);
    return path;
}

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct err e = ERR_INIT;                                                                   \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, err_message(&e));                                            \
        err_clear(&e);                                                                             \
    } while (0)

#define assert_error(call, number, text)                                                           \
    do {                                                                                           \
        struct err e = ERR_INIT;                                                                   \
        assert_int_equal((call), -1);                                                              \
        assert_string_equal(err_message(&e), text);                                                \
        assert_int_equal(e.code, number);                                                          \
        err_clear(&e);                                                                             \
    } while (0)
