#include <string.h>

#include "base/utf8.h"
#include "report/report.h"

/* XML 1.0, "Char": no control characters but white space, no U+FFFE and U+FFFF. */
static bool is_char(const char *s, size_t length)
{
    unsigned char c = (unsigned char)*s;
    if (length == 1)
        return c >= 0x20 || c == '\t' || c == '\n' || c == '\r';
    return !(length == 3 && !memcmp(s, "\xef\xbf", 2) && (unsigned char)s[2] >= 0xbe);
}

void xml_append(struct buf *out, const char *s)
{
    size_t left = s ? strlen(s) : 0;
    while (left) {
        size_t length = utf8_length(s, left);
        size_t step = length ? length : 1;
        if (!length || !is_char(s, length))
            buf_append_str(out, "\xef\xbf\xbd");
        else if (*s == '&')
            buf_append_str(out, "&amp;");
        else if (*s == '<')
            buf_append_str(out, "&lt;");
        else if (*s == '>')
            buf_append_str(out, "&gt;");
        else if (*s == '"')
            buf_append_str(out, "&quot;");
        else if (*s == '\r')
            buf_append_str(out, "&#13;");
        else
            buf_append(out, s, length);
        s += step;
        left -= step;
    }
}

const char *file_problem(const struct file_result *r)
{
    static const char *const otherwise[] = {
        [FILE_TIMED_OUT] = "the file hit its time limit", [FILE_CRASHED] = "the process of the file crashed"};
    if (r->chunk_error)
        return r->chunk_error;
    if (r->detail)
        return r->detail;
    return r->status == FILE_TIMED_OUT || r->status == FILE_CRASHED ? otherwise[r->status] : NULL;
}
