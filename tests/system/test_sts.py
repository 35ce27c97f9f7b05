# SPDX-License-Identifier: Apache-2.0
"""MTA-STS (RFC 8461), sending side: the numbers in the names are the rows of the delivery matrix. Many domains, each with a mail
server of its own, and one policy host for all."""

import hashlib
import time

import pytest

from lab import Authority, Behaviour, Certificate, gateway, plain_message, send
from lab.node import wait_until
from lab.policy import Answer, policy
from lab.posternctl import Posternctl

# As in lib/catalog-ids.h.
FETCHED = "fc80e94293ed46e5b791484e37fe07ad"
FAILED = "4af23911dbdf4a569d1ecade49c6d004"
WORK = "/root/sts"
STORE = "/var/lib/postern/deliverd/sts"


@pytest.fixture(scope="module")
def ctl(gate, lab):
    """posternctl, with the lab's authority enabled, by which policy hosts and mail servers are verified here."""
    with Posternctl(gate, WORK) as ctl:
        ctl.write("ca.pem", lab.authority.certificate.read_bytes())
        ctl.check("ca", "import", "ca.pem")
        yield ctl
        ctl.check("ca", "remove", hashlib.sha256(Certificate(lab.authority.key, lab.authority.certificate).der()).hexdigest())


@pytest.fixture(scope="module")
def policies(lab, ctl):
    return lab.policy_host("policies")


class Domain:
    """A domain with a mail server whose certificate is good, unless another one is given."""

    def __init__(self, lab, dns, gate, name, certificate=None, behaviour=None):
        self.gate = gate
        self.name = name
        self.host = f"mx.{name}"
        self.server = lab.fake_smtp(name.replace(".", "-"), behaviour, certificate=certificate or lab.authority.issue(self.host))
        dns.mail_domain(name, self.host, self.server.address)

    def send(self):
        self.since = self.gate.cursor()
        sent = send(self.gate.address, plain_message(recipient=f"bob@{self.name}"), recipients=[f"bob@{self.name}"])
        assert sent.accepted
        self.queue_id = sent.queue_id
        return self

    def delivered(self, timeout=30):
        return self.gate.wait_entry(gateway.DELIVERED, since=self.since, timeout=timeout, QUEUE_ID=self.queue_id)

    def deferred(self):
        return self.gate.wait_entry(gateway.DEFERRED, since=self.since, timeout=30, QUEUE_ID=self.queue_id)

    def returned(self, timeout=30):
        return self.gate.wait_entry(gateway.BOUNCED, since=self.since, timeout=timeout, QUEUE_ID=self.queue_id)

    def got_nothing(self):
        return self.server.messages.empty() and not any(word.upper().startswith("MAIL") for word in self.server.commands)


@pytest.fixture(scope="module")
def domain(lab, dns, gate):
    def make(name, **options):
        return Domain(lab, dns, gate, f"sts-{name}.lab", **options)

    return make


def tls(entry):
    return f"{entry['POSTERN_TLS_WANTED']}:{entry['POSTERN_TLS_RESULT']}"


# ---- deliverd is started anew, and so is its fetcher: nothing else may be under way ----

def test_sts_2_24_25_a_known_policy_outlives_its_host_and_a_restart(gate, dns, ctl, policies, domain, administrator):
    # Given a policy that is known,
    kept, void = domain("kept"), domain("void")
    policies.publish(dns, kept.name, policy("enforce", kept.host))
    policies.publish(dns, void.name, policy("none"))
    assert "enforce" in ctl.check("sts", "refresh", kept.name).text
    ctl.check("sts", "refresh", void.name)

    # when its host has a fault, the administrator hears of it, but for a policy that asks for nothing;
    for each in (kept, void):
        policies.serve(each.name, Answer("", status="503 Busy"))
    assert "status 503" in ctl("sts", "refresh", void.name).error
    assert "status 503" in ctl("sts", "refresh", kept.name).error
    while True:
        alert = administrator.wait_message(30)
        assert void.name.encode() not in alert.raw
        if kept.name.encode() in alert.raw:
            break
    assert f"The MTA-STS policy of {kept.name} could not be renewed" in alert.header("Subject")[0]
    assert "status 503" in ctl("sts", "show", kept.name, "--json=short").json["Failure"]

    # and when the record is gone, too, and deliverd is started anew
    dns.remove(f"_mta-sts.{kept.name}", "TXT")
    dns.remove(f"mta-sts.{kept.name}", "A")
    gate.systemctl("restart", "postern-deliverd.service")
    gate.wait_active("postern-deliverd.service")

    # the policy still holds.
    assert tls(kept.send().delivered()) == "sts:verified"
    assert ctl("sts", "show", kept.name, "--json=short").json["Mode"] == "enforce"


