/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of certificates, the same everywhere: in certd's store, in configuration, on the buses, in pointer files. */

#include <stdbool.h>

/* Bytes, without the NUL. */
#define CERTIFICATE_NAME_MAX 64

/* Letters, digits, '.', '-', '_', not beginning with '.' or '-': fit for a file name, a configuration value, a D-Bus string. */
bool certificate_name_valid(const char *name);
