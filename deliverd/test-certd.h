/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A certd for tests of its clients, on the test's own loop: the real peer socket and methods, one certificate, and troubles on
 * request. It signs whatever it is asked for. Everything fails by assertion. */

#include "peer-server.h"
#include "test-certificate.h"

typedef struct TestCertd {
    /* The test's to change. */
    const char *name; /* of the certificate */
    const TestCertificate *certificate;
    const char *assigned; /* to any use; NULL: nothing */
    bool not_assigned;  /* GetCertificate() is refused */
    bool hold;          /* GetCertificate() is not answered before test_certd_answer() */
    const TestCertificate *authority; /* the only one that is enabled; NULL: none is */
    bool no_authorities; /* GetAuthorities() is refused */
    unsigned fail_signs;    /* so many Sign() to come are not signed … */
    const char *fail_error; /* … but answered with this error */

    unsigned n_signed, n_asked, n_authorities;
    /* Its own. */
    char directory[32];
    PeerServer *server;
    PeerObject objects[2];
    sd_bus_message *held;
} TestCertd;

/* Sets POSTERN_RUNTIME_DIR. */
TestCertd *test_certd_new(sd_event *event, const char *name, const TestCertificate *certificate);
TestCertd *test_certd_free(TestCertd *c);

/* The held call. */
void test_certd_answer(TestCertd *c);
/* Emits Changed. */
void test_certd_changed(TestCertd *c);
/* Emits AuthoritiesChanged, and waits until it was asked for them. */
void test_certd_authorities_changed(TestCertd *c, sd_event *event);
