#include "base/json.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

int json_append_string(struct buf *b, const char *bytes, size_t n)
{
    static const char escaped[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const uint8_t *s = (const uint8_t *)bytes;
    int rc = buf_append_byte(b, '"');
    for (size_t i = 0; i < n && rc == 0;) {
        const char *hit = s[i] ? strchr(escaped, s[i]) : NULL;
        size_t length = utf8_length(bytes + i, n - i);
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
