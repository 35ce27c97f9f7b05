/* SPDX-License-Identifier: Apache-2.0 */

/* OpenSSL puts the private numbers of keys onto its secure heap by itself, once there is one. Decoders use ordinary memory on the
 * way; that is what the cleansing functions are for. */

#include "secure-memory.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include "cleanup.h"

/* An RSA-4096 key takes about 4 kB in pieces, a signature with it as much again for a moment. */
#define SECURE_HEAP_SIZE (2u * 1024 * 1024)
#define SECURE_CHUNK_MIN 32

static void *plain_malloc(size_t size, const char *file, int line)
{
    return malloc(size);
}

static void cleansing_free(void *p, const char *file, int line)
{
    if (!p)
        return;
    OPENSSL_cleanse(p, malloc_usable_size(p));
    free(p);
}

static void *cleansing_realloc(void *old, size_t size, const char *file, int line)
{
    size_t old_size = old ? malloc_usable_size(old) : 0;
    void *p = malloc(size);

    if (!p)
        return NULL;
    if (old_size > 0)
        memcpy(p, old, MIN(old_size, size));
    cleansing_free(old, file, line);
    return p;
}

int secure_memory_init(bool *ret_locked)
{
    int r;

    if (CRYPTO_set_mem_functions(plain_malloc, cleansing_realloc, cleansing_free) != 1)
        return -EBUSY;
    r = CRYPTO_secure_malloc_init(SECURE_HEAP_SIZE, SECURE_CHUNK_MIN);
    if (r == 0)
        return -ENOMEM;
    *ret_locked = r == 1;
    return 0;
}

void *secure_malloc(size_t size)
{
    return OPENSSL_secure_malloc(size);
}

void secure_freep(void *p)
{
    void *buffer = *(void **) p;

    if (buffer)
        OPENSSL_secure_clear_free(buffer,
                CRYPTO_secure_allocated(buffer) ? CRYPTO_secure_actual_size(buffer) : malloc_usable_size(buffer));
}
