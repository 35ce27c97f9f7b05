/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The verbs. Each is a run() of verb.h; what it does for whom stands in the table and in posternctl(1). */

#include "verb.h"

extern const Verb posternctl_verbs[];

int verb_status(Context *context, char *const *arguments);

int verb_verify(Context *context, char *const *arguments);

int verb_queue_list(Context *context, char *const *arguments);
int verb_queue_show(Context *context, char *const *arguments);
int verb_queue_flush(Context *context, char *const *arguments);

int verb_dns_query(Context *context, char *const *arguments);
int verb_dns_status(Context *context, char *const *arguments);
int verb_dns_test(Context *context, char *const *arguments);
int verb_dns_flush(Context *context, char *const *arguments);

int verb_sts_list(Context *context, char *const *arguments);
int verb_sts_show(Context *context, char *const *arguments);
int verb_sts_refresh(Context *context, char *const *arguments);

int verb_alert_list(Context *context, char *const *arguments);

int verb_cert_list(Context *context, char *const *arguments);
int verb_cert_show(Context *context, char *const *arguments);
int verb_cert_create(Context *context, char *const *arguments);
int verb_cert_request(Context *context, char *const *arguments);
int verb_cert_install(Context *context, char *const *arguments);
int verb_cert_add_intermediate(Context *context, char *const *arguments);
int verb_cert_import(Context *context, char *const *arguments);
int verb_cert_export(Context *context, char *const *arguments);
int verb_cert_export_pem(Context *context, char *const *arguments);
int verb_cert_pointer(Context *context, char *const *arguments);
int verb_cert_assign(Context *context, char *const *arguments);
int verb_cert_unassign(Context *context, char *const *arguments);
int verb_cert_rename(Context *context, char *const *arguments);
int verb_cert_delete(Context *context, char *const *arguments);
int verb_cert_forbid_export(Context *context, char *const *arguments);
int verb_cert_tlsa(Context *context, char *const *arguments);

int verb_ca_lists(Context *context, char *const *arguments);
int verb_ca_list(Context *context, char *const *arguments);
int verb_ca_show(Context *context, char *const *arguments);
int verb_ca_enable(Context *context, char *const *arguments);
int verb_ca_disable(Context *context, char *const *arguments);
int verb_ca_import(Context *context, char *const *arguments);
int verb_ca_export(Context *context, char *const *arguments);
int verb_ca_remove(Context *context, char *const *arguments);
