/* A QEMU Machine Protocol client (docs/interop/qmp-spec.txt in QEMU) over one connected stream socket.
 * It knows no VM: commands, replies, events, and the end of the connection. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "loop/loop.h"

struct qmp;

/* `data` is borrowed and may be NULL. */
typedef void (*qmp_event_fn)(const char *event, json_t *data, void *arg);
/* The connection ended; later calls fail. Called at most once, never from within qmp_free. */
typedef void (*qmp_closed_fn)(void *arg);

/* Takes `fd`. Capabilities are negotiated in the background; calls made before wait for it. */
struct qmp *qmp_new(struct loop *loop, int fd, qmp_event_fn on_event, qmp_closed_fn on_closed, void *arg);
/* Others hear of events and of the end from now on. */
void qmp_tell(struct qmp *qmp, qmp_event_fn on_event, qmp_closed_fn on_closed, void *arg);
void qmp_free(struct qmp *qmp);
DEFINE_CLEANUP(struct qmp, qmp_free)

/* Waits for the greeting. *ret is QEMU's version, "7.2.22 (Debian …)", and lives as long as the connection's object. */
int qmp_version(struct qmp *qmp, int64_t deadline, const char **ret, struct err *e);
/* Runs one command and waits for its reply. `arguments` is stolen and may be NULL. `fds` go along by SCM_RIGHTS
 * (for getfd, add-fd). *ret is a new reference when `ret` is not NULL. Error: the command's name, QEMU's text. */
int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, int64_t deadline, json_t **ret,
             struct err *e);
/* Sends a command; nobody waits for the reply. `arguments` is stolen and may be NULL. */
void qmp_send(struct qmp *qmp, const char *command, json_t *arguments);
/* Delivers what has arrived already, events included, without waiting. */
void qmp_drain(struct qmp *qmp);
int qmp_call_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd, int64_t deadline,
                json_t **ret, struct err *e);
