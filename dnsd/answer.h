/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From a DNS message to a ResolveAnswer: the chain of names, the records, and how the verdicts on single hops become one.
 * Pure. */

#include "resolve.h"

/* The types that mail asks for; nothing else is served. */
#define DNS_TYPE_PTR 12
#define DNS_TYPE_DNAME 39 /* parsed, for the verdict on a hop, but not served */
bool answer_type_supported(uint16_t type);

/* Reads a message that answers (name, type), name in normal form. All hops and the whole get state; a bogus answer keeps its
 * chain but no records. Follows CNAMEs (also those made from a DNAME) whatever their order. ttl: the smallest of all records
 * used; of a negative answer that of RFC 2308, section 5. -EBADMSG: not a message, or broken. -ELOOP: the chain is longer than
 * RESOLVE_HOPS_MAX or comes back to itself. -E2BIG: more than RESOLVE_RECORDS_MAX records. */
int answer_parse(const uint8_t *message, size_t size, const char *name, uint16_t type, DnssecState state, ResolveAnswer **ret);

/* An answer without records: state is DNSSEC_ERROR or DNSSEC_BOGUS. reason is copied, with anything but printable ASCII
 * replaced. */
int answer_new_failed(const char *name, DnssecState state, const char *reason, ResolveAnswer **ret);
int answer_set_reason(ResolveAnswer *a, const char *reason);

/* The question by which hop i of a is judged: its CNAME; the DNAME above that it was made from, since the CNAME itself has no
 * signature; for the last hop type. *ret_name is the answer's. */
uint16_t answer_hop_question(const ResolveAnswer *a, size_t i, uint16_t type, const char **ret_name);

/* The verdict on hop i of a, from own, the answer to that question: for the last hop the records
 * asked for. The last one's records, rcode and ttl replace those of a, so that what is handed out is what the verdict was about.
 * An answer that says something else than the chain makes the hop indeterminate. May take what own holds; own stays the caller's
 * to free. */
void answer_judge_hop(ResolveAnswer *a, size_t i, ResolveAnswer *own);

/* After all hops are judged: the whole is as weak as its weakest hop (and never better than it was); what must not be used loses
 * its records. */
void answer_settle(ResolveAnswer *a);
