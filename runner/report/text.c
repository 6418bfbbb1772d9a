#include <string.h>

#include "report/report.h"

static const char red[] = "\033[31m", green[] = "\033[32m", yellow[] = "\033[33m", plain[] = "\033[0m";

static void put_word(const struct text_report *t, const char *colour, const char *word)
{
    if (t->colour)
        fprintf(t->out, "%s%s%s", colour, word, plain);
    else
        fputs(word, t->out);
}

/* Each line of `text` on a line of its own behind `indent`; a final line end is not repeated. */
static void put_block(const struct text_report *t, const char *indent, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        fprintf(t->out, "%s%.*s\n", indent, (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void put_failure(const struct text_report *t, const struct test_result *test)
{
    fputs("    ", t->out);
    put_word(t, red, "FAIL");
    fprintf(t->out, " %s\n", test->name);
    put_block(t, "        ", test->message);
    if (test->traceback && *test->traceback) {
        fputs("        traceback:\n", t->out);
        put_block(t, "        ", test->traceback + strspn(test->traceback, "\n"));
    }
    for (size_t i = 0; i < test->log.count; i++) {
        fputs("        log: ", t->out);
        const char *text = test->log.items[i];
        size_t n = strcspn(text, "\n");
        fprintf(t->out, "%.*s\n", (int)n, text);
        if (text[n])
            put_block(t, "             ", text + n + 1);
    }
    if (test->console && *test->console && !strstr(test->message, "console tail:"))
        put_block(t, "        console: ", test->console);
}

static void put_test(const struct text_report *t, const struct test_result *test)
{
    if (test->status == TEST_FAILED) {
        put_failure(t, test);
    } else if (test->flaky && t->verbosity != VERBOSITY_QUIET) {
        fputs("    ", t->out);
        put_word(t, yellow, "FLAKY");
        fprintf(t->out, " %s: passed, but failed before\n", test->name);
        put_block(t, "        ", test->message);
    } else if (t->verbosity == VERBOSITY_VERBOSE) {
        fputs("    ", t->out);
        if (test->status == TEST_PASSED) {
            put_word(t, green, "PASS");
            fprintf(t->out, " %s\n", test->name);
        } else {
            put_word(t, yellow, "SKIP");
            fprintf(t->out, " %s: %s\n", test->name, test->message);
        }
    }
}

void text_report_file(const struct text_report *t, const struct file_result *r)
{
    static const char *const words[] = {
        [FILE_PASSED] = "PASS", [FILE_FAILED] = "FAIL", [FILE_TIMED_OUT] = "TIME", [FILE_CRASHED] = "CRASH"};
    if (t->verbosity == VERBOSITY_QUIET && r->status == FILE_PASSED)
        return;
    put_word(t, r->status == FILE_PASSED ? green : red, words[r->status]);
    fprintf(t->out, " %s (%zu passed, %zu failed, %zu skipped)", r->path, r->passed, r->failed, r->skipped);
    fprintf(t->out, r->attempt > 1 ? ", attempt %u\n" : "\n", r->attempt);
    if (r->chunk_error)
        put_block(t, "    ", r->chunk_error);
    if (r->detail)
        put_block(t, "    ", r->detail);
    for (size_t i = 0; i < r->test_count; i++)
        put_test(t, &r->tests[i]);
    if (r->status == FILE_CRASHED && r->stderr_tail)
        put_block(t, "    stderr: ", r->stderr_tail);
    fflush(t->out);
}

void text_report_end(const struct text_report *t, const struct run_totals *totals)
{
    fprintf(t->out, "\n%zu file(s); %zu passed, %zu failed, %zu skipped", totals->files, totals->passed,
            totals->failed, totals->skipped);
    if (totals->flaky)
        fprintf(t->out, ", %zu flaky", totals->flaky);
    if (totals->files_not_run)
        fprintf(t->out, ", %zu file(s) not run", totals->files_not_run);
    fprintf(t->out, "; %.2fs\n", (double)totals->duration_ns / 1e9);
    fflush(t->out);
}
