# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end, as enabled authorities say it: servers that mail goes to, and clients that it comes from."""

import smtplib
import subprocess

import pytest

from lab import Authority, Certificate, gateway, plain_message, send
from lab.client import any_certificate, connect
from lab.node import wait_until

# As in lib/catalog-ids.h.
CLIENT_NOT_VERIFIED = "92f68e3a5c6e4aec8dcdf730a5f004a1"


@pytest.fixture(scope="module")
def stranger(lab):
    return Authority(lab.directory, "Stranger")


@pytest.fixture
def settings(gate):
    """Drop-ins of a test, gone at its end."""
    changed = set()

    def configure(daemon, text):
        changed.add(daemon)
        gate.configure(daemon, text)
        gate.reload(daemon)

    yield configure
    for daemon in changed:
        gate.unconfigure(daemon)
        gate.reload(daemon)


def deliver(gate, domain):
    """Sends a message to domain; returns it and its queue id."""
    message = plain_message(recipient=f"bob@{domain}")
    sent = send(gate.address, message, recipients=[f"bob@{domain}"])
    assert sent.accepted
    return message, sent.queue_id


def end_of(gate, since, queue_id):
    """The entry about the first attempt: delivered or deferred."""
    def ended():
        return [entry for kind in (gateway.DELIVERED, gateway.DEFERRED)
                for entry in gate.journal(since=since, MESSAGE_ID=kind, POSTERN_QUEUE_ID=queue_id)]

    return wait_until(ended, timeout=30, what="the attempt", interval=0.1)[0]


# ---- servers ----

def test_mail_waits_until_the_authority_is_enabled(lab, dns, gate, lists, settings, administrator):
    # Given a server with a certificate of an authority that nobody here has heard of
    authority = Authority(lab.directory, "Partner Authority")
    mx = lab.mx("partner-mx", "partner.lab", certificate=authority.issue("partner-mx.lab"))
    dns.mail_domain("partner.lab", mx.name, mx.address)
    settings("deliverd", "[Destination partner.lab]\nTLS=Required-Verify-Hosted\n")
    before = gate.cursor()

    # when mail for it has to go to a verified server
    message, queue_id = deliver(gate, "partner.lab")

    # then it waits, with the check that failed, never in the clear,
    entry = gate.wait_entry(gateway.DEFERRED, since=before, QUEUE_ID=queue_id)
    assert (entry["POSTERN_TLS_WANTED"], entry["POSTERN_TLS_VERIFY"], entry["POSTERN_FAILURE"]) == (
        "required-verify-hosted", "untrusted", "tls")
    assert "certificate not verified: chain does not end at an enabled authority" in entry["MESSAGE"]
    assert mx.messages() == []

    # and the administrator hears of it.
    while b"partner.lab" not in (alert := administrator.wait_message()).raw:
        pass
    assert "A required TLS connection to partner.lab failed" in alert.header("Subject")[0]

    # When the authority is imported, the same message is delivered, without a restart of anything,
    pid = gate.pid_of("postern-deliverd.service")
    lists.add(authority)
    gate.flush("partner.lab")
    entry = gate.wait_entry(gateway.DELIVERED, since=before, QUEUE_ID=queue_id)
    assert (entry["POSTERN_TLS_RESULT"], entry["POSTERN_TLS_VERIFY"]) == ("verified", "pkix")
    assert "tls=required-verify-hosted:verified TLSv1.3 (pkix)" in entry["MESSAGE"]
    assert mx.wait_messages()[0].carries(message)

    # and when it is disabled the next one waits again,
    lists.disable(authority)
    _, queue_id = deliver(gate, "partner.lab")
    assert gate.wait_entry(gateway.DEFERRED, since=before, QUEUE_ID=queue_id)["POSTERN_TLS_VERIFY"] == "untrusted"

    # until it is enabled again.
    lists.enable(authority)
    gate.flush("partner.lab")
    assert gate.wait_entry(gateway.DELIVERED, since=before, QUEUE_ID=queue_id)["POSTERN_TLS_VERIFY"] == "pkix"
    assert gate.pid_of("postern-deliverd.service") == pid


