# SPDX-License-Identifier: Apache-2.0
"""DANE against real zones and servers: each row of the delivery matrix that a network can show, what a destination without its
TLSA record's key comes to, and that nothing is carried over from one decision to another."""

import smtplib
import ssl
import types

import pytest

from lab import Behaviour, Certificate, gateway, plain_message, send, send_all
from lab.chains import Pki
from lab.client import any_certificate
from lab.node import wait_until
from lab.policy import policy

# Of TLS extensions.
SERVER_NAME, SERVER_CERTIFICATE_TYPE, PRE_SHARED_KEY, SESSION_TICKET = 0, 20, 41, 35


def wait_alert(administrator, about, timeout=30):
    """The first alert mail that names about."""
    while True:
        message = administrator.wait_message(timeout)
        if about.encode() in message.raw:
            return message


def test_dane_48_a_wrong_tlsa_record_defers_mail_until_it_is_corrected(lab, dns, gate, administrator):
    # Given a domain whose TLSA record names another key than its server has
    mx = lab.mx("wrong-mx", "wrong.lab")
    other = Certificate.self_signed(mx.peer.directory, "other.lab")
    dns.mail_domain("wrong.lab", mx.name, mx.address, other.tlsa())
    before = gate.cursor()
    pids = {unit: gate.pid_of(unit) for unit in gateway.UNITS}

    # when a message is sent to it
    message = plain_message(recipient="carol@wrong.lab")
    sent = send(gate.address, message, recipients=["carol@wrong.lab"])
    assert sent.accepted

    # then it is deferred, with one line that says why,
    entry = gate.wait_entry(gateway.DEFERRED, since=before, QUEUE_ID=sent.queue_id)
    assert entry["POSTERN_DESTINATION"] == "wrong.lab"
    assert entry["POSTERN_TLS_WANTED"] == "dane"
    assert "TLSA" in entry["POSTERN_REASON"] and "TLSA" in entry["MESSAGE"]
    assert len(gate.journal(since=before, MESSAGE_ID=gateway.DEFERRED, POSTERN_QUEUE_ID=sent.queue_id)) == 1
    assert mx.messages() == [] and sent.queue_id in gate.queue()

    # and the administrator gets one mail about it.
    alert = wait_alert(administrator, "wrong.lab")
    assert alert.recipients == ["admin@alerts.lab"]
    subject = alert.header("Subject")[0]
    assert "Warning" in subject and "wrong.lab" in subject
    assert b"1 message waits for wrong.lab" in alert.raw

    # When the record is corrected (and the old one no longer remembered: its TTL is a second)
    dns.set(f"_25._tcp.{mx.name}", "TLSA", mx.tlsa())

    def delivered():
        gate.flush("wrong.lab")
        return gate.journal(since=before, MESSAGE_ID=gateway.DELIVERED, POSTERN_QUEUE_ID=sent.queue_id)

    # then the message is delivered without a restart of anything.
    entry = wait_until(delivered, timeout=20, what="the delivery", interval=1)[0]
    assert entry["POSTERN_TLS_RESULT"] == "dane"
    received = mx.wait_messages()[0]
    assert received.carries(message)
    assert pids == {unit: gate.pid_of(unit) for unit in gateway.UNITS}
    assert not any("wrong.lab" in text for text in subjects_left(administrator)), "there was a second alert"


def subjects_left(administrator):
    left = []
    while not administrator.messages.empty():
        left += administrator.messages.get().header("Subject")
    return left


# ---- the rows of the delivery matrix that a network can show ----
#
# All are delivered at once. Elsewhere: rows 35, 47 and 50 with servers that misbehave, in test_hostile_peers.py; hundreds of
# chains for rows 33 to 44, in test_chains.py. Not here: timeouts of rows 1 and 22, since to deliverd they are what SERVFAIL is
# (test_dns.py), and the address literals of row 25, for which smtpd takes no mail.

