# SPDX-License-Identifier: Apache-2.0
"""What tests/demo shows: one real message, in over STARTTLS, out by DANE, byte for byte."""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import time

from . import gateway
from .client import send
from .lab import Lab
from .message import rough_message

SIZE = 1_000_000
FIELDS = ["QUEUE_ID", "PEER", "DESTINATION", "TLS_WANTED", "TLS_RESULT", "TLS_VERSION", "TLS_CIPHER", "TLS_GROUP", "TLS_VERIFY"]

INSTALL = """
To install it on this host for real, from this directory:

    meson setup build -Dtests=disabled && meson compile -C build && sudo meson install -C build
    sudo systemd-sysusers && sudo systemd-tmpfiles --create && sudo journalctl --update-catalog && sudo systemctl daemon-reload

then say which domains you receive for (README.md, "Install for real") and: sudo systemctl enable --now postern.target
"""


@contextlib.contextmanager
def step(what):
    start = time.monotonic()
    print(f"  {what} … ", end="", flush=True)
    yield
    print(f"{time.monotonic() - start:.1f} s", flush=True)


def check(condition, what):
    if not condition:
        raise AssertionError(f"not as it has to be: {what}")
    print(f"  ✓ {what}")


def show(entry):
    print(f"\n    {entry['SYSLOG_IDENTIFIER']}: {entry['MESSAGE']}")
    for name in FIELDS:
        if entry.get(f"POSTERN_{name}"):
            print(f"        POSTERN_{name}={entry[f'POSTERN_{name}']}")


def keep(lab, gate, mx, client):
    def inside(node, command):
        return shlex.join([*node.enter(), *command])

    print(f"""
The hosts go on running. All of this as root:

  a shell on the gateway:     {inside(gate, ["bash"])}
  its journal:                {inside(gate, ["journalctl", "-f", "-u", "postern-*"])}
  what it offers on the bus:  {inside(gate, ["busctl", "introspect", "org.postern.Delivery1", "/org/postern/Delivery1"])}
  the mail that arrived:      {inside(mx.peer, ["sh", "-c", "ls -l /var/lab-mail"])}
  send own mail:              {inside(client, ["swaks", "--server", gate.address, "--tls", "--from", "you@client.lab",
                                               "--to", "bob@remote.lab", "--body", "Hello"])}
  stop everything:            kill {os.getpid()}
""")


def demonstrate(lab, kept):
    print("\nThe hosts:")
    with step("a name server with signed zones"):
        dns = lab.dns()
    with step("remote.lab's mail server: Postfix, its TLSA record (3 1 1) in the signed zone"):
        mx = lab.mx("mx", "remote.lab")
        dns.mail_domain("remote.lab", mx.name, mx.address, mx.tlsa())
    with step("the gateway: a booted host with the suite"):
        gate = lab.gateway("gate", dns, ["remote.lab"])

    message = rough_message(SIZE)
    print(f"\nThe message: {len(message):,} bytes, with lines that begin with dots, 8-bit bytes and lines of 998 bytes:")
    with step("alice@client.lab sends it to the gateway, over STARTTLS"):
        sent = send(gate.address, message)
    check(sent.accepted, f"the gateway answered 250 {sent.reply}")
    check(sent.tls_version == "TLSv1.3", f"it came in over {sent.tls_version}, {sent.tls_cipher}")
    with step("the gateway delivers it to remote.lab's mail server"):
        mx.wait_messages()
    received = mx.messages()[0]
    check(received.carries(message), "it is there, byte for byte, with nothing added but Received fields")
    check("(using TLSv1.3" in received.header("Received")[0], "remote.lab's own Received field says that it came over TLSv1.3")

    came = gate.wait_entry(gateway.RECEIVED, QUEUE_ID=sent.queue_id)
    went = gate.wait_entry(gateway.DELIVERED, QUEUE_ID=sent.queue_id)
    check(went["POSTERN_TLS_RESULT"] == "dane", "the journal says that remote.lab's server was authenticated by DANE")
    print("\nThe journal of the gateway:")
    show(came)
    show(went)
    client = None
    if kept:
        client = lab.peer("client", ["libnet-ssleay-perl", "swaks"])
        client.start("sleep", "infinity")
        keep(lab, gate, mx, client)


def run(kept, finished):
    """Everything, from the hosts' beginning to their end; finished(status) as soon as the outcome is known."""
    start = time.monotonic()
    with Lab() as lab:
        try:
            demonstrate(lab, kept)
        except Exception as error:
            print(f"\nFAILED: {error}", file=sys.stderr)
            return 1
        print(f"\nIt works: {time.monotonic() - start:.0f} s.")
        if os.path.isdir("/run/systemd/system"):
            print(INSTALL)
        if kept:
            finished(0)
            signal.pause()
    return 0


def run_in_background(function):
    """Call function(finished) in a process that goes on when this one has ended; returns what it tells finished()."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        status = os.read(reader, 1)
        return status[0] if status else 1

    def finished(status):
        sys.stdout.flush()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.write(writer, bytes([status]))

    os.setsid()
    sys.exit(function(finished))


def main():
    parser = argparse.ArgumentParser(prog="tests/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the hosts running and say how to look around in them")
    kept = parser.parse_args().keep
    if kept:
        return run_in_background(lambda finished: run(True, finished))
    return run(False, None)


if __name__ == "__main__":
    sys.exit(main())
