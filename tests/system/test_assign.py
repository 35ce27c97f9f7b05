# SPDX-License-Identifier: Apache-2.0
"""Certificates are assigned to what uses them: listeners, delivery, and programs of other users."""

import hashlib
import json
import ssl
import subprocess
import threading

import pytest

from lab import gateway, plain_message, send
from lab.client import connect
from lab.node import wait_until

ECDSA_P256_SHA256 = 0x0403
SERVER = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + hashlib.sha256(b"a transcript").digest()
CLIENT = SERVER.replace(b"server", b"client")
DIGEST = hashlib.sha256(b"a mail that was never sent").digest()
LOGIN, OTHER = "games", "nobody"  # users that every Debian has and nothing uses
PEER_DROPPED = "c42e1cb86bf8476dbe85af03b0c66482"
FILE = "/var/lib/postern/certd/assignments"
CERTD = "postern-certd.service"
NAMES = ("first", "second")

# A program that connects, and says when it is let go: how many of its connections there were then.
CONNECT = """
import socket, sys
sockets = []
for _ in range(int(sys.argv[1])):
    sockets.append(socket.socket(socket.AF_UNIX))
    sockets[-1].connect("/run/postern/keys")
print("connected", flush=True)
print(sum(s.recv(1) == b"" for s in sockets), flush=True)
"""


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
def ctl(gate):
    def run(*words, check=True):
        return gate.run(["posternctl", *words], check=check)
    return run


@pytest.fixture
def bus(gate):
    """Calls a method of certd's over the system bus."""
    def run(method, *words):
        output = gate.run(["busctl", "--json=short", "call", "org.postern.Cert1", "/org/postern/Cert1", "org.postern.Cert1", method,
                           *words]).stdout
        return json.loads(output)["data"] if output.strip() else None
    return run


@pytest.fixture
def certificates(gate, ctl):
    """Two certificates in DER, by name; gone at the end with all that was assigned."""
    for name in NAMES:
        ctl("cert", "create", name, f"--common-name={name}.gate.lab")
    yield {name: ssl.PEM_cert_to_DER_cert(ctl("cert", "export-pem", name).stdout) for name in NAMES}
    for name in NAMES:
        ctl("cert", "delete", name, "--force", check=False)


@pytest.fixture
def assigned(ctl):
    """The demonstration certificate is assigned to programs of LOGIN."""
    ctl("cert", "assign", "demonstration", f"user:{LOGIN}")
    yield
    ctl("cert", "unassign", "demonstration", f"user:{LOGIN}", check=False)


def served(gate):
    """What the listener shows in a new session."""
    client = connect(gate.address)
    try:
        return client.sock.getpeercert(binary_form=True)
    finally:
        client.quit()


def wait_served(gate, certificate):
    """All workers show it; each takes a part of the connections."""
    wait_until(lambda: served(gate) == certificate, what="the certificate")
    wait_until(lambda: all(served(gate) == certificate for _ in range(20)), what="the certificate of every worker")


def services(bus, name):
    return next(certificate[5] for certificate in bus("ListCertificates")[0] if certificate[0] == name)


# ---- listeners ----


def test_a_listener_has_what_is_assigned_to_it_while_sessions_go_on(gate, ctl, bus, certificates):
    demonstration = served(gate)
    assert demonstration not in certificates.values()
    pid = gate.pid_of("postern-smtpd.service")
    # Given a session that is open
    session = connect(gate.address)

    # when a certificate is assigned with posternctl, and another with busctl,
    ctl("cert", "assign", "first", "listener:public")
    wait_served(gate, certificates["first"])
    assert "listener:public" in services(bus, "first")
    bus("AssignCertificate", "ss", "second", "listener:public")
    wait_served(gate, certificates["second"])
    assert bus("ListAssignments") == [[["second", "listener:public"]]]

    # then new sessions have it at once, and the open one goes on.
    assert session.put("alice@client.lab", ["bob@remote.lab"], plain_message())[0] == 250
    session.quit()

    # With another name it is the same.
    ctl("cert", "rename", "second", "third")
    assert bus("ListAssignments") == [[["third", "listener:public"]]]
    wait_served(gate, certificates["second"])
    ctl("cert", "rename", "third", "second")

    # When it is taken away, there is the one of the first start.
    ctl("cert", "unassign", "second", "listener:public")
    wait_served(gate, demonstration)
    assert gate.pid_of("postern-smtpd.service") == pid


def test_what_is_assigned_outlives_certd(gate, ctl, bus, certificates):
    ctl("cert", "assign", "first", "listener:public", f"user:{LOGIN}")
    assigned = bus("ListAssignments")

    def main_pid():
        return gate.systemctl("show", "--property=MainPID", "--value", CERTD).strip()

    before = main_pid()
    gate.systemctl("kill", "--kill-whom=main", "-s", "KILL", CERTD)
    wait_until(lambda: main_pid() not in ("0", before), what="a new certd")
    gate.wait_active(CERTD)
    assert bus("ListAssignments") == assigned
    assert gate.run(["stat", "-c", "%a %U", FILE]).stdout.split() == ["600", "postern-certd"]
    wait_served(gate, certificates["first"])
    assert Program(gate, LOGIN).certificate("first").data


