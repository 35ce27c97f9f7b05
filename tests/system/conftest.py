# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: one lab for the whole run, and the servers in it that no test changes for good."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from lab import Lab  # noqa: E402


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