CA = {"basicConstraints": "critical,CA:TRUE", "keyUsage": "critical,keyCertSign,cRLSign", "subjectKeyIdentifier": "hash"}
OVER = (-9, -2)
WAITS, FAILED, ENCRYPTED, DANE = "deferred", "failed", "encrypted", "dane"
HOST = "{d} MX 10 {h}; {h} A {server}; "
TWO_HOSTS = "{d} MX 10 {h}; {d} MX 20 {h2}; {h} A {server}; {h2} A {server}; "
ALIAS = "{d} MX 10 {h}; {h} CNAME {t}; {t} A {server}; "
GOOD = "_25._tcp.{h} TLSA 3 1 1 leaf; "


class Case:
    """records: what the zones have. outcome: what becomes of the mail; wanted: POSTERN_TLS_WANTED. fails: questions that the name
    server fails at; the names have to exist, or else it is proven that there is nothing. host: to which it goes. fields: those of
    the journal, without POSTERN_."""

    def __init__(self, title, records, outcome, wanted=None, chain="leaf inter root", domain="{d}", settings="", fails="",
                 host=None, **fields):
        self.title = title
        self.records, self.fails = records, fails
        self.outcome, self.wanted = outcome, wanted or ("may" if outcome == ENCRYPTED else "dane")
        self.chain = chain
        self.domain = domain
        self.settings = settings
        self.host = host
        self.fields = fields
        self.names = {}
        self.queue_id = self.entry = None

    def prepare(self, number, servers):
        n = f"row{number}"
        self.names = {"d": f"{n}.rows.lab.", "h": f"{n}.hosts.lab.", "h2": f"{n}-2.hosts.lab.", "t": f"{n}.targets.lab.",
                      "m": f"{n}.middle.lab.", "e": f"{n}.expansions.lab.", "i": f"{n}.insecure.lab.", "b": f"{n}.bogus.lab.",
                      "server": servers[self.chain].address}
        self.domain = self.name(self.domain)
        self.server = servers[self.chain]

    def name(self, text):
        return text.format(**self.names).replace(".:", ":").rstrip(".")

    def zone(self, pki):
        """{(name, type): data}, as Dns.set_all() takes it."""
        found = {}
        for line in filter(None, map(str.strip, self.records.format(**self.names).split(";"))):
            owner, kind, data = line.split(None, 2)
            found.setdefault((owner.rstrip("."), kind), []).append(tlsa_data(pki, data) if kind == "TLSA" else data)
        return found

    def failures(self):
        """(name, type, how) of the questions that are not answered."""
        return [line.split() for line in filter(None, self.fails.format(**self.names).split("; "))]

    def configuration(self):
        return f"[Destination {self.domain}]\n{self.name(self.settings)}\n" if self.settings else ""

    def sessions(self):
        """Those in which the server heard of the message."""
        return [session for session in self.server.sessions if f"RCPT TO:<bob@{self.domain}>" in session.commands]


def tlsa_data(pki, data):
    """"3 1 1 leaf", with the hash of what it names; "3 1 1 short" and the like with what is no such thing."""
    usage, selector, matching, what = data.split()
    if what == "short":
        return f"{usage} {selector} {matching} {'00' * 31}"
    made = pki[what].tlsa(min(int(usage), 3), min(int(selector), 1), min(int(matching), 2)).split()[3]
    return f"{usage} {selector} {matching} {made}"


def tlsa(records):
    """For the host of HOST; several records are separated by ','."""
    return HOST + "".join(f"_25._tcp.{{h}} TLSA {record}; " for record in records.split(", "))


