# SPDX-License-Identifier: Apache-2.0
"""Servers that do to TLS what they should not, for each level that an administrator can want: what becomes of the mail, what the
journal says, who hears of it, and that nothing goes in the clear that must not, which is read on the wire.

All messages are sent at once, in one fixture; each test looks at one of them.
"""

import dataclasses
import re
import uuid

import pytest

from lab import Behaviour, Certificate, Timeout, gateway, plain_message, send_all
from lab.node import wait_until

CLEAR, ENCRYPTED, WAITS = "none", "encrypted", "deferred"
LEVELS = {
    # level: what the log calls it, and what becomes of mail if (TLS is not offered, the handshake fails, the certificate is bad)
    "Default": ("required", WAITS, WAITS, ENCRYPTED),  # here the section "default" wants so
    "No": ("none", CLEAR, CLEAR, CLEAR),
    "Preferred": ("may", CLEAR, CLEAR, ENCRYPTED),
    "Preferred-Verify": ("may-verify", CLEAR, CLEAR, ENCRYPTED),
    "Required": ("required", WAITS, WAITS, ENCRYPTED),
    "Required-Verify": ("required-verify", WAITS, WAITS, WAITS),
    "Required-Verify-Hosted": ("required-verify-hosted", WAITS, WAITS, WAITS),
}
NOT_OFFERED, REFUSED, BROKEN, BAD = range(4)
COLUMN = {NOT_OFFERED: 1, REFUSED: 2, BROKEN: 2, BAD: 3}


@dataclasses.dataclass
class Peer:
    fault: int
    reason: str  # what the journal says, a regular expression
    behaviour: Behaviour = dataclasses.field(default_factory=Behaviour)
    verified: str | None = None  # POSTERN_TLS_VERIFY


PEERS = {
    "stripped": Peer(NOT_OFFERED, "STARTTLS is not offered$", Behaviour(offer_starttls=False, starttls="502 5.5.1 What?")),
    "refused": Peer(REFUSED, "STARTTLS refused: 454 4.7.0 Not today$", Behaviour(starttls="454 4.7.0 Not today")),
    "closes": Peer(BROKEN, "TLS handshake failed: connection closed by the peer$", Behaviour(handshake="drop")),
    "stalls": Peer(BROKEN, "TLS handshake failed: timed out$", Behaviour(handshake="silent")),
    "garbage": Peer(BROKEN, "TLS handshake failed: wrong version number$", Behaviour(handshake="garbage")),
    # The next reply comes ahead, in the same segment: who takes it believes what nobody has signed (CVE-2011-0411).
    "injects": Peer(BROKEN, "TLS handshake failed: unencrypted data after the reply to STARTTLS$",
                    Behaviour(starttls="220 2.0.0 Go ahead\r\n250-injected.lab\r\n250 SIZE 0")),
    "tls10": Peer(BROKEN, "TLS handshake failed: tlsv1 alert protocol version$", Behaviour(handshake="tls1.0")),
    "anonymous": Peer(BROKEN, "TLS handshake failed: .*alert handshake failure$", Behaviour(handshake="anonymous")),
    "expired": Peer(BAD, "certificate not verified: certificate has expired$", verified="expired"),
    "misnamed": Peer(BAD, "certificate not verified: certificate is for another host name$", verified="name-mismatch"),
    "selfsigned": Peer(BAD, "certificate not verified: certificate is self-signed$", verified="self-signed"),
}
FALLBACKS = {
    # PlaintextFallback=: what becomes of mail with TLS=Preferred if (STARTTLS is refused, the handshake fails)
    "always": (CLEAR, CLEAR),
    "before-220": (CLEAR, WAITS),
    "after-220": (WAITS, CLEAR),
    "never": (WAITS, WAITS),
}
# A stalled attempt lasts so long: the shortest that can be set.
SETTINGS = "[Deliverd]\nDeliveryTimeout=10s\n[Destination default]\nTLS=Required\n"


@dataclasses.dataclass
class Delivery:
    peer: Peer
    server: object
    domain: str
    token: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    queue_id: str = ""
    entry: dict | None = None   # how the first attempt ended
    fallbacks: list = dataclasses.field(default_factory=list)  # entries about it being tried in the clear
    alerts: list = dataclasses.field(default_factory=list)

    @property
    def outcome(self):
        return WAITS if self.entry["MESSAGE_ID"] == gateway.DEFERRED else self.entry["POSTERN_TLS_RESULT"]

    def message(self):
        recipient = f"bob@{self.domain}"
        return self.sender, recipient, plain_message(sender=self.sender, recipient=recipient, token=self.token)

    @property
    def sender(self):
        return f"{self.token}@client.lab"


def domain_of(case, peer):
    return f"{case.lower()}.{peer}.lab"


