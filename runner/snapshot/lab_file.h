/* lab.json: the index of a lab snapshot, a directory. Beside it are the snapshots of its VMs, and a directory for each of its
 * sub-labs with a lab.json of its own. Every name in it is that of an entry of the same directory, so that it can be moved.
 *
 * What is checked here: that every field is there and is what it should be, that no name leads out of the directory, that
 * no two VMs, bridges or sub-labs have the same name. What is in the files is theirs to tell (snapshot_file.h). */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

#define LAB_FORMAT   1
#define LAB_FILE     "lab.json"
#define LAB_FILE_MAX (64 << 20)

/* Names of VMs' files are added to `files`, those of sub-labs' directories to `directories`; either may be NULL. */
int lab_file_check(const char *text, size_t n, struct strv *files, struct strv *directories, struct err *e);
/* Reads and checks the index of that directory, and that everything in it is there: as files and directories, not links.
 * Errors name the directory. */
int lab_file_read(const char *directory, struct buf *text, struct strv *files, struct strv *directories, struct err *e);
