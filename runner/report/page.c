#include "report/page.h"

extern const char page_css_start[], page_css_end[], page_js_start[], page_js_end[];

static void add_asset(struct buf *out, const char *start, const char *end)
{
    buf_append(out, start, (size_t)(end - start));
}

void page_begin(struct buf *out, const char *title)
{
    buf_append_str(out, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
                        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
                        "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
                        "<meta name=viewport content=\"width=device-width\">");
    buf_printf(out, "<title>%s</title>\n<link rel=icon href=\"data:,\">\n<style>\n", title);
    add_asset(out, page_css_start, page_css_end);
    buf_append_str(out, "</style></head><body>\n");
}

void page_end(struct buf *out)
{
    buf_append_str(out, "<script>\n");
    add_asset(out, page_js_start, page_js_end);
    buf_append_str(out, "</script></body></html>\n");
}

void page_tools(struct buf *out, const char *text, const char *const *kinds)
{
    buf_printf(out, "<div class=tools><input type=search id=search placeholder=\"%s\">", text);
    for (; *kinds; kinds++)
        buf_printf(out, "<label><input type=checkbox value=%s checked> %s</label>", *kinds, *kinds);
    buf_append_str(out, "</div>\n<p id=none hidden>Nothing matches.</p>\n");
}

void page_share(struct buf *out, const char *status, size_t n)
{
    if (n)
        buf_printf(out, "<i class=%s style=\"flex:%zu\" title=\"%zu %s\"></i>", status, n, n, status);
}
