#include "cli/options.h"

#include "cli/verb.h"
#include "config/config.h"

static const char *const color_words[] = {"auto", "always", "never", NULL};

#define FIELD(field) offsetof(struct options, field)
#define LAUNCH       (VERB_RUN | VERB_PREPARE)
#define MACHINE      (VERB_RUN | VERB_DOCTOR)

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
    {"seed", 0, OPTION_SEED, FIELD(seed), "N", GROUP_SELECTION, VERB_RUN,
     "seed of everything random (default: random, printed on failure)", NULL},

    {"jobs", 'j', OPTION_COUNT, FIELD(jobs), "N", GROUP_RESOURCES, VERB_RUN,
     "most files running at once (default: CPUs of the pool)", NULL},
    {"mem", 0, OPTION_SIZE, FIELD(memory), "SIZE", GROUP_RESOURCES, MACHINE,
     "memory for guests (default: 80 % of what there is)", NULL},
    {"cpus", 0, OPTION_COUNT, FIELD(cpus), "N", GROUP_RESOURCES, MACHINE,
     "CPUs for guests (default: those this process may use)", NULL},
    {"cpu-overcommit", 0, OPTION_FACTOR, FIELD(cpu_overcommit), "F", GROUP_RESOURCES, VERB_RUN,
     "multiplies the CPUs, 0.5 to 8.0 (default 1.0)", NULL},
    {"timeout", 0, OPTION_DURATION, FIELD(timeout_ns), "DUR", GROUP_RESOURCES, VERB_RUN,
     "limit per file, 0 for none (default 300s)", NULL},
    {"fail-fast", 0, OPTION_FLAG, FIELD(fail_fast), NULL, GROUP_RESOURCES, VERB_RUN,
     "start no further file after the first failed one", NULL},
    {"kernel", 0, OPTION_TEXTS, FIELD(kernels), "[PROFILE=]FILE", GROUP_RESOURCES, LAUNCH,
     "another kernel for a profile, for this run", NULL},
    {"initrd", 0, OPTION_TEXTS, FIELD(initrds), "[PROFILE=]FILE", GROUP_RESOURCES, LAUNCH,
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
    {"no-preflight", 0, OPTION_FLAG, FIELD(no_preflight), NULL, GROUP_RESOURCES, VERB_RUN,
     "skip the checks before the run", NULL},

    {"verbose", 'v', OPTION_FLAG, FIELD(verbose), NULL, GROUP_OUTPUT, VERB_RUN,
     "show every test", NULL},
    {"quiet", 'q', OPTION_FLAG, FIELD(quiet), NULL, GROUP_OUTPUT, VERB_RUN,
     "show only failures", NULL},
    {"json", 0, OPTION_FLAG, FIELD(json), NULL, GROUP_OUTPUT, VERB_RUN | VERB_LIST | VERB_DOCTOR,
     "one JSON object per line on stdout", NULL},
    {"color", 0, OPTION_WORD, FIELD(color), "auto|always|never", GROUP_OUTPUT, VERB_RUN,
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
};
const size_t option_conflict_count = ARRAY_SIZE(option_conflicts);
/* clang-format on */