def test_each_check_has_its_reason(lab, dns, gate, trusted, stranger, settings):
    # Given a server for each fault, and one without
    root = trusted.issuer
    certificates = {
        "good": (trusted.issue("good-mx.lab"), None),
        "for-domain": (trusted.issue("for-domain.lab"), None),
        "wildcard": (trusted.issue("*.wildcard.lab", common_name="x"), None),
        "expired": (trusted.issue("expired-mx.lab", days=0), "expired"),
        "other-name": (trusted.issue("elsewhere.lab"), "name-mismatch"),
        "common-name": (trusted.issue("elsewhere.lab", common_name="common-name-mx.lab"), "name-mismatch"),
        "self-signed": (Certificate.self_signed(lab.directory, "self-signed-mx.lab"), "self-signed"),
        "untrusted": (stranger.issue("untrusted-mx.lab"), "untrusted"),
        "incomplete": (trusted.issue("incomplete-mx.lab").alone(), "chain-incomplete"),
        "for-clients": (root.issue("for-clients-mx.lab", usage="clientAuth"), "wrong-purpose"),
    }
    settings("deliverd", "".join(f"[Destination {name}.lab]\nTLS=Required-Verify-Hosted\n" for name in certificates))
    before = gate.cursor()
    servers, ids = {}, {}
    for name, (certificate, _) in certificates.items():
        servers[name] = lab.fake_smtp(f"{name}-mx", certificate=certificate)
        host = "mx.wildcard.lab" if name == "wildcard" else f"{name}-mx.lab"
        dns.mail_domain(f"{name}.lab", host, servers[name].address)
        _, ids[name] = deliver(gate, f"{name}.lab")

    # then each is refused for its fault, before a word of the message is said, and the good ones are not.
    for name, (_, reason) in certificates.items():
        entry = end_of(gate, before, ids[name])
        assert (entry["MESSAGE_ID"], entry["POSTERN_TLS_VERIFY"]) == (
            (gateway.DEFERRED, reason) if reason else (gateway.DELIVERED, "pkix")), f"{name}: {entry['MESSAGE']}"
        said_mail = any(command.startswith("MAIL") for command in servers[name].commands)
        assert said_mail == (reason is None), name

    # Verify takes the common name, too.
    settings("deliverd", "[Destination common-name.lab]\nTLS=Required-Verify\n")
    gate.flush("common-name.lab")
    assert gate.wait_entry(gateway.DELIVERED, since=before, QUEUE_ID=ids["common-name"])["POSTERN_TLS_VERIFY"] == "pkix"


def test_a_name_from_an_insecure_answer(lab, dns, gate, trusted, settings):
    # Given a zone without DNSSEC, and a server with a good certificate for its own name
    mx = lab.fake_smtp("mx-of-insecure", certificate=trusted.issue("mx.insecure.lab"))
    dns.mail_domain("insecure.lab", "mx.insecure.lab", mx.address)
    before = gate.cursor()

    # then its name counts, unless the setting says that it does not; the log never calls the server verified.
    settings("deliverd", "[Destination insecure.lab]\nTLS=Required-Verify\n")
    _, queue_id = deliver(gate, "insecure.lab")
    entry = gate.wait_entry(gateway.DELIVERED, since=before, QUEUE_ID=queue_id)
    assert (entry["POSTERN_TLS_RESULT"], entry["POSTERN_TLS_VERIFY"]) == ("encrypted", "pkix-mx-insecure")

    settings("deliverd", "[Destination insecure.lab]\nTLS=Required-Verify\nVerifyInsecureMX=no\n")
    _, queue_id = deliver(gate, "insecure.lab")
    assert gate.wait_entry(gateway.DEFERRED, since=before, QUEUE_ID=queue_id)["POSTERN_TLS_VERIFY"] == "name-mismatch"

    # A certificate for the destination's domain needs no DNSSEC.
    mx.certificate = trusted.issue("insecure.lab")
    gate.flush("insecure.lab")
    entry = gate.wait_entry(gateway.DELIVERED, since=before, QUEUE_ID=queue_id)
    assert (entry["POSTERN_TLS_RESULT"], entry["POSTERN_TLS_VERIFY"]) == ("verified", "pkix")


