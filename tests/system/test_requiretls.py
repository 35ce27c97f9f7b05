# SPDX-License-Identifier: Apache-2.0
"""What a message itself wants of TLS (RFC 8689): REQUIRETLS and the header field TLS-Required: No, in and out."""

import json

import pytest

from lab import Behaviour, Certificate, gateway, plain_message, send
from lab.client import connect
from lab.node import wait_until

REQUIRED, OPTIONAL = "required", "optional"
HEADER = b"TLS-Required: No\r\n"
SECRET = b"Nobody but the recipient is to read this.\r\n"
BODY = b"\r\n" + SECRET


class Message:
    """One that was sent through the gateway: to bob@domain, from a sender who is told of failures."""

    def __init__(self, gate, since, domain, tls, sender="alice@origin.lab", header=b""):
        self.gate = gate
        self.since = since
        self.recipient = f"bob@{domain}"
        self.raw = header + plain_message(sender=sender, recipient=self.recipient) + BODY
        sent = send(gate.address, self.raw, sender=sender, recipients=[self.recipient],
                    parameters=["REQUIRETLS"] if tls == REQUIRED else [])
        assert sent.accepted, sent.reply
        self.queue_id = sent.queue_id
        assert gate.wait_entry(gateway.RECEIVED, since=since, QUEUE_ID=self.queue_id)["POSTERN_MESSAGE_TLS"] == tls

    def end(self, kind):
        """The entry about its end, which must be of this kind."""
        def ended():
            return [entry for id in (gateway.DELIVERED, gateway.DEFERRED, gateway.BOUNCED)
                    for entry in self.gate.journal(since=self.since, MESSAGE_ID=id, POSTERN_QUEUE_ID=self.queue_id)]

        entry = wait_until(ended, timeout=30, what=f"the end of the message to {self.recipient}", interval=0.1)[0]
        assert entry["MESSAGE_ID"] == kind, entry["MESSAGE"]
        return entry


class World:
    """Destinations and the messages to them, all under way at once."""

    def __init__(self, lab, dns, gate):
        self.lab, self.dns, self.gate = lab, dns, gate
        self.since = gate.cursor()
        self.servers = {}
        self.records = {}

    def server(self, domain, name=None, promises=False, tls=True, dane=True, other=None):
        """A server for domain at a host of this name, else NAME-mx.lab; other: whose certificate its TLSA record names instead."""
        name = name or "-mx.".join(domain.split(".", 1))
        certificate = Certificate.self_signed(self.lab.directory, name)
        behaviour = Behaviour(secure_extensions=("REQUIRETLS",) if promises else ())
        server = self.lab.fake_smtp(name.partition(".")[0], behaviour, certificate if tls else None)
        self.records.setdefault((domain, "MX"), []).append(f"{len(self.records)} {name}.")
        self.host(name, server.address, (other or certificate).tlsa() if dane else None)
        self.servers[name] = self.servers[domain] = server

    def host(self, name, address, tlsa):
        self.records[name, "A"] = address
        if tlsa:
            self.records[f"_25._tcp.{name}", "TLSA"] = tlsa

    def send(self, domain, tls, **options):
        return Message(self.gate, self.since, domain, tls, **options)


@pytest.fixture(scope="module")
def world(lab, dns, gate):
    world = World(lab, dns, gate)
    other = Certificate.self_signed(lab.directory, "other.lab")

    # Where notifications go to
    world.server("origin.lab", promises=True)
    world.server("modest.lab")

    # Given servers that promise the same, and such as do not
    world.server("keeps.lab", promises=True)
    world.server("lacks.lab")
    world.server("second.lab", "second-mx1.lab")
    world.server("second.lab", "second-mx2.lab", promises=True)
    # others that nobody can verify,
    world.server("strange.lab", promises=True, dane=False)
    world.server("forged.lab", promises=True, other=other)
    world.server("bare.lab", tls=False, dane=False)
    world.server("unsure.insecure.lab", promises=True)
    # and one that is not there.
    world.records["away.lab", "MX"] = "10 away-mx.lab."
    world.host("away-mx.lab", "10.99.0.250", world.records["_25._tcp.keeps-mx.lab", "TLSA"])

    # Given TLSA records that are not true any more, of servers with and without TLS; for one of them TLS is required
    world.server("stale.lab", other=other)
    world.server("silent.lab", tls=False, other=other)
    world.server("strict.lab", tls=False, other=other)
    dns.set_all(world.records)
    gate.configure("deliverd", "[Destination strict.lab]\nTLS=Required\n", name="60-requiretls")
    gate.reload("deliverd")

    # when messages are sent to all of them
    world.required = {domain: world.send(domain, REQUIRED) for domain in
                      ("keeps.lab", "lacks.lab", "second.lab", "strange.lab", "forged.lab", "bare.lab", "unsure.insecure.lab",
                       "away.lab")}
    world.optional = {domain: world.send(domain, OPTIONAL, header=HEADER) for domain in ("stale.lab", "silent.lab", "strict.lab")}
    world.both = world.send("stale.lab", REQUIRED, header=HEADER)
    world.to_modest = world.send("lacks.lab", REQUIRED, sender="alice@modest.lab")
    yield world
    gate.unconfigure("deliverd", name="60-requiretls")
    gate.reload("deliverd")


def mails(server):
    return [command for command in server.commands if command.startswith("MAIL")]


