#include "base/json.h"

#include <stdint.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at `s` (RFC 3629: no surrogates, nothing overlong), or 0. */
static size_t utf8_length(const uint8_t *s, size_t n)
{
    static const struct {
        uint8_t mask, lead;
        size_t length;
        uint32_t minimum;
    } forms[] = {{0x80, 0x00, 1, 0},
                 {0xe0, 0xc0, 2, 0x80},
                 {0xf0, 0xe0, 3, 0x800},
                 {0xf8, 0xf0, 4, 0x10000}};
    for (size_t f = 0; f < ARRAY_SIZE(forms); f++) {
        if ((s[0] & forms[f].mask) != forms[f].lead)
            continue;
        if (forms[f].length > n)
            return 0;
        uint32_t c = s[0] & (uint8_t)~forms[f].mask;
        for (size_t i = 1; i < forms[f].length; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (s[i] & 0x3f);
        }
        if (c < forms[f].minimum || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return 0;
        return forms[f].length;
    }
    return 0;
}

int json_append_string(struct buf *b, const char *bytes, size_t n)
{
    static const char escaped[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const uint8_t *s = (const uint8_t *)bytes;
    int rc = buf_append_byte(b, '"');
    for (size_t i = 0; i < n && rc == 0;) {
        const char *hit = s[i] ? strchr(escaped, s[i]) : NULL;
        size_t length = utf8_length(s + i, n - i);
        if (hit)
            rc = buf_printf(b, "\\%c", letters[hit - escaped]);
        else if (s[i] < 0x20 || s[i] == 0x7f)
            rc = buf_printf(b, "\\u%04x", s[i]);
        else if (length)
            rc = buf_append(b, s + i, length);
        else
            rc = buf_append_str(b, "\xef\xbf\xbd");
        i += length ? length : 1;
    }
    return rc < 0 ? rc : buf_append_byte(b, '"');
}

int json_append_text(struct buf *b, const char *s)
{
    return s ? json_append_string(b, s, strlen(s)) : buf_append_str(b, "null");
}
