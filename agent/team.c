/* Most calls take microseconds, some block for ever, and one cannot know before. Handing each to another thread costs
 * more than all the rest of it. So the leader runs them itself, and a watchdog thread passes the lead to a spare one
 * when a call has kept it for more than BLOCKED_MS; the blocked thread finishes its call on its own, and is a spare
 * afterwards. The watchdog sleeps on a timer that is set only while there are calls.
 *
 * A signal interrupts a system call only if the thread is inside it. One that comes a moment earlier is lost, so a
 * cancelled call is signalled again every RESIGNAL_MS until it ends. */
#include "team.h"

#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lane.h"
#include "session.h"

#define BLOCKED_MS  2
#define RESIGNAL_MS 20
#define KEEP_SPARES 2
#define THREADS_MAX 1024
#define STACK_SIZE  (128 * 1024)
#define FLUSH_SIZE  (32 * 1024) /* what a virtio port takes at once */

static bool leads(struct agent *a)
{
    return a->lead && pthread_equal(a->leader, pthread_self());
}

static void lead(struct agent *a);

/* Leads if nobody does, until it loses the lead. */
static void serve(struct agent *a)
{
    if (!a->lead)
        lead(a);
}

static void wait_for_lead(struct agent *a)
{
    a->spares++;
    pthread_cond_wait(&a->lead_cond, &a->lock);
    a->spares--;
}

/* The main thread stays: without it /proc shows a dead process that has no command line and no descriptors. */
void team_serve(struct agent *a)
{
    for (;;) {
        serve(a);
        wait_for_lead(a);
    }
}

static void *serve_as_spare(void *arg)
{
    struct agent *a = arg;
    agent_lock(a);
    a->starting--;
    for (serve(a); a->spares < KEEP_SPARES; serve(a))
        wait_for_lead(a);
    a->threads--;
    agent_unlock(a);
    return NULL;
}

static int add_thread(struct agent *a, void *(*fn)(void *))
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
#ifndef __SANITIZE_ADDRESS__
    pthread_attr_setstacksize(&attr, STACK_SIZE);
#endif
    int code = a->threads < THREADS_MAX ? pthread_create(&thread, &attr, fn, a) : EAGAIN;
    pthread_attr_destroy(&attr);
    a->threads += !code;
    return code;
}

static int pass_lead(struct agent *a)
{
    if (!a->spares && !a->starting) {
        if (add_thread(a, serve_as_spare))
            return -1;
        a->starting++;
    }
    a->lead = false;
    pthread_cond_signal(&a->lead_cond);
    return 0;
}

int team_pass_lead(struct agent *a)
{
    return leads(a) ? pass_lead(a) : 0;
}

static void set_watchdog(struct agent *a)
{
    struct itimerspec in = {.it_value = {.tv_nsec = BLOCKED_MS * NS_PER_MS}};
    if (!a->watchdog_set)
        timerfd_settime(a->watchdog_fd, 0, &in, NULL);
    a->watchdog_set = true;
}

/* Two expiries in the same call: it has blocked for at least BLOCKED_MS. */
static void *watch_leader(void *arg)
{
    struct agent *a = arg;
    uint64_t seen = 0, expiries;
    for (;;) {
        if (read(a->watchdog_fd, &expiries, sizeof(expiries)) < 0)
            continue;
        agent_lock(a);
        a->watchdog_set = false;
        bool running = a->lead && a->running;
        if (running && seen == a->runs)
            pass_lead(a);
        seen = a->runs;
        if (running)
            set_watchdog(a);
        agent_unlock(a);
    }
    return NULL;
}

/* Runs the call and those that wait for it. The lock is free meanwhile, and the lead may be lost. */
static void run(struct agent *a, struct call *call)
{
    while (call) {
        call->thread = pthread_self();
        call->state = CALL_RUNNING;
        bool cancelled = call->cancelled;
        if (leads(a)) {
            a->running = true;
            a->runs++;
            set_watchdog(a);
        }
        agent_unlock(a);
        if (cancelled)
            call_fail(call, ECANCELED);
        else
            call->handler->run(call);
        agent_lock(a);
        if (leads(a))
            a->running = false;
        call = call_finish_next(call);
        if (a->channel.out.len >= FLUSH_SIZE)
            agent_flush(a);
    }
}

static struct call *take_queued(struct agent *a)
{
    struct call *call = a->queue;
    if (!call)
        return NULL;
    a->queue = call->queue_next;
    if (!a->queue)
        a->queue_end = &a->queue;
    call->queue_next = NULL;
    return call;
}

static void lead(struct agent *a)
{
    a->lead = true;
    a->running = false;
    a->leader = pthread_self();
    while (leads(a) && !a->channel.ended) {
        struct call *call = take_queued(a);
        if (call) {
            run(a, call);
            continue;
        }
        agent_flush(a);
        int timeout = events_timeout(&a->events);
        agent_unlock(a);
        events_wait(&a->events, timeout);
        agent_lock(a);
        events_dispatch(&a->events);
    }
    agent_flush(a); /* the result of the call that cost the lead */
    if (a->channel.ended)
        agent_end(a);
}

int team_wait_alone(struct agent *a)
{
    struct channel *c = &a->channel;
    struct pollfd p = {.fd = c->watch.fd, .events = (short)(POLLIN | (c->out.len ? POLLOUT : 0))};
    lane_leave();
    poll(&p, 1, -1);
    lane_enter();
    agent_flush(a);
    session_receive(a);
    return c->ended ? -1 : 0;
}

void team_serve_alone(struct agent *a)
{
    do {
        struct call *call;
        while ((call = take_queued(a)))
            run(a, call);
        agent_flush(a);
    } while (!team_wait_alone(a));
}

void team_submit(struct call *call)
{
    struct agent *a = call->agent;
    call->state = CALL_QUEUED;
    *a->queue_end = call;
    a->queue_end = &call->queue_next;
    if (!leads(a))
        agent_wake(a);
}

static void interrupt_again(struct timer *t)
{
    struct agent *a = container_of(t, struct agent, cancel_timer);
    bool any = false;
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        for (struct call *call = a->calls[i]; call; call = call->next) {
            if (call->cancelled && call->state == CALL_RUNNING) {
                pthread_kill(call->thread, SIGNAL_CANCEL);
                any = true;
            }
        }
    }
    if (any)
        timer_set(&a->events, t, deadline_after(RESIGNAL_MS * NS_PER_MS));
}

void team_interrupt(struct call *call)
{
    struct agent *a = call->agent;
    if (a->options.alone)
        return; /* it is this thread, which waits for more of the request */
    pthread_kill(call->thread, SIGNAL_CANCEL);
    if (!a->cancel_timer.armed)
        timer_set(&a->events, &a->cancel_timer, deadline_after(RESIGNAL_MS * NS_PER_MS));
}

static void ignore(int signal_number)
{
    (void)signal_number;
}

int team_init(struct agent *a)
{
    struct sigaction action = {.sa_handler = ignore}; /* no SA_RESTART: the point is EINTR */
    sigaction(SIGNAL_CANCEL, &action, NULL);
    pthread_cond_init(&a->lead_cond, NULL);
    a->queue_end = &a->queue;
    a->cancel_timer.fn = interrupt_again;
    a->threads = 1;
    a->watchdog_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (a->watchdog_fd < 0)
        return -1;
    errno = add_thread(a, watch_leader);
    return errno ? -1 : 0;
}
