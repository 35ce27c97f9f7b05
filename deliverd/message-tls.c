/* SPDX-License-Identifier: Apache-2.0 */

/* The names of what messages want of TLS. One that is not known must never pass for the default, which asks for less. */

#include "message-tls.h"

#include "cleanup.h"

static const char *const names[] = {
    [MESSAGE_TLS_DEFAULT] = "default",
    [MESSAGE_TLS_REQUIRED] = "required",
    [MESSAGE_TLS_OPTIONAL] = "optional",
};

const char *message_tls_to_string(MessageTls t)
{
    return (size_t) t < ELEMENTSOF(names) ? names[t] : NULL;
}

int message_tls_from_string(const char *s, MessageTls *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (streq(names[i], s)) {
            *ret = (MessageTls) i;
            return 0;
        }
    return -EINVAL;
}
