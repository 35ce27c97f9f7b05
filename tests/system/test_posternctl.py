# SPDX-License-Identifier: Apache-2.0
"""posternctl shows what the daemons say and does what they can do, for people and for programs."""

import json
import re

import pytest

from lab import gateway, send
from lab.node import wait_until

SUCCESS, FAILURE, USAGE, NOT_RUNNING, NOT_PERMITTED, NOT_FOUND = range(6)
WORK = "/root/posternctl"


class Result:
    def __init__(self, result):
        self.status = result.returncode
        self.text = result.stdout
        self.error = result.stderr

    @property
    def json(self):
        assert self.status == SUCCESS, self.error
        return json.loads(self.text)


@pytest.fixture(scope="module")
def ctl(gate):
    gate.run(["mkdir", "-p", WORK])

    def run(*words, **options):
        return Result(gate.run(["env", f"--chdir={WORK}", *options.pop("environment", []), "posternctl", *words], check=False,
                               **options))

    yield run
    gate.run(["rm", "-r", WORK])


@pytest.fixture
def mx_certificate(ctl):
    """A certificate of the name mx, gone at the end."""
    assert ctl("cert", "create", "mx", "--common-name=mx.gate.lab", "--name=192.0.2.1").status == SUCCESS
    yield "mx"
    ctl("cert", "delete", "mx", "--force")


def test_status_tells_how_everything_is(ctl):
    result = ctl("status")
    assert result.status == SUCCESS, result.text + result.error
    for daemon in gateway.DAEMONS:
        assert re.search(rf"^{daemon} +running ", result.text, re.MULTILINE)
    assert re.search(r"^warning: smtpd may use the demonstration certificate", result.text, re.MULTILINE)
    assert "\x1b" not in result.text

    status = ctl("status", "--json").json
    daemons = {daemon["Name"]: daemon for daemon in status["Daemons"]}
    assert set(daemons) == set(gateway.DAEMONS)
    assert all(daemon["State"] == "running" and daemon["MainPID"] > 1 for daemon in daemons.values())
    assert daemons["smtpd"]["Workers"] >= 1 and daemons["deliverd"]["Workers"] >= 1
    assert "demonstration" in [certificate["Name"] for certificate in status["Certificates"]]


def test_status_starts_no_daemon(gate, ctl):
    units = ["postern-alertd.socket", "postern-alertd.service"]
    gate.systemctl("stop", *units)
    try:
        result = ctl("status")
        assert result.status == NOT_RUNNING
        assert re.search(r"^alertd +(dead|stopped) ", result.text, re.MULTILINE)
        assert "warning: alertd does not run" in result.text
        assert gate.systemctl("is-active", units[1], check=False) == "inactive"
    finally:
        gate.systemctl("start", "postern.target")
        for unit in gateway.UNITS:
            gate.wait_active(unit)


def test_the_queue_is_listed_shown_and_flushed(lab, gate, dns, ctl):
    # Given a message that waits, since nothing listens where its mail server should be
    dns.mail_domain("waits.lab", "mx.waits.lab", lab.address)
    sent = send(gate.address, sender="alice@client.lab", recipients=["bob@waits.lab"])
    assert sent.accepted
    gate.wait_entry(gateway.DEFERRED, QUEUE_ID=sent.queue_id, timeout=60)

    # when it is looked for, then it is there with the reason,
    assert sent.queue_id in ctl("queue", "list").text
    listed = [message for message in ctl("queue", "list", "--json").json if message["Id"] == sent.queue_id]
    assert listed[0]["Sender"] == "alice@client.lab" and listed[0]["PendingRecipients"] == 1
    shown = ctl("queue", "show", sent.queue_id, "--json").json
    assert shown["Recipients"] == [{"Address": "bob@waits.lab", "Status": "pending"}]
    assert shown["Destinations"][0]["Domain"] == "waits.lab" and shown["Destinations"][0]["Reason"]
    assert shown["Destinations"][0]["Reason"][:20] in ctl("queue", "show", sent.queue_id).text

    # and can be tried at once.
    attempts = shown["Destinations"][0]["Attempts"]
    assert ctl("queue", "flush", "waits.lab", "--json").json == {"Deliveries": 1}
    wait_until(lambda: ctl("queue", "show", sent.queue_id, "--json").json["Destinations"][0]["Attempts"] > attempts, 60,
               "another attempt")
    assert ctl("queue", "show", "0000000000000000").status == NOT_FOUND
    assert ctl("queue", "flush", "not a domain").status == USAGE