def test_requiretls_is_for_sessions_under_tls(gate):
    clear = connect(gate.address, tls=False)
    assert not clear.has_extn("requiretls")
    assert clear.docmd("MAIL FROM:<alice@origin.lab> REQUIRETLS") == (530, b"5.7.10 REQUIRETLS is for sessions under TLS")
    assert clear.docmd("MAIL FROM:<alice@origin.lab>")[0] == 250
    clear.quit()
    secure = connect(gate.address)
    assert secure.has_extn("requiretls")
    assert secure.docmd("MAIL FROM:<alice@origin.lab> REQUIRETLS=yes")[0] == 501
    assert secure.docmd("MAIL FROM:<alice@origin.lab> REQUIRETLS")[0] == 250
    secure.quit()


def test_combined_2_verified_and_promised(world):
    # then the server that keeps the promise has it, and was told so,
    message = world.required["keeps.lab"]
    entry = message.end(gateway.DELIVERED)
    assert (entry["POSTERN_TLS_WANTED"], entry["POSTERN_TLS_RESULT"]) == ("dane", "dane")
    assert entry["POSTERN_MESSAGE_TLS"] == "required"
    server = world.servers["keeps.lab"]
    received = server.wait_message()
    assert received.carries(message.raw) and received.secure
    assert mails(server)[0].split()[-1] == "REQUIRETLS"
    # and of two servers the one that does.
    assert "second-mx2.lab" in world.required["second.lab"].end(gateway.DELIVERED)["POSTERN_PEER"]
    assert world.servers["second-mx2.lab"].wait_message().secure
    assert mails(world.servers["second-mx1.lab"]) == []


def returned(world, message, status, origin):
    """The notification, which says why and holds nothing but the header."""
    entry = message.end(gateway.BOUNCED)
    assert status in entry["POSTERN_REASON"] and entry["POSTERN_MESSAGE_TLS"] == "required"
    server, put_back = world.servers[origin], []
    while True:
        bounce = server.wait_message()
        if message.recipient.encode() in bounce.raw:
            break
        put_back.append(bounce)
    for other in put_back:
        server.messages.put(other)
    assert bounce.sender == "" and bounce.secure
    assert f"\r\nStatus: {status}\r\n".encode() in bounce.raw
    assert b"Content-Type: text/rfc822-headers" in bounce.raw and b"Subject: A message\r\n" in bounce.raw
    assert SECRET not in bounce.raw
    return bounce


def test_combined_2_verified_and_not_promised(world):
    # then it goes back by 5.7.30, the notification under the same promise,
    bounce = returned(world, world.required["lacks.lab"], "5.7.30", "origin.lab")
    assert b"lacks-mx.lab" in bounce.raw
    assert all(command.split()[-1] == "REQUIRETLS" for command in mails(world.servers["origin.lab"]))
    # or without it where the server of the sender does not make it: the news is not lost for that.
    returned(world, world.to_modest, "5.7.30", "modest.lab")
    assert mails(world.servers["modest.lab"])
    assert not any("REQUIRETLS" in command for command in mails(world.servers["modest.lab"]))
    assert mails(world.servers["lacks.lab"]) == []


@pytest.mark.parametrize("domain, reason", [
    ("strange.lab", "certificate not verified"),
    ("forged.lab", "certificate not verified"),
    ("bare.lab", "STARTTLS is not offered"),
    ("unsure.insecure.lab", "neither secured by DNSSEC nor confirmed by an MTA-STS policy"),
])
def test_combined_2_not_verified(world, domain, reason):
    bounce = returned(world, world.required[domain], "5.7.10", "origin.lab")
    assert reason.encode() in bounce.raw
    assert mails(world.servers[domain]) == []


def test_combined_2_what_may_pass_defers(world):
    # then the message waits for the server, and for how long whatever it wants stays with it.
    message = world.required["away.lab"]
    message.end(gateway.DEFERRED)
    shown = json.loads(world.gate.run(["posternctl", "queue", "show", message.queue_id, "--json=short"]).stdout)
    assert shown["Tls"] == "required"
    # When the server is there, it gets the message and is told.
    keeps = world.servers["keeps.lab"]
    world.dns.set("away-mx.lab", "A", keeps.address)

    def delivered():
        world.gate.flush("away.lab")
        return world.gate.journal(since=world.since, MESSAGE_ID=gateway.DELIVERED, POSTERN_QUEUE_ID=message.queue_id)

    assert wait_until(delivered, timeout=20, what="the delivery", interval=0.5)[0]["POSTERN_TLS_RESULT"] == "dane"
    assert all(command.split()[-1] == "REQUIRETLS" for command in mails(keeps))


@pytest.mark.parametrize("domain, got", [("stale.lab", "encrypted"), ("silent.lab", "none")])
def test_combined_2_tls_is_optional(world, domain, got):
    # then the TLSA record does not count, and the field goes along.
    message = world.optional[domain]
    entry = message.end(gateway.DELIVERED)
    assert f"tls=may:{got}" in entry["MESSAGE"] and entry["POSTERN_MESSAGE_TLS"] == "optional"
    received = world.servers[domain].wait_message()
    assert received.carries(message.raw) and received.header("TLS-Required") == ["No"]
    assert received.secure == (got == "encrypted")


def test_combined_2_both_in_one_message(world):
    bounce = returned(world, world.both, "5.7.10", "origin.lab")
    assert b"certificate not verified" in bounce.raw
    assert len(mails(world.servers["stale.lab"])) == 1  # the other message


def test_combined_2_what_the_administrator_requires_stays(world):
    # then the message waits, optional or not,
    message = world.optional["strict.lab"]
    entry = message.end(gateway.DEFERRED)
    assert "STARTTLS is not offered" in entry["POSTERN_REASON"] and entry["POSTERN_TLS_WANTED"] == "required"
    assert mails(world.servers["strict.lab"]) == []
    # until he does not require it any more.
    world.gate.unconfigure("deliverd", name="60-requiretls")
    world.gate.reload("deliverd")
    world.gate.flush("strict.lab")
    assert not world.servers["strict.lab"].wait_message().secure