MANDATORY = "DANE=Mandatory"
CASES = [
    # DNS
    Case("dane_1-bogus", "{b} MX 10 {h}; {b} A {server}; {h} A {server}; " + GOOD, WAITS, "none", domain="{b}", FAILURE="dns"),
    Case("dane_1-servfail", HOST + GOOD + "{d} A {server}", WAITS, "none", fails="{d} MX servfail", FAILURE="dns"),
    Case("dane_2-null MX", "{d} MX 0 .; {d} A {server}", FAILED, REASON="5.1.10"),
    Case("dane_3-the domain itself", "{d} A {server}; _25._tcp.{d} TLSA 3 1 1 leaf", DANE),
    Case("dane_4-no such domain", "", FAILED, REASON="5.1.2"),
    Case("dane_5-MX insecure", "{i} MX 10 {h}; {h} A {server}; " + GOOD, ENCRYPTED, "dane", domain="{i}",
         TLS_VERIFY="dane-mx-insecure"),
    Case("dane_5-MX insecure, mismatch", "{i} MX 10 {h}; {h} A {server}; _25._tcp.{h} TLSA 3 1 1 other", WAITS, domain="{i}",
         TLS_VERIFY="tlsa-mismatch"),
    Case("dane_5-MX insecure, Mandatory", "{i} MX 10 {h}; {h} A {server}; " + GOOD, WAITS, domain="{i}", settings=MANDATORY,
         FAILURE="dane"),
    Case("dane_6-alias of the domain insecure", "{i} CNAME {d}; " + HOST + GOOD, ENCRYPTED, "dane", domain="{i}",
         TLS_VERIFY="dane-mx-insecure"),
    Case("dane_6-Mandatory", "{i} CNAME {d}; " + HOST + GOOD, WAITS, domain="{i}", settings=MANDATORY, FAILURE="dane"),
    Case("dane_7-address secure", HOST + GOOD, DANE),
    Case("dane_7-Mandatory", HOST + GOOD, DANE, settings=MANDATORY),
    Case("dane_8-address insecure", "{d} MX 10 {i}; {i} A {server}; _25._tcp.{i} TLSA 3 1 1 other", ENCRYPTED,
         fails="_25._tcp.{i} TLSA servfail"),
    Case("dane_9-no answer about AAAA", HOST + GOOD, DANE, fails="{h} AAAA servfail"),
    Case("dane_10-no answer about addresses", TWO_HOSTS + "_25._tcp.{h2} TLSA 3 1 1 leaf", DANE, host="{h2}",
         fails="{h} A servfail; {h} AAAA servfail"),
    Case("dane_11-no address", "{d} MX 10 {h}; {d} MX 20 {h2}; {h} TXT nothing; {h2} A {server}", ENCRYPTED, host="{h2}"),
    Case("dane_12-at the target", ALIAS + "_25._tcp.{t} TLSA 3 1 1 leaf", DANE),
    Case("dane_12-at the original", ALIAS + GOOD, DANE),
    Case("dane_12-target comes first", ALIAS + "_25._tcp.{t} TLSA 3 1 1 other; " + GOOD, WAITS),
    Case("dane_13-no answer at the target", ALIAS + "_25._tcp.{t} TLSA 3 1 1 other; " + GOOD, WAITS,
         fails="_25._tcp.{t} TLSA servfail", FAILURE="dane"),
    Case("dane_14-target insecure", "{d} MX 10 {h}; {h} CNAME {i}; {i} A {server}; _25._tcp.{i} TLSA 3 1 1 other; " + GOOD, DANE),
    Case("dane_15-alias insecure", "{d} MX 10 {i}; {i} CNAME {t}; {t} A {server}; _25._tcp.{t} TLSA 3 1 1 other", ENCRYPTED),
    Case("dane_16-alias in between", "{d} MX 10 {h}; {h} CNAME {m}; {m} CNAME {t}; {t} A {server}; _25._tcp.{m} TLSA 3 1 1 other",
         ENCRYPTED),
    Case("dane_17-records by alias", HOST + "_25._tcp.{h} CNAME tlsa.{m}; tlsa.{m} TLSA 2 1 1 root", DANE),
    Case("dane_18-insecure alias, next base", ALIAS + "_25._tcp.{t} CNAME tlsa.{i}; "
         "tlsa.{i} TLSA 3 1 1 other; " + GOOD, DANE),
    Case("dane_18-insecure alias, no other", HOST + "_25._tcp.{h} CNAME tlsa.{i}; tlsa.{i} TLSA 3 1 1 other", ENCRYPTED),
    Case("dane_19-aliases in a circle", "{d} MX 10 {h}; {h} CNAME {m}; {m} CNAME {h}", WAITS, "may", FAILURE="dns"),
    Case("dane_20-no such name", HOST, ENCRYPTED),
    Case("dane_20-no such type", HOST + "_25._tcp.{h} TXT nothing", ENCRYPTED),
    Case("dane_20-Mandatory", HOST, WAITS, settings=MANDATORY, FAILURE="dane"),
    Case("dane_21-records insecure", "{d} MX 10 half.lab.; half.lab. A {server}; _25._tcp.half.lab. TLSA 3 1 1 other", ENCRYPTED),
    Case("dane_21-Mandatory", "{d} MX 10 half.lab.", WAITS, settings=MANDATORY, FAILURE="dane"),
    *(Case(f"dane_22-{how}", HOST + GOOD, WAITS, fails="_25._tcp.{h} TLSA " + how, FAILURE="dane")
      for how in ("servfail", "refused", "notimp", "malformed")),
    Case("dane_22-bogus", HOST + "_25._tcp.{h} CNAME tlsa.{b}; tlsa.{b} TLSA 3 1 1 leaf", WAITS, FAILURE="dane"),
    Case("dane_22-Required", HOST + GOOD, WAITS, settings="TLS=Required", fails="_25._tcp.{h} TLSA servfail", FAILURE="dane"),
    # The name server says of all answers that they are authenticated.
    Case("dane_23-claimed to be secure", "{i} MX 10 h.{i}; h.{i} A {server}; _25._tcp.h.{i} TLSA 3 1 1 other", ENCRYPTED,
         domain="{i}"),
    Case("dane_24-another port", "{h} A {server}; _2525._tcp.{h} TLSA 3 1 1 leaf; _25._tcp.{h} TLSA 3 1 1 other", DANE,
         chain="another port", settings="Route={h}:2525"),
    Case("dane_25-MX is an address", "{d} MX 10 {server}.", ENCRYPTED),
    Case("dane_26-relay host", "{h} A {server}; " + GOOD, DANE, domain="{i}", settings="Route={h}"),
    Case("dane_27-preference", TWO_HOSTS + "_25._tcp.{h2} TLSA 3 1 1 leaf", ENCRYPTED, host="{h}"),

    # Records
    *(Case(f"dane_28_29-{record}", tlsa(record), ENCRYPTED, "required") for record in (
        "0 1 1 root", "1 1 1 leaf", "4 1 1 leaf", "3 2 1 leaf", "3 1 3 leaf", "3 1 1 short", "3 1 2 short", "3 0 0 short",
        "2 1 0 short")),
    Case("dane_29-Mandatory", tlsa("1 1 1 leaf"), WAITS, settings=MANDATORY, FAILURE="dane"),
    Case("dane_29-no TLS", tlsa("1 1 1 leaf"), WAITS, "required", chain="no TLS", FAILURE="tls"),
    Case("dane_30-the usable one matches", tlsa("1 1 1 other, 3 1 1 leaf"), DANE),
    Case("dane_30-the usable one does not match", tlsa("1 1 1 leaf, 3 1 1 other"), WAITS, TLS_VERIFY="tlsa-mismatch"),
    Case("dane_31-the stronger digest counts", tlsa("3 1 2 other, 3 1 1 leaf"), WAITS, TLS_VERIFY="tlsa-mismatch"),
    Case("dane_32-of usable records", tlsa("3 1 2 short, 3 1 1 leaf"), DANE),
    Case("dane_32-for each selector", tlsa("3 0 2 other, 3 1 1 leaf"), DANE),
    Case("dane_32-beside the whole key", tlsa("3 1 2 other, 3 1 0 leaf"), DANE),
    Case("dane_33-one of two", tlsa("3 1 1 other, 3 1 1 leaf"), DANE),
    Case("dane_34-one of two usages", tlsa("3 1 1 other, 2 1 1 root"), DANE),

    # Certificates
    Case("dane_35-expired and misnamed", tlsa("3 1 1 over"), DANE, chain="over"),
    Case("dane_36-issuer only", tlsa("3 1 1 inter"), WAITS, TLS_VERIFY="tlsa-mismatch"),
    Case("dane_37-root", tlsa("2 1 1 root"), DANE),
    Case("dane_37-intermediate", tlsa("2 0 2 inter"), DANE),
    Case("dane_38-misnamed, of an enabled authority", tlsa("2 1 1 public"), WAITS,
         chain="misnamed public", TLS_VERIFY="name-mismatch"),
    Case("dane_39-anchor not sent, but enabled", tlsa("2 1 1 public"), WAITS, chain="of-public", TLS_VERIFY="tlsa-mismatch"),
    Case("dane_39-anchor not sent", tlsa("2 1 1 root"), WAITS, chain="leaf inter", TLS_VERIFY="tlsa-mismatch"),
    Case("dane_40-certificate in full", tlsa("2 0 0 root"), DANE, chain="leaf inter"),
    Case("dane_40-key in full", tlsa("2 1 0 root"), DANE, chain="leaf inter"),
    Case("dane_41-leaf only", tlsa("2 1 1 leaf"), WAITS, TLS_VERIFY="tlsa-mismatch"),
    Case("dane_42-expired", tlsa("2 1 1 root"), WAITS, chain="expired inter root", TLS_VERIFY="expired"),
    Case("dane_42-intermediate expired", tlsa("2 1 1 root"), WAITS,
         chain="below-expired inter-expired root", TLS_VERIFY="expired"),
    Case("dane_42-too long", tlsa("2 1 1 root"), WAITS, chain="below-deep inter-deep inter-short root", TLS_VERIFY="invalid"),
    Case("dane_42-issuer is no authority", tlsa("2 1 1 root"), WAITS, chain="below-leaf leaf inter root"),
    Case("dane_42-for clients", tlsa("2 1 1 root"), WAITS, chain="for-clients inter root", TLS_VERIFY="wrong-purpose"),
    Case("dane_43-name of the domain", tlsa("2 1 1 root"), DANE, chain="for-domain inter root"),
    Case("dane_43-expansion of the domain", "{d} CNAME {e}; {e} MX 10 {h}; {h} A {server}; _25._tcp.{h} TLSA 2 1 1 root", DANE,
         chain="for-expansion inter root"),
    Case("dane_43-name of the domain, MX insecure", "{i} MX 10 {h}; {h} A {server}; _25._tcp.{h} TLSA 2 1 1 root", WAITS,
         domain="{i}", chain="for-insecure inter root", TLS_VERIFY="name-mismatch"),
    Case("dane_44-common name beside others", tlsa("2 1 1 root"), WAITS,
         chain="common-name inter root", TLS_VERIFY="name-mismatch"),
    Case("dane_44-half a wildcard", tlsa("2 1 1 root"), WAITS, chain="half-wildcard inter root", TLS_VERIFY="name-mismatch"),
]