def test_lookups_come_with_their_state(mx, ctl):
    answer = ctl("dns", "query", "remote.lab", "--json").json
    assert answer["State"] == "secure" and answer["Records"] == [f"10 {mx.name}."]
    assert ctl("dns", "query", f"_25._tcp.{mx.name}", "tlsa", "--json").json["Records"][0].lower() == mx.tlsa()
    assert ctl("dns", "query", "no-such.remote.lab").status == NOT_FOUND
    assert ctl("dns", "query", "remote.lab", "HINFO").status == USAGE


def test_alerts_are_listed(ctl):
    assert isinstance(ctl("alert", "list", "--json").json, list)


def test_a_certificate_from_request_to_installation(gate, ctl, mx_certificate):
    # Given a request and an authority that signs it
    assert ctl("cert", "request", "mx", "mx.csr").status == SUCCESS
    assert ctl("cert", "request", "mx", "mx.csr").status == FAILURE  # it is there
    assert ctl("cert", "request", "mx", "--last").text == gate.read(f"{WORK}/mx.csr")
    gate.run(f"""cd {WORK} && exec >/dev/null 2>&1 &&
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2 &&
        openssl x509 -req -in mx.csr -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copyall -out mx.pem""")

    # when what it signed is installed, first without the end of its chain, then with the end in an enabled list of
    # authorities, then whole from standard input
    result = ctl("cert", "install", "mx", "mx.pem")
    assert result.status == FAILURE and "chain" in result.error
    assert ctl("cert", "show", "mx", "--json").json["State"] == "request-pending"
    fingerprint = gate.run(f"openssl x509 -in {WORK}/ca.pem -noout -fingerprint -sha256").stdout.split("=")[1].strip()
    assert ctl("ca", "import", "ca.pem").status == SUCCESS
    try:
        assert ctl("ca", "disable", "custom", fingerprint).status == SUCCESS
        assert "chain" in ctl("cert", "install", "mx", "mx.pem").error
        assert ctl("ca", "enable", "custom", fingerprint).status == SUCCESS
        assert ctl("cert", "install", "mx", "mx.pem").status == SUCCESS
    finally:
        ctl("ca", "remove", fingerprint)
    assert ctl("cert", "show", "mx", "--json").json["ChainLength"] == 1
    assert ctl("cert", "install", "mx", "-", input=gate.read(f"{WORK}/mx.pem") + gate.read(f"{WORK}/ca.pem")).status == SUCCESS

    # then it is served whole, and the record to publish is that of its key.
    details = ctl("cert", "show", "mx", "--json").json
    assert details["State"] == "signed" and details["ChainLength"] == 2 and "192.0.2.1" in details["Names"]
    assert ctl("cert", "export-pem", "mx").text.count("BEGIN CERTIFICATE") == 2
    assert ctl("cert", "pointer", "mx").text.startswith("-----BEGIN POSTERN KEY-----\n")
    assert ctl("cert", "tlsa", "mx", "--host", "mx.gate.lab").text == f"_25._tcp.mx.gate.lab. IN TLSA {details['TLSA']}\n"
    authority = gate.run(f"cd {WORK} && openssl x509 -in ca.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum")
    assert ctl("cert", "tlsa", "mx", "--host", "mx.gate.lab", "--usage=3", "--usage=2").text == (
        f"_25._tcp.mx.gate.lab. IN TLSA {details['TLSA']}\n"
        f"_25._tcp.mx.gate.lab. IN TLSA 2 1 1 {authority.stdout.split()[0]}\n")
    assert ctl("cert", "install", "demonstration", "mx.pem").status == FAILURE


def test_names_are_looked_at(ctl, mx_certificate):
    # A self-signed certificate has no authority that could be published.
    result = ctl("cert", "tlsa", "mx", "--host=mx.gate.lab", "--usage=2")
    assert result.status == FAILURE and "chain" in result.error and result.text == ""
    assert ctl("cert", "tlsa", "mx", "--host=mx.gate.lab", "--usage=1").status == USAGE
    assert "not fully qualified" not in ctl("cert", "show", "mx").error

    assert ctl("cert", "create", "short", "--common-name=mx").status == SUCCESS
    try:
        assert "not fully qualified" in ctl("cert", "show", "short").error
        assert ctl("cert", "show", "short", "--json").json["FullyQualified"] is False
    finally:
        ctl("cert", "delete", "short")


