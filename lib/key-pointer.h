/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pointer files: what a program that is not of the suite is given instead of a private key. It says which of certd's keys is
 * meant, by the certificate's name, and has the public key; all of it is public. PEM (RFC 7468) with the label
 * KEY_POINTER_LABEL around the DER of
 *
 *     SEQUENCE {
 *         version  INTEGER (1),
 *         name     UTF8String,
 *         key      SubjectPublicKeyInfo }    -- RFC 5280, section 4.1
 *
 * Made by posternctl, read by the provider module. */

#include <stddef.h>
#include <stdint.h>

#include "certificate-name.h"

#define KEY_POINTER_LABEL "POSTERN KEY"
#define KEY_POINTER_VERSION 1
#define KEY_POINTER_SIZE_MAX (16 * 1024)

typedef struct KeyPointer {
    char name[CERTIFICATE_NAME_MAX + 1];
    const uint8_t *spki; /* DER; points into what was parsed */
    size_t spki_size;
} KeyPointer;

/* -EBADMSG if it is no pointer, -EPROTONOSUPPORT if it is one of a later version, -ENOMEM. Whether the key is one that can be
 * used is not looked at. */
int key_pointer_parse(const uint8_t *der, size_t size, KeyPointer *ret);

/* *ret is malloc'ed. -EINVAL if name is none or spki is no DER of a SEQUENCE, -EFBIG. */
int key_pointer_to_der(const char *name, const uint8_t *spki, size_t spki_size, uint8_t **ret, size_t *ret_size);

/* The pointer file for the first certificate of a PEM text; *ret is malloc'ed. -EBADMSG if the text does not begin with one. */
int key_pointer_from_certificate(const char *name, const char *pem, char **ret);
