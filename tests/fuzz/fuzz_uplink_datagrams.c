/* A guest's frames to the forwarded UDP ports of an uplink: whatever they are, one client at most gets a datagram, and
 * none that is not of the forwarded port. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "switch/bytes.h"
#include "switch/packet.h"
#include "uplink/datagrams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint16_t seen; /* the client's port, as the guest knows it */

static void on_frame(struct frame f, void *arg)
{
    (void)arg;
    seen = get16(f.data + ETHERNET_SIZE + IP4_SIZE);
    frame_unref(f);
}

static struct datagrams *setup(int *ret_client)
{
    static const struct uplink_config config = {.net4 = 0x0a090000, .prefix4 = 24, .gateway4 = 0x0a090001, .mtu = 1500};
    static const struct uplink_port port = {.bind = "127.0.0.1", .guest = "10.9.0.10", .guest_port = 53, .udp = true};
    struct sockaddr_storage to;
    uint16_t host;
    struct datagrams *d = datagrams_new(&config, on_frame, NULL);
    int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (client < 0 || datagrams_forward(d, &port, &host, NULL) < 0)
        abort();
    socklen_t to_size = uplink_address(&to, "127.0.0.1", host);
    if (sendto(client, "?", 1, 0, (struct sockaddr *)&to, to_size) != 1)
        abort();
    struct pollfd fd = {.revents = POLLIN};
    for (int64_t now = 1; !seen; now++)
        datagrams_poll_done(d, &fd, 1, now);
    *ret_client = client;
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct datagrams *d;
    static int client;
    char text[65536];
    if (!d)
        d = setup(&client);
    if (size < FRAME_MIN || size > FRAME_MAX)
        return 0;
    bool taken = datagrams_answer(d, data, size, 2);
    ssize_t got = recv(client, text, sizeof(text), MSG_DONTWAIT);
    struct packet p;
    if (got >= 0 && (!taken || !packet_parse(data + ETHERNET_SIZE, size - ETHERNET_SIZE, &p) || get16(p.payload) != 53 ||
                     !memmem(p.payload, p.payload_size, text, (size_t)got)))
        abort();
    return 0;
}
