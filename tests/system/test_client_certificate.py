# SPDX-License-Identifier: Apache-2.0
"""deliverd shows servers that ask for it a certificate whose key it does not have."""

import hashlib
import ssl

import pytest

from lab import gateway, plain_message, send
from lab.memory import decrypted, holders, key_forms, stored_keys
from lab.node import wait_until

# As in lib/catalog-ids.h.
CERTIFICATE_MISSING = "c8beede35d9c4998ab5cb318191370ce"
NAME = "demonstration"


def assign(gate, *certificates):
    gate.configure("certd", f"[Service deliverd]\nCertificates={' '.join(certificates)}\n")
    gate.reload("certd")


@pytest.fixture
def outgoing(gate):
    """The certificate that deliverd shows, in PEM. In the end it shows none, as before."""
    assign(gate, NAME)
    gate.configure("deliverd", f"[Deliverd]\nCertificate={NAME}\n")
    gate.reload("deliverd")
    answer = gate.call_peer("certd", "GetCertificate", "s", NAME, user="postern-deliverd", groups=["postern-certd"])
    yield bytes(answer.data[1]).decode()
    for daemon in ("deliverd", "certd"):
        gate.unconfigure(daemon)
        gate.reload(daemon)


def fingerprint(pem):
    """As Postfix writes it."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[i:i + 2] for i in range(0, len(digest), 2))


def asking_mx(lab, dns, name, trusted=None):
    """A server that asks for a certificate; with trusted, which takes no mail without that one."""
    mx = lab.mx(f"{name}-mx", f"{name}.lab", smtpd_tls_ask_ccert="yes",
                smtpd_tls_fingerprint_digest="sha256", smtpd_tls_loglevel="2")
    if trusted:
        mx.peer.write("/etc/postfix/clients.pem", trusted)
        mx.set(smtpd_tls_CAfile="/etc/postfix/clients.pem", smtpd_tls_req_ccert="yes", smtpd_tls_security_level="encrypt")
    dns.mail_domain(mx.domain, mx.name, mx.address, mx.tlsa())
    return mx


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_a_server_that_requires_a_certificate_gets_certds(lab, dns, gate, outgoing, version):
    # Given a server that takes mail only from who has this certificate
    mx = asking_mx(lab, dns, f"requires-{version[-1]}", outgoing)
    mx.set(smtpd_tls_mandatory_protocols=version)

    # when a message is sent to it
    message = plain_message(recipient=f"bob@{mx.domain}")
    sent = send(gate.address, message, recipients=[f"bob@{mx.domain}"])
    assert sent.accepted

    # then it takes it, having seen the certificate,
    assert mx.wait_messages()[0].carries(message)
    assert fingerprint(outgoing) in mx.log()
    entry = gate.wait_entry(gateway.DELIVERED, QUEUE_ID=sent.queue_id)
    assert (entry["POSTERN_TLS_VERSION"], entry["POSTERN_TLS_RESULT"]) == (version, "dane")

    # whose key is in certd and in no process of deliverd.
    forms = key_forms(decrypted(gate, stored_keys(gate)[0]))
    assert holders(gate, forms, "postern-certd.service")
    assert holders(gate, forms, "postern-deliverd.service") == set()


def test_without_the_certificate_mail_goes_on_and_the_administrator_hears_of_it(lab, dns, gate, outgoing, administrator):
    # Given a server that asks for a certificate and takes mail without, too
    mx = asking_mx(lab, dns, "asks")
    before = gate.cursor()

    # when certd does not give the certificate any more
    assign(gate)

    # then the journal says so once, for all workers,
    gate.wait_entry(CERTIFICATE_MISSING, since=before, CERTIFICATE=NAME)

    # there is an alert,
    while NAME not in administrator.wait_message().header("Subject")[0]:
        pass

    # and mail is delivered without.
    assert send(gate.address, recipients=["bob@asks.lab"]).accepted
    mx.wait_messages()
    assert fingerprint(outgoing) not in mx.log()
    assert len(gate.journal(since=before, MESSAGE_ID=CERTIFICATE_MISSING)) == 1

    # When it is assigned again, it is shown again, without a restart.
    pid = gate.pid_of("postern-deliverd.service")
    assign(gate, NAME)
    gate.host.wait_journal(since=before, match=lambda entry: "again" in entry["MESSAGE"], POSTERN_CERTIFICATE=NAME,
                           SYSLOG_IDENTIFIER="postern-deliverd")

    def shown():
        assert send(gate.address, recipients=["bob@asks.lab"]).accepted
        return fingerprint(outgoing) in mx.log()

    wait_until(shown, timeout=20, interval=1, what="the certificate")
    assert gate.pid_of("postern-deliverd.service") == pid