def certificate_of(lab, trusted, peer):
    host = f"mx.{peer}.lab"
    if peer == "selfsigned":
        return Certificate.self_signed(lab.directory, host)
    if peer == "misnamed":
        return trusted.issue("mx.elsewhere.lab")
    return trusted.issue(host, days=0 if peer == "expired" else 30)


def publish(dns, servers):
    """Mail for any name below PEER.lab goes to the server, which is known by a TLSA record to dane.PEER.lab only."""
    records = {}
    for peer, server in servers.items():
        records |= {
            (f"*.{peer}.lab", "MX"): f"10 mx.{peer}.lab.",
            (f"mx.{peer}.lab", "A"): server.address,
            (f"dane.{peer}.lab", "MX"): f"10 dane-mx.{peer}.lab.",
            (f"dane-mx.{peer}.lab", "A"): server.address,
            (f"_25._tcp.dane-mx.{peer}.lab", "TLSA"): server.certificate.tlsa(),
        }
    dns.set_all(records)


def configuration():
    text = SETTINGS
    for peer in PEERS:
        for level in LEVELS:
            text += f"[Destination {domain_of(level, peer)}]\nTLS={level}\n"
        for fallback in FALLBACKS:
            text += f"[Destination {domain_of(fallback, peer)}]\nTLS=Preferred\nPlaintextFallback={fallback}\n"
        text += f"[Destination {domain_of('DANE', peer)}]\nTLS=Preferred\n"
    return text


def observe(gate, deliveries, since):
    """Wait until the first attempt of each has ended, and note how, and which alerts there were."""
    ends = gate.ends([delivery.queue_id for delivery in deliveries], since)
    # On a busy machine a question to the DNS may come to nothing. That is not what is looked at here, so those go again.
    again = [delivery for delivery in deliveries if ends.get(delivery.queue_id, {}).get("POSTERN_FAILURE") == "dns"]
    if again:
        later = gate.cursor()
        for delivery in again:
            gate.flush(delivery.domain)
        ends |= gate.ends([delivery.queue_id for delivery in again], later)
    for delivery in deliveries:
        delivery.entry = ends.get(delivery.queue_id)
    by_id = {delivery.queue_id: delivery for delivery in deliveries}
    for entry in gate.journal(since=since, SYSLOG_IDENTIFIER="postern-deliverd"):
        if entry.get("POSTERN_QUEUE_ID") in by_id and "again in the clear" in entry["MESSAGE"]:
            by_id[entry["POSTERN_QUEUE_ID"]].fallbacks.append(entry)
    by_domain = {delivery.domain: delivery for delivery in deliveries}
    for entry in gate.journal(since=since, MESSAGE_ID=gateway.ALERT):
        delivery = by_domain.get(entry["POSTERN_ALERT_KEY"].partition(":")[2])
        if delivery:
            delivery.alerts.append(entry)


@pytest.fixture(scope="module")
def deliveries(lab, dns, gate, administrator, trusted):
    """One message for each case and each peer, and what became of it: {(case, peer): Delivery}."""
    servers = {name: lab.fake_smtp(f"hostile-{name}", peer.behaviour, certificate_of(lab, trusted, name))
               for name, peer in PEERS.items()}
    publish(dns, servers)
    gate.configure("deliverd", configuration())
    gate.reload("deliverd")
    made = {(case, name): Delivery(peer, servers[name], domain_of(case, name))
            for case in [*LEVELS, *FALLBACKS, "DANE"] for name, peer in PEERS.items()}
    since = gate.cursor()
    for delivery, sent in zip(made.values(), send_all(gate.address, [delivery.message() for delivery in made.values()])):
        assert sent.accepted, sent.reply
        delivery.queue_id = sent.queue_id
    observe(gate, made.values(), since)
    yield made

    # What waits is delivered when the faults are mended.
    gate.unconfigure("deliverd")
    gate.reload("deliverd")
    for server in servers.values():
        server.behaviour = Behaviour()
    ids = {delivery.queue_id for delivery in made.values()}
    since = gate.cursor()

    def delivered():
        gate.flush_all()
        return not ids & set(gate.queue())

    try:
        wait_until(delivered, timeout=30, what="the deliveries", interval=1)
    except Timeout:
        left = [entry["MESSAGE"] for entry in gate.journal(since=since, MESSAGE_ID=gateway.DEFERRED)]
        raise AssertionError("\n".join(left)) from None


