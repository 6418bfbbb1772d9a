#include "pool/worker.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/setup.h"
#include "events/event.h"
#include "pool/client.h"
#include "script/script.h"

#define VMS_PER_FILE 10000 /* room for VM numbers of one file within the run's */

void worker_run_pack(const struct worker_run *run, struct buf *out)
{
    struct packer p = {.to = out};
    pack_map(&p, 5);
    pack_str(&p, "roots");
    pack_array(&p, (uint32_t)run->roots.count);
    for (size_t i = 0; i < run->roots.count; i++)
        pack_str(&p, run->roots.items[i]);
    pack_str(&p, "kvm");
    pack_bool(&p, run->kvm);
    pack_str(&p, "accel_note");
    pack_str(&p, run->accel_note);
    pack_str(&p, "run_dir");
    pack_str(&p, run->run_dir);
    pack_str(&p, "seed");
    pack_int(&p, (int64_t)run->seed);
}

struct job {
    char *path;
    int64_t index;
    struct worker_run run;
};

static void job_done(struct job *job)
{
    free(job->path);
    strv_done(&job->run.roots);
    free(job->run.accel_note);
    free(job->run.run_dir);
}

static void unpack_job(const struct event *ev, struct job *job)
{
    struct bytes run = {0}, roots, root;
    uint32_t count;
    int64_t seed = 0;
    job->path = payload_string(ev->payload, "path");
    payload_int(ev->payload, "index", &job->index);
    payload_value(ev->payload, "run", &run);
    if (payload_value(run, "roots", &roots)) {
        struct unpacker u = unpacker_of(roots);
        if (!unpack_array(&u, &count))
            while (count-- && !unpack_bytes(&u, &root))
                strv_take(&job->run.roots, xstrndup((const char *)root.data, root.len));
    }
    payload_bool(run, "kvm", &job->run.kvm);
    payload_int(run, "seed", &seed);
    job->run.seed = (uint64_t)seed;
    job->run.accel_note = payload_string(run, "accel_note");
    job->run.run_dir = payload_string(run, "run_dir");
}

/* Blocks for the first frame. */
static int receive_job(int fd, struct job *job)
{
    _cleanup_buf_ struct buf in = BUF_INIT(EVENT_FRAME_MAX);
    struct event ev;
    int found;
    while (!(found = event_next(&in, &ev, NULL))) {
        uint8_t *to = buf_reserve(&in, 1);
        if (!to || read_full(fd, to, 1) != 1)
            return -1;
        buf_commit(&in, 1);
    }
    if (found < 0)
        return -1;
    unpack_job(&ev, job);
    return 0;
}

static json_t *string_array(const struct strv *v)
{
    json_t *array = json_array();
    for (size_t i = 0; i < v->count; i++)
        json_array_append_new(array, json_string(v->items[i]));
    return array;
}

/* "K=V" items as [[K, [V, V…]], …], keys in order of first use. */
static json_t *pair_array(const struct strv *v)
{
    json_t *out = json_array();
    for (size_t i = 0; i < v->count; i++) {
        const char *text = v->items[i], *equals = strchr(text, '=');
        _cleanup_free_ char *key = xstrndup(text, (size_t)(equals - text));
        json_t *values = NULL, *pair;
        size_t at;
        json_array_foreach(out, at, pair)
        {
            if (!strcmp(json_string_value(json_array_get(pair, 0)), key))
                values = json_array_get(pair, 1);
        }
        if (!values) {
            values = json_array();
            json_array_append_new(out, json_pack("[s, o]", key, values));
        }
        json_array_append_new(values, json_string(equals + 1));
    }
    return out;
}

/* The filter map of lua/framework.lua; malloc'ed. */
static char *filter_json(const struct options *o)
{
    json_t *filter = json_pack("{s:b, s:o, s:o, s:o, s:o}", "include_slow", o->include_slow, "tags",
                               string_array(&o->tags), "no_tags", string_array(&o->no_tags), "tag_meta",
                               pair_array(&o->tag_meta), "no_tag_meta", pair_array(&o->no_tag_meta));
    char *text = filter ? json_dumps(filter, JSON_COMPACT) : NULL;
    json_decref(filter);
    return text;
}

static void emit_text(struct pool_client *client, const char *kind, const char *message)
{
    _cleanup_buf_ struct buf payload = BUF_INIT(1 << 20);
    struct packer p = {.to = &payload};
    pack_map(&p, 1);
    pack_str(&p, "message");
    pack_str(&p, message);
    pool_client_emit(client, kind, &payload);
}

static int run_file(const struct job *job, struct pool_client *client, struct loop *loop, const struct options *options,
                    struct environment *environment, const struct config *config)
{
    _cleanup_err_ struct err e = ERR_INIT;
    const struct script_settings settings = {
        .config = config,
        .host = {.environment = environment,
                 .kvm = job->run.kvm,
                 .accel_note = *job->run.accel_note ? job->run.accel_note : NULL,
                 .no_build = options->no_build,
                 .run_dir = *job->run.run_dir ? job->run.run_dir : NULL},
        .first_cid = 2 + (unsigned)job->index * VMS_PER_FILE,
        .roots = (const char *const *)job->run.roots.items,
        .quiet_stdout = options->json,
        .show_progress = !options->quiet && !options->no_progress,
        .seed = job->run.seed,
    };
    _cleanup_(script_freep) struct script *script = script_new(job->path, &settings, loop, client, &e);
    if (!script) {
        emit_text(client, "worker_chunk_error", err_message(&e));
        return 0;
    }
    _cleanup_free_ char *filter = filter_json(options);
    if (script_run(script, filter, options->timeout_ns, &e) < 0)
        emit_text(client, "worker_chunk_error", err_message(&e));
    if (*script->deadline.file_message)
        emit_text(client, "worker_timed_out", script->deadline.file_message);
    return 0;
}

int worker_main(int link_fd, const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(job_done) struct job job = {0};
    fd_set_cloexec(link_fd, true);
    signal(SIGPIPE, SIG_IGN);
    if (receive_job(link_fd, &job) < 0)
        return 1;
    _cleanup_(environment_freep) struct environment *environment = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, environment, &e);
    if (!config) {
        fprintf(stderr, "%s\n", err_message(&e)); /* the file changed under us: the dispatcher could load it */
        return 1;
    }
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    _cleanup_(pool_client_freep) struct pool_client *client = pool_client_new(loop, link_fd);
    int code = run_file(&job, client, loop, options, environment, config);
    emit_text(client, "worker_done", "");
    return code;
}
