/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What polkit is asked about callers who are not root. Each is declared in units/org.postern.policy, with who may do it by default
 * and with the daemons that ask; a test compares. Names are API: administrators write rules about them. */

#define ACTION_EXPORT_CERTIFICATE "org.postern.export-certificate"
#define ACTION_MANAGE_CERTIFICATES "org.postern.manage-certificates"
#define ACTION_MANAGE_DAEMONS "org.postern.manage-daemons"
#define ACTION_MANAGE_QUEUE "org.postern.manage-queue"
#define ACTION_QUERY_DNS "org.postern.query-dns"
#define ACTION_READ_ALERTS "org.postern.read-alerts"
#define ACTION_READ_QUEUE "org.postern.read-queue"
#define ACTION_VERIFY_DESTINATION "org.postern.verify-destination"
