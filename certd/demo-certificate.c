/* SPDX-License-Identifier: Apache-2.0 */

/* Makes the demonstration certificate. It is good for a test and for DANE ("3 1 1"); nobody else can verify it. */

#include "demo-certificate.h"

#include <netdb.h>
#include <sys/socket.h>

#include "key-spec.h"
#include "openssl-cleanup.h"
#include "self-signed.h"

#define HOST_MAX 253
#define COMMON_NAME_MAX 64

static bool host_valid(const char *host)
{
    return host[0] != '*' && subject_dns_name_valid(host);
}

int demo_certificate_host(char **ret)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME};
    struct addrinfo *list = NULL;
    char name[HOST_MAX + 1] = "";
    char *host;

    if (gethostname(name, sizeof(name) - 1) < 0 || !host_valid(name))
        (void) strcpy(name, "localhost");
    if (!strchr(name, '.') && getaddrinfo(name, NULL, &hints, &list) == 0) {
        if (list && list->ai_canonname && strchr(list->ai_canonname, '.') && host_valid(list->ai_canonname))
            (void) strcpy(name, list->ai_canonname);
        freeaddrinfo(list);
    }
    host = strdup(name);
    if (!host)
        return -ENOMEM;
    *ret = host;
    return 0;
}

int demo_certificate_make(const char *host, EVP_PKEY **ret_key, X509 **ret_certificate)
{
    char *names[] = {(char *) host, NULL};
    const Subject subject = {.common_name = strlen(host) <= COMMON_NAME_MAX ? host : "postern demonstration", .names = names};
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    const char *reason;
    int r;

    if (!host_valid(host))
        return -EINVAL;
    r = key_spec_generate(KEY_SPEC_DEFAULT, &key, &reason);
    if (r < 0)
        return r;
    r = self_signed_make(&subject, key, DEMO_CERTIFICATE_DAYS, ret_certificate, &reason);
    if (r < 0)
        return r;
    *ret_key = TAKE_PTR(key);
    return 0;
}

int demo_certificate_create(Store *s, const char *host)
{
    _cleanup_(evp_pkey_freep) EVP_PKEY *key = NULL;
    _cleanup_(x509_freep) X509 *x = NULL;
    int r;

    r = demo_certificate_make(host, &key, &x);
    if (r < 0)
        return r;
    return store_write(s, DEMONSTRATION_NAME, key, x);
}
