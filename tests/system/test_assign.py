# SPDX-License-Identifier: Apache-2.0
"""Certificates are assigned to what uses them: listeners, delivery, and programs of other users."""

import hashlib
import subprocess

import pytest

ECDSA_P256_SHA256 = 0x0403
SERVER = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + hashlib.sha256(b"a transcript").digest()
CLIENT = SERVER.replace(b"server", b"client")
DIGEST = hashlib.sha256(b"a mail that was never sent").digest()
LOGIN, OTHER = "games", "nobody"  # users that every Debian has and nothing uses
PEER_DROPPED = "c42e1cb86bf8476dbe85af03b0c66482"
FILE = "/var/lib/postern/certd/assignments"


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


class Program:
    """A program of a user, which knows nothing but the socket for programs."""

    def __init__(self, gate, user):
        self.gate, self.user = gate, user

    def call(self, method, *arguments):
        return self.gate.call_peer("certd", method, *arguments, user=self.user, socket="keys")

    def certificate(self, name):
        return self.call("GetCertificate", "s", name)

    def sign(self, name, spki, message):
        return self.call("Sign", "sayqay", name, spki, ECDSA_P256_SHA256, message)


def public_key(chain):
    """The public key of a PEM chain's first certificate, as PEM and as the hash that Sign() wants."""
    public = openssl("x509", "-pubkey", "-noout", data=chain)
    return public, hashlib.sha256(openssl("pkey", "-pubin", "-outform", "DER", data=public)).digest()


@pytest.fixture
def assigned(gate):
    """The demonstration certificate is assigned to programs of LOGIN."""
    uid = gate.run(["id", "-u", LOGIN]).stdout.strip()
    gate.write(FILE, f"demonstration user:{LOGIN} {uid}\n")
    gate.run(["chown", "postern-certd:postern-certd", FILE])
    gate.reload("certd")
    yield
    gate.run(["rm", "-f", FILE])
    gate.reload("certd")


def test_a_program_has_handshakes_signed_as_server_and_as_client(gate, assigned, tmp_path):
    program = Program(gate, LOGIN)
    chain = bytes(program.certificate("demonstration").data[1])
    public, spki = public_key(chain)
    for message in (SERVER, CLIENT):
        answer = program.sign("demonstration", spki, message)
        assert answer.data, answer.text
        for name, content in {"signature": bytes(answer.data[0]), "message": message, "public": public}.items():
            tmp_path.joinpath(name).write_bytes(content)
        openssl("dgst", "-sha256", "-verify", str(tmp_path / "public"), "-signature", str(tmp_path / "signature"),
                str(tmp_path / "message"))

    # Nothing else, and with no other key.
    assert program.sign("demonstration", spki, DIGEST).error == "NotAHandshake"
    assert program.sign("other", spki, SERVER).error == "KeyNotAssigned"
    assert program.call("NoSuchMethod").error == "AccessDenied"


def test_who_has_nothing_assigned_is_let_go(gate, assigned):
    before = gate.cursor()
    answer = Program(gate, OTHER).certificate("demonstration")
    assert answer.data is None and answer.error is None
    entry = gate.wait_entry(PEER_DROPPED, since=before, REASON="nothing here is for it")
    assert "uid 65534" in entry["MESSAGE"]
