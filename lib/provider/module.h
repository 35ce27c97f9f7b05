/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the module share: postern.so, which programs that are not of the suite load. It has the suite's keys and
 * signatures (keymgmt.c, signature.c), a decoder for pointer files (lib/key-pointer.h), and a signer that waits for certd. */

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/provider.h>

#include "link.h"
#include "provider.h"

/* Numbers of our errors on OpenSSL's queue. */
typedef enum ModuleReason {
    MODULE_REFUSED = 1,
    MODULE_NO_ANSWER,
    MODULE_UNREACHABLE,
    MODULE_POINTER_LATER,
    MODULE_POINTER_KEY,
} ModuleReason;

/* The provider, as it is loaded into one library context of the program. */
typedef struct Module {
    const OSSL_CORE_HANDLE *handle;
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_LIB_CTX *libctx; /* our own, with the default provider only, for public keys */
    OSSL_PROVIDER *standard;
    Link *certd;
} Module;

/* Puts an error on the queue of the program's thread. */
void module_raise(const Module *m, ModuleReason reason, const char *format, ...) _printf_(3, 4);

/* A RemoteKeySign whose userdata is the Module. */
int module_sign(RemoteKey *k, uint16_t scheme, const uint8_t *message, size_t message_size, uint8_t *signature, size_t size,
        size_t *ret_size);

extern const OSSL_ALGORITHM module_decoders[];
