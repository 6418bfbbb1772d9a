/* Calls in two halves, so that many can be under way: for batch.c. Not for callers of guest_*. */
#pragma once

#include "guest/call.h"
#include "guest/exec.h"
#include "guest/files.h"
#include "guest/kernel.h"

/* `after`: id of the call that has to be over first, or 0. The budget may be NULL. */
struct guest_call *guest_read_file_start(struct guest *g, uint64_t after, struct call_budget *budget, const char *path);
struct guest_call *guest_write_file_start(struct guest *g, uint64_t after, const char *path, const void *data, size_t n,
                                          int perm);
struct guest_call *guest_stat_start(struct guest *g, uint64_t after, const char *path, bool follow);
struct guest_call *guest_listdir_start(struct guest *g, uint64_t after, struct call_budget *budget, const char *path);
struct guest_call *guest_mkdir_start(struct guest *g, uint64_t after, const char *path, unsigned perm, bool parents);
struct guest_call *guest_unlink_start(struct guest *g, uint64_t after, const char *path);
struct guest_call *guest_rename_start(struct guest *g, uint64_t after, const char *from, const char *to);
struct guest_call *guest_syscall_start(struct guest *g, uint64_t after, const struct guest_syscall *s,
                                       struct call_budget *budget);

/* The results of calls that are done. */
int guest_stat_finish(struct guest_call *call, struct guest_stat *ret, struct err *e);
int guest_listdir_finish(struct guest_call *call, struct guest_listing *ret, struct err *e);
int guest_syscall_finish(struct guest_call *call, struct guest_syscall_result *ret, struct err *e);

/* A command: the object lives as long as its call. */
struct guest_run;
struct guest_run *guest_run_start(struct guest *g, uint64_t worker, uint64_t after, struct call_budget *budget,
                                  const struct guest_command *command);
struct guest_call *guest_run_call(struct guest_run *run);
int guest_run_finish(struct guest_run *run, struct guest_result *ret, struct err *e);
void guest_run_free(struct guest_run *run);
DEFINE_CLEANUP(struct guest_run, guest_run_free)
