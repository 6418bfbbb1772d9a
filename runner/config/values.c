#include "config/values.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/strv.h"

/* whole + fraction / scale, scale a power of ten */
struct decimal {
    uint64_t whole, fraction, scale;
    bool has_fraction;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits with an optional fraction; returns what follows, or NULL. Digits beyond the 15th of the
 * fraction are below any unit in use and dropped. */
static const char *decimal_parse(const char *at, struct decimal *ret)
{
    struct decimal d = {.scale = 1};
    if (!is_digit(*at))
        return NULL;
    for (; is_digit(*at); at++)
        if (__builtin_mul_overflow(d.whole, 10, &d.whole) ||
            __builtin_add_overflow(d.whole, (uint64_t)(*at - '0'), &d.whole))
            return NULL;
    if (*at == '.') {
        d.has_fraction = true;
        if (!is_digit(*++at))
            return NULL;
        for (; is_digit(*at); at++)
            if (d.scale < UINT64_C(1000000000000000)) {
                d.fraction = d.fraction * 10 + (uint64_t)(*at - '0');
                d.scale *= 10;
            }
    }
    *ret = d;
    return at;
}

static bool decimal_scale(const struct decimal *d, uint64_t unit, uint64_t limit, uint64_t *ret)
{
    unsigned __int128 value =
        (unsigned __int128)d->whole * unit + (unsigned __int128)d->fraction * unit / d->scale;
    if (value > limit)
        return false;
    *ret = (uint64_t)value;
    return true;
}

static uint64_t size_unit(const char *suffix)
{
    static const char letters[] = "kmgt";
    if (!*suffix)
        return 0;
    const char *letter = strchr(letters, *suffix | 0x20);
    if (!letter ||
        (strcasecmp(suffix + 1, "") && strcasecmp(suffix + 1, "b") && strcasecmp(suffix + 1, "ib")))
        return 0;
    return UINT64_C(1) << (10 * (letter - letters + 1));
}

int size_parse(const char *text, uint64_t *ret_bytes, struct err *e)
{
    struct decimal d;
    const char *suffix = decimal_parse(text, &d);
    uint64_t unit = suffix ? size_unit(suffix) : 0;
    if (suffix && !*suffix && !d.has_fraction)
        unit = 1;
    if (!unit || !decimal_scale(&d, unit, INT64_MAX, ret_bytes))
        return err_set(e, EINVAL,
                       "invalid size `%s`, expected for example \"512M\", \"1.5G\" or 4096", text);
    return 0;
}

char *size_format(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < KIB)
        return xasprintf("%lluB", (unsigned long long)bytes);
    size_t i = 0;
    uint64_t unit = KIB;
    while (i + 1 < ARRAY_SIZE(units) && bytes / unit >= 1024) {
        unit *= 1024;
        i++;
    }
    if (bytes % unit == 0)
        return xasprintf("%llu%s", (unsigned long long)(bytes / unit), units[i]);
    return xasprintf("%.2f%s", (double)bytes / (double)unit, units[i]);
}

static int duration_refuse(struct err *e, const char *text)
{
    return err_set(
        e, EINVAL,
        "invalid duration `%s`, expected seconds or for example \"250ms\", \"30s\", \"5m\", \"2h\"",
        text);
}

int duration_parse(const char *text, int64_t *ret_ns, struct err *e)
{
    static const struct {
        const char *suffix;
        int64_t ns;
    } units[] = {
        {"", NS_PER_S},       {"ms", NS_PER_MS},      {"s", NS_PER_S},
        {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S},
    };
    struct decimal d;
    const char *suffix = decimal_parse(text, &d);
    for (size_t i = 0; suffix && i < ARRAY_SIZE(units); i++) {
        uint64_t ns;
        if (strcmp(suffix, units[i].suffix))
            continue;
        if (!decimal_scale(&d, (uint64_t)units[i].ns, INT64_MAX, &ns))
            break;
        *ret_ns = (int64_t)ns;
        return 0;
    }
    return duration_refuse(e, text);
}

int duration_from_seconds(double seconds, int64_t *ret_ns, struct err *e)
{
    double ns = seconds * (double)NS_PER_S;
    if (!(seconds >= 0) || ns >= (double)INT64_MAX) {
        _cleanup_free_ char *text = xasprintf("%.17g", seconds);
        return duration_refuse(e, text);
    }
    *ret_ns = (int64_t)llround(ns);
    return 0;
}

char *duration_format(int64_t ns)
{
    if (ns % NS_PER_S == 0)
        return xasprintf("%llds", (long long)(ns / NS_PER_S));
    if (ns < NS_PER_S)
        return xasprintf("%gms", (double)ns / (double)NS_PER_MS);
    return xasprintf("%gs", (double)ns / (double)NS_PER_S);
}

int word_parse(const char *text, const char *const *words, int *ret_index, struct err *e)
{
    _cleanup_buf_ struct buf accepted = BUF_INIT(4096);
    for (int i = 0; words[i]; i++) {
        if (!strcmp(words[i], text)) {
            *ret_index = i;
            return 0;
        }
        buf_printf(&accepted, "%s\"%s\"", !i ? "" : words[i + 1] ? ", " : " or ", words[i]);
    }
    _cleanup_free_ char *list = buf_steal_str(&accepted);
    return err_set(e, EINVAL, "invalid value `%s`, accepted: %s", text, list);
}

int path_resolve(const char *text, const char *directory, const char *home, char **ret_path,
                 struct err *e)
{
    if (!*text)
        return err_set(e, EINVAL, "empty path");
    if (!str_starts_with(text, "~/")) {
        *ret_path = path_join(directory, text);
        return 0;
    }
    if (!home)
        return err_set(e, EINVAL, "`%s` needs HOME, which is not set", text);
    *ret_path = path_join(home, text + 2);
    return 0;
}

char *text_replace(const char *text, const char *token, const char *value)
{
    _cleanup_buf_ struct buf out = BUF_INIT(SIZE_MAX);
    const char *hit;
    for (; (hit = strstr(text, token)); text = hit + strlen(token)) {
        buf_append(&out, text, (size_t)(hit - text));
        buf_append_str(&out, value);
    }
    buf_append_str(&out, text);
    return buf_steal_str(&out);
}
