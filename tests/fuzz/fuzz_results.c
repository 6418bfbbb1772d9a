/* Results of a shard as JSON lines or JUnit XML, and reports made of them. */
#include "cli/merge_input.h"
#include "report/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf in = BUF_INIT((size_t)1 << 26), out = BUF_INIT((size_t)1 << 26);
    _cleanup_err_ struct err e = ERR_INIT;
    struct replay replay;
    buf_append(&in, data, size);
    bool xml = size && *data == '<';
    if ((xml ? junit_results_read(&in, &replay, &e) : json_results_read(&in, &replay, &e)) < 0)
        return 0;
    junit_report(&out, &replay.record);
    html_report(&out, &replay.record);
    for (size_t i = 0; i < replay.record.file_count; i++)
        json_report_file(&out, replay.record.files[i], &replay.record);
    replay_done(&replay);
    return 0;
}
