/* SPDX-License-Identifier: Apache-2.0 */

/* Page after page of a list. It must end whatever a daemon answers: keys have to grow. */

#include "paged-list.h"

/* Returns how many rows there were; after becomes the last key. */
static int read_page(const PagedList *list, sd_bus_message *m, Table *t, char after[PAGED_LIST_KEY_MAX])
{
    const char *key;
    int r, n = 0;

    r = sd_bus_message_enter_container(m, 'a', list->row);
    if (r < 0)
        return r;
    for (; (r = list->read(m, t, &key)) > 0; n++) {
        if (strlen(key) >= PAGED_LIST_KEY_MAX || strcmp(key, after) <= 0)
            return -EBADMSG;
        (void) strcpy(after, key);
    }
    return r < 0 ? r : n;
}

int paged_list_show(Context *context, const PagedList *list)
{
    _cleanup_(table_freep) Table *t = NULL;
    const Output *o = &context->output;
    char after[PAGED_LIST_KEY_MAX] = "";
    uint64_t total = 0;
    int r;

    r = table_new(&t, list->columns, list->n_columns);
    if (r < 0)
        return r;
    for (;;) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        r = bus_call(context->bus, list->method, &reply, &context->failure, "s", after);
        if (r >= 0)
            r = bus_reply_check(list->method, read_page(list, reply, t, after), &context->failure);
        if (r < 0)
            return r;
        if (r == 0)
            break;
        total += (uint64_t) r;
        context_page(context);
        r = table_flush(t, o);
        if (r < 0 || ferror(o->file)) /* whoever reads it has seen enough */
            return r;
    }
    r = table_end(t, o);
    if (r >= 0)
        output_sum(o, total, list->one, list->many);
    return r;
}
