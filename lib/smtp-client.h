/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One SMTP transaction as a client over a socket that is already (being) connected: greeting, EHLO, STARTTLS, MAIL, RCPT, DATA,
 * QUIT. Or only a look at the server, without a transaction. It decides nothing about security: what must hold is in the request,
 * what was seen is in the result. RFC 5321, 3207, 6152, 6531, 7672, 8689. */

#include <openssl/ssl.h>
#include <systemd/sd-event.h>

#include "smtp-reply.h"
#include "tls-peer.h"
#include "tls-verify.h"
#include "tls.h"

#define SMTP_CLIENT_RECIPIENTS_MAX 1000

typedef enum SmtpTlsWant {
    SMTP_TLS_NO,            /* STARTTLS is not used */
    SMTP_TLS_IF_OFFERED,    /* used when offered; otherwise clear */
    SMTP_TLS_REQUIRED,      /* no MAIL without it */
    SMTP_TLS_VERIFY,        /* required, and the peer verified by the authorities, for one of the names */
    SMTP_TLS_DANE,          /* required, and the peer authenticated by the TLSA records */
} SmtpTlsWant;

typedef enum SmtpStage { /* where a failure happened */
    SMTP_STAGE_CONNECT,
    SMTP_STAGE_GREETING,
    SMTP_STAGE_EHLO,
    SMTP_STAGE_STARTTLS_OFFER, /* TLS was required and no ESMTP or no STARTTLS was offered */
    SMTP_STAGE_STARTTLS,       /* STARTTLS was answered with other than 220 */
    SMTP_STAGE_HANDSHAKE,
    SMTP_STAGE_VERIFY,         /* handshake fine, peer not authenticated as required */
    SMTP_STAGE_REQUIRETLS,     /* all that fine, but the server does not offer REQUIRETLS */
    SMTP_STAGE_MAIL,
    SMTP_STAGE_RCPT,
    SMTP_STAGE_DATA,
    SMTP_STAGE_FINAL, /* reply to the final dot */
    SMTP_STAGE_DONE,
} SmtpStage;
const char *smtp_stage_to_string(SmtpStage s);

typedef struct SmtpRequest {
    const char *helo;        /* our name in EHLO */
    const char *server_name; /* SNI without DANE; NULL: none */
    SmtpTlsWant want;
    SSL_CTX *tls;                   /* needed unless SMTP_TLS_NO */
    X509_STORE *authorities;        /* whom the peer is verified by, whatever is wanted, but for DANE; NULL: nobody knows */
    TlsReference reference;         /* which names it may have; with DANE, its names beside dane_base */
    const char *sts_name;           /* the result tells, too, whether it is verified for this name as MTA-STS wants it, which
                                     * decides nothing; NULL: that is not asked. Not with DANE */
    const char *dane_base;          /* SMTP_TLS_DANE: TLSA base domain (SNI, reference name) … */
    const TlsaRecord *tlsa;         /* … and the usable records */
    size_t n_tlsa;
    const char *sender; /* "" for the null reverse-path */
    const char *const *recipients;
    size_t n_recipients;
    bool body_8bit, smtputf8;
    /* REQUIRETLS (RFC 8689), with SMTP_TLS_VERIFY or more: under TLS the server has to offer it, but for the null reverse-path,
     * and MAIL carries it. */
    bool require_tls;
    bool probe; /* it ends where MAIL would follow, as if the message had been taken, and the result has a probe */
    int message_fd; /* pread() only: message bytes [offset, offset+size), CRLF lines, not dot-stuffed; stays the caller's, must stay open until done */
    uint64_t message_offset, message_size;
    uint64_t timeout_usec; /* for all up to the final dot, beside the deadlines of RFC 5321 section 4.5.3.2 for each step; 0: those alone. Whoever gives an
                            * attempt up earlier than this may deliver twice. */
} SmtpRequest; /* copied as needed; message_fd and tls must stay valid */

/* What a probe saw beside. */
typedef struct SmtpProbe {
    SmtpReply greeting;  /* code 0: there was none */
    uint32_t extensions; /* SmtpExtension, of the last reply to EHLO: under TLS, if it came to that */
    bool has_peer;       /* the handshake was done, and the server has a certificate: */
    TlsPeer peer;
} SmtpProbe;

typedef struct SmtpResult {
    SmtpStage stage; /* SMTP_STAGE_DONE: the final dot was answered 2xx for at least one recipient */
    SmtpReply reply; /* the deciding reply or reason */
    const SmtpReply *recipients; /* one per recipient; code 2xx only when the message was taken for it. */
    bool tls_offered, tls_used;
    TlsVerify verify; /* TLS_VERIFY_NONE unless tls_used */
    TlsVerify sts;    /* the same; of request.sts_name */
    TlsFacts tls;
    const char *tls_reason; /* why the handshake, or a verification that was wanted, failed; "" */
    const SmtpProbe *probe; /* NULL: the request was for none */
} SmtpResult;               /* valid during the callback */

typedef struct SmtpClient SmtpClient;
/* Called once, from the loop. It may free the client; QUIT is then sent in the background. */
typedef void (*SmtpClientDone)(SmtpClient *c, const SmtpResult *result, void *userdata);

/* fd: non-blocking socket, connecting or connected; taken over on success. */
int smtp_client_new(SmtpClient **ret, sd_event *event, int fd, const SmtpRequest *request, SmtpClientDone done, void *userdata);
/* Others than the request's, for a handshake that has not begun. NULL: nobody knows. */
int smtp_client_set_authorities(SmtpClient *c, X509_STORE *authorities);
SmtpClient *smtp_client_free(SmtpClient *c);
DEFINE_CLEANUP(SmtpClient, smtp_client_free);
