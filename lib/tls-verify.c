/* SPDX-License-Identifier: Apache-2.0 */

/* PKIX verification on top of OpenSSL's, and the words for what comes of it. What is decided here: which of OpenSSL's many errors
 * is which of our few, and which names count. It must never call a peer verified by the absence of an error alone: a chain must
 * have been built, to a store that was there. */

#include "tls-verify.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certificate-names.h"
#include "tls-pin.h"

static const struct {
    const char *name, *explanation;
} results[_TLS_VERIFY_MAX] = {
    [TLS_VERIFY_NONE] = {"none", ""},
    [TLS_VERIFY_DANE] = {"dane", ""},
    [TLS_VERIFY_DANE_MX_INSECURE] = {"dane-mx-insecure", ""},
    [TLS_VERIFY_PKIX] = {"pkix", ""},
    [TLS_VERIFY_PKIX_MX_INSECURE] = {"pkix-mx-insecure", ""},
    [TLS_VERIFY_PINNED] = {"pinned", ""},
    [TLS_VERIFY_NO_AUTHORITIES] = {"no-authorities", "the enabled authorities are not known, certd does not give them"},
    [TLS_VERIFY_NO_CERTIFICATE] = {"no-certificate", "peer has no certificate"},
    [TLS_VERIFY_SELF_SIGNED] = {"self-signed", "certificate is self-signed"},
    [TLS_VERIFY_CHAIN_INCOMPLETE] = {"chain-incomplete",
            "chain is incomplete: the issuer of the certificate was not sent and is no enabled authority"},
    [TLS_VERIFY_UNTRUSTED] = {"untrusted", "chain does not end at an enabled authority"},
    [TLS_VERIFY_EXPIRED] = {"expired", "certificate has expired"},
    [TLS_VERIFY_NOT_YET_VALID] = {"not-yet-valid", "certificate is not yet valid"},
    [TLS_VERIFY_WRONG_PURPOSE] = {"wrong-purpose", "certificate is for another purpose"},
    [TLS_VERIFY_TOO_WEAK] = {"too-weak", "certificate has a weak key or signature"},
    [TLS_VERIFY_INVALID] = {"invalid", "chain is against the rules for certificates"},
    [TLS_VERIFY_NAME_MISMATCH] = {"name-mismatch", "certificate is for another host name"},
    [TLS_VERIFY_TLSA_MISMATCH] = {"tlsa-mismatch", "certificate does not match any TLSA record"},
    [TLS_VERIFY_PIN_MISMATCH] = {"pin-mismatch", "certificate is none of those configured for the destination"},
    [TLS_VERIFY_OTHER_AUTHORITY] = {"other-authority",
            "chain goes through none of the authorities configured for the destination"},
    [TLS_VERIFY_UNQUALIFIED_NAME] = {"unqualified-name", "certificate has a name that is not fully qualified"},
};

const char *tls_verify_to_string(TlsVerify v)
{
    return (size_t) v < ELEMENTSOF(results) ? results[v].name : NULL;
}

const char *tls_verify_explain(TlsVerify v)
{
    return (size_t) v < ELEMENTSOF(results) ? results[v].explanation : NULL;
}

bool tls_verify_succeeded(TlsVerify v)
{
    return v >= TLS_VERIFY_DANE && v <= TLS_VERIFY_PINNED;
}

TlsVerify tls_verify_from_error(long error, size_t sent)
{
    switch (error) {
    case X509_V_OK:
        return TLS_VERIFY_PKIX;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return TLS_VERIFY_SELF_SIGNED;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        /* What is missing cannot be told for sure from what is there; a public authority's server that sends one certificate has
         * forgotten the intermediates. */
        return sent == 1 ? TLS_VERIFY_CHAIN_INCOMPLETE : TLS_VERIFY_UNTRUSTED;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
        return TLS_VERIFY_UNTRUSTED;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return TLS_VERIFY_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return TLS_VERIFY_NOT_YET_VALID;
    case X509_V_ERR_INVALID_PURPOSE:
        return TLS_VERIFY_WRONG_PURPOSE;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return TLS_VERIFY_TOO_WEAK;
    case X509_V_ERR_HOSTNAME_MISMATCH:
        return TLS_VERIFY_NAME_MISMATCH;
    case X509_V_ERR_DANE_NO_MATCH:
        return TLS_VERIFY_TLSA_MISMATCH;
    default:
        return TLS_VERIFY_INVALID;
    }
}

