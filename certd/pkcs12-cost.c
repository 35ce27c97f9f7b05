/* SPDX-License-Identifier: Apache-2.0 */

/* Parameters of passphrase-based encryption, as a stranger wrote them. */

#include "pkcs12-cost.h"

#include <openssl/err.h>

#include "openssl-cleanup.h"

/* The longest key that a MAC or a cipher has. OpenSSL's PBMAC1 trusted that of the file for a while. */
#define KEY_LENGTH_MAX 64

DEFINE_OPENSSL_CLEANUP(PBE2PARAM, pbe2_freep, PBE2PARAM_free);
DEFINE_OPENSSL_CLEANUP(PBEPARAM, pbe_freep, PBEPARAM_free);
DEFINE_OPENSSL_CLEANUP(PBKDF2PARAM, pbkdf2_freep, PBKDF2PARAM_free);

static Pkcs12Cost damaged(void)
{
    return (Pkcs12Cost) {.error = -EBADMSG, .reason = "the PKCS#12 file is damaged: what its key derivation needs is missing"};
}

static Pkcs12Cost unsupported(void)
{
    return (Pkcs12Cost) {.error = -EOPNOTSUPP, .reason = "the PKCS#12 file is encrypted or authenticated in a way that is not supported; "
                                                         "PBES2 with PBKDF2 is, and what was common before"};
}

/* NULL: one, the default of PKCS#12's MAC. What does not fit is more than anybody can afford. */
static Pkcs12Cost iterations(const ASN1_INTEGER *n)
{
    uint64_t value = 1;

    if (n && (ASN1_STRING_type(n) & V_ASN1_NEG))
        return damaged();
    if (n && ASN1_INTEGER_get_uint64(&value, n) != 1)
        value = UINT64_MAX;
    ERR_clear_error();
    return value == 0 ? damaged() : (Pkcs12Cost) {.iterations = value};
}

static Pkcs12Cost of_pbkdf2(const X509_ALGOR *algorithm)
{
    _cleanup_(pbkdf2_freep) PBKDF2PARAM *p = NULL;
    uint64_t length;

    if (OBJ_obj2nid(algorithm->algorithm) != NID_id_pbkdf2)
        return unsupported();
    p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), algorithm->parameter);
    if (!p || p->salt->type != V_ASN1_OCTET_STRING)
        return damaged();
    if (p->keylength && (ASN1_INTEGER_get_uint64(&length, p->keylength) != 1 || length == 0 || length > KEY_LENGTH_MAX))
        return damaged();
    return iterations(p->iter);
}

/* PBMAC1 has the same parameters: a key derivation, and what the key is for. */
static Pkcs12Cost of_pbes2(const X509_ALGOR *algorithm)
{
    _cleanup_(pbe2_freep) PBE2PARAM *p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), algorithm->parameter);

    return p ? of_pbkdf2(p->keyfunc) : damaged();
}

static Pkcs12Cost of_pkcs12(const X509_ALGOR *algorithm, bool needs_legacy)
{
    _cleanup_(pbe_freep) PBEPARAM *p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), algorithm->parameter);
    Pkcs12Cost cost = p ? iterations(p->iter) : damaged();

    cost.needs_legacy = needs_legacy;
    return cost;
}

Pkcs12Cost pkcs12_cost_of_encryption(const X509_ALGOR *algorithm)
{
    Pkcs12Cost cost;

    switch (OBJ_obj2nid(algorithm->algorithm)) {
    case NID_pbes2:
        cost = of_pbes2(algorithm);
        break;
    case NID_pbe_WithSHA1And3_Key_TripleDES_CBC:
    case NID_pbe_WithSHA1And2_Key_TripleDES_CBC:
        cost = of_pkcs12(algorithm, false);
        break;
    case NID_pbe_WithSHA1And128BitRC2_CBC:
    case NID_pbe_WithSHA1And40BitRC2_CBC:
    case NID_pbe_WithSHA1And128BitRC4:
    case NID_pbe_WithSHA1And40BitRC4:
        cost = of_pkcs12(algorithm, true);
        break;
    default:
        cost = unsupported();
    }
    ERR_clear_error();
    return cost;
}

Pkcs12Cost pkcs12_cost_of_mac(const PKCS12 *p)
{
    const X509_ALGOR *algorithm;
    const ASN1_OBJECT *object;
    const ASN1_INTEGER *n;
    Pkcs12Cost cost;

    PKCS12_get0_mac(NULL, &algorithm, NULL, &n, p);
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    cost = OBJ_obj2nid(object) == NID_pbmac1 ? of_pbes2(algorithm) : iterations(n);
    ERR_clear_error();
    return cost;
}
