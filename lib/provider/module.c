/* SPDX-License-Identifier: Apache-2.0 */

/* The module's entry. It runs inside of programs that know nothing of postern: it must never log, exit, change a signal, or
 * connect to anything before there is something to sign; whatever goes wrong is said on OpenSSL's error queue. Beside the
 * default provider it is asked for nothing but keys from pointer files, since whatever else could be asked of it the default
 * provider has, too, and comes first. */

#include "module.h"

#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdarg.h>

/* In the provider's section of openssl.cnf. */
#define PARAM_SOCKET "socket"

void module_raise(const Module *m, ModuleReason reason, const char *format, ...)
{
    va_list arguments;

    if (!m->new_error || !m->set_error_debug || !m->vset_error)
        return;
    m->new_error(m->handle);
    m->set_error_debug(m->handle, "postern.so", 0, NULL);
    va_start(arguments, format);
    m->vset_error(m->handle, reason, format, arguments);
    va_end(arguments);
}

int module_sign(RemoteKey *k, uint16_t scheme, const uint8_t *message, size_t message_size, uint8_t *signature, size_t size,
        size_t *ret_size)
{
    const LinkRequest request = {
        .name = k->name,
        .spki_sha256 = k->spki_sha256,
        .scheme = scheme,
        .message = message,
        .message_size = message_size,
    };
    const Module *m = k->userdata;
    char reason[LINK_REASON_MAX];
    int r;

    r = link_sign(m->certd, &request, signature, size, ret_size, reason);
    if (r < 0)
        module_raise(m, r == -EKEYREJECTED ? MODULE_REFUSED : r == -ETIMEDOUT ? MODULE_NO_ANSWER : MODULE_UNREACHABLE,
                "certificate '%s': %s", k->name, reason);
    return r;
}

static const OSSL_ITEM *module_reason_strings(void *context)
{
    static const OSSL_ITEM strings[] = {
        {MODULE_REFUSED, (void *) "postern-certd refused to sign"},
        {MODULE_NO_ANSWER, (void *) "postern-certd did not answer"},
        {MODULE_UNREACHABLE, (void *) "postern-certd cannot be reached"},
        {MODULE_POINTER_LATER, (void *) "pointer file of a later version of postern"},
        {MODULE_POINTER_KEY, (void *) "pointer file with a key that is not supported"},
        {0, NULL},
    };

    return strings;
}

static const OSSL_ALGORITHM *module_query(void *context, int operation, int *ret_no_cache)
{
    *ret_no_cache = 0;
    return operation == OSSL_OP_DECODER ? module_decoders : remote_provider_query(context, operation, ret_no_cache);
}

static Module *module_free(Module *m)
{
    if (!m)
        return NULL;
    link_free(m->certd);
    if (m->standard)
        (void) OSSL_PROVIDER_unload(m->standard);
    OSSL_LIB_CTX_free(m->libctx);
    free(m);
    return NULL;
}
DEFINE_CLEANUP(Module, module_free);

static void module_teardown(void *context)
{
    module_free(context);
}

static const OSSL_DISPATCH module_functions[] = {
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void)) remote_provider_gettable},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void)) remote_provider_get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void)) module_query},
    {OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, (void (*)(void)) module_reason_strings},
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void)) module_teardown},
    {0, NULL},
};

static OSSL_FUNC_core_get_params_fn *find_functions(Module *m, const OSSL_DISPATCH *in)
{
    OSSL_FUNC_core_get_params_fn *get_params = NULL;

    for (; in->function_id != 0; in++)
        switch (in->function_id) {
        case OSSL_FUNC_CORE_GET_PARAMS:
            get_params = OSSL_FUNC_core_get_params(in);
            break;
        case OSSL_FUNC_CORE_NEW_ERROR:
            m->new_error = OSSL_FUNC_core_new_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
            m->set_error_debug = OSSL_FUNC_core_set_error_debug(in);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            m->vset_error = OSSL_FUNC_core_vset_error(in);
            break;
        }
    return get_params;
}

/* Exported, the only one. */
__attribute__((visibility("default"))) int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
        const OSSL_DISPATCH **out, void **ret_context)
{
    _cleanup_(module_freep) Module *m = calloc(1, sizeof(Module));
    OSSL_FUNC_core_get_params_fn *get_params;
    char *path = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_ptr(PARAM_SOCKET, &path, 0),
        OSSL_PARAM_construct_end(),
    };

    if (!m)
        return 0;
    m->handle = handle;
    get_params = find_functions(m, in);
    if (get_params && get_params(handle, params) != 1)
        return 0;
    if (link_new(&m->certd, path ?: LINK_SOCKET) < 0)
        return 0;
    /* A library context of our own: with the program's, a question about a public key could come back to us. */
    m->libctx = OSSL_LIB_CTX_new_from_dispatch(handle, in);
    if (!m->libctx || !(m->standard = OSSL_PROVIDER_load(m->libctx, "default")))
        return 0;
    *out = module_functions;
    *ret_context = TAKE_PTR(m);
    return 1;
}
