#include "guest/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "guest/call.h"
#include "guest/channel.h"

static const char *name_of(int code)
{
    const char *name = errno_name(code);
    return name ? name : "error";
}

static int host_error(struct err *e, const char *label, int code)
{
    return err_set(e, code, "%s: host: %s: %s", label, name_of(code), strerror(code));
}

/* The guest's failures say so too. */
static int blame_guest(struct err *e, const char *label)
{
    size_t n = strlen(label);
    if (e && e->code && !strncmp(e->message, label, n) && strncmp(e->message + n, ": host:", 7)) {
        _cleanup_free_ char *rest = xstrdup(e->message + n);
        return err_set(e, e->code, "%s: guest%s", label, rest);
    }
    return -1;
}

static ssize_t read_source(void *arg, uint8_t *to, size_t n)
{
    return read_full(*(int *)arg, to, n);
}

int guest_push_file(struct guest *g, const char *host_path, const char *guest_path, int perm, int64_t deadline,
                    struct err *e)
{
    _cleanup_free_ char *label = xasprintf("push_file \"%s\" -> \"%s\"", host_path, guest_path);
    _cleanup_close_ int fd = open(host_path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return host_error(e, label, errno);
    if (S_ISDIR(st.st_mode))
        return host_error(e, label, EISDIR);
    struct args_write_file args = {.path = bytes_str(guest_path), .perm = perm};
    struct guest_call_request request = {.args = &args, .source = read_source, .arg = &fd};
    _cleanup_(guest_call_freep) struct guest_call *call =
        guest_call_start(g, OPERATION_write_file, &request, "%s", label);
    if (guest_call_await(call, deadline, NULL, e) < 0)
        return call->done ? blame_guest(e, label) : -1;
    return 0;
}

struct sink {
    int fd, code;
    uint64_t size;
};

static void on_data(struct guest_call *call, unsigned stream, struct bytes data)
{
    struct sink *s = call->arg;
    (void)stream;
    s->size += data.len;
    if (!s->code && write_full(s->fd, data.data, data.len) < 0) {
        s->code = errno;
        guest_call_give_up(call, s->code, strerror(s->code));
    }
}

int guest_pull_file(struct guest *g, const char *guest_path, const char *host_path, uint64_t *ret_size,
                    int64_t deadline, struct err *e)
{
    static const struct guest_call_handlers handlers = {.data = on_data};
    _cleanup_free_ char *label = xasprintf("pull_file \"%s\" -> \"%s\"", guest_path, host_path);
    _cleanup_free_ char *temporary = xasprintf("%s.tmp-XXXXXX", host_path);
    _cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return host_error(e, label, errno);
    struct sink sink = {.fd = fd};
    struct args_read_file args = {.path = bytes_str(guest_path), .limit = INT64_MAX};
    struct guest_call_request request = {.args = &args, .handlers = &handlers, .arg = &sink};
    struct guest_call *call = guest_call_start(g, OPERATION_read_file, &request, "%s", label);
    int result = guest_call_await(call, deadline, NULL, e);
    bool done = call->done;
    guest_call_free(call);
    if (sink.code)
        result = host_error(e, label, sink.code);
    else if (result < 0 && done)
        blame_guest(e, label);
    mode_t mask = umask(0);
    umask(mask);
    if (!result && (fchmod(fd, 0666 & ~mask) < 0 || rename(temporary, host_path) < 0))
        result = host_error(e, label, errno);
    if (result < 0)
        unlink(temporary);
    else
        *ret_size = sink.size;
    return result;
}
