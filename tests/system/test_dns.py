# SPDX-License-Identifier: Apache-2.0
"""dnsd on a network: what it answers for each row of the delivery matrix that is a matter of the DNS, whether it notices that
DNSSEC does not work, and that its trust anchors follow their zone."""

import concurrent.futures
import json
import pathlib
import re
import socket
import threading

import pytest
from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection

from lab import gateway, plain_message, send
from lab.dns_proxy import TYPES
from lab.node import wait_until

DNSSEC_WORKS = "59c63b7272e64340bf875abd90037c14"
DNSSEC_BROKEN = "dca72d3341234c89b7eef2d72f66d9ab"
TRUST_ANCHOR_CHANGED = "1f823f4017c24d049dd15f4b94c68100"


@pytest.fixture(scope="module")
def proxy(lab, dns):
    return lab.dns_proxy("proxy", dns)


@pytest.fixture(scope="module")
def resolver(lab, dns, proxy, administrator):
    """A gateway of which only dnsd matters, and which sees the lab's zones through the proxy."""
    gate = lab.gateway("resolver", dns, [".lab"])
    gate.configure("dnsd", f"[Dnsd]\nSelfTestSecure=lab\nSelfTestBogus=bogus.lab\nTimeout=3s\n"
                           f"[Stub lab]\nServer=\nServer={proxy.address}\n")
    gate.reload("dnsd")
    return gate


class Answer:
    def __init__(self, data):
        self.state, self.rcode, self.ttl, self.canonical, self.chain, self.records, self.reason = data
        self.chain = [tuple(hop) for hop in self.chain]


def resolve(host, name, kind):
    answer = host.call_peer("dnsd", "Resolve", "sq", name, TYPES[kind])
    assert answer.error is None, answer.text
    return Answer(answer.data)


def status(host):
    return json.loads(host.run("posternctl --json=short dns status").stdout)


def dnssec(host):
    """What a test says that is made now."""
    result = host.run("posternctl --json=short dns test", check=False)
    assert result.stdout, result.stderr
    return json.loads(result.stdout)["SelfTest"]


