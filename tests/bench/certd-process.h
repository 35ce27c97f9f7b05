/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The real postern-certd, as systemd would start it, with a key store and a socket in a directory of its own; this process is
 * smtpd to it. */

#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"

/* The certificate that certd makes at its first start (ECDSA P-256) and gives to smtpd. */
#define CERTD_PROCESS_CERTIFICATE "demonstration"

typedef struct CertdProcess CertdProcess;

/* To certd a caller is what its uid is. So this gives this process a mount namespace with an /etc/passwd in which its own uid is
 * called postern-smtpd, and no configuration. Before anything else, once. -EPERM unless root. */
int certd_process_prepare(void);

/* Starts program and sets POSTERN_RUNTIME_DIR for the clients of this process. What it logs goes to standard error. */
int certd_process_new(CertdProcess **ret, const char *program);
CertdProcess *certd_process_free(CertdProcess *p);
DEFINE_CLEANUP(CertdProcess, certd_process_free);

/* Replaces the certificate by a new one with a key of this type ("rsa-2048"). */
int certd_process_replace(CertdProcess *p, const char *key_type);

/* SHA-256 of the certificate's SubjectPublicKeyInfo. */
int certd_process_key_hash(CertdProcess *p, uint8_t ret_sha256[32]);

/* Processor time it has used. */
uint64_t certd_process_cpu_nsec(const CertdProcess *p);

/* main() of a benchmark. measure measures and prints: *ret_within says whether every limit was kept. What was not is measured once more,
 * since a machine that has other work to do has bad moments; what has become slower is so both times. */
int certd_benchmark_main(int argc, char *argv[], int (*measure)(const char *program, bool *ret_within));
