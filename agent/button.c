/* The kernel tells of a press over generic netlink, family acpi_event; of drivers, only `button` is needed. Loading a
 * module keeps a kernel without preemption for longer than a command takes, so it happens in a thread of its own, once
 * the host has asked for nothing for IDLE_MS and waits for nothing, or does for ROUNDS_MAX times that (a stream). Before a
 * snapshot it happens at once: or each guest that is restored from it would spend that time again. */
#include "button.h"

#include <linux/genetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "modules.h"
#include "netlink.h"
#include "power.h"

#define IDLE_MS    50
#define ROUNDS_MAX 20

/* drivers/acpi/event.c */
#define ACPI_FAMILY     "acpi_event"
#define ACPI_GROUP      "acpi_mc_group"
#define ACPI_ATTR_EVENT 1
struct acpi_event {
    char device_class[20];
    char bus_id[15];
    uint32_t type, data;
};

static struct watch button = {.fd = -1};

static struct {
    struct agent *agent;
    struct timer timer;
    uint64_t requests; /* when last looked */
    unsigned rounds;   /* with calls that are not finished */
    bool over;
} idle;

/* The attributes of a generic netlink message, or NULL. */
static const void *attributes(const void *message, ssize_t got, size_t *ret_len)
{
    const struct nlmsghdr *h = message;
    if (got < (ssize_t)NLMSG_LENGTH(GENL_HDRLEN) || h->nlmsg_len > (size_t)got ||
        h->nlmsg_len < NLMSG_LENGTH(GENL_HDRLEN) || h->nlmsg_type == NLMSG_ERROR)
        return NULL;
    *ret_len = h->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN);
    return (const char *)message + NLMSG_LENGTH(GENL_HDRLEN);
}

/* The number of the multicast group, from the reply to CTRL_CMD_GETFAMILY; 0: none. */
static uint32_t group_of(const void *reply, ssize_t got)
{
    size_t len;
    const void *at = attributes(reply, got, &len);
    const struct nlattr *a = at ? netlink_find(at, len, CTRL_ATTR_MCAST_GROUPS) : NULL;
    if (!a)
        return 0;
    at = netlink_payload(a, &len);
    a = netlink_find(at, len, 1); /* the family has one group */
    if (!a)
        return 0;
    at = netlink_payload(a, &len);
    a = netlink_find(at, len, CTRL_ATTR_MCAST_GRP_ID);
    uint32_t id = 0;
    if (a && a->nla_len >= NLA_HDRLEN + sizeof(id))
        memcpy(&id, netlink_payload(a, &len), sizeof(id));
    return id;
}

static int open_events(void)
{
    struct {
        struct nlmsghdr netlink;
        struct genlmsghdr generic;
        struct nlattr attribute;
        char family[NLA_ALIGN(sizeof(ACPI_FAMILY))];
    } request = {
        .netlink = {.nlmsg_len = sizeof(request), .nlmsg_type = GENL_ID_CTRL, .nlmsg_flags = NLM_F_REQUEST},
        .generic = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
        .attribute = {.nla_len = NLA_HDRLEN + sizeof(ACPI_FAMILY), .nla_type = CTRL_ATTR_FAMILY_NAME},
        .family = ACPI_FAMILY,
    };
    _Alignas(struct nlmsghdr) char reply[4096];
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
    if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
        return -1;
    uint32_t group = group_of(reply, recv(fd, reply, sizeof(reply), 0));
    if (!group || setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
        return -1;
    return steal_fd(&fd);
}

static void on_event(struct watch *w, uint32_t events)
{
    _Alignas(struct nlmsghdr) char message[4096];
    size_t len;
    (void)events;
    const void *at = attributes(message, recv(w->fd, message, sizeof(message), MSG_DONTWAIT), &len);
    const struct nlattr *a = at ? netlink_find(at, len, ACPI_ATTR_EVENT) : NULL;
    if (a && a->nla_len >= NLA_HDRLEN + sizeof(struct acpi_event) &&
        !strncmp(netlink_payload(a, &len), "button/power", strlen("button/power")))
        power_signal(SIGUSR2);
}

static void *prepare(void *arg)
{
    struct agent *a = arg;
    modules_load("button"); /* or it is built in */
    int fd = open_events();
    if (fd < 0)
        return NULL;
    agent_lock(a);
    button = (struct watch){.fd = fd, .fn = on_event};
    watch_set(&a->events, &button, EPOLLIN);
    agent_unlock(a);
    return NULL;
}

static bool is_busy(const struct agent *a)
{
    if (idle.requests == a->requests)
        return a->call_count && ++idle.rounds < ROUNDS_MAX;
    idle.requests = a->requests;
    return true;
}

static void on_idle(struct timer *t)
{
    struct agent *a = idle.agent;
    pthread_t thread;
    if (is_busy(a)) {
        timer_set(&a->events, t, deadline_after(IDLE_MS * NS_PER_MS));
        return;
    }
    idle.over = true;
    if (!pthread_create(&thread, NULL, prepare, a))
        pthread_detach(thread);
}

void button_watch(struct agent *a)
{
    if (idle.agent)
        return;
    idle.agent = a;
    idle.timer.fn = on_idle;
    on_idle(&idle.timer);
}

void button_settle(struct agent *a)
{
    if (!idle.agent || idle.over)
        return;
    idle.over = true;
    timer_stop(&a->events, &idle.timer);
    prepare(a);
}