def resolve_all(host, questions):
    """The answers to questions that are asked at once, in their order."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda question: resolve(host, *question), questions))


# ---- rows of the delivery matrix ----

TLSA = "3 1 1 " + 32 * "ab"


@pytest.fixture(scope="module")
def names(dns):
    """What the rows ask for. Nothing here is changed by a test."""
    records = [
        ("null.lab", "MX", "0 ."),
        ("host.lab", "A", "192.0.2.1"),
        ("host.lab", "TXT", "\"no mail here\""),
        ("_25._tcp.host.lab", "TLSA", TLSA),
        ("host.nsec.lab", "A", "192.0.2.2"),
        ("host.insecure.lab", "A", "192.0.2.3"),
        ("_25._tcp.host.insecure.lab", "TLSA", TLSA),
        ("host.insecure.lab", "MX", "10 host.lab."),
        ("host.bogus.lab", "A", "192.0.2.4"),
        ("bogus.lab", "MX", "10 host.lab."),
        ("alias.lab", "CNAME", "host.lab."),
        ("outer.lab", "CNAME", "inner.lab."),
        ("inner.lab", "CNAME", "alias.lab."),
        ("leaving.lab", "CNAME", "host.insecure.lab."),
        ("alias.insecure.lab", "CNAME", "host.lab."),
        ("astray.lab", "CNAME", "host.bogus.lab."),
        ("_25._tcp.alias.lab", "CNAME", "_25._tcp.host.lab."),
        ("_25._tcp.outer.lab", "CNAME", "_25._tcp.alias.insecure.lab."),
        ("_25._tcp.alias.insecure.lab", "CNAME", "_25._tcp.host.lab."),
        ("loop1.lab", "CNAME", "loop2.lab."),
        ("loop2.lab", "CNAME", "loop1.lab."),
        ("tree.lab", "DNAME", "lab."),
        ("tree2.lab", "DNAME", "insecure.lab."),
    ]
    # What fails exists: of what does not, nobody would ask further.
    for name, kind, _ in FAILURES.values():
        if "failing" in name:
            records.append((name, "TLSA", TLSA) if kind == "TLSA" else (name, "A", "192.0.2.6"))
    dns.set_all({(name, kind): data for name, kind, data in records})


ROWS = {
    # Row: the question, and the state, rcode and number of records of the answer.
    "dane_1_bogus": ("bogus.lab", "MX", "bogus", None, 0),
    "dane_2": ("null.lab", "MX", "secure", 0, 1),
    "dane_3": ("host.lab", "MX", "secure", 0, 0),
    "dane_3_nsec": ("host.nsec.lab", "MX", "secure", 0, 0),
    "dane_4": ("nothing.lab", "MX", "secure", 3, 0),
    "dane_4_nsec": ("nothing.nsec.lab", "MX", "secure", 3, 0),
    "dane_4_insecure": ("nothing.insecure.lab", "MX", "insecure", 3, 0),
    "dane_5": ("host.insecure.lab", "MX", "insecure", 0, 1),
    "dane_5_tlsa": ("_25._tcp.host.lab", "TLSA", "secure", 0, 1),
    "dane_7": ("host.lab", "A", "secure", 0, 1),
    "dane_8": ("host.insecure.lab", "A", "insecure", 0, 1),
    "dane_10_bogus": ("host.bogus.lab", "A", "bogus", None, 0),
    "dane_11": ("host.lab", "AAAA", "secure", 0, 0),
    "dane_20_nodata": ("host.lab", "TLSA", "secure", 0, 0),
    "dane_20_nsec": ("_25._tcp.host.nsec.lab", "TLSA", "secure", 3, 0),
    "dane_20": ("_26._tcp.host.lab", "TLSA", "secure", 3, 0),
    "dane_21": ("_25._tcp.host.insecure.lab", "TLSA", "insecure", 0, 1),
}


@pytest.fixture(scope="module")
def answers(resolver, names):
    return dict(zip(ROWS, resolve_all(resolver, [row[:2] for row in ROWS.values()]), strict=True))


@pytest.mark.parametrize("row", ROWS)
def test_answer_without_alias(answers, row):
    answer, (name, _, state, rcode, records) = answers[row], ROWS[row]
    assert answer.state == state, answer.reason
    assert rcode is None or answer.rcode == rcode
    assert len(answer.records) == records
    assert answer.chain == [(name, state)]
    assert (answer.reason != "") == (state == "bogus")


S, I, B = "secure", "insecure", "bogus"
CHAINS = {
    # Row: the question, the state of the whole, the number of records, and each hop with its own state.
    "dane_6_15": ("alias.insecure.lab", "A", I, 1, [("alias.insecure.lab", I), ("host.lab", S)]),
    "dane_12": ("alias.lab", "A", S, 1, [("alias.lab", S), ("host.lab", S)]),
    "dane_12_dname": ("host.tree.lab", "A", S, 1, [("host.tree.lab", S), ("host.lab", S)]),
    "dane_14": ("leaving.lab", "A", I, 1, [("leaving.lab", S), ("host.insecure.lab", I)]),
    "dane_14_dname": ("host.tree2.lab", "A", I, 1, [("host.tree2.lab", S), ("host.insecure.lab", I)]),
    "dane_14_cname": ("leaving.lab", "CNAME", S, 1, [("leaving.lab", S)]),
    "dane_10_alias_to_bogus": ("astray.lab", "A", B, 0, [("astray.lab", S), ("host.bogus.lab", B)]),
    "dane_16": ("outer.lab", "A", S, 1, [("outer.lab", S), ("inner.lab", S), ("alias.lab", S), ("host.lab", S)]),
    "dane_17": ("_25._tcp.alias.lab", "TLSA", S, 1, [("_25._tcp.alias.lab", S), ("_25._tcp.host.lab", S)]),
    "dane_18": ("_25._tcp.outer.lab", "TLSA", I, 1,
                [("_25._tcp.outer.lab", S), ("_25._tcp.alias.insecure.lab", I), ("_25._tcp.host.lab", S)]),
}


@pytest.fixture(scope="module")
def chains(resolver, names):
    return dict(zip(CHAINS, resolve_all(resolver, [row[:2] for row in CHAINS.values()]), strict=True))


@pytest.mark.parametrize("row", CHAINS)
def test_chain_hop_by_hop(chains, row):
    answer, (_, _, state, records, chain) = chains[row], CHAINS[row]
    assert answer.chain == chain
    assert answer.state == state
    assert answer.canonical == chain[-1][0]
    assert len(answer.records) == records


def test_dane_19_cname_loop(resolver, names):
    answer = resolve(resolver, "loop1.lab", "A")
    assert answer.state in ("error", "bogus") and not answer.records
    assert answer.reason


FAILURES = {
    # Row: the question, and how the server fails it.
    "dane_1_servfail": ("failing.lab", "MX", "servfail"),
    "dane_1_refused": ("failing2.lab", "MX", "refused"),
    "dane_1_silent": ("failing3.lab", "MX", "silent"),
    "dane_9_aaaa": ("host.lab", "AAAA", "servfail"),
    "dane_10_a": ("failing4.lab", "A", "servfail"),
    "dane_10_aaaa": ("failing4.lab", "AAAA", "refused"),
    "dane_13": ("_25._tcp.failing5.lab", "TLSA", "servfail"),
    "dane_22_servfail": ("_25._tcp.failing6.lab", "TLSA", "servfail"),
    "dane_22_refused": ("_25._tcp.failing7.lab", "TLSA", "refused"),
    "dane_22_notimp": ("_25._tcp.failing8.lab", "TLSA", "notimp"),
    "dane_22_malformed": ("_25._tcp.failing9.lab", "TLSA", "malformed"),
    "dane_22_silent": ("_25._tcp.failing10.lab", "TLSA", "silent"),
}


@pytest.fixture(scope="module")
def failures(resolver, proxy, names, answers, chains):
    # Given a server that fails for some names (and a cache that knows nothing of them)
    for name, kind, how in FAILURES.values():
        proxy.fail(name, kind, how)
    resolver.run("posternctl dns flush")
    questions = [row[:2] for row in FAILURES.values()] + [("host.lab", "A")]
    yield dict(zip([*FAILURES, "dane_9_a"], resolve_all(resolver, questions), strict=True))
    proxy.mend()
    resolver.run("posternctl dns flush")


@pytest.mark.parametrize("row", FAILURES)
def test_failure_is_never_there_is_nothing(failures, row):
    # then that is an error with a reason, and nothing that could be taken for an answer.
    answer = failures[row]
    assert answer.state == "error" and answer.records == [] and answer.reason


def test_dane_9_address_beside_a_failing_one(failures):
    assert failures["dane_9_a"].state == "secure" and len(failures["dane_9_a"].records) == 1


# ---- the cache ----

def test_answers_are_cached_until_the_cache_is_flushed(resolver, dns, proxy):
    # Given a record that may be kept for a while
    dns.set("kept.lab", "TXT", "\"kept\"", ttl=300)
    first, second = resolve(resolver, "kept.lab", "TXT"), resolve(resolver, "kept.lab", "TXT")
    assert first.state == second.state == "secure" and 290 < second.ttl <= first.ttl <= 300
    # then its server is asked once,
    assert proxy.count("kept.lab", "TXT") == 1
    # and when the cache is flushed, again.
    resolver.run("posternctl dns flush")
    assert resolve(resolver, "kept.lab", "TXT").state == "secure"
    assert proxy.count("kept.lab", "TXT") == 2


class Flood:
    """Questions on the system bus, as many at a time as one caller may have there."""

    ADDRESS = DBusAddress("/org/postern/Dns1", "org.postern.Dns1", "org.postern.Dns1")
    AT_A_TIME = 8

    def __init__(self, host):
        self.path = f"unix:path={host.path('/run/dbus/system_bus_socket')}"

    def ask(self, names):
        """From several callers."""
        names = list(names)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self._ask, [names[i::8] for i in range(8)]))

    def _ask(self, names):
        with open_dbus_connection(self.path, auth_timeout=20) as connection:
            for start in range(0, len(names), self.AT_A_TIME):
                some = names[start:start + self.AT_A_TIME]
                for name in some:
                    connection.send(new_method_call(self.ADDRESS, "Resolve", "sq", (name, TYPES["TXT"])))
                for _ in some:
                    self._receive(connection)

    @staticmethod
    def _receive(connection):
        message = connection.receive(timeout=20)
        while message.header.message_type == MessageType.signal:
            message = connection.receive(timeout=20)
        assert message.header.message_type == MessageType.method_return, message.body
        assert message.body[0] == "insecure" and len(message.body[5]) == 1, message.body


def test_cache_stays_below_its_limit(resolver, dns):
    # Given a small cache, and answers of a kilobyte that may all be kept
    dns.set("*.insecure.lab", "TXT", " ".join(['"' + 250 * "x" + '"'] * 4), ttl=3600)
    resolver.configure("dnsd", f"[Dnsd]\nCacheSize=1M\nTimeout=18s\n[Stub lab]\nServer=\nServer={dns.address}\n", name="70-cache")
    resolver.reload("dnsd")
    assert status(resolver)["CacheSize"] == 1024 * 1024
    pid = resolver.pid_of("postern-dnsd.service")

    def resident():
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))

    # when many times more is asked for than fits,
    flood = Flood(resolver)
    flood.ask(f"first{i}.insecure.lab" for i in range(1500))
    full = resident()
    flood.ask(f"more{i}.insecure.lab" for i in range(6000))
    # then dnsd does not grow any more.
    assert resident() - full < 2048, f"{full} kB, then {resident()} kB"
    resolver.unconfigure("dnsd", name="70-cache")
    resolver.reload("dnsd")


# ---- does DNSSEC work here? ----

def test_network_that_strips_signatures_is_alerted_once(resolver, proxy, dns, mx):
    # Given a network where DNSSEC works
    assert dnssec(resolver) == "works"
    assert status(resolver)["SelfTest"] == "works"
    assert resolver.journal(MESSAGE_ID=DNSSEC_WORKS)
    before = resolver.cursor()

    # when its resolver begins to drop signatures (and to claim that it validates)
    proxy.strip = True
    resolver.run("posternctl dns flush")
    assert dnssec(resolver) == "stripped"

    # then that is in the journal and alerted, once, however often it is seen,
    assert dnssec(resolver) == "stripped"
    assert status(resolver)["SelfTest"] == "stripped"
    entry, = resolver.journal(since=before, MESSAGE_ID=DNSSEC_BROKEN)
    assert '"lab", which is signed, is bogus' in entry["MESSAGE"]
    alert = resolver.wait_journal(since=before, MESSAGE_ID=gateway.ALERT)
    assert len(alert) == 1 and "DNSSEC" in alert[0]["MESSAGE"]
    assert resolver.run("posternctl dns test", check=False).returncode == 1

    # nothing that it says of signed names is believed (row 23),
    answer = resolve(resolver, "mx.remote.lab", "A")
    assert answer.state == "bogus" and answer.records == []

    # and mail to them waits.
    message = plain_message(recipient="bob@remote.lab")
    sent = send(resolver.address, message, recipients=["bob@remote.lab"])
    assert sent.accepted
    entry = resolver.wait_entry(gateway.DEFERRED, since=before, QUEUE_ID=sent.queue_id)
    assert "DNSSEC" in entry["POSTERN_REASON"] or "bogus" in entry["POSTERN_REASON"], entry["POSTERN_REASON"]

    # When it works again, that is told, and the mail goes on its way.
    proxy.strip = False
    resolver.run("posternctl dns flush")
    assert dnssec(resolver) == "works"
    resolver.wait_journal(since=before, MESSAGE_ID=DNSSEC_WORKS)
    resolver.flush("remote.lab")
    entry = resolver.wait_entry(gateway.DELIVERED, since=before, QUEUE_ID=sent.queue_id)
    assert entry["POSTERN_TLS_RESULT"] == "dane"
    assert len(resolver.journal(since=before, MESSAGE_ID=gateway.ALERT)) == 1

    # When it fails again after it was well, that is another alert.
    proxy.strip = True
    assert dnssec(resolver) == "stripped"
    wait_until(lambda: len(resolver.journal(since=before, MESSAGE_ID=gateway.ALERT)) == 2, what="the second alert")
    proxy.strip = False
    assert dnssec(resolver) == "works"


def test_no_answer_is_no_alert(resolver, proxy):
    before = resolver.cursor()
    # Given a start without a network, for all that dnsd can tell
    for name in ("lab", "bogus.lab"):
        for kind in ("A", "DNSKEY", "SOA", "NS", "DS"):
            proxy.fail(name, kind, "silent")
    resolver.systemctl("restart", "postern-dnsd.service")

    # then it runs, says that it does not know, and alerts nobody.
    assert dnssec(resolver) == "no-answer"
    assert status(resolver)["SelfTest"] == "no-answer"
    assert resolver.journal(since=before, MESSAGE_ID=gateway.ALERT) == []
    assert resolver.journal(since=before, MESSAGE_ID=DNSSEC_BROKEN) == []

    # When there is one, it knows.
    proxy.mend()
    resolver.run("posternctl dns flush")
    assert dnssec(resolver) == "works"


# ---- RFC 5011 ----

def keys_of(host, zone):
    """tag → state of the keys that are trusted for a zone, or will be."""
    keys = [anchor.split() for anchor in status(host)["TrustAnchorKeys"]]
    return {int(tag): state for name, tag, state, *_ in keys if name == zone}


def secure(host, name):
    host.run("posternctl dns flush")
    return resolve(host, name, "A").state == "secure"


def test_trust_anchors_follow_their_zone(resolver, dns, proxy):
    before = resolver.cursor()
    # Given a zone that is trusted by the file with its first key
    first, = dns.keys("rolled.lab")
    dns.set("host.rolled.lab", "A", "192.0.2.5")
    resolver.write("/etc/postern/rolled.anchors", dns.anchor("rolled.lab") + "\n")
    resolver.configure("dnsd", "[Dnsd]\nTrustAnchorFile=/etc/postern/rolled.anchors\nTrustAnchorHoldDown=1s\n"
                               f"[Stub rolled.lab]\nServer={proxy.address}\n", name="70-rolled")
    resolver.reload("dnsd")
    assert dnssec(resolver) == "works"
    assert keys_of(resolver, "rolled.lab") == {first: "valid"}

    # when a second key appears, it is not trusted before it was seen for long enough,
    second = dns.add_key("rolled.lab")
    assert dnssec(resolver) == "works"
    assert keys_of(resolver, "rolled.lab") == {first: "valid", second: "pending"}

    def trusted():
        dnssec(resolver)
        return keys_of(resolver, "rolled.lab")[second] == "valid"

    wait_until(trusted, what="the end of the hold-down", interval=1)

    # and then it is enough, also after a restart.
    dns.remove_key("rolled.lab", first)
    assert secure(resolver, "host.rolled.lab")
    assert dnssec(resolver) == "works"
    assert keys_of(resolver, "rolled.lab") == {first: "missing", second: "valid"}
    resolver.systemctl("restart", "postern-dnsd.service")
    assert secure(resolver, "host.rolled.lab")
    told = [entry["POSTERN_REASON"] for entry in resolver.journal(since=before, MESSAGE_ID=TRUST_ANCHOR_CHANGED,
                                                                  POSTERN_ZONE="rolled.lab")]
    assert len(told) == 4, told
    for text, states in zip(told, [["valid"], ["valid", "pending"], ["valid", "valid"], ["missing", "valid"]], strict=True):
        expected = {f"{tag} {state}" for tag, state in zip([first, second], states)}
        assert set(text.split(", ")) == expected

    # When what was kept is damaged, that is told, and the file's key counts: it is gone from the zone, so nothing is believed.
    resolver.write("/var/lib/postern/dnsd/zone-rolled.lab.anchors", "garbage\n")
    resolver.systemctl("restart", "postern-dnsd.service")
    assert resolve(resolver, "host.rolled.lab", "A").state == "bogus"
    texts = [entry["MESSAGE"] for entry in resolver.journal(since=before, SYSLOG_IDENTIFIER="postern-dnsd")]
    assert any("zone-rolled.lab.anchors" in text and "TrustAnchorFile=" in text for text in texts)

    # When the file names the new key, it begins anew with that.
    resolver.write("/etc/postern/rolled.anchors", dns.anchor("rolled.lab") + "\n")
    resolver.reload("dnsd")
    assert secure(resolver, "host.rolled.lab")
    assert dnssec(resolver) == "works"
    assert keys_of(resolver, "rolled.lab") == {second: "valid"}
    resolver.unconfigure("dnsd", name="70-rolled")
    resolver.reload("dnsd")


# ---- forwarders over TLS ----

class Wire:
    """All frames of the lab's network while it is used as a context manager."""

    def __enter__(self):
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        self._socket.settimeout(0.2)
        self.frames = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _listen(self):
        while not self._over.is_set():
            try:
                self.frames.append(self._socket.recv(65535))
            except TimeoutError:
                continue

    def with_text(self, text):
        return [frame for frame in self.frames if text in frame]


