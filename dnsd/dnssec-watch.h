/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sees to it that DNSSEC works and that the trust anchors are those of today: a probe at the start, each hour, soon after something
 * failed, and when told to. What it finds is in the journal, and alerted once if DNSSEC does not work. */

#include <systemd/sd-event.h>

#include "anchors.h"
#include "peer-client.h"
#include "self-test.h"

typedef struct DnssecWatch DnssecWatch;

typedef struct DnssecWatchOps {
    /* Other keys are trusted than before: a resolver with these is needed. */
    void (*trust_changed)(void *userdata);
    /* A test is over; whoever waits for one can be told. */
    void (*tested)(void *userdata);
} DnssecWatchOps;

/* alertd outlives the watch. The first test begins when dnssec_watch_configure() was called. */
int dnssec_watch_new(DnssecWatch **ret, sd_event *event, PeerClient *alertd, const DnssecWatchOps *ops, void *userdata);
DnssecWatch *dnssec_watch_free(DnssecWatch *w);
DEFINE_CLEANUP(DnssecWatch, dnssec_watch_free);

/* From now on by this configuration and with these anchors, which both outlive the watch or the next call; a test that is under
 * way is forgotten and begun anew. */
int dnssec_watch_configure(DnssecWatch *w, const DnsConfig *config, Anchors *anchors);

/* Tests now, unless it does so already. */
int dnssec_watch_test(DnssecWatch *w);
/* A lookup ended bogus or without an answer: a test is due, but not at once for each of many. */
void dnssec_watch_suspect(DnssecWatch *w);

SelfTestVerdict dnssec_watch_verdict(const DnssecWatch *w);
const char *dnssec_watch_reason(const DnssecWatch *w); /* of the last test, for people; "" before it */
uint64_t dnssec_watch_tested_usec(const DnssecWatch *w); /* since 1970; 0: not yet */
