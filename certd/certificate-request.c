/* SPDX-License-Identifier: Apache-2.0 */

/* Makes certificate signing requests: a certificate's subject, names and public key, and a proof that its key is at hand. */

#include "certificate-request.h"

#include <openssl/x509v3.h>

#include "cleanup.h"
#include "self-signed.h"

static void request_freep(X509_REQ **r)
{
    X509_REQ_free(*r);
}

static void extensions_freep(X509_EXTENSIONS **e)
{
    sk_X509_EXTENSION_pop_free(*e, X509_EXTENSION_free);
}

/* Only the SANs: usages and all else are the authority's to say. */
static int add_names(X509_REQ *request, X509 *certificate)
{
    _cleanup_(extensions_freep) X509_EXTENSIONS *extensions = NULL;
    int i = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);

    if (i < 0)
        return 0;
    if (!X509v3_add_ext(&extensions, X509_get_ext(certificate, i), -1) || X509_REQ_add_extensions(request, extensions) != 1)
        return -EIO;
    return 0;
}

int certificate_request_make(X509 *certificate, EVP_PKEY *key, X509_REQ **ret)
{
    _cleanup_(request_freep) X509_REQ *request = X509_REQ_new();

    if (!request || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1
            || X509_REQ_set_subject_name(request, X509_get_subject_name(certificate)) != 1
            || X509_REQ_set_pubkey(request, key) != 1 || add_names(request, certificate) < 0 || X509_REQ_sign(request, key, signing_digest(key)) <= 0)
        return -EIO;
    *ret = TAKE_PTR(request);
    return 0;
}
