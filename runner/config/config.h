/* provium.toml: loading, validation, profiles and the overrides of the command line
 * (docs/config.md).
 *
 * A loaded config is immutable but for config_override. Every path in it is absolute, with `~/` and
 * `{out}` replaced, except `roots`, which stay as short as the user wrote them because they are
 * shown. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strv.h"
#include "config/environment.h"

#define BUNDLED_GUEST          "@bundled"
#define DEFAULT_PROFILE        "default"
#define DEFAULT_CACHE_MAX_SIZE "20G"
#define DEFAULT_BOOT_TIMEOUT_S 30
#define GUEST_CPUS_MAX         255

enum accel_choice { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };
enum sandbox_choice { SANDBOX_AUTO, SANDBOX_REQUIRE, SANDBOX_OFF };
enum ahead_choice { AHEAD_IDLE, AHEAD_ALWAYS, AHEAD_NEVER };
enum guest_arch { ARCH_X86_64, ARCH_AARCH64 };

/* The words of provium.toml and the command line for the enums above, NULL-terminated. */
extern const char *const accel_words[], *const sandbox_words[], *const ahead_words[], *const arch_words[];

/* Exactly one of path, scratch and template is set (scratch > 0). */
struct profile_disk {
    char *path, *template;
    uint64_t scratch;
    char *id, *format, *cache, *serial; /* NULL: default */
    bool readonly, mediated;
};

struct profile {
    char *name;
    char *file;                   /* where it is declared; NULL for the built-in one */
    char *directory;              /* where its relative paths start and `build` runs */
    char *kernel;                 /* path or BUNDLED_GUEST; NULL: look in `root` */
    char *initrd;                 /* path, BUNDLED_GUEST or NULL */
    char *cmdline, *cmdline_file; /* one of them */
    char *cmdline_append;         /* from --append, or NULL */
    char *guest_os;
    bool inject_agent;
    char *agent_overlay_path;       /* or NULL */
    int64_t agent_boot_timeout_ns;  /* -1: not given */
    char *root, *build, *build_out; /* or NULL */
    char *out; /* directory that {out} stands for; NULL without build and build_out */
    struct profile_disk *disks;
    size_t disk_count;
    enum accel_choice accel;
    enum guest_arch arch;
    char *machine, *cpu; /* "auto" or a QEMU name */
    uint64_t memory;
    unsigned cpus;
};

struct config {
    char *file; /* NULL: there was none */
    struct strv roots;
    char *cache_dir; /* PROVIUM_FIXTURE_CACHE, the key or the default */
    uint64_t cache_max_size;
    enum sandbox_choice sandbox;
    enum ahead_choice ahead; /* when a machine is started ahead of need */
    bool local;              /* --vmm local: no machines, the agent runs as a process */
    struct profile *profiles; /* sorted by name, the built-in one included */
    size_t profile_count;
};

/* Loads `path`, or ./provium.toml when NULL, which may be missing. The message of a failure is one
 * complete line per problem, found in this file and in those of `from_dir`. */
struct config *config_load(const char *path, const struct environment *env, struct err *e);
void config_free(struct config *config);
DEFINE_CLEANUP(struct config, config_free)

/* ``profile `x` not found; known: a, b`` */
const struct profile *config_profile(const struct config *config, const char *name, struct err *e);
/* "a, b"; malloc'ed. */
char *config_profile_names(const struct config *config);
/* The first declared profile by name, the built-in one if there is none. */
const struct profile *config_first_profile(const struct config *config);

enum config_override_kind { OVERRIDE_KERNEL, OVERRIDE_INITRD, OVERRIDE_APPEND };
/* `text` is "[PROFILE=]VALUE" as given to --kernel, --initrd or --append; paths are relative to the
 * current directory. --append adds to what earlier ones gave, the others replace. */
int config_override(struct config *config, enum config_override_kind kind, const char *text,
                    const struct environment *env, struct err *e);
