#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

static void take_message(struct err *e, int code, char *message)
{
    err_clear(e);
    e->code = code;
    e->message = message;
}

int err_set(struct err *e, int code, const char *format, ...)
{
    if (!e)
        return -1;
    va_list args;
    va_start(args, format);
    char *message = xvasprintf(format, args); /* before the old one goes: it may be an argument */
    va_end(args);
    take_message(e, code, message);
    return -1;
}

int err_errno(struct err *e, const char *format, ...)
{
    int code = errno;
    if (!e)
        return -1;
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *what = xvasprintf(format, args);
    va_end(args);
    take_message(e, code, xasprintf("%s: %s", what, strerror(code)));
    return -1;
}

int err_prefix(struct err *e, const char *format, ...)
{
    if (!e)
        return -1;
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *what = xvasprintf(format, args);
    va_end(args);
    char *message = xasprintf("%s: %s", what, err_message(e));
    free(e->message);
    e->message = message;
    return -1;
}

int err_hint(struct err *e, const char *format, ...)
{
    if (!e)
        return -1;
    va_list args;
    va_start(args, format);
    char *hint = xvasprintf(format, args);
    va_end(args);
    free(e->hint);
    e->hint = hint;
    return -1;
}

void err_clear(struct err *e)
{
    if (!e)
        return;
    free(e->message);
    free(e->hint);
    *e = ERR_INIT;
}

int err_move(struct err *to, struct err *from)
{
    if (to) {
        err_clear(to);
        *to = *from;
        *from = ERR_INIT;
    } else {
        err_clear(from);
    }
    return -1;
}

const char *err_message(const struct err *e)
{
    return e && e->message ? e->message : "unknown error";
}

const char *errno_name(int code)
{
    static const char *const names[] = {
#define N(x) [x] = #x
        N(EPERM), N(ENOENT), N(ESRCH), N(EINTR), N(EIO), N(ENXIO), N(E2BIG), N(ENOEXEC), N(EBADF),
        N(ECHILD), N(EAGAIN), N(ENOMEM), N(EACCES), N(EFAULT), N(ENOTBLK), N(EBUSY), N(EEXIST),
        N(EXDEV), N(ENODEV), N(ENOTDIR), N(EISDIR), N(EINVAL), N(ENFILE), N(EMFILE), N(ENOTTY),
        N(ETXTBSY), N(EFBIG), N(ENOSPC), N(ESPIPE), N(EROFS), N(EMLINK), N(EPIPE), N(EDOM),
        N(ERANGE), N(EDEADLK), N(ENAMETOOLONG), N(ENOLCK), N(ENOSYS), N(ENOTEMPTY), N(ELOOP),
        N(ENODATA), N(ETIME), N(EPROTO), N(EBADMSG), N(EOVERFLOW), N(EILSEQ), N(EUSERS),
        N(ENOTSOCK), N(EDESTADDRREQ), N(EMSGSIZE), N(EPROTOTYPE), N(ENOPROTOOPT),
        N(EPROTONOSUPPORT), N(ESOCKTNOSUPPORT), N(EOPNOTSUPP), N(EPFNOSUPPORT), N(EAFNOSUPPORT),
        N(EADDRINUSE), N(EADDRNOTAVAIL), N(ENETDOWN), N(ENETUNREACH), N(ENETRESET),
        N(ECONNABORTED), N(ECONNRESET), N(ENOBUFS), N(EISCONN), N(ENOTCONN), N(ESHUTDOWN),
        N(ETIMEDOUT), N(ECONNREFUSED), N(EHOSTDOWN), N(EHOSTUNREACH), N(EALREADY), N(EINPROGRESS),
        N(ESTALE), N(EDQUOT), N(ECANCELED), N(EKEYREJECTED), N(ENOKEY), N(EKEYEXPIRED),
        N(EKEYREVOKED), N(EOWNERDEAD), N(ENOTRECOVERABLE), N(EIDRM), N(ENOMSG), N(ENOSTR),
        N(ENOLINK), N(EBADFD), N(ENOTUNIQ), N(EREMCHG), N(ELIBBAD), N(EREMOTEIO), N(EMEDIUMTYPE),
        N(ENOMEDIUM), N(ERFKILL), N(EHWPOISON),
#undef N
    };
    if (code < 0 || (size_t)code >= ARRAY_SIZE(names))
        return NULL;
    return names[code];
}