def check_log(delivery, wanted):
    """wanted: by the destination, which after a fallback the entry about that has."""
    entry, peer = delivery.entry, delivery.peer
    fell_back = delivery.outcome == CLEAR and peer.fault != NOT_OFFERED and wanted != "none"
    assert [fallback["POSTERN_TLS_WANTED"] for fallback in delivery.fallbacks] == ([wanted] if fell_back else [])
    assert all(re.search(peer.reason, fallback["POSTERN_REASON"]) for fallback in delivery.fallbacks)
    wanted = "none" if fell_back else wanted
    assert entry["POSTERN_DESTINATION"] == delivery.domain
    assert entry["POSTERN_TLS_WANTED"] == wanted, entry["MESSAGE"]
    assert entry["POSTERN_TLS_RESULT"] == (ENCRYPTED if delivery.outcome == ENCRYPTED else "none")
    assert f"tls={wanted}:{entry['POSTERN_TLS_RESULT']}" in entry["MESSAGE"]
    if delivery.outcome != CLEAR:
        assert entry.get("POSTERN_TLS_VERIFY") == peer.verified
    if delivery.outcome == WAITS:
        assert re.search(peer.reason, entry["POSTERN_REASON"]) and entry["POSTERN_REASON"] in entry["MESSAGE"]


def check_alert(delivery, kind):
    """Exactly one alert that a required connection (kind "tls") or DANE failed, or none."""
    assert [entry["POSTERN_ALERT_KEY"] for entry in delivery.alerts] == ([f"{kind}:{delivery.domain}"] if kind else [])
    for entry in delivery.alerts:
        assert entry["POSTERN_ALERT_SEVERITY"] == "Warning"
        assert entry["POSTERN_ALERT_TYPE"] == ("MessageDelivery" if kind == "dane" else "System")
        assert delivery.domain in entry["POSTERN_REASON"]


def check_wire(delivery):
    """What went over the network names sender, recipient or message only if all may go in the clear."""
    seen = [session for session in delivery.server.sessions if delivery.token.encode() in session.connection.wire]
    if delivery.outcome != CLEAR:
        assert not seen
        assert delivery.domain.encode() not in delivery.server.wire
        return
    # Once, on a connection where TLS was not tried before.
    assert len(seen) == 1 and "STARTTLS" not in seen[0].commands
    said = rb"\nMAIL FROM:<%b>.*\nRCPT TO:<bob@%b>.*\nHello\.\r\n\.\r\n" % (delivery.sender.encode(), delivery.domain.encode())
    assert re.search(said, seen[0].connection.wire, re.DOTALL)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", PEERS)
def test_level(deliveries, level, name):
    delivery = deliveries[level, name]
    assert delivery.entry, "the attempt did not end"
    wanted, *outcomes = LEVELS[level]
    assert delivery.outcome == outcomes[COLUMN[delivery.peer.fault] - 1], delivery.entry["MESSAGE"]
    check_log(delivery, wanted)
    check_alert(delivery, "tls" if delivery.outcome == WAITS else None)
    check_wire(delivery)


@pytest.mark.parametrize("fallback", FALLBACKS)
@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if peer.fault in (REFUSED, BROKEN)])
def test_fallback(deliveries, fallback, name):
    delivery = deliveries[fallback, name]
    assert delivery.entry, "the attempt did not end"
    assert delivery.outcome == FALLBACKS[fallback][delivery.peer.fault == BROKEN], delivery.entry["MESSAGE"]
    check_log(delivery, "may")
    check_alert(delivery, None)
    check_wire(delivery)


@pytest.mark.parametrize("name", [pytest.param(name, id="dane_50" if name == "anonymous" else name)
                                  for name, peer in PEERS.items() if peer.fault != BAD])
def test_dane_47_never_in_the_clear(deliveries, name):
    # With TLS=Preferred: it is the TLSA record that wants it so.
    delivery = deliveries["DANE", name]
    assert delivery.entry, "the attempt did not end"
    assert delivery.outcome == WAITS, delivery.entry["MESSAGE"]
    check_log(delivery, "dane")
    check_alert(delivery, "dane")
    check_wire(delivery)


@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if peer.fault == BAD])
def test_dane_35_what_only_authorities_would_mind(deliveries, name):
    delivery = deliveries["DANE", name]
    assert delivery.entry, "the attempt did not end"
    assert (delivery.outcome, delivery.entry["POSTERN_TLS_VERIFY"]) == ("dane", "dane")
    check_wire(delivery)


def test_the_wire_has_nothing_else(deliveries):
    # Given all connections of all servers: where no mail went in the clear, nothing but the way to TLS was said.
    for server in {id(delivery.server): delivery.server for delivery in deliveries.values()}.values():
        assert server.sessions
        for session in server.sessions:
            clear = session.connection.wire.partition(b"STARTTLS\r\n")[0] + b"\r\n"
            if b"\nMAIL" not in clear:
                assert re.fullmatch(rb"(EHLO gate\S*\r\n|QUIT\r\n|\r\n)*", clear), clear
