/* Each iteration finds the files anew and reads the config anew; workers read it for themselves. What changes while tests
 * run is seen when they are done. A config that cannot be read is told, and waited for. */
#include "cli/watch.h"

#include <signal.h>

#include "base/alloc.h"
#include "cli/affected.h"
#include "cli/changes.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"

struct round {
    struct config *config; /* NULL: it could not be read */
    struct selection selection;
    struct dependencies *dependencies;
};

static void round_done(struct round *r)
{
    dependencies_free(r->dependencies);
    selection_done(&r->selection);
    config_free(r->config);
}

static void round_begin(struct round *r, const struct options *options, const struct environment *env)
{
    _cleanup_err_ struct err e = ERR_INIT;
    *r = (struct round){.config = setup_config(options, env, &e)};
    if (r->config && select_files(options, env, r->config, options->seed, &r->selection, &e) == 0) {
        r->dependencies = dependencies_new(&r->selection, r->config);
        return;
    }
    say_error(&e);
    config_free(r->config);
    r->config = NULL;
}

/* Roots, operands and what they use; after a failure the config, and what was watched before. */
static void watch_round(struct changes *changes, const struct round *r, const struct options *options, struct strv *last)
{
    if (r->config) {
        strv_done(last);
        for (size_t i = 0; i < r->selection.found.roots.count; i++)
            strv_add(last, r->selection.found.roots.items[i]);
        for (size_t i = 0; i < options->operands.count; i++)
            strv_add(last, options->operands.items[i]);
        dependencies_add_paths(r->dependencies, last);
    } else if (!last->count) {
        strv_add(last, options->config ? options->config : "provium.toml");
    }
    changes_watch(changes, last);
}

/* Drops the files that `changed` does not concern. */
static void keep_affected(struct round *r, const struct strv *changed)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->selection.count; i++)
        if (dependencies_affect(r->dependencies, i, changed))
            r->selection.files[kept++] = r->selection.files[i];
    r->selection.count = kept;
}

static void block_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int watch(const struct options *options, const struct environment *env, struct run_session *session, watch_run_fn run,
          void *arg)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_strv_ struct strv changed = STRV_INIT, watched = STRV_INIT;
    block_signals();
    _cleanup_(changes_freep) struct changes *changes = changes_new(run_session_loop(session));
    int signal_number = 0;
    bool first = true;
    while (!signal_number) {
        struct round r;
        round_begin(&r, options, env);
        watch_round(changes, &r, options, &watched);
        if (r.config && !first)
            keep_affected(&r, &changed);
        bool runs = r.config && (first || r.selection.count);
        if (runs) {
            selection_scan(&r.selection);
            if (!first && run_session_restart(session, &e) < 0) {
                say_warning("%s", err_message(&e));
                err_clear(&e);
            }
            run(r.config, &r.selection, &signal_number, arg);
            first = false;
        }
        if (!signal_number && (runs || !r.config))
            say_note("watching; Ctrl-C leaves");
        round_done(&r);
        strv_done(&changed);
        if (!signal_number)
            signal_number = changes_wait(changes, &changed);
    }
    return 128 + signal_number;
}
