/* A stored event stream, and everything that reports make of it. */
#include "coverage/coverage.h"
#include "events/replay.h"
#include "report/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf in = BUF_INIT((size_t)1 << 26), out = BUF_INIT((size_t)1 << 26);
    _cleanup_err_ struct err e = ERR_INIT;
    struct replay replay;
    buf_append(&in, data, size);
    if (replay_read(&in, &replay, &e) < 0)
        return 0;
    for (size_t i = 0; i < replay.record.file_count; i++) {
        json_report_file(&out, replay.record.files[i], &replay.record);
        tap_report_file(&out, replay.record.files[i], i + 1);
        ktap_report_file(&out, replay.record.files[i], i + 1);
    }
    junit_report(&out, &replay.record);
    html_report(&out, &replay.record);
    github_annotations(&out, &replay.record);
    github_summary(&out, &replay.record, 10000);
    struct coverage *coverage = coverage_new(&replay, "spec", NULL);
    coverage_text(&out, coverage);
    coverage_json(&out, coverage);
    coverage_html(&out, &coverage, 1);
    coverage_free(coverage);
    replay_done(&replay);
    return 0;
}
