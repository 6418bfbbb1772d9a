/* The channel is the virtio-serial port named PORT_NAME, or else the second serial line. Their arrival is told by
 * uevents; the virtio drivers are loaded when a device wants them. The serial line is taken at once if there is no
 * virtio console device, and after VIRTIO_PATIENCE if there is one that does not come up.
 *
 * /sys and /dev are kept open: a switch_root of pid 1 moves them away while we wait. */
#include "port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "modules.h"

#define PORT_NAME       "org.provium.agent"
#define VIRTIO_PATIENCE (10 * NS_PER_S)

#define VIRTIO_VENDOR         0x1af4
#define VIRTIO_CONSOLE_LEGACY 0x1003
#define VIRTIO_CONSOLE_MODERN 0x1043

static DIR *open_directory(int at, const char *path)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

/* A small attribute file without its line end; empty when there is none. */
static void read_attribute(int at, const char *directory, const char *name, char value[64])
{
    _cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
    _cleanup_close_ int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, value, 63);
    value[got > 0 ? got : 0] = '\0';
    value[strcspn(value, "\n")] = '\0';
}

static int open_virtio(int sys, int dev)
{
    _cleanup_closedir_ DIR *ports = open_directory(sys, "class/virtio-ports");
    const struct dirent *entry;
    while (ports && (entry = readdir(ports))) {
        char name[64];
        read_attribute(dirfd(ports), entry->d_name, "name", name);
        if (!strcmp(name, PORT_NAME))
            return openat(dev, entry->d_name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    return -1;
}

/* A line that exists on paper only refuses its settings (EIO). */
static int open_serial(int dev)
{
    struct termios line;
    _cleanup_close_ int fd = openat(dev, "ttyS1", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || tcgetattr(fd, &line) < 0)
        return -1;
    cfmakeraw(&line);
    line.c_cflag |= CLOCAL | CREAD;
    cfsetspeed(&line, B115200);
    if (tcsetattr(fd, TCSANOW, &line) < 0)
        return -1;
    return steal_fd(&fd);
}

static bool has_virtio_pci_console(int sys)
{
    _cleanup_closedir_ DIR *devices = open_directory(sys, "bus/pci/devices");
    const struct dirent *entry;
    while (devices && (entry = readdir(devices))) {
        char vendor[64], device[64];
        if (entry->d_name[0] == '.')
            continue;
        read_attribute(dirfd(devices), entry->d_name, "vendor", vendor);
        read_attribute(dirfd(devices), entry->d_name, "device", device);
        long id = strtol(device, NULL, 16);
        if (strtol(vendor, NULL, 16) == VIRTIO_VENDOR &&
            (id == VIRTIO_CONSOLE_LEGACY || id == VIRTIO_CONSOLE_MODERN))
            return true;
    }
    return false;
}

/* virtio-mmio devices do not say what they are before a driver looked at them. */
static bool has_virtio_mmio(int sys)
{
    _cleanup_closedir_ DIR *devices = open_directory(sys, "bus/platform/devices");
    const struct dirent *entry;
    while (devices && (entry = readdir(devices)))
        if (strstr(entry->d_name, "virtio") || strstr(entry->d_name, "LNRO0005"))
            return true;
    return false;
}

/* True if a virtio console may appear. */
static bool load_drivers(int sys)
{
    bool pci = has_virtio_pci_console(sys), mmio = !pci && has_virtio_mmio(sys), loaded = true;
    if (pci && faccessat(sys, "bus/pci/drivers/virtio-pci", F_OK, 0) < 0)
        loaded = !modules_load("virtio_pci");
    if (mmio && faccessat(sys, "bus/platform/drivers/virtio-mmio", F_OK, 0) < 0)
        loaded = !modules_load("virtio_mmio");
    if ((pci || mmio) && loaded && faccessat(sys, "bus/virtio/drivers/virtio_console", F_OK, 0) < 0)
        loaded = !modules_load("virtio_console");
    return (pci || mmio) && loaded;
}

static int open_uevents(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
    _cleanup_close_ int fd =
        socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    return steal_fd(&fd);
}

static void wait_for_uevent(int fd, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char event[4096];
    /* A kernel without uevents has no hot-plug to wait for either, but another process may load drivers. */
    poll(&p, 1, fd < 0 ? 100 : deadline_poll_ms(deadline));
    while (fd >= 0 && (recv(fd, event, sizeof(event), 0) >= 0 || errno == ENOBUFS))
        ;
}

void port_open(struct agent_options *options)
{
    _cleanup_close_ int uevents = open_uevents();
    _cleanup_close_ int sys = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int dev = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool tried = false;
    int64_t patience = 0;
    options->device = true;
    for (;;) {
        options->channel_name = "virtio-serial";
        options->fd = open_virtio(sys, dev);
        if (options->fd < 0 && !tried) {
            patience = load_drivers(sys) ? deadline_after(VIRTIO_PATIENCE) : 0;
            tried = true;
            continue;
        }
        bool patient = patience > clock_monotonic_ns();
        if (options->fd < 0 && !patient) {
            options->channel_name = "isa-serial";
            options->fd = open_serial(dev);
        }
        if (options->fd >= 0)
            return;
        wait_for_uevent(uevents, patient ? patience : DEADLINE_NONE);
    }
}
