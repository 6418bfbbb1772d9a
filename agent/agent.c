#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "power.h"
#include "process.h"
#include "session.h"
#include "spawn.h"
#include "team.h"
#include "worker.h"

void agent_log(const char *format, ...)
{
    char line[512] = "<3>provium-agent: "; /* an error, in printk's notation */
    size_t at = strlen(line);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + at, sizeof(line) - at - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    _cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || write(fd, line, strlen(line)) < 0)
        return; /* there is nowhere else to say it */
}

void agent_wake(struct agent *a)
{
    uint64_t one = 1;
    if (a->options.alone)
        return;
    while (write(a->wake_watch.fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void agent_flush(struct agent *a)
{
    if (channel_flush(&a->channel))
        agent_wake(a);
}

static void on_wake(struct watch *w, uint32_t events)
{
    struct agent *a = container_of(w, struct agent, wake_watch);
    uint64_t count;
    (void)events;
    if (read(w->fd, &count, sizeof(count)) < 0)
        return;
    process_resume(a);
    worker_resume(a);
}

static void on_channel(struct watch *w, uint32_t events)
{
    struct agent *a = container_of(w, struct agent, channel.watch);
    channel_heard(&a->channel, events);
    session_receive(a);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct agent *a = container_of(w, struct agent, signal_watch);
    struct signalfd_siginfo info;
    (void)events;
    if (read(w->fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGCHLD)
        process_reap(a);
    else
        power_signal((int)info.ssi_signo);
}

/* Signals of the process come by descriptor. All threads inherit the mask. */
static int watch_signals(struct agent *a)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (a->options.init)
        power_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    a->signal_watch = (struct watch){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal};
    return a->signal_watch.fd < 0 ? -1 : watch_set(&a->events, &a->signal_watch, EPOLLIN);
}

void agent_init_lock(struct agent *a)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&a->lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

/* musl's malloc unmaps a group of slots with the last that is freed, and so would map one for most calls. One slot of each
 * small size stays in use. */
static void keep_slots(void)
{
    static void *volatile kept; /* or the compiler could leave it all out */
    for (size_t size = 8; size <= 1024; size += size < 128 ? 16 : size / 8)
        kept = xmalloc(size);
    (void)kept;
}

static int prepare(struct agent *a)
{
    keep_slots();
    agent_init_lock(a);
    umask(0); /* permissions are given exactly */
    a->wake_watch = (struct watch){.fd = -1, .fn = on_wake};
    a->signal_watch.fd = a->channel.watch.fd = -1;
    if (events_init(&a->events) < 0 || watch_signals(a) < 0 ||
        channel_init(&a->channel, &a->events, a->options.fd, a->options.device, on_channel) < 0)
        return -1;
    a->wake_watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (a->wake_watch.fd < 0 || watch_set(&a->events, &a->wake_watch, EPOLLIN) < 0)
        return -1;
    return team_init(a);
}

void agent_end(struct agent *a)
{
    process_kill_all(a);
    _exit(0); /* with all threads and what they hold */
}

int agent_serve(const struct agent_options *options)
{
    struct agent *a = xnew0(struct agent);
    a->options = *options;
    a->handlers = handlers;
    a->session = 1;
    spawn_init();
    if (prepare(a) < 0) {
        agent_log("cannot serve: %s", strerror(errno));
        return 1;
    }
    agent_lock(a);
    session_announce(a, NULL);
    team_serve(a);
}
