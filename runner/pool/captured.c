#include "pool/captured.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "pool/dispatcher.h"

#define KEPT 65536

/* False at end of file. */
static bool take(struct captured *c)
{
    char chunk[4096];
    ssize_t got;
    while (c->fd >= 0 && (got = read(c->fd, chunk, sizeof(chunk))) > 0) {
        size_t n = (size_t)got;
        if (c->tail.len + n > KEPT)
            buf_consume(&c->tail, c->tail.len + n - KEPT);
        buf_append(&c->tail, chunk, n);
        c->settings->on_output(c->number, chunk, n, c->settings->arg);
    }
    return c->fd >= 0 && got < 0 && errno == EAGAIN;
}

void captured_drain(struct captured *c)
{
    take(c);
}

static void on_readable(struct source *s, uint32_t events, void *arg)
{
    struct captured *c = arg;
    (void)events;
    if (take(c))
        return;
    source_remove(s);
    c->source = NULL;
}

int captured_open(struct captured *c, int number, const struct dispatcher_settings *settings)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    fd_set_nonblock(ends[0], true);
    *c = (struct captured){.number = number, .fd = ends[0], .tail = BUF_INIT(KEPT), .settings = settings};
    c->source = loop_add_fd(settings->loop, c->fd, EPOLLIN, on_readable, c);
    return ends[1];
}

char *captured_text(const struct captured *c)
{
    return c->tail.len ? xstrndup((const char *)buf_head(&c->tail), c->tail.len) : NULL;
}

void captured_close(struct captured *c)
{
    source_remove(c->source);
    c->source = NULL;
    close_fd(&c->fd);
    buf_done(&c->tail);
}