def test_pkcs12_and_passphrases(gate, ctl, mx_certificate):
    gate.write(f"{WORK}/passphrase", "a secret\n", mode=0o600)
    assert ctl("cert", "export", "mx", "mx.p12", "--passphrase-file=passphrase").status == SUCCESS
    assert gate.run(["stat", "-c", "%a", f"{WORK}/mx.p12"]).stdout == "600\n"
    assert "PRIVATE KEY" in gate.run(f"cd {WORK} && openssl pkcs12 -in mx.p12 -passin 'pass:a secret' -nodes").stdout

    result = ctl("cert", "import", "mx.p12", "again", "--passphrase-file=-", input="wrong")
    assert result.status == FAILURE and "passphrase" in result.error
    assert ctl("cert", "import", "mx.p12", "again", "--passphrase-file=-", input="a secret").status == SUCCESS
    assert ctl("cert", "rename", "again", "yet-again").status == SUCCESS
    assert ctl("cert", "delete", "yet-again").status == SUCCESS
    assert ctl("cert", "show", "yet-again").status == NOT_FOUND

    assert ctl("cert", "forbid-export", "mx").status == SUCCESS
    assert ctl("cert", "export", "mx", "another.p12", "--passphrase-file=passphrase").status == FAILURE
    # Nobody is asked where there is nobody.
    result = ctl("cert", "import", "mx.p12", "again")
    assert result.status == USAGE and "--passphrase-file" in result.error


def test_what_is_in_use_stays(ctl):
    result = ctl("cert", "delete", "demonstration")
    assert result.status == FAILURE and "smtpd" in result.error


@pytest.mark.parametrize("command", ["queue list", "cert forbid-export demonstration", "dns query remote.lab", "alert list"])
def test_what_is_not_public_is_roots(ctl, command):
    result = ctl(*command.split(), user="nobody", environment=["--chdir=/"])
    assert result.status == NOT_PERMITTED and "root" in result.error and result.text == ""


@pytest.mark.parametrize("command", ["status", "cert list", "cert show demonstration", "cert tlsa demonstration --host=mx.lab"])
def test_what_is_public_is_everybodys(ctl, command):
    result = ctl(*command.split(), user="nobody", environment=["--chdir=/"])
    assert result.status == SUCCESS and result.text, result.error


def test_root_does_without_the_system_bus(gate, ctl):
    gate.systemctl("stop", "dbus.socket", "dbus.service")
    try:
        assert ctl("status").status == SUCCESS
        assert ctl("cert", "list", "--json").json
        result = ctl("queue", "list", user="nobody", environment=["--chdir=/"])
        assert result.status == NOT_RUNNING and "system bus" in result.error
    finally:
        gate.run(["systemctl", "start", "dbus.socket", "dbus.service"])


def test_another_host_is_asked_by_ssh(gate, ctl):
    # Given an ssh that goes nowhere
    gate.write(f"{WORK}/bin/ssh", '#!/bin/sh\nwhile [ "$1" != systemd-stdio-bridge ]; do shift; done\nexec "$1"\n', mode=0o755)
    path = [f"PATH={WORK}/bin:/usr/bin:/bin"]
    assert "demonstration" in ctl("-H", "root@far.lab", "cert", "list", environment=path).text
    # Descriptors cannot be sent through it.
    result = ctl("--host=far.lab", "cert", "install", "demonstration", "/etc/passwd", environment=path)
    assert result.status == FAILURE and "another host" in result.error


def test_the_completion_completes(gate):
    complete = '. /usr/share/bash-completion/completions/posternctl; COMP_WORDS=({}); COMP_CWORD={}; _posternctl 2>/dev/null; ' \
               'printf "%s\\n" "${{COMPREPLY[@]}}"'
    for words, position, expected in [("posternctl qu", 1, "queue"), ("posternctl queue fl", 2, "flush"),
                                      ("posternctl cert show dem", 3, "demonstration"),
                                      ("posternctl cert create --key-type = ed", 5, "ed25519")]:
        assert gate.run(["bash", "-c", complete.format(words, position)]).stdout.split() == [expected]