def test_a_fetcher_that_dies_is_replaced(gate, dns, ctl, policies, domain):
    def fetcher():
        for pid in gate.pids_of("postern-deliverd.service"):
            with open(f"/proc/{pid}/cmdline") as command:
                if "--fetcher" in command.read():
                    return pid

    before, pid = gate.cursor(), fetcher()
    later = domain("later")
    policies.publish(dns, later.name, policy("enforce", later.host))
    gate.kill(pid)
    assert "Fetching process" in gate.wait_entry(gateway.WORKER_DIED, since=before)["MESSAGE"]

    # What is to be fetched meanwhile waits for the next one, and so does the mail.
    assert tls(later.send().delivered()) == "sts:verified"
    assert fetcher() not in (None, pid)


# ---- what takes a minute, while the rest goes on: a policy host that does not answer, and mail until it is returned ----

@pytest.fixture(scope="module")
def slow(dns, policies, domain):
    slow = domain("slow")
    policies.publish(dns, slow.name, Answer("", silent=True))
    return slow.send()


@pytest.fixture(scope="module")
def aged(gate, dns, policies, domain):
    """Two domains whose servers their policies do not name. Mail for them waits for its last attempt, at the end of a lifetime
    of a minute; meanwhile the first of them has a policy that is right."""
    gate.configure("deliverd", "[Deliverd]\nQueueLifetime=1min\n", name="70-aged")
    try:
        gate.reload("deliverd")
        mended, wrong = domain("mended"), domain("wrong")
        for each in (mended, wrong):
            policies.publish(dns, each.name, policy("enforce", "mx.elsewhere.lab"))
            each.send()
        for each in (mended, wrong):
            assert each.deferred()["POSTERN_FAILURE"] == "sts"
        policies.publish(dns, mended.name, policy("enforce", mended.host), id="2")
        yield mended, wrong
    finally:
        gate.unconfigure("deliverd", name="70-aged")
        gate.reload("deliverd")


# ---- policies that hold ----

def test_sts_1_5_6_12_a_policy_is_fetched_kept_and_changes_with_its_id(gate, dns, ctl, policies, domain, slow, aged):
    # Given a domain that publishes a policy
    good = domain("good")
    assert tls(good.send().delivered()) == "may:verified"
    policies.publish(dns, good.name, policy("enforce", good.host), id="1")
    time.sleep(dns.forgotten)

    # when mail goes there, it goes as the policy says,
    entry = good.send().delivered()
    assert tls(entry) == "sts:verified"
    assert (entry["POSTERN_STS"], entry["POSTERN_TLS_VERIFY"]) == ("enforce", "pkix")
    assert gate.wait_entry(FETCHED, DESTINATION=good.name)["POSTERN_STS_ID"] == "1"

    # which was asked for by its own name (row 9), and only once for all mail.
    assert tls(good.send().delivered()) == "sts:verified"
    assert policies.count(good.name) == 1
    assert f"mta-sts.{good.name}" in policies.handshakes
    _, request, headers = next(asked for asked in policies.requests if asked[0] == good.name)
    assert request == "GET /.well-known/mta-sts.txt HTTP/1.1"
    assert "cookie" not in headers and "authorization" not in headers

    # People see it,
    shown = ctl("sts", "show", good.name, "--json=short").json
    assert (shown["Mode"], shown["Hosts"], shown["Id"]) == ("enforce", [good.host], "1")
    assert good.name in ctl.check("sts", "list").text
    assert f"mx: {good.host}" in gate.read(f"{STORE}/{good.name}")
    assert ctl("sts", "show", "never.lab").status == 5

    # and another id brings another policy; if that cannot be had, the known one holds.
    policies.publish(dns, good.name, policy("testing", "mx.elsewhere.lab"), id="2")
    time.sleep(dns.forgotten)
    entry = good.send().delivered()
    assert (tls(entry), entry["POSTERN_STS"], entry["POSTERN_STS_RESULT"]) == ("may:verified", "testing", "host-not-named")
    policies.publish(dns, good.name, Answer("gone", status="404 Not Found"), id="3")
    time.sleep(dns.forgotten)
    assert good.send().delivered()["POSTERN_STS"] == "testing"


