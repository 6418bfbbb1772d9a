#include "pool/worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "events/event.h"
#include "events/payload.h"
#include "pool/client.h"
#include "script/fixture.h"
#include "script/library.h"
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
    pack_str(&p, "run_id");
    pack_str(&p, run->run_id);
    pack_str(&p, "seed");
    pack_int(&p, (int64_t)run->seed);
}

struct job {
    char *path;
    int64_t index;
    int uplink; /* connection to the broker, or -1; the network's in the end */
    struct library *library;
    struct worker_run run;
};

static void job_done(struct job *job)
{
    close_fd(&job->uplink);
    library_close(job->library);
    free(job->path);
    strv_done(&job->run.roots);
    free(job->run.accel_note);
    free(job->run.run_id);
}

static void unpack_job(const struct event *ev, struct job *job)
{
    struct bytes run = {0}, roots, root;
    uint32_t count;
    int64_t seed = 0, uplink = -1, library = -1;
    job->path = payload_string(ev->payload, "path");
    payload_int(ev->payload, "index", &job->index);
    payload_int(ev->payload, "uplink", &uplink);
    payload_int(ev->payload, "library", &library);
    job->uplink = (int)uplink;
    job->library = library_open((int)library);
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
    job->run.run_id = payload_string(run, "run_id");
}

/* Blocks for the first frame; what comes behind it stays in the socket. */
static int receive_job(int fd, struct job *job)
{
    _cleanup_buf_ struct buf in = BUF_INIT(EVENT_FRAME_MAX + 4);
    struct event ev;
    uint8_t head[4];
    if (read_full(fd, head, sizeof(head)) != sizeof(head))
        return -1;
    size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    buf_append(&in, head, sizeof(head));
    uint8_t *to = buf_reserve(&in, size);
    if (!to || read_full(fd, to, size) != (ssize_t)size)
        return -1;
    buf_commit(&in, size);
    if (event_next(&in, &ev, NULL) <= 0)
        return -1;
    unpack_job(&ev, job);
    return 0;
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

static void run_file(struct job *job, struct pool_client *client, struct loop *loop,
                     const struct worker_settings *w)
{
    _cleanup_err_ struct err e = ERR_INIT;
    const struct script_settings settings = {
        .config = w->config,
        .host = {.environment = w->environment,
                 .kvm = job->run.kvm,
                 .accel_note = *job->run.accel_note ? job->run.accel_note : NULL,
                 .no_build = w->no_build,
                 .local = w->config->local,
                 .run_id = job->run.run_id},
        .first_cid = 2 + (unsigned)job->index * VMS_PER_FILE,
        .roots = (const char *const *)job->run.roots.items,
        .show_progress = w->show_progress,
        .seed = job->run.seed,
        .library = job->library,
        .uplink = &job->uplink,
    };
    _cleanup_(script_freep) struct script *script = script_new(job->path, &settings, loop, client, &e);
    if (!script) {
        emit_text(client, "worker_chunk_error", err_message(&e));
        return;
    }
    int result = w->fixture ? fixture_make(script, w->fixture, w->build_again, w->timeout_ns, &e)
                            : script_run(script, w->filter_json, w->timeout_ns, &e);
    if (result < 0)
        emit_text(client, "worker_chunk_error", err_message(&e));
    if (*script->deadline.file_message)
        emit_text(client, script->deadline.interrupted ? "worker_interrupted" : "worker_timed_out",
                  script->deadline.file_message);
}

int worker_main(int link_fd, const struct worker_settings *settings)
{
    _cleanup_(job_done) struct job job = {.uplink = -1};
    fd_set_cloexec(link_fd, true);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0); /* a pipe, but what it says should not be lost with the process */
    if (receive_job(link_fd, &job) < 0)
        return 1;
    if (job.uplink >= 0)
        fd_set_cloexec(job.uplink, true);
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    _cleanup_(pool_client_freep) struct pool_client *client = pool_client_new(loop, link_fd);
    run_file(&job, client, loop, settings);
    emit_text(client, "worker_done", "");
    return 0;
}
