/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What was told of which certificate, so that a restart does not tell it again: a file in the state directory, a line for each
 * certificate, "SHA-256 DAYS used|unused". It holds nothing that could not be lost: without it, something is told once more. */

#include "expiry.h"

#define EXPIRY_RECORD_FILE "expiry"
#define EXPIRY_RECORD_MAX 4096
/* SHA-256 of the certificate in DER */
#define EXPIRY_ID_SIZE 32

typedef struct ExpiryRecordItem {
    uint8_t id[EXPIRY_ID_SIZE];
    ExpiryTold told;
} ExpiryRecordItem;

/* {} is an empty one. */
typedef struct ExpiryRecord {
    ExpiryRecordItem *items;
    size_t n;
} ExpiryRecord;

void expiry_record_done(ExpiryRecord *r);

ExpiryTold expiry_record_find(const ExpiryRecord *r, const uint8_t id[EXPIRY_ID_SIZE]);
/* Nothing is kept of what nothing was told. -E2BIG, -ENOMEM. */
int expiry_record_set(ExpiryRecord *r, const uint8_t id[EXPIRY_ID_SIZE], ExpiryTold told);
/* Of the same items in the same order. */
bool expiry_record_equal(const ExpiryRecord *a, const ExpiryRecord *b);

/* No file is an empty record. -EBADMSG: it is damaged; then, as on every failure, r is empty. r must be empty before. */
int expiry_record_read(ExpiryRecord *r, int dir_fd);
/* Whole or not at all. */
int expiry_record_write(const ExpiryRecord *r, int dir_fd);
