/* What the parts of the HTML report share: html.c is the page, html_timeline.c its picture. */
#pragma once

#include "report/report.h"

struct html_page {
    struct buf *out;
    const struct run_record *run;
    size_t *vm_files, *span_files; /* of each, the file's place in run->files; SIZE_MAX: it has none */
};

/* Bars have the ids b<file>, v<vm> and s<span>, files f<file>. */
void html_timeline(const struct html_page *page);
/* "fixture `base` built", as text for HTML. */
void html_span_title(struct buf *out, const struct run_span *span);
