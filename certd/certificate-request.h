/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificate signing requests (PKCS#10, RFC 2986). Pure. */

#include <openssl/evp.h>
#include <openssl/x509.h>

/* A request for the subject and the SANs of certificate, signed with its key. -EIO if OpenSSL fails. */
int certificate_request_make(X509 *certificate, EVP_PKEY *key, X509_REQ **ret);
