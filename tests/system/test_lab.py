# SPDX-License-Identifier: Apache-2.0
"""The lab itself: what the other tests take for granted."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from lab import Behaviour, CommandFailed, Load, Message, Timeout, plain_message, rough_message, send
from lab.lab import remove_stale
from lab.node import wait_until

TESTS = str(pathlib.Path(__file__).parents[1])


@pytest.fixture(scope="module")
def host(lab):
    return lab.host("plain", files={"/etc/lab-was-here": "yes\n"})


def test_a_host_boots_completely(host):
    assert host.systemctl("is-system-running") == "running"
    assert host.run("hostname").stdout == "plain.lab\n"


def test_a_host_starts_nothing_that_happens_to_be_installed_here(host):
    listening = host.run("ss -Hltn").stdout
    assert listening == ""


def test_commands_run_inside_as_whom_they_should(host):
    assert host.run("cat", input="given\n").stdout == "given\n"
    assert host.run(["id", "-un"], user="nobody").stdout == "nobody\n"
    assert host.run(["id", "-Gn"], user="nobody", groups=["adm"]).stdout.split() == ["nogroup", "adm"]
    with pytest.raises(CommandFailed, match="no-such-file"):
        host.run(["cat", "/no-such-file"])


def test_files_written_outside_are_seen_inside(host):
    assert host.read("/etc/lab-was-here") == "yes\n"
    host.write("/run/some/where", "text\n")
    assert host.run("cat /run/some/where").stdout == "text\n"


def test_the_journal_is_read_by_fields(host):
    before = host.cursor()
    with pytest.raises(Timeout):
        host.wait_journal(timeout=0.3, since=before, SYSLOG_IDENTIFIER="lab-test")
    host.run("logger --journald", input="MESSAGE=Something happened\nSYSLOG_IDENTIFIER=lab-test\nLAB_FIELD=42\n")
    entries = host.wait_journal(since=before, LAB_FIELD="42")
    assert [entry["MESSAGE"] for entry in entries] == ["Something happened"]


def test_units_are_restricted_as_they_say(host):
    """What the suite's own sandbox rests on works in the lab's hosts."""
    inside = "test -z \"$(ls /home)\" && ! touch /usr/x && ! ping -c1 -W1 127.0.0.1 >/dev/null && test \"$(id -u)\" != 0"
    host.run(["systemd-run", "--pipe", "--wait", "--collect", "-p", "DynamicUser=yes", "-p", "ProtectHome=tmpfs", "-p",
              "PrivateNetwork=yes", "-p", "IPAddressDeny=any", "-p", "SystemCallFilter=@system-service", "sh", "-c", inside])


def test_the_signed_zone_validates_and_the_others_do_not(dns):
    for zone in ("lab", "insecure.lab", "bogus.lab"):
        dns.set(f"a.{zone}", "A", "10.99.9.9")
    assert "; fully validated" in dns.validated("a.lab", "A")
    assert "; unsigned answer" in dns.validated("a.insecure.lab", "A")
    assert "10.99.9.9" not in dns.validated("a.bogus.lab", "A")


def test_records_change_while_the_server_runs(dns):
    dns.set("changing.lab", "A", "10.99.9.1")
    assert "10.99.9.1" in dns.query("changing.lab", "A")
    dns.set("changing.lab", "A", "10.99.9.2", "10.99.9.3")
    answer = dns.query("changing.lab", "A")
    assert "10.99.9.1" not in answer and "10.99.9.2" in answer and "10.99.9.3" in answer and "RRSIG" in answer
    dns.remove("changing.lab", "A")
    assert "NXDOMAIN" in dns.query("changing.lab", "A")


def test_the_mail_server_keeps_every_byte_of_what_came_over_tls(mx):
    mx.clear()
    message = rough_message(200_000)
    sent = send(mx.address, message, sender="alice@client.lab", recipients=["bob@remote.lab"])
    assert sent.accepted and sent.tls_version == "TLSv1.3"
    received = mx.wait_messages()[0]
    assert received.carries(message)
    assert (received.sender, received.recipients) == ("alice@client.lab", ["bob@remote.lab"])
    assert "TLSv1.3" in received.header("Received")[0]


def test_a_spoiled_message_is_noticed():
    original = rough_message(1000)
    assert Message(b"Received: from here\r\n by there\r\n" + original).carries(original)
    assert not Message(b"X-Spam: yes\r\n" + original).carries(original)
    assert not Message(original.replace(b"\r\n..\r\n", b"\r\n.\r\n", 1)).carries(original)


def test_swaks_gets_its_mail_through(lab, mx):
    mx.clear()
    swaks = lab.peer("swaks", ["swaks", "libnet-ssleay-perl"])
    swaks.run(["swaks", "--server", mx.address, "--to", "bob@remote.lab", "--from", "alice@client.lab", "--tls", "--body", "By swaks"])
    assert b"By swaks" in mx.wait_messages()[0]


def test_a_load_knows_what_was_accepted(mx):
    mx.clear()
    load = Load(mx.address, count=40, connections=4, per_connection=5).start().wait()
    stored = {message.header("Message-ID")[0].strip("<>").partition("@")[0] for message in mx.wait_messages(40)}
    assert stored == set(load.accepted) and len(load.accepted) == 40 and not load.refused


def test_a_scripted_server_does_as_told(lab, mx):
    fake = lab.fake_smtp("fake", Behaviour(rcpt_for={"full@remote.lab": "452 4.2.2 Mailbox full"}), mx.certificate)
    message = plain_message()
    assert send(fake.address, message, recipients=["full@remote.lab"]).code == 452
    assert send(fake.address, message).accepted
    received = fake.wait_message()
    assert received.raw == message and received.secure
    fake.behaviour.dot = "451 4.3.0 Not now"
    assert send(fake.address, message).reply == "4.3.0 Not now"


SHORT_LIVED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from lab import Lab
with Lab() as lab:
    print(lab.directory, lab.host("short-lived").init, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_remains_of_a_lab_that_was_killed(how):
    """The hosts end with the test process; what it could not remove itself, the next lab does."""
    process = subprocess.Popen([sys.executable, "-c", SHORT_LIVED, TESTS], stdout=subprocess.PIPE, text=True)
    directory, init = process.stdout.readline().split()
    process.send_signal(how)
    process.wait()
    process.stdout.close()
    wait_until(lambda: not os.path.exists(f"/proc/{init}"), what="the end of the host")
    if how == signal.SIGKILL:
        remove_stale()
    assert not os.path.exists(directory)