def test_sts_13_14_15_16_17_18_modes_and_hosts(lab, gate, dns, policies, domain):
    stranger = Authority(lab.directory, "STS Stranger")
    # Given domains whose policies and mail servers fit, or do not
    none, testing = domain("none"), domain("testing")
    policies.publish(dns, none.name, policy("none", max_age=86400))
    policies.publish(dns, testing.name, policy("testing", "mx.elsewhere.lab"))
    wild, second = domain("wild"), domain("second")
    policies.publish(dns, wild.name, policy("enforce", f"*.{wild.name.upper()}"))
    unnamed, apex = domain("unnamed"), domain("apex")
    policies.publish(dns, unnamed.name, policy("enforce", "mx.elsewhere.lab"))
    policies.publish(dns, apex.name, policy("enforce", f"*.{apex.host}"))
    other_name = domain("other-name", certificate=lab.authority.issue("sts-other-name.lab"))
    unknown = domain("unknown", certificate=stranger.issue("mx.sts-unknown.lab"))
    no_tls = domain("no-tls", behaviour=Behaviour(offer_starttls=False))
    for refused in (other_name, unknown, no_tls):
        policies.publish(dns, refused.name, policy("enforce", refused.host))
    # and one of whose two hosts the second is named
    stale = lab.fake_smtp("sts-stale", certificate=lab.authority.issue("mx.sts-stale.lab"))
    dns.set("mx.sts-stale.lab", "A", stale.address)
    dns.set(second.name, "MX", "10 mx.sts-stale.lab.", f"20 {second.host}.")
    policies.publish(dns, second.name, policy("enforce", "192.0.2.1", second.host))

    # when mail goes to all of them
    for each in (none, testing, wild, second, unnamed, apex, other_name, unknown, no_tls):
        each.send()

    # then what is not enforced is delivered, and the journal says what would have become of it;
    assert tls(none.delivered()) == "may:verified"
    entry = testing.delivered()
    assert (tls(entry), entry["POSTERN_STS_RESULT"]) == ("may:verified", "host-not-named")
    # what fits is delivered, to a host that is named, in the order of preference;
    assert tls(wild.delivered()) == "sts:verified"
    assert tls(second.delivered()) == "sts:verified"
    assert stale.commands == []
    # and what does not fit waits, in every case without a word of the message on the wire.
    for refused, verify in ((unnamed, None), (apex, None), (other_name, "name-mismatch"), (unknown, "untrusted"), (no_tls, None)):
        entry = refused.deferred()
        assert (tls(entry), entry["POSTERN_FAILURE"]) == ("sts:none", "sts"), refused.name
        assert verify is None or entry["POSTERN_TLS_VERIFY"] == verify
        assert refused.got_nothing(), refused.name


def test_sts_3_4_20_21_which_domain_is_asked_and_what_counts_as_an_answer(lab, gate, dns, policies, domain):
    # Given a record that is there twice, one that cannot be looked up,
    twice, broken = domain("twice"), domain("broken")
    policies.publish(dns, twice.name, policy("enforce", "mx.elsewhere.lab"))
    dns.set(f"_mta-sts.{twice.name}", "TXT", '"v=STSv1; id=1;"', '"v=STSv1; id=2;"')
    dns.set("txt.bogus.lab", "TXT", '"v=STSv1; id=1;"')
    dns.set(f"_mta-sts.{broken.name}", "CNAME", "txt.bogus.lab.")
    # a parent that must not speak for its child,
    parent, child = domain("parent"), domain("child.sts-parent")
    policies.publish(dns, parent.name, policy("enforce", "mx.elsewhere.lab"))
    # and a smart host with a policy that does not name it.
    routed = domain("routed")
    policies.publish(dns, routed.host, policy("enforce", "mx.elsewhere.lab"))
    gate.configure("deliverd", f"[Destination routed.lab]\nRoute={routed.host}\n", name="70-sts")
    gate.reload("deliverd")
    routed.name = "routed.lab"
    try:
        for each in (twice, broken, parent, child, routed):
            each.send()
        assert tls(twice.delivered()) == "may:verified"
        assert tls(child.delivered()) == "may:verified"
        assert parent.deferred()["POSTERN_FAILURE"] == "sts"
        entry = routed.deferred()
        assert entry["POSTERN_FAILURE"] == "sts" and routed.got_nothing()
        entry = broken.deferred()
        assert entry["POSTERN_FAILURE"] == "sts" and "_mta-sts.sts-broken.lab" in entry["POSTERN_REASON"]
        assert broken.got_nothing()
    finally:
        gate.unconfigure("deliverd", name="70-sts")
        gate.reload("deliverd")
    assert policies.count(twice.name) == policies.count(child.name) == 0


