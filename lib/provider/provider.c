/* SPDX-License-Identifier: Apache-2.0 */

/* The provider's entry: which algorithms it has. This one is built in and lives in a library context of its own beside the
 * default provider, which does everything but signing with remote keys; module.c is for programs that are not of the suite. */

#include "provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

const OSSL_PARAM *remote_provider_gettable(void *context)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
        OSSL_PARAM_END,
    };

    return params;
}

int remote_provider_get_params(void *context, OSSL_PARAM params[])
{
    OSSL_PARAM *p;

    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME)) && !OSSL_PARAM_set_utf8_ptr(p, "postern remote keys"))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION)) && !OSSL_PARAM_set_utf8_ptr(p, POSTERN_VERSION))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS)) && !OSSL_PARAM_set_int(p, 1))
        return 0;
    return 1;
}

const OSSL_ALGORITHM *remote_provider_query(void *context, int operation, int *ret_no_cache)
{
    *ret_no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return remote_keymgmt;
    case OSSL_OP_SIGNATURE:
        return remote_signature;
    default:
        return NULL;
    }
}

static const OSSL_DISPATCH provider_functions[] = {
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void)) remote_provider_gettable},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void)) remote_provider_get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void)) remote_provider_query},
    {0, NULL},
};

int remote_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **ret_context)
{
    *out = provider_functions;
    *ret_context = (void *) handle; /* no state of our own, but OpenSSL wants one that is not NULL */
    return 1;
}
