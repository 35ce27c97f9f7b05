/* SPDX-License-Identifier: Apache-2.0 */

/* The command-line front of all daemons: each verb is a call or two of their bus interfaces, shown well. It has no privileges of
 * its own, and must never do what cannot be done with busctl, too. */

#include <locale.h>

#include "invocation.h"
#include "pager.h"
#include "verbs.h"

static int print_failure(const Failure *f, int r)
{
    if (f->status == 0 || !f->text)
        (void) fprintf(stderr, "posternctl: %s\n", strerror(r == -ECANCELED ? ENOMEM : -r));
    else
        (void) fprintf(stderr, "posternctl: %s\n", f->text);
    return f->status != 0 ? f->status : EXIT_FAILURE;
}

static Output output_for(const Invocation *i)
{
    const OutputJson automatic = isatty(STDOUT_FILENO) ? OUTPUT_JSON_PRETTY : OUTPUT_JSON_SHORT;

    return output_standard(i->json_auto ? automatic : i->json, i->legend, i->pager, i->full);
}

static int run(int argc, char *argv[], Failure *failure)
{
    _cleanup_(bus_connection_freep) BusConnection *bus = NULL;
    Context context;
    Invocation i;
    int r, status;

    (void) setlocale(LC_TIME, "");
    r = invocation_parse(posternctl_verbs, argc, argv, &i, failure);
    if (r < 0)
        return r;
    if (i.version) {
        printf("posternctl %s\n", POSTERN_VERSION);
        return 0;
    }
    context = (Context) {.invocation = &i, .output = output_for(&i)};
    if (i.help) {
        context_page(&context);
        verb_help(stdout, posternctl_verbs, i.group, i.verb);
        pager_close(context.pager);
        return 0;
    }
    r = bus_connection_new(&bus, i.host);
    if (r < 0)
        return r;
    context.bus = bus;
    status = i.verb->run(&context, i.arguments);
    *failure = context.failure;
    r = output_finish(&context.output);
    pager_close(context.pager);
    return status < 0 ? status : r < 0 ? r : status;
}

int main(int argc, char *argv[])
{
    _cleanup_(failure_done) Failure failure = {};
    int r;

    r = run(argc, argv, &failure);
    return r < 0 ? print_failure(&failure, r) : r;
}
