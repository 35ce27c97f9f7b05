# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: one lab for the whole run, and the servers in it that no test changes for good."""

import hashlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from lab import Authority, Certificate, Lab  # noqa: E402


@pytest.fixture(scope="session")
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def dns(lab):
    return lab.dns()


@pytest.fixture(scope="session")
def mx(lab, dns):
    """The mail server of remote.lab, whose TLSA record is right."""
    mx = lab.mx("mx", "remote.lab")
    dns.mail_domain("remote.lab", mx.name, mx.address, mx.tlsa())
    return mx


@pytest.fixture(scope="session")
def administrator(lab, dns):
    """The mail server that alerts for admin@alerts.lab go to."""
    server = lab.fake_smtp("alerts", certificate=lab.authority.issue("alerts.lab"))
    dns.mail_domain("alerts.lab", "mx.alerts.lab", server.address)
    return server


@pytest.fixture(scope="session")
def gate(lab, dns, administrator):
    """The gateway that takes mail for all domains of the lab. A test that changes it puts back what was there."""
    return lab.gateway("gate", dns, [".lab"], alert_recipient="admin@alerts.lab")


AUTHORITIES = "/root/authorities"


class Lists:
    """The lists of authorities of the gateway, as an administrator changes them."""

    def __init__(self, gate):
        self.gate = gate
        self.added = []

    def __call__(self, *words):
        return self.gate.run(["posternctl", "ca", *words]).stdout

    def add(self, authority):
        path = f"{AUTHORITIES}/{authority.certificate.name}"
        self.gate.write(path, authority.certificate.read_bytes())
        self("import", path)
        self.added.append(self.fingerprint(authority))

    @staticmethod
    def fingerprint(authority):
        return hashlib.sha256(Certificate(authority.key, authority.certificate).der()).hexdigest()

    def disable(self, authority):
        self("disable", "custom", self.fingerprint(authority))

    def enable(self, authority):
        self("enable", "custom", self.fingerprint(authority))


@pytest.fixture(scope="module")
def lists(gate):
    gate.run(["mkdir", "-p", AUTHORITIES])
    lists = Lists(gate)
    yield lists
    lists("remove", *lists.added)
    gate.run(["rm", "-r", AUTHORITIES])


@pytest.fixture(scope="module")
def trusted(lab, lists):
    """An authority that is enabled, and an intermediate of it."""
    root = Authority(lab.directory, "Trusted Root")
    lists.add(root)
    return Authority(lab.directory, "Trusted Intermediate", issuer=root)