def test_what_a_destination_is_tied_to(lab, dns, gate, lists, trusted, settings):
    # Given servers with certificates that verify, and some with one that nobody vouches for,
    def vouched(name, *more):
        return trusted.issue(f"{name}-mx.tied.lab", *more)

    nobody = Certificate.self_signed(lab.directory, "nobody.tied.lab")
    fingerprint, key = (nobody.tlsa(3, selector, 1).split()[-1] for selector in (0, 1))
    # and for each a destination that is tied to something
    cases = {
        # name: (certificate, setting, what verification comes to)
        "certificate": (nobody, f"PinnedCertificate=cert-sha256:{fingerprint}", "pinned"),
        "key": (nobody, f"PinnedCertificate=spki-sha256:{key}", "pinned"),
        "another": (vouched("another"), f"PinnedCertificate=cert-sha256:{fingerprint} spki-sha256:{key}", "pin-mismatch"),
        "authority": (vouched("authority"), f"TrustedAuthority={lists.fingerprint(trusted.issuer)}", "pkix"),
        "stranger": (vouched("stranger"), f"TrustedAuthority={fingerprint}", "other-authority"),
        "full": (vouched("full"), "RequireFQDN=yes", "pkix"),
        "short": (vouched("short", "short"), "RequireFQDN=yes", "unqualified-name"),
    }
    for name, (certificate, _, _) in cases.items():
        server = lab.fake_smtp(f"tied-{name}", certificate=certificate)
        dns.mail_domain(f"{name}.tied.lab", f"{name}-mx.tied.lab", server.address)
    settings("deliverd", "".join(f"[Destination {name}.tied.lab]\nTLS=Required-Verify-Hosted\n{setting}\n"
                                 for name, (_, setting, _) in cases.items()))

    # when a message is sent to each
    before = gate.cursor()
    ids = {name: deliver(gate, f"{name}.tied.lab")[1] for name in cases}

    # then it is delivered where that is what the server has, and waits elsewhere.
    for name, (_, _, result) in cases.items():
        entry = end_of(gate, before, ids[name])
        assert (entry["MESSAGE_ID"], entry["POSTERN_TLS_VERIFY"]) == (
            gateway.DELIVERED if result in ("pinned", "pkix") else gateway.DEFERRED, result), f"{name}: {entry['MESSAGE']}"
        assert (entry["POSTERN_TLS_RESULT"] == "verified") == (entry["MESSAGE_ID"] == gateway.DELIVERED)

    # With a level that verifies nobody it is told, and does not matter.
    settings("deliverd", f"[Destination another.tied.lab]\nTLS=Required\nPinnedCertificate=cert-sha256:{fingerprint}\n")
    gate.flush("another.tied.lab")
    entry = gate.wait_entry(gateway.DELIVERED, since=before, QUEUE_ID=ids["another"])
    assert (entry["POSTERN_TLS_RESULT"], entry["POSTERN_TLS_VERIFY"]) == ("encrypted", "pin-mismatch")


# ---- clients ----

def with_certificate(certificate):
    context = any_certificate()
    if certificate:
        context.load_cert_chain(certificate.chain, certificate.key)
    return context


def send_as(gate, certificate):
    """The reply to a message that is sent with a client certificate, or to what was refused before."""
    client = connect(gate.address, tls=False)
    try:
        client._host = "gate.lab"
        client.starttls(context=with_certificate(certificate))
        code, reply = client.ehlo()
        if code == 250:
            code, reply = client.put("alice@client.lab", ["bob@remote.lab"], plain_message())
        return code, reply.decode()
    finally:
        try:
            client.quit()
        except (OSError, smtplib.SMTPException):
            client.close()


