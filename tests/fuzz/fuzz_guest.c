/* The host end of the agent channel: a guest that says hello as it should, and then whatever the input is, while calls of
 * every kind are in flight. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "guest/batch.h"
#include "guest/channel.h"
#include "guest/kernel.h"
#include "guest/process.h"
#include "guest/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(int fd, struct message m, const struct shape *shape, const void *value)
{
    struct buf packed = BUF_INIT(FRAME_MAX), b = BUF_INIT(FRAME_MAX);
    struct packer p = {.to = &packed};
    shape_pack(&p, shape, value);
    m.args = bytes_of(buf_head(&packed), packed.len);
    if (message_put(&b, &m) < 0 || write_full(fd, buf_head(&b), b.len) < 0)
        abort();
    buf_done(&packed);
    buf_done(&b);
}

static void drain(int fd)
{
    uint8_t block[65536];
    while (recv(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
        ;
}

static void greet(struct guest *g, struct loop *loop, int fd)
{
    struct value_err announcement = {.version = PROTOCOL_VERSION};
    struct message m = {.kind = MESSAGE_EVENT, .op = bytes_str("agent")};
    if (write_full(fd, SYNC_MARK, SYNC_MARK_LEN) < 0)
        abort();
    put(fd, m, &shape_value_err, &announcement);
    loop_poll(loop);
    struct value_hello hello = {.nonce = g->nonce, .version = PROTOCOL_VERSION};
    m = (struct message){.kind = MESSAGE_OK, .id = g->next_id};
    put(fd, m, &shape_value_hello, &hello);
    loop_poll(loop);
    if (!guest_is_ready(g))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    if (size > 60000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    struct loop *loop = loop_new();
    struct guest *g = guest_new(loop, pair[0], -1);
    const char *argv[] = {"x", NULL};
    struct guest_command command = GUEST_COMMAND_INIT;
    struct guest_syscall s = {.nr = 1};
    greet(g, loop, pair[1]);
    command.argv = argv;
    command.max_output = 100;
    struct guest_batch *b = guest_batch_new(g); /* ids from 2 on */
    guest_batch_run(b, &command);
    guest_batch_read_file(b, "x");
    guest_batch_stat(b, "x", true);
    guest_batch_listdir(b, "x");
    guest_batch_syscall(b, &s);
    guest_call_uncork(g);
    struct guest_process *p = guest_process_start(g, NULL, 1, &command, 0, NULL);
    guest_ping(g, 0, NULL); /* given up at once */
    drain(pair[1]);
    if (size && write_full(pair[1], data, size) < 0)
        abort();
    for (int i = 0; i < 4; i++) {
        loop_poll(loop);
        drain(pair[1]);
    }
    guest_batch_wait(b, 0, NULL);
    guest_batch_free(b);
    guest_process_free(p);
    guest_free(g);
    loop_free(loop);
    close(pair[1]);
    return 0;
}
