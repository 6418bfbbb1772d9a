/* vm_fixture and lab_fixture: one call, from the key to the snapshot that lua/fixture.lua restores. */
#pragma once

#include "fixture/key.h"
#include "fixture/store.h"
#include "script/script.h"

struct fixture_use {
    struct fixture_key key;
    struct store_id id;
    struct store_lock lock; /* shared when there is a snapshot to restore, exclusive while there is none */
    bool keyed;
    bool waited;            /* for another build */
    bool hot;               /* nothing had to be unpacked */
    bool built;             /* by this call */
    bool any_kind;          /* the fixture decides */
    bool refused;           /* what was there could not be restored */
    char *snapshot;         /* what to restore */
    ino_t entry;            /* the entry's file, when it was found */
};

const char *fixture_use_name(const struct fixture_use *f);
/* Finds the entry and makes its hot form ready. *ret_there false: there is none, and this process is the one to make it. */
int fixture_use_find(struct script *s, struct fixture_use *f, bool *ret_there, struct err *e);
/* Removes the entry that was found, which cannot be restored, says why, and gives up the lock. */
int fixture_use_evict(struct script *s, struct fixture_use *f, const char *why, struct err *e);
/* Runs the fixture's file and installs what it returns. */
int fixture_use_build(struct script *s, struct fixture_use *f, struct err *e);

/* `provium fixture build`: makes the entry (`again`: even when it is there, which is told otherwise); restores nothing. */
int fixture_make(struct script *s, const char *name, bool again, int64_t file_limit_ns, struct err *e);

/* core.fixture_*, core.note_use; on the table on top. */
void fixture_open(lua_State *L);
int fixture_note_binding(lua_State *L);
/* In a fixture's build: says so when the scan has not found this file, module or fixture. The call is at `level`. */
void fixture_note_use(lua_State *L, int level, const char *call, const char *name);