def test_sts_22_23_combined_3_beside_tlsa_records(lab, gate, dns, policies, domain):
    # Given hosts that their policies name, with TLSA records that do not match, and that say nothing of use
    wrong, useless = domain("tlsa-wrong"), domain("tlsa-useless")
    both = domain("tlsa-both", certificate=lab.authority.issue("x.lab"))
    for each in (wrong, useless, both):
        policies.publish(dns, each.name, policy("enforce", each.host))
    dns.set(f"_25._tcp.{wrong.host}", "TLSA", f"3 1 1 {'ab' * 32}")
    for each in (useless, both):
        dns.set(f"_25._tcp.{each.host}", "TLSA", f"0 1 1 {'ab' * 32}")
    for each in (wrong, useless, both):
        each.send()
    # then DANE is never mended by a policy, and where it cannot say anything the policy still does.
    entry = wrong.deferred()
    assert (entry["POSTERN_TLS_WANTED"], entry["POSTERN_FAILURE"]) == ("dane", "dane") and wrong.got_nothing()
    assert useless.delivered()["POSTERN_TLS_VERIFY"] == "pkix"
    assert both.deferred()["POSTERN_TLS_VERIFY"] == "name-mismatch" and both.got_nothing()


def test_combined_1_5_the_level_is_a_floor_and_the_journal_says_what_was_wanted(lab, gate, dns, policies, domain):
    # Given destinations of which the administrator demands verified servers: one without anything more, one with a policy that is
    # only tested and a server of another name, one with TLSA records and a server of another name;
    plain, tested = domain("floor-plain"), domain("floor-tested", certificate=lab.authority.issue("y.lab"))
    secured = domain("floor-secured", certificate=lab.authority.issue("z.lab"))
    policies.publish(dns, tested.name, policy("testing", tested.host))
    dns.set(f"_25._tcp.{secured.host}", "TLSA", secured.server.certificate.tlsa())
    # and one of which nothing is demanded, but by its policy.
    raised = domain("floor-raised")
    policies.publish(dns, raised.name, policy("enforce", raised.host))
    demanding = "".join(f"[Destination {each.name}]\nTLS=Required-Verify\n" for each in (plain, tested, secured))
    gate.configure("deliverd", f"{demanding}[Destination {raised.name}]\nTLS=Preferred\n", name="70-sts")
    gate.reload("deliverd")
    try:
        for each in (plain, tested, secured, raised):
            each.send()
        # then DNS and policies make it stricter, never less strict.
        assert tls(plain.delivered()) == "required-verify:verified"
        entry = tested.deferred()
        assert (tls(entry), entry["POSTERN_TLS_VERIFY"]) == ("required-verify:none", "name-mismatch")
        assert tested.got_nothing()
        assert tls(secured.delivered()) == "dane:dane"
        assert tls(raised.delivered()) == "sts:verified"
    finally:
        gate.unconfigure("deliverd", name="70-sts")
        gate.reload("deliverd")


# ---- policy hosts that have a fault ----

