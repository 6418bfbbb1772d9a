#include "guest/file.h"

#include <errno.h>

#include "base/alloc.h"
#include "guest/channel.h"
#include "guest/worker.h"

struct guest_file {
    struct guest_file *next;
    struct guest *guest;
    uint64_t id;
    int fd; /* -1: not asked for yet */
    bool closed;
    char *label;
};

struct guest_file *guest_open(struct guest *g, struct guest_worker *worker, const char *path, unsigned mode,
                              unsigned perm, int64_t deadline, struct err *e)
{
    struct args_open args = {.path = bytes_str(path), .mode = mode, .perm = perm};
    struct guest_call_request request = {.args = &args, .worker = worker ? guest_worker_id(worker) : 0};
    struct value_fd value;
    _cleanup_(guest_call_freep) struct guest_call *call =
        guest_call_start(g, OPERATION_open, &request, "open_file \"%s\"", path);
    if (guest_call_await(call, deadline, &value, e) < 0)
        return NULL;
    struct guest_file *f = xnew0(struct guest_file);
    *f = (struct guest_file){
        .guest = g, .id = call->id, .fd = (int)value.fd, .label = xasprintf("file \"%s\"", path), .next = g->files};
    g->files = f;
    return f;
}

void guest_file_orphan(struct guest *g)
{
    for (; g->files; g->files = g->files->next)
        g->files->closed = true;
}

static void forget(struct guest_file *f)
{
    struct guest_file **at = &f->guest->files;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    f->closed = true;
}

struct guest_file *guest_file_next(const struct guest_file *f)
{
    return f->next;
}

void guest_file_free(struct guest_file *f)
{
    if (!f)
        return;
    if (!f->closed) {
        forget(f);
        struct args_file args = {.file = f->id};
        struct guest_call_request request = {.args = &args, .background = true};
        guest_call_detach(guest_call_start(f->guest, OPERATION_close, &request, "%s: close", f->label));
    }
    free(f->label);
    free(f);
}

static int read_into(struct guest_file *f, const struct args_read *args, struct buf *out, int64_t deadline,
                     struct err *e)
{
    struct guest_call_request request = {.args = args, .body_max = args->size};
    _cleanup_(guest_call_freep) struct guest_call *call =
        guest_call_start(f->guest, OPERATION_read, &request, "%s: read", f->label);
    if (guest_call_await(call, deadline, NULL, e) < 0)
        return -1;
    if (buf_append(out, buf_head(&call->body), call->body.len) < 0)
        return err_set(e, EFBIG, "%s: read: more than %zu bytes", f->label, out->max);
    return 0;
}

int guest_file_read(struct guest_file *f, size_t n, struct buf *out, int64_t deadline, struct err *e)
{
    struct args_read args = {.file = f->id, .size = n};
    return read_into(f, &args, out, deadline, e);
}

int guest_file_read_all(struct guest_file *f, struct buf *out, int64_t deadline, struct err *e)
{
    struct args_read args = {.file = f->id, .size = GUEST_FILE_MAX, .all = true};
    return read_into(f, &args, out, deadline, e);
}

int guest_file_write(struct guest_file *f, const void *data, size_t n, size_t *ret_written, int64_t deadline,
                     struct err *e)
{
    struct args_file args = {.file = f->id};
    struct guest_call_request request = {.args = &args, .data = data, .len = n};
    struct value_written value;
    _cleanup_(guest_call_freep) struct guest_call *call =
        guest_call_start(f->guest, OPERATION_write, &request, "%s: write", f->label);
    if (guest_call_await(call, deadline, &value, e) < 0)
        return -1;
    *ret_written = value.written < n ? value.written : n;
    return 0;
}

int guest_file_seek(struct guest_file *f, int64_t offset, int whence, uint64_t *ret_offset, int64_t deadline,
                    struct err *e)
{
    struct args_seek args = {.file = f->id, .offset = offset, .whence = (uint64_t)whence};
    struct value_offset value;
    if (guest_call_simple(f->guest, OPERATION_seek, &args, &value, deadline, e, "%s: seek", f->label) < 0)
        return -1;
    *ret_offset = value.offset;
    return 0;
}

int guest_file_fd(struct guest_file *f, int *ret_fd, int64_t deadline, struct err *e)
{
    struct args_file args = {.file = f->id};
    struct value_fd value = {.fd = f->fd};
    if (f->fd < 0 &&
        guest_call_simple(f->guest, OPERATION_fd, &args, &value, deadline, e, "%s: fd", f->label) < 0)
        return -1;
    *ret_fd = f->fd = (int)value.fd;
    return 0;
}

int guest_file_close(struct guest_file *f, int64_t deadline, struct err *e)
{
    struct args_file args = {.file = f->id};
    if (f->closed)
        return 0;
    forget(f);
    return guest_call_simple(f->guest, OPERATION_close, &args, NULL, deadline, e, "%s: close", f->label);
}

uint64_t guest_file_id(const struct guest_file *f)
{
    return f->id;
}

struct guest *guest_file_guest(const struct guest_file *f)
{
    return f->guest;
}

const char *guest_file_label(const struct guest_file *f)
{
    return f->label;
}
