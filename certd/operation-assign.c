/* SPDX-License-Identifier: Apache-2.0 */

/* Assignments on the thread of the operations: read from the file, changed, written. The loop sees them when it loads the store
 * anew. */

#include "operation-assign.h"

#include "assignments.h"
#include "user.h"

static int load(Operation *o, Assignments **ret)
{
    _cleanup_free_ char *reason = NULL;
    int r;

    r = assignments_load(ret, o->store, &reason);
    if (r < 0)
        o->reason = "the file of the assignments cannot be read; the journal says why when certd reloads";
    return r == -EBADMSG ? -EIO : r;
}

static int save(Operation *o, const Assignments *a)
{
    int r;

    r = assignments_write(a, store_dir_fd(o->store));
    if (r < 0)
        o->reason = "the file of the assignments cannot be written";
    return r;
}

int operation_assign(Operation *o)
{
    _cleanup_(assignments_freep) Assignments *a = NULL;
    const char *name;
    UseKind kind;
    uid_t uid = 0;
    int r;

    if (use_parse(o->use, &kind, &name) < 0) {
        o->reason = "the uses are listener:NAME, delivery and user:LOGIN";
        return -EINVAL;
    }
    if (!store_exists(o->store, o->name)) {
        o->reason = "there is no such certificate";
        return -ENOENT;
    }
    r = kind == USE_USER ? user_lookup(name, &uid, &o->reason) : 0;
    if (r < 0)
        return r;
    r = load(o, &a);
    if (r < 0)
        return r;
    r = assignments_add(a, o->name, o->use, uid);
    if (r == -E2BIG)
        o->reason = "there are too many assignments";
    return r <= 0 ? r : save(o, a);
}

/* What is assigned may be gone by now, or never have been valid: so only the table is asked. */
int operation_unassign(Operation *o)
{
    _cleanup_(assignments_freep) Assignments *a = NULL;
    int r;

    r = load(o, &a);
    if (r < 0)
        return r;
    if (assignments_remove(a, o->name, o->use) < 0) {
        o->reason = "it is not assigned to this";
        return -ENXIO;
    }
    return save(o, a);
}

int operation_rename(Operation *o)
{
    _cleanup_(assignments_freep) Assignments *a = NULL;
    int r;

    r = load(o, &a);
    if (r < 0)
        return r;
    /* A name that is none is the store's to refuse. */
    if (!assignments_next(a, o->name, NULL) || !certificate_name_valid(o->new_name))
        return store_rename(o->store, o->name, o->new_name, &o->reason);
    assignments_begin_rename(a, o->name, o->new_name);
    r = save(o, a);
    if (r < 0)
        return r;
    r = store_rename(o->store, o->name, o->new_name, &o->reason);
    assignments_settle(a, r >= 0);
    /* Should this fail, what was written before tells the same, by what the store has. */
    (void) assignments_write(a, store_dir_fd(o->store));
    return r;
}

int operation_delete(Operation *o)
{
    _cleanup_(assignments_freep) Assignments *a = NULL, *before = NULL;
    int r;

    r = load(o, &a);
    if (r >= 0)
        r = load(o, &before);
    if (r < 0)
        return r;
    if (assignments_next(a, o->name, NULL) && !o->force) {
        o->reason = "it is assigned to a use";
        return -EBUSY;
    }
    r = assignments_forget(a, o->name) > 0 ? save(o, a) : 0;
    if (r < 0)
        return r;
    r = store_remove(o->store, o->name, &o->reason);
    if (r < 0 && !assignments_equal(a, before))
        (void) assignments_write(before, store_dir_fd(o->store));
    return r;
}
