/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Answers of dnsd from text, for tests:
 * "[hop>state …] state [nxdomain] [record …]", with states secure|insecure|bogus|indeterminate|error and the records
 * MX "10=mx.example.com" ("0=." is the null MX); A "192.0.2.1"; AAAA "2001:db8::1"; TLSA "3.1.1/32" (32 bytes 0xab), or "bad" for
 * one of two bytes. Without hops the name itself is the only one. */

#include "resolve.h"

ResolveAnswer *test_answer(const char *text, const char *name);
void test_answer_add_mx(ResolveAnswer *a, unsigned preference, const char *name);
