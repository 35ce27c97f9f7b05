/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a certificate is used for, as text: "listener:NAME" (a listener of smtpd), "delivery" (deliverd, when a server asks for
 * a client's certificate), "user:LOGIN" (programs of that user, over the programs' socket). Pure. */

#include <stddef.h>

typedef enum UseKind {
    USE_LISTENER,
    USE_DELIVERY,
    USE_USER,
} UseKind;

/* Of NAME and of LOGIN: graphic ASCII without ':'; a login also without '/', not all of digits, not beginning with '-'. */
#define USE_NAME_MAX 64
#define USE_MAX (sizeof("listener:") - 1 + USE_NAME_MAX)

/* -EINVAL if it is none. *ret_name points into text: NAME or LOGIN, "" for delivery. */
int use_parse(const char *text, UseKind *ret_kind, const char **ret_name);
