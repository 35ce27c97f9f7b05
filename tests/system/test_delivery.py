# SPDX-License-Identifier: Apache-2.0
"""The way of a message: in over STARTTLS, out over TLS that DANE authenticated."""

import os
import re
import signal
import subprocess

import pytest

from lab import gateway, plain_message, rough_message, send
from lab.node import wait_until

DEMO = str(gateway.CHECKOUT / "tests/demo")


@pytest.fixture(autouse=True)
def empty_store(mx):
    mx.clear()


def test_a_large_and_difficult_message_arrives_byte_for_byte(gate, mx):
    # Given a message of 1 MB with dots at line starts, 8-bit bytes and the longest lines that are allowed
    message = rough_message(1_000_000)

    # when a client sends it over STARTTLS
    sent = send(gate.address, message, sender="alice@client.lab", recipients=["bob@remote.lab"])
    assert sent.accepted and sent.tls_version == "TLSv1.3" and sent.queue_id

    # then it is there, with nothing but trace fields added,
    received = mx.wait_messages()[0]
    assert received.carries(message)
    assert (received.sender, received.recipients) == ("alice@client.lab", ["bob@remote.lab"])

    # it went over TLS, as the remote server itself saw,
    theirs, ours = received.header("Received")
    assert "(using TLSv1.3" in theirs and "from gate" in theirs
    assert "with ESMTPS" in ours and "TLSv1.3" in ours and sent.queue_id in ours

    # and the journal has one entry for each half of the way.
    came = gate.journal(MESSAGE_ID=gateway.RECEIVED, POSTERN_QUEUE_ID=sent.queue_id)
    assert len(came) == 1
    assert came[0]["POSTERN_TLS_VERSION"] == "TLSv1.3"
    assert all(came[0].get(f"POSTERN_{name}") for name in ("SESSION_ID", "PEER", "TLS_CIPHER", "TLS_GROUP"))
    gate.wait_entry(gateway.DELIVERED, QUEUE_ID=sent.queue_id)
    went = gate.journal(MESSAGE_ID=gateway.DELIVERED, POSTERN_QUEUE_ID=sent.queue_id)
    assert len(went) == 1
    assert went[0]["POSTERN_TLS_RESULT"] == "dane"
    assert went[0]["POSTERN_TLS_WANTED"] == "dane"
    assert went[0]["POSTERN_DESTINATION"] == "remote.lab"
    assert all(went[0].get(f"POSTERN_{name}") for name in ("PEER", "TLS_VERSION", "TLS_CIPHER", "TLS_GROUP", "TLS_VERIFY"))
    wait_until(lambda: sent.queue_id not in gate.queue(), what="the queue file to be removed")


def test_a_message_in_the_clear_is_taken_where_tls_is_only_preferred(gate, mx):
    message = plain_message()
    sent = send(gate.address, message, tls=False)
    assert sent.accepted
    assert mx.wait_messages()[0].carries(message)
    assert "ESMTPS" not in mx.messages()[0].header("Received")[1]


def test_mail_for_other_domains_is_refused(gate):
    sent = send(gate.address, recipients=["somebody@elsewhere.example"])
    assert 550 <= sent.code < 560


def test_the_chain_of_an_authority_is_verified_by_dane_ta(lab, dns, gate):
    # Given a server whose TLSA record (2 1 1) names the authority of its certificate
    mx = lab.mx("issued", "issued.lab", lab.authority.issue("issued.lab"))
    dns.mail_domain("issued.lab", mx.name, mx.address, mx.tlsa(usage=2))
    message = plain_message()
    sent = send(gate.address, message, recipients=["bob@issued.lab"])
    assert mx.wait_messages()[0].carries(message)
    assert gate.wait_entry(gateway.DELIVERED, QUEUE_ID=sent.queue_id)["POSTERN_TLS_RESULT"] == "dane"


def test_a_destination_gets_no_more_recipients_in_a_period_than_it_may(gate, mx):
    # Given a destination that may have three recipients in four seconds
    gate.configure("deliverd", "[Destination remote.lab]\nMaxRecipients=3\nRecipientPeriod=4s\n")
    gate.reload("deliverd")
    try:
        # when there is more mail for it
        sent = [send(gate.address, plain_message(), recipients=["ann@remote.lab", "bob@remote.lab"]) for _ in range(3)]
        other = send(gate.address, plain_message(recipient="bob@nowhere.lab"), recipients=["bob@nowhere.lab"])
        assert all(each.accepted for each in (*sent, other))

        # then it waits for the next periods, in its order, and nothing else does.
        times = [int(gate.wait_entry(gateway.DELIVERED, QUEUE_ID=each.queue_id)["__REALTIME_TIMESTAMP"]) / 1e6 for each in sent]
        assert min(after - before for before, after in zip(times, times[1:])) > 2
        ends = gate.ends([other.queue_id])
        assert int(ends[other.queue_id]["__REALTIME_TIMESTAMP"]) / 1e6 < times[1]
    finally:
        gate.unconfigure("deliverd")
        gate.reload("deliverd")


def test_the_demonstration_succeeds(lab):
    result = subprocess.run(["nsenter", f"--net={lab.outside}", DEMO], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "POSTERN_TLS_RESULT=dane" in result.stdout


def test_the_demonstration_leaves_its_hosts_if_asked(lab):
    # Given a demonstration with --keep
    result = subprocess.run(["nsenter", f"--net={lab.outside}", DEMO, "--keep"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout
    pid = int(re.search(r"kill (\d+)", result.stdout).group(1))
    try:
        # then what it says about looking around and sending works
        lines = dict(re.findall(r"^  (\S.*?): +(nsenter .*)$", result.stdout, re.MULTILINE))
        sent = subprocess.run(lines["send own mail"], shell=True, capture_output=True, text=True)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        listed = subprocess.run(lines["the mail that arrived"], shell=True, capture_output=True, text=True)
        assert listed.stdout.count(".eml") >= 1
        introspected = subprocess.run(lines["what it offers on the bus"], shell=True, capture_output=True, text=True)
        assert "org.postern.Daemon1" in introspected.stdout
    finally:
        # and so does stopping it.
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), timeout=60, what="the end of the demonstration")
