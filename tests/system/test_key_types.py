# SPDX-License-Identifier: Apache-2.0
"""Keys of every type sign handshakes, as the server and as the client, of TLS 1.2 and 1.3."""

import hashlib
import re
import ssl
import subprocess

import pytest

from lab import Posternctl, gateway, plain_message, send
from lab.node import wait_until

WORK = "/root/key-types"
NAME = "typed"
KEY_TYPES = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"]
VERSIONS = {"TLSv1.2": "-tls1_2", "TLSv1.3": "-tls1_3"}
if ssl.OPENSSL_VERSION_INFO >= (3, 5):
    KEY_TYPES.append("ml-dsa-65")
# TLS 1.2 knows nothing of ML-DSA.
CASES = [(key_type, version) for key_type in KEY_TYPES for version in VERSIONS
         if version == "TLSv1.3" or not key_type.startswith("ml-dsa")]
every_case = pytest.mark.parametrize(("certificate", "version"), CASES, indirect=["certificate"], scope="module")


@pytest.fixture(scope="module")
def ctl(gate):
    with Posternctl(gate, WORK) as ctl:
        yield ctl


@pytest.fixture(scope="module")
def certificate(request, gate, ctl):
    """A certificate of a type, in PEM, that smtpd and deliverd use."""
    ctl.check("cert", "create", NAME, f"--common-name={gate.name}.lab", f"--key-type={request.param}")
    gate.configure("certd", f"[Service smtpd]\nCertificates={NAME} demonstration\n[Service deliverd]\nCertificates={NAME}\n")
    gate.configure("smtpd", f"[Listener public]\nCertificate={NAME}\n")
    gate.configure("deliverd", f"[Deliverd]\nCertificate={NAME}\n")
    for daemon in ("certd", "smtpd", "deliverd"):
        gate.reload(daemon)
    yield ctl("cert", "export-pem", NAME).text
    for daemon in ("smtpd", "deliverd", "certd"):
        gate.unconfigure(daemon)
        gate.reload(daemon)
    ctl.check("cert", "delete", NAME)


@pytest.fixture(scope="module")
def servers(lab, dns):
    """Servers that ask clients for a certificate, by the one version that they speak."""
    servers = {}
    for version in VERSIONS:
        name = f"types-{version[-1]}"
        mx = lab.mx(f"{name}-mx", f"{name}.lab", smtpd_tls_ask_ccert="yes", smtpd_tls_fingerprint_digest="sha256",
                    smtpd_tls_loglevel="2", smtpd_tls_protocols=version, smtpd_tls_mandatory_protocols=version)
        dns.mail_domain(mx.domain, mx.name, mx.address, mx.tlsa())
        servers[version] = mx
    return servers


def connect(gate, authority, *options):
    """What openssl sees of a connection that ends when the server ends it."""
    command = ["openssl", "s_client", "-connect", f"{gate.address}:25", "-starttls", "smtp", "-verify_return_error", "-ign_eof",
               "-CAfile", authority, *options]
    return subprocess.run(command, input=b"QUIT\r\n", capture_output=True, timeout=30).stdout.decode(errors="replace")


@pytest.mark.parametrize("certificate", KEY_TYPES, indirect=True, scope="module")
def test_a_request_is_signed_by_the_key(gate, ctl, certificate):
    request = ctl("cert", "request", NAME).text
    judged = subprocess.run(["openssl", "req", "-verify", "-noout", "-pubkey"], input=request, capture_output=True, text=True, check=True)
    assert "verify OK" in judged.stdout + judged.stderr
    public = subprocess.run(["openssl", "x509", "-noout", "-pubkey"], input=certificate, capture_output=True, text=True, check=True)
    assert "BEGIN PUBLIC KEY" in public.stdout and public.stdout in judged.stdout


@every_case
def test_a_server_that_has_not_the_key_is_verified(gate, certificate, version, tmp_path):
    tmp_path.joinpath("certificate").write_text(certificate)
    session = tmp_path / "session"

    def first():
        seen = connect(gate, tmp_path / "certificate", VERSIONS[version], "-sess_out", session)
        return "Verify return code: 0 (ok)" in seen and seen

    # It may take a moment until all workers have the new certificate.
    seen = wait_until(first, what="a handshake with the certificate", interval=0.2)
    assert re.search(rf"New, {re.escape(version)}, Cipher is", seen)

    # The session is resumed by the worker that made it, with no signature; which of them answers is by chance.
    def again():
        return f"Reused, {version}" in connect(gate, tmp_path / "certificate", VERSIONS[version], "-sess_in", session)

    wait_until(again, timeout=20, what="a session that is resumed", interval=0)


@every_case
def test_a_client_that_has_not_the_key_is_known(gate, certificate, servers, version):
    mx = servers[version]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest().upper()
    fingerprint = ":".join(digest[i:i + 2] for i in range(0, len(digest), 2))

    def shown():
        sent = send(gate.address, plain_message(recipient=f"bob@{mx.domain}"), recipients=[f"bob@{mx.domain}"])
        assert sent.accepted
        entry = gate.wait_entry(gateway.DELIVERED, QUEUE_ID=sent.queue_id)
        assert entry["POSTERN_TLS_VERSION"] == version
        return fingerprint in mx.log()

    wait_until(shown, timeout=30, interval=0.5, what="the certificate in the server's log")