def make_certificates(pki):
    def leaf(name, issuer="inter", san="*.hosts.lab", cn="leaf", **other):
        pki.make(name, issuer, cn, subjectAltName=f"DNS:{san}", basicConstraints="CA:FALSE", subjectKeyIdentifier="hash", **other)

    pki.make("root", **CA)
    pki.make("public", **CA)  # the only one that is enabled
    pki.make("inter", "root", **CA)
    pki.make("inter-expired", "root", days=OVER, **CA)
    pki.make("inter-short", "root", **{**CA, "basicConstraints": "critical,CA:TRUE,pathlen:0"})
    pki.make("inter-deep", "inter-short", **CA)
    leaf("leaf")
    leaf("other")  # no server has it
    leaf("over", None, "elsewhere.lab", days=OVER)
    leaf("of-public", "public")
    leaf("misnamed", "public", san="elsewhere.lab")
    leaf("expired", days=OVER)
    leaf("below-expired", "inter-expired")
    leaf("below-deep", "inter-deep")
    leaf("below-leaf", "leaf")
    leaf("for-clients", extendedKeyUsage="clientAuth")
    leaf("for-domain", san="*.rows.lab")
    leaf("for-expansion", san="*.expansions.lab")
    leaf("for-insecure", san="*.insecure.lab")
    leaf("common-name", san="elsewhere.lab", cn="*.hosts.lab")
    leaf("half-wildcard", san="row*.hosts.lab")


