/* Both are JSON. The record of a user names files by canonical path, because it serves all projects; a file of
 * durations that goes with a project names them as they are shown. */
#include "cli/history.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/file.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/say.h"

#define SHARED_NAME "provium-durations.json"

struct history {
    json_t *durations; /* shown path → seconds */
    json_t *failed;    /* array of canonical paths */
};

struct durations {
    json_t *table;
    bool canonical;
};

struct history *history_new(void)
{
    struct history *h = xnew0(struct history);
    h->durations = json_object();
    h->failed = json_array();
    return h;
}

void history_free(struct history *h)
{
    if (!h)
        return;
    json_decref(h->durations);
    json_decref(h->failed);
    free(h);
}

void history_note(struct history *h, const struct file_result *r)
{
    _cleanup_free_ char *shown = xstrdup(r->source ? r->source : r->path);
    char *repeat = r->source ? NULL : strrchr(shown, '#');
    if (repeat && repeat[1] && !repeat[1 + strspn(repeat + 1, "0123456789")])
        *repeat = '\0';
    json_object_set_new(h->durations, shown, json_real((double)r->duration_ns / 1e9));
    _cleanup_free_ char *canonical = r->source && r->status != FILE_PASSED ? realpath(r->source, NULL) : NULL;
    if (canonical)
        json_array_append_new(h->failed, json_string(canonical));
}

static int write_json(const char *path, const json_t *value, struct err *e)
{
    _cleanup_free_ char *text = json_dumps(value, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
    _cleanup_free_ char *directory = path_directory(path);
    if (dir_create_all(directory, 0700, e) < 0)
        return -1;
    return file_write_atomic(path, text, strlen(text), 0644, false, e);
}

/* Held while a record is read, changed and written; runs that share it take turns. -1: no lock, which costs only that. */
static int lock_directory_of(const char *path)
{
    _cleanup_free_ char *directory = path_directory(path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX) < 0)
        close_fd(&fd);
    return fd;
}

static int update_durations(const json_t *news, const char *path, bool canonical, struct err *e)
{
    const char *shown;
    _cleanup_close_ int lock = lock_directory_of(path);
    json_t *seconds, *table = json_load_file(path, 0, NULL);
    if (!json_is_object(table)) {
        json_decref(table);
        table = json_object();
    }
    json_object_foreach((json_t *)news, shown, seconds)
    {
        _cleanup_free_ char *real = canonical ? realpath(shown, NULL) : NULL;
        json_object_set(table, real ? real : shown, seconds);
    }
    int rc = write_json(path, table, e);
    json_decref(table);
    return rc;
}

int history_write_durations(const struct history *h, const char *file, struct err *e)
{
    return update_durations(h->durations, file, false, e);
}

static char *own_durations(const struct environment *env)
{
    return path_join(env->scratch_root, "durations.json");
}

void history_save(const struct history *h, const struct environment *env, const char *durations_file)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *own = own_durations(env);
    if (environment_make_scratch(env, &e) < 0) {
        say_warning("no record of this run: %s", err_message(&e));
        return;
    }
    if (update_durations(h->durations, own, true, &e) < 0 ||
        (durations_file && update_durations(h->durations, durations_file, false, &e) < 0))
        say_warning("durations: %s", err_message(&e));
    if (!json_array_size(h->failed))
        return;
    json_t *state = json_pack("{s:O}", "failed", h->failed);
    if (write_json(env->rerun_state, state, &e) < 0)
        say_warning("--rerun-failed will not work: %s", err_message(&e));
    json_decref(state);
}

bool history_failed(const struct environment *env, struct strv *out)
{
    size_t i;
    json_t *path, *state = json_load_file(env->rerun_state, 0, NULL);
    json_t *failed = json_object_get(state, "failed");
    bool found = json_is_array(failed);
    json_array_foreach(failed, i, path)
    {
        if (json_is_string(path))
            strv_add(out, json_string_value(path));
    }
    json_decref(state);
    return found;
}

/* ------------------------------------------------------------------------------------------------- durations */

struct durations *durations_load(const char *file, const char *directory, const struct environment *env, struct err *e)
{
    json_error_t problem;
    _cleanup_(durations_freep) struct durations *d = xnew0(struct durations);
    _cleanup_free_ char *shared = path_join(directory, SHARED_NAME), *own = own_durations(env);
    if (file && access(file, F_OK) == 0) {
        d->table = json_load_file(file, 0, &problem);
        if (!json_is_object(d->table)) {
            err_set(e, 0, "--durations: `%s`: %s", file, d->table ? "not a JSON object" : problem.text);
            return NULL;
        }
        return steal_ptr(d);
    }
    if (!file)
        d->table = json_load_file(shared, 0, NULL);
    if (!file && !d->table) {
        d->table = json_load_file(own, 0, NULL);
        d->canonical = true;
    }
    return steal_ptr(d);
}

void durations_free(struct durations *d)
{
    if (!d)
        return;
    json_decref(d->table);
    free(d);
}

bool durations_are_shared(const struct durations *d)
{
    return !d->canonical;
}

double durations_of(const struct durations *d, const char *path)
{
    _cleanup_free_ char *real = d->canonical ? realpath(path, NULL) : NULL;
    json_t *seconds = json_object_get(d->table, real ? real : path);
    return json_is_number(seconds) ? json_number_value(seconds) : -1;
}
