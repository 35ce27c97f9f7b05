# SPDX-License-Identifier: Apache-2.0
"""certd signs TLS handshakes for the services that use a key, and nothing else for nobody else."""

import hashlib
import re
import subprocess

import pytest

ECDSA_P256_SHA256 = 0x0403
SERVER = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + hashlib.sha256(b"a transcript").digest()
CLIENT = b" " * 64 + b"TLS 1.3, client CertificateVerify\0" + hashlib.sha256(b"a transcript").digest()


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


class Certd:
    """Calls to certd's peer socket, as a user of choice."""

    def __init__(self, gate):
        self.gate = gate
        chain = bytes(self.get_certificate().data[1])
        self.public = openssl("x509", "-pubkey", "-noout", data=chain)
        self.spki = hashlib.sha256(openssl("pkey", "-pubin", "-outform", "DER", data=self.public)).digest()

    def get_certificate(self, name="demonstration", user="postern-smtpd"):
        return self.gate.call_peer("certd", "GetCertificate", "s", name, user=user, groups=["postern-certd"])

    def sign(self, message, name="demonstration", user="postern-smtpd"):
        return self.gate.call_peer("certd", "Sign", "sayqay", name, self.spki, ECDSA_P256_SHA256, message,
                                   user=user, groups=["postern-certd"])


@pytest.fixture(scope="module")
def certd(gate):
    return Certd(gate)


def test_a_server_handshake_is_signed_for_smtpd(certd, tmp_path):
    answer = certd.sign(SERVER)
    assert answer.data, answer.text
    files = {"signature": bytes(answer.data[0]), "message": SERVER, "public": certd.public}
    for name, content in files.items():
        tmp_path.joinpath(name).write_bytes(content)
    openssl("dgst", "-sha256", "-verify", str(tmp_path / "public"), "-signature", str(tmp_path / "signature"),
            str(tmp_path / "message"))


def test_a_bare_digest_is_not_signed(certd):
    assert certd.sign(hashlib.sha256(b"a mail that was never sent").digest()).error == "NotAHandshake"


RANDOMS, POINT = hashlib.sha512(b"randoms").digest(), hashlib.sha256(b"a point").digest()

# A few of those that certd/test-tls-signable.c has.
NO_HANDSHAKES = {
    "text": b"Pay to the bearer",
    "blanks": b" " * 64,
    "short": SERVER[:-1],
    "shifted": SERVER[1:],
    "context": SERVER.replace(b"server", b"sErver"),
    "version": SERVER.replace(b"1.3", b"1.4"),
    "long": SERVER + b"more",
    "zeros": b"\0" * 146,
    "digest of SHA-512": RANDOMS,
    "DHE": RANDOMS + b"\0\x20" + POINT + b"\0\1\2\0\x20" + POINT,
    "explicit curve": RANDOMS + b"\1\0\x1d\x20" + POINT,
    "wrong length": RANDOMS + b"\3\0\x1d\x1f" + POINT,
    "SSH": b"\0\0\0\x20" + POINT + b"\x32\0\0\0\4root\0\0\0\x0essh-connection\0\0\0\x09publickey\1",
    "JWT": b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9",
    "OpenPGP": b"a message\r\n\4\1\x16\x08\0\6\5\2\x67\x43\x1e\x80\4\xff\0\0\0\x0c",
    "DKIM": b"from:a@example.org\r\ndkim-signature:v=1; a=rsa-sha256; d=example.org; s=x; h=from; bh=; b=",
}


def to_be_signed(certificate):
    """The part of a certificate, or of a request, that its signature is over."""
    assert certificate[4:6] == b"\x30\x82"
    return certificate[4:8 + int.from_bytes(certificate[6:8], "big")]


@pytest.mark.parametrize("message", NO_HANDSHAKES.values(), ids=NO_HANDSHAKES)
def test_what_is_no_handshake_is_not_signed(certd, message):
    assert certd.sign(message).error == "NotAHandshake"


def test_a_certificate_is_not_signed(certd, lab):
    assert certd.sign(to_be_signed(lab.authority.issue("forged.example.org").der())).error == "NotAHandshake"


def test_smtpd_cannot_sign_as_a_client(certd):
    assert certd.sign(CLIENT).error in ("NotAHandshake", "AccessDenied")


def test_a_key_that_the_caller_does_not_use_is_not_signed_with(certd):
    assert certd.sign(CLIENT, user="postern-deliverd").error == "KeyNotAssigned"


def test_a_certificate_that_does_not_exist_gives_nothing(certd):
    assert certd.sign(SERVER, name="no-such").error in ("NoSuchCertificate", "KeyNotAssigned")


@pytest.mark.parametrize("user, error", [("nobody", "UnknownCaller"), ("postern-dnsd", "AccessDenied")])
def test_who_has_no_business_with_keys_is_refused_everything(certd, user, error):
    assert certd.sign(SERVER, user=user).error == error
    assert certd.get_certificate(user=user).error == error


def test_who_is_not_in_the_group_cannot_even_connect(gate):
    answer = gate.call_peer("certd", "GetCertificate", "s", "demonstration", user="nobody")
    # busctl of Debian 13 calls it "Operation not permitted".
    assert answer.data is None and answer.error is None and re.search("Permission denied|not permitted", answer.text)