def make_servers(lab, pki):
    """One for each chain; {chain: FakeSmtp}."""
    servers = {}
    for number, chain in enumerate(sorted({case.chain for case in CASES})):
        port = 2525 if chain == "another port" else 25
        certificate = None
        if chain != "no TLS":
            names = "leaf inter root".split() if chain == "another port" else chain.split()
            path = pki.directory / f"chain{number}"
            path.write_text("".join(pki[name].pem for name in names))
            certificate = Certificate(pki[names[0]].key, path)
        servers[chain] = lab.fake_smtp(f"chain{number}", certificate=certificate, port=port)
    return servers


@pytest.fixture(scope="module")
def proxy(lab, dns, gate):
    """What dnsd asks in place of the name server."""
    proxy = lab.dns_proxy("rows-dns", dns)
    proxy.authenticated = True
    gate.configure("dnsd", f"[Stub lab]\nServer=\nServer={proxy.address}\n")
    gate.reload("dnsd")
    yield proxy
    gate.unconfigure("dnsd")
    gate.reload("dnsd")


@pytest.fixture(scope="module")
def rows(lab, dns, gate, proxy, lists):
    """All deliveries, with what became of each; {title: Case}."""
    pki = Pki(lab.directory / "rows-pki")
    make_certificates(pki)
    lists.add(types.SimpleNamespace(certificate=pki["public"].path, key=pki["public"].key))
    servers = make_servers(lab, pki)
    zone = {}
    for number, case in enumerate(CASES):
        case.prepare(number, servers)
        zone |= case.zone(pki)
        for name, kind, how in case.failures():
            proxy.fail(name.rstrip("."), kind, how)
    dns.set_all(zone)
    gate.configure("deliverd", "".join(case.configuration() for case in CASES))
    gate.reload("deliverd")
    since = gate.cursor()
    sent = send_all(gate.address, [("alice@client.lab", f"bob@{case.domain}", plain_message()) for case in CASES])
    for case, answer in zip(CASES, sent):
        assert answer.accepted, answer.reply
        case.queue_id = answer.queue_id
    ends = gate.ends([case.queue_id for case in CASES], since)
    for case in CASES:
        case.entry = ends.get(case.queue_id)
    yield {case.title: case for case in CASES}
    proxy.mend()
    gate.unconfigure("deliverd")
    gate.reload("deliverd")