def test_clients_are_verified(lab, gate, mx, lists, trusted, stranger, settings):
    good = trusted.issue("client.lab", usage="clientAuth")
    bad = {
        "untrusted": stranger.issue("client.lab"),
        "expired": trusted.issue("client.lab", days=0),
        "wrong-purpose": trusted.issue("client.lab", usage="serverAuth"),
        "self-signed": Certificate.self_signed(lab.directory, "client.self.lab"),
        "chain-incomplete": trusted.issue("incomplete.client.lab").alone(),
    }

    # Given a policy that asks clients for a certificate
    settings("smtpd", "[MailFlow default]\nTLS=Preferred\nVerifyClient=yes\n")
    before = gate.cursor()

    # then a client with a good one, one without, and one in the clear are let in,
    mx.clear()
    for certificate, verified in ((good, "pkix"), (None, "no-certificate")):
        code, reply = send_as(gate, certificate)
        assert code == 250, reply
        entry = gate.wait_entry(gateway.RECEIVED, since=before, TLS_VERIFY=verified)
        assert entry["POSTERN_TLS_RESULT"] == ("verified" if certificate else "encrypted")
    assert send(gate.address, tls=False).accepted
    traces = " ".join(message.header("Received")[-1] for message in mx.wait_messages(3))
    assert "client certificate verified" in traces and "no client certificate" in traces

    # but none with a bad one, and each is told why, as is the journal.
    for check, certificate in bad.items():
        code, reply = send_as(gate, certificate)
        assert code == 554 and reply.startswith("5.7.1 Client certificate not verified: "), f"{check}: {code} {reply}"
        entry = gate.wait_entry(CLIENT_NOT_VERIFIED, since=before, TLS_VERIFY=check)
        assert entry["POSTERN_REASON"] in reply and entry["POSTERN_REASON"] in entry["MESSAGE"]

    # Where TLS is required, a certificate is, too,
    settings("smtpd", "[MailFlow default]\nTLS=Required\nVerifyClient=yes\n")
    assert send_as(gate, good)[0] == 250
    code, reply = send_as(gate, None)
    assert code == 554 and "no certificate" in reply
    assert send(gate.address, tls=False).code == 530

    # and what is enabled counts at once.
    pid = gate.pid_of("postern-smtpd.service")
    lists.disable(trusted.issuer)
    try:
        wait_until(lambda: send_as(gate, good)[0] == 554, timeout=5, what="the refusal")
    finally:
        lists.enable(trusted.issuer)
    wait_until(lambda: send_as(gate, good)[0] == 250, timeout=5, what="the admission")
    assert gate.pid_of("postern-smtpd.service") == pid


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_session_of_a_verified_client_is_resumed(lab, gate, trusted, settings, version):
    def connect_again(*session):
        return subprocess.run([*command, *session], input="QUIT\r\n", capture_output=True, text=True, timeout=30).stdout

    # Given a client that has a certificate and keeps its session
    certificate = trusted.issue("resuming.client.lab", usage="clientAuth")
    settings("smtpd", "[MailFlow default]\nTLS=Required\nVerifyClient=yes\n")
    kept = lab.directory / f"session{version}.pem"
    command = ["openssl", "s_client", "-connect", f"{gate.address}:25", "-starttls", "smtp", "-cert", str(certificate.chain),
               "-cert_chain", str(certificate.chain), "-key", str(certificate.key), version, "-ign_eof"]

    # when it comes again with it
    first = connect_again("-sess_out", kept)
    assert "New, TLSv1" in first and "221 2.0.0" in first
    if kept.exists():
        again = connect_again("-sess_in", kept)

        # then there is a new handshake, in which the certificate is verified.
        assert "New, TLSv1" in again and "221 2.0.0" in again