UNBOUND = """\
server:
    chroot: ""
    username: ""
    pidfile: ""
    do-daemonize: no
    use-syslog: no
    log-queries: yes
    interface: 0.0.0.0@853
    access-control: 0.0.0.0/0 allow
    tls-port: 853
    tls-service-key: /etc/unbound/key.pem
    tls-service-pem: /etc/unbound/chain.pem
    module-config: "iterator"
    num-threads: 1
remote-control:
    control-enable: no
stub-zone:
    name: lab
    stub-addr: {address}
"""


@pytest.fixture(scope="module")
def dot(lab, dns):
    """A resolver that can be asked over TLS only."""
    peer = lab.peer("dot", ["unbound"])
    certificate = lab.authority.issue("dot.example")
    peer.write("/etc/unbound/key.pem", certificate.key.read_text())
    peer.write("/etc/unbound/chain.pem", certificate.chain.read_text())
    peer.write("/etc/unbound/lab.conf", UNBOUND.format(address=dns.address))
    peer.start("/usr/sbin/unbound", "-d", "-c", "/etc/unbound/lab.conf")
    peer.wait_listening(853)
    return peer


def test_forwarders_are_asked_over_tls(lab, resolver, dns, dot):
    before = resolver.read("/etc/postern/dnsd.conf.d/50-lab.conf"), resolver.read("/etc/postern/dnsd.conf.d/60-test.conf")

    def forward(name):
        # The zones of the lab come from the forwarder, too.
        resolver.configure("dnsd", f"[Dnsd]\nTrustAnchor={dns.anchor()}\nForward={dot.address}@853#{name}\nForwardTLS=yes\n"
                                   "ForwardCAFile=/etc/postern/lab-ca.pem\nSelfTestSecure=lab\nSelfTestBogus=bogus.lab\nTimeout=5s\n",
                           name="50-lab")
        resolver.reload("dnsd")

    dns.set_all({("private.lab", "TXT"): '"private"', ("alias-of-private.lab", "CNAME"): "private.lab."})
    # Given a forwarder that is asked over TLS
    resolver.write("/etc/postern/lab-ca.pem", lab.authority.certificate.read_text())
    resolver.unconfigure("dnsd")
    forward("dot.example")
    assert status(resolver)["ForwardTLS"] is True
    # then its answers are validated as ever,
    with Wire() as wire:
        answers = resolve_all(resolver, [("private.lab", "TXT"), ("alias-of-private.lab", "TXT"), ("bogus.lab", "MX"),
                                         ("host.insecure.lab", "A")])
    assert [answer.state for answer in answers] == ["secure", "secure", "bogus", "insecure"]
    assert dnssec(resolver) == "works"
    # and nobody on the way between the two sees what was asked.
    assert "private.lab. TXT IN" in dot.log.read_text()
    ours = socket.inet_aton(resolver.address)
    assert wire.with_text(b"\x07private") != []  # of the forwarder, which has to ask somebody
    assert [frame for frame in wire.with_text(b"\x07private") if ours in frame[26:34]] == []

    # Other processes of the host are not served where libunbound asks: they see the end at once.
    uid = resolver.run(["id", "-u", "postern-dnsd"]).stdout.strip()
    sockets = [line.split() for line in resolver.run(["cat", "/proc/net/tcp"]).stdout.splitlines()[1:]]
    port, = {int(fields[1][-4:], 16) for fields in sockets if fields[1].startswith("0100007F") and fields[3] == "0A" and fields[7] == uid}
    assert resolver.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}; timeout 5 cat <&3"]).stdout == ""

    # When it cannot prove the name that it should have,
    asked = dot.log.read_text().count(" TXT IN")
    forward("other.example")
    with Wire() as wire:
        answer = resolve(resolver, "private.lab", "TXT")
    # then it is not asked, nor anybody else in the clear.
    assert answer.state == "error" and answer.records == []
    assert dot.log.read_text().count(" TXT IN") == asked
    assert wire.with_text(b"\x07private") == []
    assert dnssec(resolver) == "no-answer"

    for name, text in zip(("50-lab", "60-test"), before):
        resolver.configure("dnsd", text, name=name)
    resolver.reload("dnsd")
