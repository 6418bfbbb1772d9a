#include "handle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "files.h"
#include "worker.h"

void handle_add(struct agent *a, uint64_t id, int fd, uint64_t worker, int number)
{
    struct handle *h = xnew0(struct handle);
    *h = (struct handle){.id = id, .fd = fd, .worker = worker, .number = number, .uses = 1};
    agent_lock(a);
    h->next = a->handles;
    a->handles = h;
    agent_unlock(a);
}

struct handle *handle_take(struct call *call, uint64_t id)
{
    struct agent *a = call->agent;
    agent_lock(a);
    struct handle *h = a->handles;
    while (h && (h->id != id || h->closed))
        h = h->next;
    if (h)
        h->uses++;
    else
        call_fail(call, EBADF);
    agent_unlock(a);
    return h;
}

void handle_give(struct agent *a, struct handle *h)
{
    agent_lock(a);
    if (!--h->uses) {
        struct handle **at = &a->handles;
        while (*at != h)
            at = &(*at)->next;
        *at = h->next;
        close(h->fd);
        free(h);
    }
    agent_unlock(a);
}

static void end(struct agent *a, struct handle *h)
{
    h->closed = true;
    if (h->number >= 0)
        worker_drop_fd(a, h->worker, h->number);
    handle_give(a, h);
}

void handle_adopt(struct agent *a, const uint64_t *ids, size_t count)
{
    for (struct handle *h = a->handles, *next; h; h = next) {
        size_t i = 0;
        next = h->next;
        while (i < count && ids[i] != h->id)
            i++;
        if (i == count && !h->closed)
            end(a, h);
    }
}

void handle_open(struct call *call)
{
    const struct args_open *args = call_args(call);
    _cleanup_free_ char *path = call_string(call, args->path);
    struct value_fd value = {.fd = -1};
    int fd = path ? files_open(call, path, files_open_flags(args->mode), (mode_t)args->perm) : -1;
    if (fd < 0)
        return;
    if (call->cancelled) { /* nobody would ever close it */
        close(fd);
        call_fail(call, ECANCELED);
        return;
    }
    handle_add(call->agent, call->id, fd, 0, -1);
    call_value(call, &value);
}

/* One read of up to `size` bytes. A regular file gives them in pieces; anything else gives what it has now. */
static void read_once(struct call *call, int fd, uint64_t size)
{
    struct stat st;
    bool regular = !fstat(fd, &st) && S_ISREG(st.st_mode);
    _cleanup_free_ uint8_t *piece = xmalloc(PIECE_MAX);
    while (size) {
        size_t n = size < PIECE_MAX ? size : PIECE_MAX;
        ssize_t got = regular ? read(fd, piece, n) : files_read_ready(call, fd, piece, n);
        if (got < 0 && call_retry(call, errno))
            continue;
        if (got < 0)
            call_fail(call, errno);
        if (got <= 0 || call_send(call, piece, (size_t)got) < 0 || !regular || (size_t)got < n)
            return;
        size -= (size_t)got;
    }
}

void handle_read(struct call *call)
{
    const struct args_read *args = call_args(call);
    struct handle *h = handle_take(call, args->file);
    if (!h)
        return;
    if (args->all)
        files_send_all(call, h->fd, args->size);
    else
        read_once(call, h->fd, args->size);
    handle_give(call->agent, h);
}

/* Writes a piece; false when not all of it could be, or the call has failed. */
static bool write_some(struct call *call, int fd, struct piece *piece, uint64_t *written)
{
    while (piece->used < piece->len) {
        size_t n = piece->len - piece->used;
        ssize_t done = write(fd, piece->data + piece->used, n);
        if (done < 0 && call_retry(call, errno))
            continue;
        if (done < 0 && !*written)
            call_fail(call, errno);
        if (done < 0)
            return false;
        piece->used += (size_t)done;
        *written += (uint64_t)done;
        if ((size_t)done < n)
            return false;
    }
    return true;
}

void handle_write(struct call *call)
{
    const struct args_file *args = call_args(call);
    struct handle *h = handle_take(call, args->file);
    struct value_written value = {0};
    struct piece *piece;
    if (!h)
        return;
    for (bool going = true; going && (piece = call_receive(call));) {
        going = write_some(call, h->fd, piece, &value.written);
        call_recycle(call, piece);
    }
    handle_give(call->agent, h);
    if (!call->failed)
        call_value(call, &value);
}

void handle_seek(struct call *call)
{
    const struct args_seek *args = call_args(call);
    struct handle *h = handle_take(call, args->file);
    if (!h)
        return;
    off_t at = lseek(h->fd, args->offset, (int)args->whence);
    if (at < 0)
        call_fail(call, errno);
    struct value_offset value = {.offset = (uint64_t)at};
    handle_give(call->agent, h);
    if (at >= 0)
        call_value(call, &value);
}

void handle_close(struct call *call)
{
    const struct args_file *args = call_args(call);
    struct handle *h = handle_take(call, args->file);
    if (h) {
        end(call->agent, h);
        handle_give(call->agent, h);
    }
    call_finish(call);
}
