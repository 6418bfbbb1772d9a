/* `provium repl`: a VM, and Lua from a terminal or from a pipe. The process is what dispatcher and worker are in a run: it
 * enters the sandbox and holds the Lua state. On a terminal a failed line keeps the session, in a pipe it ends it. */
#include <editline/readline.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/guests.h"
#include "cli/preflight.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "script/repl.h"
#include "uplink/broker.h"

#define FIRST_CID   2 /* VM numbers follow it */
#define HISTORY_MAX 2000

struct repl {
    struct script *script;
    bool terminal;
    char *history; /* path */
    bool failed;
};

/* ------------------------------------------------------------------------------------------------- input */

/* What libedit's callbacks have to reach. */
static struct script *completing;
static struct strv candidates;

static char *next_candidate(const char *word, int state)
{
    static size_t at;
    if (!state) {
        strv_done(&candidates);
        repl_complete(completing, word, &candidates);
        at = 0;
    }
    return at < candidates.count ? strdup(candidates.items[at++]) : NULL; /* libedit frees it */
}

static char **complete_word(const char *word, int start, int end)
{
    (void)start, (void)end;
    rl_attempted_completion_over = 1; /* no file names */
    return rl_completion_matches(word, next_candidate);
}

static void open_terminal(struct repl *r, const struct environment *env)
{
    /* The sandbox's process group is not the terminal's yet. */
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(STDIN_FILENO, getpgrp());
    rl_readline_name = (char *)"provium";
    rl_initialize();
    rl_attempted_completion_function = complete_word;
    rl_basic_word_break_characters = " \t\n\"\\'`@$><=;|&{}()[],+-*/%^~#";
    rl_completion_append_character = '\0';
    completing = r->script;
    using_history();
    stifle_history(HISTORY_MAX);
    r->history = path_join(env->scratch_root, "repl_history");
    if (environment_make_scratch(env, NULL) == 0)
        read_history(r->history);
}

/* The next line without its end, malloc'ed; NULL at the end of the input. */
static char *read_line(const struct repl *r, const char *prompt)
{
    char *line = NULL;
    size_t size = 0;
    if (r->terminal)
        return readline(prompt);
    ssize_t n = getline(&line, &size, stdin);
    if (n < 0) {
        free(line);
        return NULL;
    }
    if (n && line[n - 1] == '\n')
        line[n - 1] = '\0';
    return line;
}

/* ------------------------------------------------------------------------------------------------- the session */

/* True when the session goes on. */
static bool take_text(struct repl *r, struct buf *text, bool last)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *all = xstrndup((const char *)buf_head(text), text->len);
    enum repl_status status = repl_eval(r->script, all, &e);
    if (status == REPL_MORE && !last)
        return true;
    if (status == REPL_MORE)
        err_set(&e, 0, "the input ends in the middle of a statement");
    buf_clear(text);
    fflush(stdout);
    if (status == REPL_DONE)
        return true;
    fprintf(stderr, "%s\n", err_message(&e));
    if (e.hint)
        fprintf(stderr, "  hint: %s\n", e.hint);
    r->failed = !r->terminal;
    return r->terminal;
}

static void converse(struct repl *r)
{
    _cleanup_buf_ struct buf text = BUF_INIT((size_t)64 << 20);
    bool on = true;
    while (on) {
        char *line = read_line(r, text.len ? ">> " : "> ");
        if (!line)
            break;
        if (r->terminal && *line)
            add_history(line);
        if (text.len)
            buf_append_byte(&text, '\n');
        buf_append_str(&text, line);
        free(line);
        if (text.len)
            on = take_text(r, &text, false);
    }
    if (text.len && !r->terminal)
        take_text(r, &text, true);
    if (r->terminal) {
        putchar('\n');
        write_history(r->history);
    }
}

/* The line that makes the VM. */
static char *first_line(const struct options *options, const struct profile *profile)
{
    const char *name = options->name ? options->name : "repl";
    if (options->fixture)
        return xasprintf("vm = provium:vm_fixture([==[%s]==])", options->fixture);
    return xasprintf("vm = provium:vm([==[%s]==], [==[%s]==]):boot()", name, profile->name);
}

static int run(const struct options *options, const struct environment *env, const struct profile *profile,
               const struct script_settings *settings, struct err *e)
{
    struct repl r = {.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    _cleanup_(pool_client_freep) struct pool_client *pool = pool_client_new(loop, -1);
    _cleanup_(script_freep) struct script *script = r.script = script_new("repl", settings, loop, pool, e);
    if (!script)
        return EXIT_USAGE;
    repl_open(script);
    _cleanup_free_ char *line = first_line(options, profile);
    int code = EXIT_TESTS_FAILED;
    if (repl_eval(script, line, e) == REPL_DONE) {
        if (r.terminal) {
            open_terminal(&r, env);
            printf("`vm` is %s of profile %s. Tab completes, Ctrl-D ends.\n",
                   options->fixture ? "the fixture" : "a VM", profile->name);
        }
        converse(&r);
        code = r.failed ? EXIT_TESTS_FAILED : 0;
    }
    script_close(script);
    strv_done(&candidates);
    free(r.history);
    return code;
}

int verb_repl(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *accel_note = NULL;
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    const char *only = config && config->profile_count == 1 ? config->profiles[0].name : NULL;
    const char *name = options->operands.count ? options->operands.items[0] : only;
    const struct profile *profile = NULL;
    if (config && !name && !options->fixture) {
        _cleanup_free_ char *names = config_profile_names(config);
        err_set(&e, 0, "repl: which profile?");
        err_hint(&e, "profiles: %s", names);
    } else if (config)
        profile = name ? config_profile(config, name, &e) : config_first_profile(config);
    if (!profile) {
        say_error(&e);
        return EXIT_USAGE;
    }
    if (!options->no_preflight && preflight(config, env) < 0)
        return EXIT_USAGE;
    bool kvm = guests_choose_kvm(options, config, env, &accel_note);
    int broker = guests_start_broker(), uplink = broker < 0 ? -1 : uplink_broker_connect(broker, NULL);
    if (guests_enter_sandbox(config->sandbox, options->quiet) < 0)
        return EXIT_USAGE;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    static const char *const here[] = {".", NULL};
    const struct script_settings settings = {
        .config = config,
        .host = {.environment = env, .kvm = kvm, .accel_note = *accel_note ? accel_note : NULL,
                 .no_build = options->no_build, .local = config->local, .run_id = "repl"},
        .first_cid = FIRST_CID,
        .roots = config->roots.count ? (const char *const *)config->roots.items : here,
        .seed = options->seed,
        .uplink = &uplink,
    };
    int code = run(options, env, profile, &settings, &e);
    close_fd(&uplink);
    if (e.message)
        say_error(&e);
    return code;
}
