/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What people want to know of a certificate beside what certd itself uses. Pure; all of it is public. */

#include "certificate.h"

typedef struct CertificateDetails {
    char *issuer; /* RFC 2253 */
    char *serial; /* "0A:1B:…" as the fingerprints */
    char *sha256, *sha1;
    char *tlsa;
    char *authority_tlsa; /* "2 1 1 …"; NULL: the certificate that signed it is not in its chain */
    char **names; /* SANs: DNS names and IP addresses; NULL-ended, never NULL itself */
    bool qualified; /* all its DNS names are, see certificate_names_all_qualified() */
    uint32_t key_bits, chain_length;
} CertificateDetails;

/* -EBADMSG, -ENOMEM; then ret is as it was. */
int certificate_details(const Certificate *c, CertificateDetails *ret);
void certificate_details_done(CertificateDetails *d);