@pytest.mark.parametrize("title", [case.title for case in CASES])
def test_row(rows, title):
    case = rows[title]
    assert case.entry, "the attempt did not end"
    kinds = {gateway.DEFERRED: WAITS, gateway.BOUNCED: FAILED}
    outcome = kinds.get(case.entry["MESSAGE_ID"]) or case.entry["POSTERN_TLS_RESULT"]
    assert outcome == case.outcome, case.entry["MESSAGE"]
    if outcome != FAILED:
        assert case.entry["POSTERN_TLS_WANTED"] == case.wanted, case.entry["MESSAGE"]
    for field, value in case.fields.items():
        assert value in case.entry[f"POSTERN_{field}"], case.entry["MESSAGE"]
    if case.host:
        assert case.entry["POSTERN_PEER"].startswith(case.name(case.host) + "[")
    sessions = case.sessions()
    assert len(sessions) == (outcome in (DANE, ENCRYPTED)) and all(session.tls for session in sessions)


@pytest.mark.parametrize(("title", "base"), [
    ("dane_7-address secure", "{h}"), ("dane_12-at the target", "{t}"), ("dane_12-at the original", "{h}"),
    ("dane_14-target insecure", "{h}"), ("dane_17-records by alias", "{h}"), ("dane_24-another port", "{h}"),
    ("dane_3-the domain itself", "{d}"), ("dane_43-name of the domain", "{h}")])
def test_dane_46_the_name_that_is_asked_for(rows, title, base):
    case = rows[title]
    session, = case.sessions()
    assert session.tls.asked_for == case.name(base)