def test_a_certificate_that_is_assigned_is_not_deleted(gate, ctl, bus, certificates):
    demonstration = served(gate)
    ctl("cert", "assign", "first", "listener:public")
    wait_served(gate, certificates["first"])
    result = ctl("cert", "delete", "first", check=False)
    assert result.returncode == 1 and "assigned to listener:public" in result.stderr

    # By force it is, and what it was assigned to is not left for another of that name.
    ctl("cert", "delete", "first", "--force")
    assert bus("ListAssignments") == [[]]
    wait_served(gate, demonstration)


@pytest.mark.parametrize("words, reason", [
    (("first", "smtpd"), "listener:NAME"), (("first", "user:no-such-user"), "no such user"), (("no-such", "delivery"), "no such certificate"),
    (("first", "user:postern-smtpd"), "the suite's")])
def test_what_cannot_be_assigned_is_refused(ctl, bus, certificates, words, reason):
    result = ctl("cert", "assign", *words, check=False)
    assert result.returncode != 0 and reason in result.stderr
    assert bus("ListAssignments") == [[]]


def test_a_broken_file_is_refused_by_its_line(gate, ctl, certificates):
    ctl("cert", "assign", "first", "listener:public")
    good = gate.read(FILE)
    before = gate.cursor()
    gate.run(["sh", "-c", f"echo 'first everything' >>{FILE}"])
    try:
        assert gate.run(["systemctl", "reload", CERTD], check=False).returncode != 0
        gate.host.wait_journal(since=before, match=lambda entry: f"assignments:{good.count(chr(10)) + 1}: " in entry["MESSAGE"],
                               SYSLOG_IDENTIFIER="postern-certd")
        # What was read before is in force.
        wait_served(gate, certificates["first"])
    finally:
        gate.run(["sh", "-c", f"sed -i '$d' {FILE}"])
        gate.reload("certd")


# ---- delivery ----


def test_delivery_shows_what_is_assigned_to_it(lab, dns, gate, ctl, certificates):
    # Given a server that asks for a certificate
    mx = lab.mx("assigned-mx", "assigned.lab", smtpd_tls_ask_ccert="yes", smtpd_tls_fingerprint_digest="sha256",
                smtpd_tls_loglevel="2")
    dns.mail_domain(mx.domain, mx.name, mx.address, mx.tlsa())
    pid = gate.pid_of("postern-deliverd.service")
    digest = hashlib.sha256(certificates["first"]).hexdigest().upper()
    fingerprint = ":".join(digest[i:i + 2] for i in range(0, len(digest), 2))

    # and deliverd, which has none,
    assert send(gate.address, recipients=["bob@assigned.lab"]).accepted
    mx.wait_messages()
    assert fingerprint not in mx.log()

    # when one is assigned, the server sees it, without a restart.
    ctl("cert", "assign", "first", "delivery")

    def shown():
        assert send(gate.address, recipients=["bob@assigned.lab"]).accepted
        return fingerprint in mx.log()

    wait_until(shown, timeout=20, interval=1, what="the certificate")
    assert gate.pid_of("postern-deliverd.service") == pid


# ---- programs ----


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
    assert program.call("GetAssignment", "s", "delivery").error == "AccessDenied"


def test_who_has_nothing_assigned_is_let_go(gate, assigned):
    before = gate.cursor()
    answer = Program(gate, OTHER).certificate("demonstration")
    assert answer.data is None and answer.error is None
    entry = gate.wait_entry(PEER_DROPPED, since=before, REASON="nothing here is for it")
    assert "uid 65534" in entry["MESSAGE"]


class Connections:
    """A program of LOGIN with so many connections, in the background; ended: how many, when certd has closed all."""

    def __init__(self, gate, count):
        self.ended = None
        uid, gid = gate.ids(LOGIN)
        self.process = subprocess.Popen(
            [*gate.enter(), "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "/usr/bin/python3", "-c", CONNECT, str(count)],
            stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "connected\n"
        self.thread = threading.Thread(target=self._wait)
        self.thread.start()

    def _wait(self):
        self.ended = int(self.process.stdout.readline() or 0)
        self.process.wait()

    def wait_ended(self):
        self.thread.join(timeout=20)
        if self.thread.is_alive():
            self.process.kill()
        return self.ended


def test_the_connections_of_a_user_end_with_his_last_certificate(gate, ctl, assigned, certificates):
    connections = Connections(gate, 3)
    ctl("cert", "assign", "first", f"user:{LOGIN}")
    ctl("cert", "unassign", "demonstration", f"user:{LOGIN}")
    assert Program(gate, LOGIN).certificate("first").data
    assert connections.thread.is_alive()
    ctl("cert", "unassign", "first", f"user:{LOGIN}")
    assert connections.wait_ended() == 3


def test_programs_do_not_get_in_the_way_of_mail(gate, ctl, assigned):
    # Given a user who connects as often as he can
    before = gate.cursor()
    connections = Connections(gate, 150)
    gate.wait_entry(PEER_DROPPED, since=before, REASON="too many connections of its uid")

    # then handshakes of the suite are signed as ever,
    assert send(gate.address).accepted

    # and his connections were cut off long before certd had no room for them.
    state = json.loads(json.loads(gate.run(["busctl", "--json=short", "call", "org.postern.Cert1", "/org/postern/Cert1",
                                            "org.postern.Daemon1", "Describe"]).stdout)["data"][0])
    assert state["ProgramConnections"] <= 64
    ctl("cert", "unassign", "demonstration", f"user:{LOGIN}")
    assert connections.wait_ended() == 150
