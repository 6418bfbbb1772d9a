/* A signal interrupts a system call only if the thread is inside it. One that comes a moment earlier is lost, so a
 * cancelled call is signalled again every RESIGNAL_MS until it ends; nothing is polled unless a call is being
 * cancelled. Idle threads wait for work, KEEP_IDLE of them for ever. */
#include "pool.h"

#include <errno.h>
#include <string.h>

#include "session.h"

#define KEEP_IDLE   2
#define THREADS_MAX 1024
#define RESIGNAL_MS 20
#define STACK_SIZE  (128 * 1024)

static void run(struct call *call)
{
    struct agent *a = call->agent;
    while (call) {
        agent_lock(a);
        call->thread = pthread_self();
        call->state = CALL_RUNNING;
        bool cancelled = call->cancelled;
        agent_unlock(a);
        if (cancelled)
            call_fail(call, ECANCELED);
        else
            call->handler->run(call);
        call = call_finish_next(call);
    }
}

static void *work(void *arg)
{
    struct agent *a = arg;
    agent_lock(a);
    for (;;) {
        while (!a->queue && a->idle < KEEP_IDLE) {
            a->idle++;
            pthread_cond_wait(&a->queue_cond, &a->lock);
            a->idle--;
        }
        struct call *call = a->queue;
        if (!call)
            break;
        a->queue = call->queue_next;
        if (!a->queue)
            a->queue_end = &a->queue;
        call->queue_next = NULL;
        a->queued--;
        agent_unlock(a);
        run(call);
        agent_lock(a);
        agent_flush(a);
    }
    a->threads--;
    agent_unlock(a);
    return NULL;
}

static int add_thread(struct agent *a)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
#ifndef __SANITIZE_ADDRESS__
    pthread_attr_setstacksize(&attr, STACK_SIZE);
#endif
    int code = a->threads < THREADS_MAX ? pthread_create(&thread, &attr, work, a) : EAGAIN;
    pthread_attr_destroy(&attr);
    if (!code)
        a->threads++;
    return code;
}

void pool_submit(struct call *call)
{
    struct agent *a = call->agent;
    call->state = CALL_QUEUED;
    *a->queue_end = call;
    a->queue_end = &call->queue_next;
    if (++a->queued <= a->idle)
        pthread_cond_signal(&a->queue_cond);
    else
        add_thread(a); /* without one, the call waits for a thread that there is */
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

void pool_interrupt(struct call *call)
{
    struct agent *a = call->agent;
    pthread_kill(call->thread, SIGNAL_CANCEL);
    if (!a->cancel_timer.armed)
        timer_set(&a->events, &a->cancel_timer, deadline_after(RESIGNAL_MS * NS_PER_MS));
}

static void ignore(int signal_number)
{
    (void)signal_number;
}

int pool_init(struct agent *a)
{
    struct sigaction action = {.sa_handler = ignore}; /* no SA_RESTART: the point is EINTR */
    sigaction(SIGNAL_CANCEL, &action, NULL);
    pthread_cond_init(&a->queue_cond, NULL);
    a->queue_end = &a->queue;
    a->cancel_timer.fn = interrupt_again;
    errno = add_thread(a);
    return errno ? -1 : 0;
}
