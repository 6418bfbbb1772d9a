#include "base/utf8.h"

#include <string.h>

size_t utf8_length(const char *text, size_t left)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char c = left ? s[0] : 0xff;
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (!n || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] >= 0xa0) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

size_t utf8_invalid_offset(const char *s, size_t n)
{
    size_t at = 0;
    while (at < n) {
        size_t step = utf8_length(s + at, n - at);
        if (!step)
            return at;
        at += step;
    }
    return n;
}

size_t utf8_put(char out[4], unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i; i--) {
        out[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (char)(lead[n] | c);
    return n;
}

int utf8_append_clean(struct buf *out, const char *s, size_t n)
{
    int rc = 0;
    while (n && rc == 0) {
        size_t good = utf8_invalid_offset(s, n);
        rc = buf_append(out, s, good);
        s += good;
        n -= good;
        if (n && rc == 0) {
            rc = buf_append_str(out, "\xef\xbf\xbd");
            s++;
            n--;
        }
    }
    return rc;
}

char *utf8_clean(const char *s)
{
    size_t n = strlen(s);
    struct buf out = BUF_INIT(3 * n + 1);
    utf8_append_clean(&out, s, n);
    return buf_steal_str(&out);
}