def broken_answers(lab, name):
    """Of each fault: what the policy host answers, and a part of the reason."""
    good, authority = policy("enforce", "mx.elsewhere.lab"), lab.authority
    host = f"mta-sts.sts-{name}.lab"
    strange = Authority(lab.directory, "STS Policy Stranger")
    return {
        "sts_9_other-name": lambda: (Answer(good, authority.issue("mta-sts.elsewhere.lab")), "certificate"),
        "sts_9_common-name": lambda: (Answer(good, authority.issue("elsewhere.lab", common_name=host)), "certificate"),
        "sts_9_expired": lambda: (Answer(good, authority.issue(host, days=0)), "expired"),
        "sts_9_untrusted": lambda: (Answer(good, strange.issue(host)), "certificate"),
        "sts_9_self-signed": lambda: (Answer(good, Certificate.self_signed(lab.directory, host)), "self-signed"),
        "sts_8_redirect": lambda: (Answer(good, status="301 Moved", headers=("Location: https://mta-sts.sts-good.lab/",)),
                                   "status 301"),
        "sts_8_not-found": lambda: (Answer(good, status="404 Not Found"), "status 404"),
        "sts_8_partial": lambda: (Answer(good, status="206 Partial Content"), "status 206"),
        "sts_10_huge": lambda: (Answer("x: " + "y" * 65536, endless=True), "too large"),
        "sts_10_long": lambda: (Answer(good + "x: " + "y" * 65536), "too large"),
        "sts_11_html": lambda: (Answer(good, content_type="text/html"), "text/html"),
        "sts_11_binary": lambda: (Answer(bytes(range(256)), content_type="application/octet-stream"), "octet-stream"),
        "sts_12_nul": lambda: (Answer(good.encode() + b"\0"), "not text"),
        "sts_12_page": lambda: (Answer("<html>Not here</html>"), "malformed"),
        "sts_7_no-age": lambda: (Answer("version: STSv1\nmode: enforce\nmx: mx.elsewhere.lab\n"), "no max_age"),
    }


FAULTS = ["sts_9_other-name", "sts_9_common-name", "sts_9_expired", "sts_9_untrusted", "sts_9_self-signed", "sts_8_redirect",
          "sts_8_not-found", "sts_8_partial", "sts_10_huge", "sts_10_long", "sts_11_html", "sts_11_binary", "sts_12_nul",
          "sts_12_page", "sts_7_no-age"]


@pytest.fixture(scope="module")
def faulty(lab, dns, policies, domain):
    """A domain for each fault, with mail on its way."""
    domains = {}
    for number, fault in enumerate(FAULTS):
        domains[fault] = domain(f"fault{number}")
        answer, domains[fault].reason = broken_answers(lab, f"fault{number}")[fault]()
        policies.publish(dns, domains[fault].name, answer)
    for each in domains.values():
        each.send()
    return domains


@pytest.mark.parametrize("fault", FAULTS)
def test_mail_goes_on_without_a_policy_that_cannot_be_had(gate, faulty, fault):
    tried = faulty[fault]
    assert tls(tried.delivered()) == "may:verified"
    failed = gate.wait_entry(FAILED, DESTINATION=tried.name)
    assert tried.reason in failed["POSTERN_REASON"]


def test_sts_10_what_failed_is_not_asked_for_at_once(gate, ctl, policies, faulty):
    tried = faulty["sts_8_not-found"]
    tried.delivered()
    asked = policies.count(tried.name)
    assert tls(tried.send().delivered()) == "may:verified"
    assert policies.count(tried.name) == asked
    # An administrator may, and hears why it failed.
    result = ctl("sts", "refresh", tried.name)
    assert result.status == 5 and "status 404" in result.error
    assert policies.count(tried.name) == asked + 1


# ---- what is known holds no longer than it says ----

def test_sts_7_a_policy_that_has_expired_holds_no_more(gate, dns, ctl, policies, domain):
    short = domain("short")
    policies.publish(dns, short.name, policy("enforce", short.host, max_age=4))
    assert tls(short.send().delivered()) == "sts:verified"
    expires = ctl("sts", "show", short.name, "--json=short").json["ExpiresUSec"]
    policies.serve(short.name, Answer("", status="404 Not Found"))
    wait_until(lambda: time.time() * 1_000_000 > expires, what="the end of the policy")
    assert tls(short.send().delivered()) == "may:verified"


def test_sts_19_a_new_policy_is_looked_for_before_mail_is_returned(gate, aged):
    mended, wrong = aged
    assert tls(mended.delivered(timeout=90)) == "sts:verified"
    # Each had one attempt before, and no other one in between.
    assert len(gate.journal(since=mended.since, MESSAGE_ID=gateway.DEFERRED, POSTERN_QUEUE_ID=mended.queue_id)) == 1
    entry = wrong.returned(timeout=90)
    assert entry["POSTERN_REASON"].startswith("4.4.7") and "the MTA-STS policy does not name this host" in entry["POSTERN_REASON"]
    assert entry["POSTERN_FAILURE"] == "sts"
    assert wrong.got_nothing()


def test_sts_10_a_policy_host_that_does_not_answer_holds_mail_up_for_a_minute_at_most(gate, slow):
    assert tls(slow.delivered(timeout=90)) == "may:verified"
    assert "longer than" in gate.wait_entry(FAILED, DESTINATION=slow.name)["POSTERN_REASON"]
