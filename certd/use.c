/* SPDX-License-Identifier: Apache-2.0 */

/* The strict reading of uses: they come from callers and stand in a file, a line each, so they have no blank in them. */

#include "use.h"

#include "cleanup.h"

#define PREFIX_LISTENER "listener:"
#define PREFIX_USER "user:"

static bool name_valid(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > USE_NAME_MAX)
        return false;
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == ':')
            return false;
    return true;
}

static bool login_valid(const char *login)
{
    return name_valid(login) && *login != '-' && !strchr(login, '/') && login[strspn(login, "0123456789")] != '\0';
}

static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

int use_parse(const char *text, UseKind *ret_kind, const char **ret_name)
{
    const char *listener = after(text, PREFIX_LISTENER), *login = after(text, PREFIX_USER);

    if (listener && name_valid(listener)) {
        *ret_kind = USE_LISTENER;
        *ret_name = listener;
        return 0;
    }
    if (login && login_valid(login)) {
        *ret_kind = USE_USER;
        *ret_name = login;
        return 0;
    }
    if (!streq(text, "delivery"))
        return -EINVAL;
    *ret_kind = USE_DELIVERY;
    *ret_name = "";
    return 0;
}
