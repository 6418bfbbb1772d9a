/* The checks of `provium doctor` and of the preflight. Each adds one or more findings. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cli/options.h"
#include "config/config.h"

enum check_status { CHECK_OK, CHECK_WARN, CHECK_FAIL };

struct check {
    enum check_status status;
    const char *name;
    char *finding, *fix; /* fix: NULL when there is nothing to do */
};

struct check_list {
    struct check *items;
    size_t count;
};

void check_list_done(struct check_list *list);
/* `fix` is copied and may be NULL. */
void check_add(struct check_list *list, enum check_status status, const char *name, const char *fix,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

/* QEMU is there, answers, is new enough and has the devices that guests get. */
void check_hypervisor(struct check_list *list, const struct environment *env, enum guest_arch arch);
/* Whether a declared profile (or the built-in one, if there are none) is for this architecture. */
bool arch_is_used(const struct config *config, enum guest_arch arch);
/* Whether KVM runs guests; it must where a profile has accel = "kvm". `config` may be NULL. */
void check_kvm(struct check_list *list, const struct config *config, const struct environment *env);
/* The files of each declared profile. */
void check_profiles(struct check_list *list, const struct config *config,
                    const struct environment *env);
/* The directory for temporary files of a run. */
void check_temporary(struct check_list *list, const struct environment *env);
/* Cache and scratch directories: writable, free space, sparse files, reflinks. Without them
 * everything works, at the cost of doing it again each time. */
void check_storage(struct check_list *list, const struct config *config,
                   const struct environment *env);
/* Whether the sandbox can be entered; `config` may be NULL. */
void check_sandbox(struct check_list *list, const struct config *config);
/* Memory, CPUs and open files, as the pool will use them. */
void check_limits(struct check_list *list, const struct options *options);
/* Comfort and speed. */
void check_pressure(struct check_list *list);
void check_ksm(struct check_list *list);
void check_watches(struct check_list *list);
void check_coverage(struct check_list *list, const struct environment *env);
void check_terminal(struct check_list *list);
/* Boots a guest; tells how long each phase took. */
struct launch_host;
void check_boot(struct check_list *list, const struct profile *profile, const struct launch_host *host);
