# SPDX-License-Identifier: Apache-2.0
"""A wrong configuration is refused with a message that says where and why, and the running daemon keeps the old one."""

import pytest

from lab import gateway, send

FILE = "/etc/postern/{daemon}.conf.d/60-test.conf"

# What is written, and words of the complaint about it. All are errors, which are refused.
ERRORS = {
    "wrong value": ("smtpd", "[MailFlow default]\nTLS=Perhaps\n", [f"{FILE}:2:", "TLS", "Perhaps"]),
    "wrong number": ("dnsd", "[Dnsd]\nCacheSize=much\n", [f"{FILE}:2:", "CacheSize", "much"]),
    "wrong level": ("deliverd", "[Destination default]\nDANE=Sometimes\n", [f"{FILE}:2:", "DANE", "Sometimes"]),
    "missing file": ("dnsd", "[Dnsd]\nTrustAnchorFile=/nowhere/root.key\n", ["TrustAnchorFile=/nowhere/root.key", "No such file"]),
    "too long line": ("smtpd", "[MailFlow default]\nDomains=" + "a" * 300 + ".lab\n", [f"{FILE}:2:", "too long"]),
    "no section": ("alertd", "Address=me@remote.lab\n", [f"{FILE}:1:"]),
    "unclosed section": ("deliverd", "[Destination default\nTLS=Required\n", [f"{FILE}:1:"]),
}


@pytest.fixture
def written(gate):
    """Write a drop-in that is gone after the test."""
    daemons = []

    def write(daemon, text):
        daemons.append(daemon)
        gate.configure(daemon, text)

    yield write
    for daemon in daemons:
        gate.unconfigure(daemon)
        gate.reload(daemon)


def check(gate, daemon):
    return gate.run([f"/usr/lib/postern/postern-{daemon}", "--check-config"], check=False)


@pytest.mark.parametrize("daemon", gateway.DAEMONS)
def test_what_is_installed_is_right(gate, daemon):
    result = check(gate, daemon)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_named_with_file_and_line(gate, written, case):
    daemon, text, words = ERRORS[case]
    written(daemon, text)
    result = check(gate, daemon)
    assert result.returncode != 0
    complaint = result.stdout + result.stderr
    for word in words:
        assert word.format(daemon=daemon) in complaint


@pytest.mark.parametrize("case", ERRORS)
def test_a_running_daemon_refuses_an_error_and_goes_on(gate, written, case):
    # Given a running daemon
    daemon, text, words = ERRORS[case]
    unit = f"postern-{daemon}.service"
    pid, before = gate.pid_of(unit), gate.cursor()

    # when its configuration becomes wrong and is reloaded
    written(daemon, text)
    reload = gate.run(["systemctl", "reload", unit], check=False)

    # then the reload fails, the journal says why, and the same process goes on.
    assert reload.returncode != 0
    entry = gate.wait_journal(since=before, MESSAGE_ID=gateway.CONFIGURATION_INVALID, _SYSTEMD_UNIT=unit)[0]
    for word in words:
        assert word.format(daemon=daemon) in entry["MESSAGE"]
    assert gate.systemctl("is-active", unit) == "active" and gate.pid_of(unit) == pid


def test_an_unknown_key_is_a_warning_that_names_the_nearest_one(gate, written):
    written("smtpd", "[MailFlow default]\nDomain=other.lab\n")
    result = check(gate, "smtpd")
    assert result.returncode == 0
    complaint = result.stdout + result.stderr
    assert FILE.format(daemon="smtpd") + ":2:" in complaint
    assert "Domain" in complaint and "Domains" in complaint
    gate.reload("smtpd")


def test_a_right_change_applies_to_the_next_session(gate, written):
    assert send(gate.address, recipients=["x@added.example"]).code >= 500
    written("smtpd", "[MailFlow default]\nDomains=added.example\n")
    gate.reload("smtpd")
    assert send(gate.address, recipients=["x@added.example"]).code == 250
