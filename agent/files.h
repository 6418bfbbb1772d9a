#pragma once

#include "call.h"

/* Operations on files by path. */
void files_read(struct call *call);
void files_write(struct call *call);
void files_stat(struct call *call);
void files_listdir(struct call *call);
void files_mkdir(struct call *call);
void files_unlink(struct call *call);
void files_rename(struct call *call);
void files_sync(struct call *call);