def test_dane_45_no_bare_key_is_asked_for(rows):
    # OpenSSL 3.0 cannot verify one, so none is asked for, even where every record is 3 1 1.
    session, = rows["dane_7-address secure"].sessions()
    assert SERVER_CERTIFICATE_TYPE not in session.hello_extensions()
    assert SERVER_NAME in session.hello_extensions()


def test_dane_8_it_is_not_even_asked(rows, proxy):
    case = rows["dane_8-address insecure"]
    assert proxy.count(case.name("{i}"), "A") > 0
    assert proxy.count(case.name("_25._tcp.{i}"), "TLSA") == 0


# ---- nothing is carried over from one decision to another ----

def deliver_and_wait(gate, server, domain):
    """One message, from its sending to its arrival."""
    since = gate.cursor()
    sent = send(gate.address, plain_message(), recipients=[f"bob@{domain}"])
    assert sent.accepted and server.wait_message().recipients == [f"bob@{domain}"]
    entry = gate.wait_entry(gateway.DELIVERED, since=since, QUEUE_ID=sent.queue_id)
    return entry["POSTERN_TLS_WANTED"], entry["POSTERN_TLS_RESULT"]


def resumes(server, version):
    """Whether the server resumes a session of a client that keeps it."""
    context = any_certificate()
    context.maximum_version = version
    session = None
    for _ in range(2):
        client = smtplib.SMTP(server.address, local_hostname="client.lab")
        client.ehlo()
        client.docmd("STARTTLS")
        with context.wrap_socket(client.sock, session=session) as tls:
            tls.sendall(b"NOOP\r\n")
            tls.recv(1000)  # tickets come before the reply
            session = tls.session
            reused = tls.session_reused
    return reused


@pytest.fixture(scope="module")
def policies(lab, lists):
    """A host of MTA-STS policies, which is believed."""
    lists.add(lab.authority)
    return lab.policy_host("shared-policies")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_dane_49_combined_4_nothing_is_shared(lab, dns, gate, policies, version):
    # Given one host with domains that decide about it differently: by DANE, by MTA-STS, by authorities, not at all,
    label = version.lower().replace("_", "")
    host = f"mx.shared-{label}.lab"
    behaviour = Behaviour(handshake="tls1.2" if version == "TLSv1_2" else "good")
    server = lab.fake_smtp(f"shared-{label}", behaviour, lab.authority.issue(host))
    domains = {f"dane.shared-{label}.lab": ("dane", "dane"), f"plain.shared-{label}.lab": ("may", "verified"),
               f"authority.shared-{label}.lab": ("required-verify-hosted", "verified"),
               f"sts.shared-{label}.lab": ("sts", "verified")}
    dns.set_all({(host, "A"): server.address, (f"_25._tcp.{host}", "TLSA"): server.certificate.tlsa(),
                 **{(domain, "MX"): f"10 {host}." for domain in domains}})
    policies.publish(dns, f"sts.shared-{label}.lab", policy("enforce", host))
    gate.configure("deliverd", f"[Destination .shared-{label}.lab]\nDANE=None\n"
                               f"[Destination dane.shared-{label}.lab]\nDANE=Opportunistic\n"
                               f"[Destination authority.shared-{label}.lab]\nTLS=Required-Verify-Hosted\n")
    gate.reload("deliverd")
    try:
        # when mail for them comes in turns
        for domain in [*domains, *reversed(domains)]:
            # then each decision comes to what it is by itself,
            assert deliver_and_wait(gate, server, domain) == domains[domain]
    finally:
        gate.unconfigure("deliverd")
        gate.reload("deliverd")

    # on a connection of its own, whose TLS session has nothing to do with an earlier one, and does not try to,
    assert len(server.sessions) == 2 * len(domains)
    for session in server.sessions:
        assert len([command for command in session.commands if command.startswith("RCPT")]) == 1
        assert session.tls.version() == version.replace("_", ".") and not session.tls.session_reused
        assert PRE_SHARED_KEY not in session.hello_extensions() and not session.hello_extensions().get(SESSION_TICKET)
    # which this server would have let it do.
    assert resumes(server, getattr(ssl.TLSVersion, version))