bool tls_name_matches(X509 *certificate, const char *name, TlsNameRule rule)
{
    unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    bool matches;

    if (rule == TLS_NAMES_ANY)
        flags |= X509_CHECK_FLAG_ALWAYS_CHECK_SUBJECT;
    else if (rule == TLS_NAMES_DNS)
        flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    /* OpenSSL would take a name with a dot in front for all names below it. */
    if (*name == '\0' || *name == '.')
        return false;
    matches = X509_check_host(certificate, name, 0, flags, NULL) == 1;
    ERR_clear_error();
    return matches;
}

static bool goes_through(const STACK_OF(X509) *chain, const char *const *authorities)
{
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (tls_pins_match(sk_X509_value(chain, i), authorities))
            return true;
    return false;
}

static TlsVerify match_names(X509 *certificate, const TlsReference *reference)
{
    for (const char *const *name = reference->names; name && *name; name++)
        if (tls_name_matches(certificate, *name, reference->rule))
            return TLS_VERIFY_PKIX;
    if (reference->insecure_name && tls_name_matches(certificate, reference->insecure_name, reference->rule))
        return TLS_VERIFY_PKIX_MX_INSECURE;
    return TLS_VERIFY_NAME_MISMATCH;
}

int tls_verify_arm(SSL *ssl, X509_STORE *store)
{
    /* Without one OpenSSL takes the context's, which is empty and must stay so. */
    if (store && SSL_set1_verify_cert_store(ssl, store) != 1)
        return -ENOMEM;
    if (X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST) != 1)
        return -ENOMEM;
    return 0;
}

static bool has_store(SSL *ssl)
{
    X509_STORE *store = NULL;

    return SSL_get0_verify_cert_store(ssl, &store) == 1 && store;
}

TlsVerify tls_verify_result(SSL *ssl, const TlsReference *reference)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    const STACK_OF(X509) *sent = SSL_get_peer_cert_chain(ssl);
    TlsVerify v;

    if (!certificate)
        return TLS_VERIFY_NO_CERTIFICATE;
    /* As DANE-EE (RFC 7671, section 5.1): a pin says all, so that neither names nor dates can say more. */
    if (reference && reference->pins) {
        if (!tls_pins_match(certificate, reference->pins))
            return TLS_VERIFY_PIN_MISMATCH;
        if (!reference->pins_and_chain)
            return TLS_VERIFY_PINNED;
    }
    if (!has_store(ssl))
        return TLS_VERIFY_NO_AUTHORITIES;
    /* A server's list of what a client sent begins behind the client's own certificate. */
    v = tls_verify_from_error(SSL_get_verify_result(ssl), (size_t) MAX(sk_X509_num(sent), 0) + (SSL_is_server(ssl) ? 1 : 0));
    if (v != TLS_VERIFY_PKIX)
        return v;
    /* "No error" is also what there is where nothing was verified. */
    if (!SSL_get0_verified_chain(ssl))
        return TLS_VERIFY_INVALID;
    if (!reference)
        return v;
    if (reference->authorities && !goes_through(SSL_get0_verified_chain(ssl), reference->authorities))
        return TLS_VERIFY_OTHER_AUTHORITY;
    v = match_names(certificate, reference);
    if (tls_verify_succeeded(v) && reference->qualified && !certificate_names_all_qualified(certificate))
        return TLS_VERIFY_UNQUALIFIED_NAME;
    return v;
}

/* In place of OpenSSL's call, which would end the handshake when it fails. Its first error stays to be asked for. */
static int verify_and_go_on(X509_STORE_CTX *context, void *userdata)
{
    (void) X509_verify_cert(context);
    return 1;
}

void tls_verify_prepare_server(SSL_CTX *ctx)
{
    SSL_CTX_set_cert_verify_callback(ctx, verify_and_go_on, NULL);
}

int tls_verify_ask_client(SSL *ssl, X509_STORE *store)
{
    static const unsigned char session_context[] = "postern-verify";
    int r;

    r = tls_verify_arm(ssl, store);
    if (r < 0)
        return r;
    /* Tickets of sessions that asked nobody are not taken either: they belong to another session context. */
    (void) SSL_set_options(ssl, SSL_OP_NO_TICKET);
    if (SSL_set_num_tickets(ssl, 0) != 1)
        return -ENOMEM;
    if (SSL_set_session_id_context(ssl, session_context, sizeof(session_context) - 1) != 1)
        return -ENOMEM;
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    return 0;
}
