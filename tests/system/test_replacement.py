# SPDX-License-Identifier: Apache-2.0
"""Certificates are replaced while mail arrives: no handshake fails, no session ends, nobody gets a key that is not the certificate's."""

import os
import pathlib
import random
import smtplib
import ssl
import subprocess
import threading
import time

import pytest

from lab import send
from lab.client import any_certificate, connect

SECONDS = 60
RATE = 50
CLIENTS = 12

# How long after its replacement a certificate may still be shown: a worker that is busy hears of it later.
STALE_SECONDS = 5

NAME = "replaced"
PASSPHRASE = "lab"
FILE = "/root/replacement.p12"


def make(directory, number):
    """A self-signed certificate with a new key, ECDSA or RSA in turns, as PKCS#12; and its DER bytes."""
    kind = ["rsa:2048"] if number % 4 == 3 else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", key, "-out", certificate, "-days", "30",
                    "-subj", "/CN=gate.lab", "-addext", "subjectAltName=DNS:gate.lab"], check=True, capture_output=True)
    packed = subprocess.run(["openssl", "pkcs12", "-export", "-inkey", key, "-in", certificate, "-passout", f"pass:{PASSPHRASE}"],
                            check=True, capture_output=True).stdout
    return packed, ssl.PEM_cert_to_DER_cert(certificate.read_text())


class Replacement:
    """The certificates that were installed, and from when to when each of them was the one."""

    def __init__(self, gate, directory):
        self.gate = gate
        self.directory = directory
        self.installed = {}  # DER → (begin of its installation, end of the next one's)
        self.newest = None

    def replace(self):
        packed, der = make(self.directory, len(self.installed))
        path = pathlib.Path(self.gate.path(FILE))
        path.write_bytes(packed)
        begun = time.monotonic()
        self.installed[der] = [begun, None]
        self.gate.run(["posternctl", "cert", "import", FILE, NAME, "--replace", "--passphrase-file=-"], input=PASSPHRASE)
        if self.newest:
            self.installed[self.newest][1] = time.monotonic()
        self.newest = der

    def run(self, until):
        due = time.monotonic()
        while due < until:
            self.replace()
            due = max(due + 1, time.monotonic())
            time.sleep(max(0, due - time.monotonic()))

    def explains(self, der, begun):
        """Whether der is what a handshake that began then may have been made with."""
        if der not in self.installed:
            return False
        ended = self.installed[der][1]
        return ended is None or begun < ended + STALE_SECONDS


class Clients:
    """Handshakes at a steady rate, with TLS 1.2 and 1.3 in turns."""

    def __init__(self, address):
        self.address = address
        self.lock = threading.Lock()
        self.due = time.monotonic()
        self.seen = []  # (when it began, certificate)
        self.failed = []
        self.contexts = [any_certificate(), any_certificate()]
        self.contexts[1].maximum_version = ssl.TLSVersion.TLSv1_2

    def handshake(self, context):
        client = connect(self.address, tls=False)
        try:
            client._host = "gate.lab"
            begun = time.monotonic()
            client.starttls(context=context)
            self.seen.append((begun, client.sock.getpeercert(binary_form=True)))
        finally:
            client.close()

    def run(self, until):
        while True:
            with self.lock:
                self.due = due = max(self.due + 1 / RATE, time.monotonic() - 1)
            if due >= until:
                return
            time.sleep(max(0, due - time.monotonic()))
            try:
                self.handshake(random.choice(self.contexts))
            except (OSError, smtplib.SMTPException) as error:
                self.failed.append(repr(error))


def processor_time(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture
def replacement(gate, tmp_path):
    replacement = Replacement(gate, tmp_path)
    gate.run(["posternctl", "cert", "create", NAME, "--common-name=gate.lab"])
    replacement.replace()
    gate.configure("certd", f"[Service smtpd]\nCertificates=demonstration {NAME}\n")
    gate.reload("certd")
    gate.configure("smtpd", f"[Listener public]\nCertificate={NAME}\n")
    gate.reload("smtpd")
    yield replacement
    for daemon in ("smtpd", "certd"):
        gate.unconfigure(daemon)
        gate.reload(daemon)
    gate.run(["posternctl", "cert", "delete", NAME, "--force"])
    gate.run(["rm", FILE])


def test_certificates_are_replaced_every_second_under_load(gate, replacement):
    # Given a session over TLS, and the workers
    session = connect(gate.address)
    workers = gate.pids_of("postern-smtpd.service")[1:]
    used = {pid: processor_time(pid) for pid in workers}

    # when for a minute clients come, while every second there is another certificate with another key,
    until = time.monotonic() + SECONDS
    clients = Clients(gate.address)
    threads = [threading.Thread(target=clients.run, args=(until,)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    replacement.run(until)
    for thread in threads:
        thread.join()

    # then no handshake has failed,
    assert clients.failed == []
    assert len(clients.seen) > SECONDS * RATE * 0.8, "this machine is too slow for the test"
    # each was made with a certificate of its time, and no few of them were,
    assert [begun for begun, der in clients.seen if not replacement.explains(der, begun)] == []
    assert len({der for _, der in clients.seen}) > len(replacement.installed) * 0.8 > SECONDS * 0.5
    # by the same workers, all of which had a part in it,
    assert gate.pids_of("postern-smtpd.service")[1:] == workers
    assert all(processor_time(pid) > used[pid] + os.sysconf("SC_CLK_TCK") / 10 for pid in workers)
    # the session of before has lived through it,
    assert session.noop()[0] == 250
    assert session.put("alice@client.lab", ["bob@remote.lab"], b"Subject: before and after\r\n\r\n")[0] == 250
    session.quit()
    # and the newest certificate is the one that the next client gets.
    clients.handshake(clients.contexts[0])
    assert clients.seen[-1][1] == replacement.newest
    assert send(gate.address).accepted
