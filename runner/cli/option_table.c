#include "cli/options.h"

#include "cli/verb.h"
#include "config/config.h"

static const char *const color_words[] = {"auto", "always", "never", NULL};

static const char *const shuffle_words[] = {"files", "tests", "all", NULL};

#define FIELD(field) offsetof(struct options, field)
#define SELECT       (VERB_RUN | VERB_LIST)
#define REPORT       (VERB_RUN | VERB_MERGE)
#define LAUNCH       (VERB_RUN | VERB_PREPARE | VERB_FIXTURE)
#define KERNEL       (LAUNCH | VERB_INIT)
#define MACHINE      (VERB_RUN | VERB_DOCTOR | VERB_FIXTURE)

/* clang-format off */
const struct option_row option_rows[] = {
    {"config", 0, OPTION_TEXT, FIELD(config), "PATH", GROUP_SELECTION, VERB_ALL,
     "configuration file (default provium.toml)", NULL},
    {"filter", 0, OPTION_TEXT, FIELD(filter), "STR", GROUP_SELECTION, VERB_RUN | VERB_LIST,
     "only files whose path below the test root contains STR", NULL},
    {"include-slow", 0, OPTION_FLAG, FIELD(include_slow), NULL, GROUP_SELECTION, VERB_RUN,
     "run tests with meta.slow too", NULL},
    {"tag", 0, OPTION_TEXTS, FIELD(tags), "T", GROUP_SELECTION, VERB_RUN,
     "only tests with tag T; repeated: any of them", NULL},
    {"no-tag", 0, OPTION_TEXTS, FIELD(no_tags), "T", GROUP_SELECTION, VERB_RUN,
     "no tests with tag T; wins over --tag", NULL},
    {"tag-meta", 0, OPTION_PAIRS, FIELD(tag_meta), "K=V", GROUP_SELECTION, VERB_RUN,
     "only tests whose meta.K is or holds V", NULL},
    {"no-tag-meta", 0, OPTION_PAIRS, FIELD(no_tag_meta), "K=V", GROUP_SELECTION, VERB_RUN,
     "no tests whose meta.K is or holds V", NULL},
    {"rerun-failed", 0, OPTION_FLAG, FIELD(rerun_failed), NULL, GROUP_SELECTION, SELECT,
     "only files that failed in the newest run with failures", NULL},
    {"since", 0, OPTION_TEXT, FIELD(since), "PATH", GROUP_SELECTION, SELECT,
     "only files changed later than PATH was", NULL},
    {"shard", 0, OPTION_SHARD, FIELD(shard), "I/N", GROUP_SELECTION, SELECT,
     "the I-th of N slices of about equal duration", NULL},
    {"durations", 0, OPTION_TEXT, FIELD(durations), "FILE", GROUP_SELECTION, SELECT,
     "durations to balance shards by; a run updates them", NULL},
    {"shuffle", 0, OPTION_CHOICE, FIELD(shuffle), "files|tests|all", GROUP_SELECTION, SELECT,
     "another order, of files (default), of tests in their file, or both", shuffle_words},
    {"fixtures", 0, OPTION_FLAG, FIELD(fixtures), NULL, GROUP_SELECTION, VERB_LIST,
     "the fixtures instead of the tests", NULL},
    {"watch", 0, OPTION_FLAG, FIELD(watch), NULL, GROUP_SELECTION, VERB_RUN,
     "then wait, and run again what a change concerns; Ctrl-C leaves", NULL},
    {"allow-missing", 0, OPTION_FLAG, FIELD(allow_missing), NULL, GROUP_SELECTION, VERB_MERGE,
     "merge also when a shard is missing", NULL},
    {"force", 0, OPTION_FLAG, FIELD(force), NULL, GROUP_GENERAL, VERB_LSP | VERB_INIT,
     "replace files that exist", NULL},
    {"repeat", 0, OPTION_COUNT, FIELD(repeat), "N", GROUP_SELECTION, VERB_RUN,
     "run each file N times", NULL},
    {"seed", 0, OPTION_SEED, FIELD(seed), "N", GROUP_SELECTION, SELECT,
     "seed of everything random (default: random, printed on failure)", NULL},

    {"jobs", 'j', OPTION_COUNT, FIELD(jobs), "N", GROUP_RESOURCES, VERB_RUN,
     "most files running at once (default: CPUs of the pool)", NULL},
    {"mem", 0, OPTION_SIZE, FIELD(memory), "SIZE", GROUP_RESOURCES, MACHINE,
     "memory for guests (default: 80 % of what there is)", NULL},
    {"cpus", 0, OPTION_COUNT, FIELD(cpus), "N", GROUP_RESOURCES, MACHINE,
     "CPUs for guests (default: those this process may use)", NULL},
    {"cpu-overcommit", 0, OPTION_FACTOR, FIELD(cpu_overcommit), "F", GROUP_RESOURCES, VERB_RUN,
     "multiplies the CPUs, 0.5 to 8.0 (default 1.0)", NULL},
    {"timeout", 0, OPTION_DURATION, FIELD(timeout_ns), "DUR", GROUP_RESOURCES, VERB_RUN | VERB_FIXTURE,
     "limit per file, 0 for none (default 300s)", NULL},
    {"backfill", 0, OPTION_FLAG, FIELD(backfill), NULL, GROUP_RESOURCES, VERB_RUN,
     "let files that fit pass one that waits for memory, for 30 s at most", NULL},
    {"fail-fast", 0, OPTION_FLAG, FIELD(fail_fast), NULL, GROUP_RESOURCES, VERB_RUN,
     "start no further file after the first failed one", NULL},
    {"retries", 0, OPTION_NUMBER, FIELD(retries), "N", GROUP_RESOURCES, VERB_RUN,
     "run a file that did not pass up to N times more (default 0)", NULL},
    {"psi-threshold", 0, OPTION_PERCENT, FIELD(psi_threshold), "PCT", GROUP_RESOURCES, VERB_RUN,
     "start no file at that CPU pressure, 0 for never mind (default 50, TCG 0)", NULL},
    {"kernel", 0, OPTION_TEXTS, FIELD(kernels), "[PROFILE=]FILE", GROUP_RESOURCES, KERNEL,
     "another kernel for a profile, for this run", NULL},
    {"initrd", 0, OPTION_TEXTS, FIELD(initrds), "[PROFILE=]FILE", GROUP_RESOURCES, KERNEL,
     "another initrd for a profile, for this run", NULL},
    {"append", 0, OPTION_TEXTS, FIELD(appends), "[PROFILE=]STR", GROUP_RESOURCES, LAUNCH,
     "more kernel command line for a profile", NULL},
    {"qemu", 0, OPTION_TEXT, FIELD(qemu), "PATH", GROUP_RESOURCES, MACHINE,
     "QEMU binary (default: $PROVIUM_QEMU, else from PATH)", NULL},
    {"accel", 0, OPTION_WORD, FIELD(accel), "auto|kvm|tcg", GROUP_RESOURCES, MACHINE,
     "how guests run (default: the profile's)", accel_words},
    {"sandbox", 0, OPTION_WORD, FIELD(sandbox), "auto|require|off", GROUP_RESOURCES, MACHINE,
     "namespaces around the run (default: the config's)", sandbox_words},
    {"no-build", 0, OPTION_FLAG, FIELD(no_build), NULL, GROUP_RESOURCES, LAUNCH,
     "run no build commands of profiles", NULL},
    {"no-ksm", 0, OPTION_FLAG, FIELD(no_ksm), NULL, GROUP_RESOURCES, VERB_RUN,
     "leave the merging of equal pages (KSM) as it is", NULL},
    {"no-preflight", 0, OPTION_FLAG, FIELD(no_preflight), NULL, GROUP_RESOURCES, VERB_RUN | VERB_FIXTURE,
     "skip the checks before the run", NULL},

    {"verbose", 'v', OPTION_FLAG, FIELD(verbose), NULL, GROUP_OUTPUT, REPORT,
     "show every test", NULL},
    {"quiet", 'q', OPTION_FLAG, FIELD(quiet), NULL, GROUP_OUTPUT, REPORT,
     "show only failures", NULL},
    {"json", 0, OPTION_FLAG, FIELD(json), NULL, GROUP_OUTPUT, REPORT | VERB_LIST | VERB_DOCTOR,
     "one JSON object per line on stdout", NULL},
    {"tap", 0, OPTION_FLAG, FIELD(tap), NULL, GROUP_OUTPUT, REPORT,
     "TAP version 14 on stdout", NULL},
    {"ktap", 0, OPTION_FLAG, FIELD(ktap), NULL, GROUP_OUTPUT, REPORT,
     "KTAP version 1, as the kernel's own tests print, on stdout", NULL},
    {"junit", 0, OPTION_TEXT, FIELD(junit), "FILE", GROUP_OUTPUT, REPORT,
     "JUnit XML at the end", NULL},
    {"html", 0, OPTION_TEXT, FIELD(html), "FILE", GROUP_OUTPUT, REPORT,
     "one self-contained page at the end", NULL},
    {"github", 0, OPTION_FLAG, FIELD(github), NULL, GROUP_OUTPUT, REPORT,
     "annotations and step summary of GitHub Actions", NULL},
    {"save-events", 0, OPTION_TEXT, FIELD(save_events), "PATH", GROUP_OUTPUT, VERB_RUN,
     "the event stream into a file", NULL},
    {"events-stdout", 0, OPTION_FLAG, FIELD(events_stdout), NULL, GROUP_OUTPUT, VERB_RUN,
     "the event stream on stdout", NULL},
    {"events-socket", 0, OPTION_TEXT, FIELD(events_socket), "PATH", GROUP_OUTPUT, VERB_RUN,
     "the event stream for whoever connects to PATH", NULL},
    {"coverage", 0, OPTION_FLAG, FIELD(coverage), NULL, GROUP_OUTPUT, VERB_RUN,
     "afterwards the report of provium-coverage", NULL},
    {"color", 0, OPTION_WORD, FIELD(color), "auto|always|never", GROUP_OUTPUT, REPORT,
     "colour the text (default: on a terminal, unless NO_COLOR)", color_words},
    {"no-progress", 0, OPTION_FLAG, FIELD(no_progress), NULL, GROUP_OUTPUT, VERB_RUN,
     "no live progress on the terminal", NULL},

    {"help", 'h', OPTION_FLAG, FIELD(help), NULL, GROUP_GENERAL, VERB_ALL,
     "this text, or that of a command", NULL},
    {"version", 'V', OPTION_FLAG, FIELD(version), NULL, GROUP_GENERAL, VERB_ALL,
     "versions of provium and of what it speaks", NULL},
};
const size_t option_row_count = ARRAY_SIZE(option_rows);

const char *const option_conflicts[][2] = {
    {"verbose", "quiet"},
    {"json", "tap"},
    {"json", "ktap"},
    {"json", "events-stdout"},
    {"tap", "ktap"},
    {"tap", "events-stdout"},
    {"ktap", "events-stdout"},
};
const size_t option_conflict_count = ARRAY_SIZE(option_conflicts);
/* clang-format on */
