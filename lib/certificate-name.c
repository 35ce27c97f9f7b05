/* SPDX-License-Identifier: Apache-2.0 */

/* What a name of a certificate can be. */

#include "certificate-name.h"

#include <string.h>

bool certificate_name_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(name);

    return n > 0 && n <= CERTIFICATE_NAME_MAX && name[0] != '.' && name[0] != '-' && strspn(name, allowed) == n;
}
