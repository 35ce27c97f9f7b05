# SPDX-License-Identifier: Apache-2.0
"""Certificates for the lab's peers, made with openssl(1), and the TLSA data that names them."""

import hashlib
import pathlib
import subprocess


def _openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True).stdout


def _subject(names):
    return f"/CN={names[0]}"


def _san(names):
    return "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)


class Certificate:
    """A key file and a chain file (the leaf first), as servers want them."""

    def __init__(self, key, chain):
        self.key = pathlib.Path(key)
        self.chain = pathlib.Path(chain)

    @classmethod
    def self_signed(cls, directory, *names, days=30, curve="P-256"):
        key, chain = directory / f"{names[0]}.key", directory / f"{names[0]}.pem"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes", "-keyout", key, "-out", chain,
                 "-days", days, "-subj", _subject(names), "-addext", _san(names))
        return cls(key, chain)

    def alone(self):
        """The same without what stands behind it in its chain."""
        end = "-----END CERTIFICATE-----\n"
        chain = self.chain.with_suffix(".alone.pem")
        chain.write_text(self.chain.read_text().split(end)[0] + end)
        return Certificate(self.key, chain)

    def der(self, position=0):
        """The DER bytes of the certificate at position in the chain."""
        end = "-----END CERTIFICATE-----\n"
        pem = self.chain.read_text().split(end)[position] + end
        return _openssl("x509", "-outform", "DER", data=pem.encode())

    def spki(self, position=0):
        """The DER bytes of the SubjectPublicKeyInfo of the certificate at position in the chain."""
        pem = _openssl("x509", "-inform", "DER", "-pubkey", "-noout", data=self.der(position))
        return _openssl("pkey", "-pubin", "-outform", "DER", data=pem)

    def tlsa(self, usage=3, selector=1, matching=1):
        """The TLSA record data (RFC 6698): usage 3 names the leaf, usage 2 the last certificate of the chain."""
        position = 0 if usage in (1, 3) else self.chain.read_text().count("BEGIN CERTIFICATE") - 1
        data = self.der(position) if selector == 0 else self.spki(position)
        digest = {0: bytes, 1: lambda d: hashlib.sha256(d).digest(), 2: lambda d: hashlib.sha512(d).digest()}[matching](data)
        return f"{usage} {selector} {matching} {digest.hex()}"


class Authority:
    """A private certificate authority: a root, or with an issuer an intermediate."""

    def __init__(self, directory, name="Lab Authority", issuer=None):
        self.directory = directory
        self.issuer = issuer
        stem = name.lower().replace(" ", "-")
        self.key, self.certificate = directory / f"{stem}.key", directory / f"{stem}.pem"
        made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        if issuer:
            self.certificate.write_text(issuer.sign(_openssl("req", "-new", *made)))
        else:
            _openssl("req", "-x509", *made, "-out", self.certificate, "-days", 30)

    @property
    def chain(self):
        """This authority's own certificate and those above, up to the root, in PEM."""
        return self.certificate.read_text() + (self.issuer.chain if self.issuer else "")

    def sign(self, request, days=30):
        """The certificate for a request, with the names that the request has; both in PEM."""
        request = request.encode() if isinstance(request, str) else request
        return _openssl("x509", "-req", "-CA", self.certificate, "-CAkey", self.key, "-days", days, "-copy_extensions", "copyall",
                        data=request).decode()

    def issue(self, *names, days=30, common_name=None, usage=None):
        """A certificate for names; its chain file ends with the root's own certificate, so DANE-TA can find it. It has expired
        if days is 0. usage: serverAuth, clientAuth."""
        stem = f"{names[0]}.{self.certificate.stem}.{days}.{common_name}.{usage}"
        key, chain = self.directory / f"{stem}.key", self.directory / f"{stem}.pem"
        extensions = ["-addext", _san(names)] + (["-addext", f"extendedKeyUsage={usage}"] if usage else [])
        request = _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                           "-subj", _subject([common_name or names[0]]), *extensions)
        chain.write_text(self.sign(request, days) + self.chain)
        return Certificate(key, chain)
