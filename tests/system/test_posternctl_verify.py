# SPDX-License-Identifier: Apache-2.0
"""posternctl verify tells beforehand what becomes of a message, and is right: each case is verified, without a message, and then a
message is sent and has to come to the same end with the same line in the journal."""

import dataclasses
import json
import re

import pytest

from lab import Behaviour, Certificate, gateway, plain_message, send
from lab.node import wait_until
from lab.policy import policy
from lab.posternctl import Posternctl

SUCCESS, FAILURE, USAGE, NOT_RUNNING, NOT_PERMITTED = range(5)
WORK = "/root/verify"
DELIVERED, DEFERRED, RETURNED = "delivered", "deferred", "returned"
ENTRY = {DELIVERED: gateway.DELIVERED, DEFERRED: gateway.DEFERRED, RETURNED: gateway.BOUNCED}


@pytest.fixture(scope="module")
def ctl(gate):
    with Posternctl(gate, WORK) as ctl:
        yield ctl


@dataclasses.dataclass
class Case:
    domain: str
    outcome: str
    says: tuple  # regular expressions of lines in the text, in their order


CASES = {
    "dane": Case("verify-dane.lab", DELIVERED, (
        r"MX +secure", r"\b10 mx\.verify-dane\.lab", r"TLSA +secure", r"3 1 1 [0-9a-f]{64}$", r"Wanted +dane: ", r"Greeting +220 ",
        r"STARTTLS +offered", r"TLS +TLSv1\.3, ", r"Certificate +CN=mx\.verify-dane\.lab", r"Verified +yes, dane: TLSA record 3 1 1$",
        r"REQUIRETLS +not offered", r"Verdict +would take a message over TLS, authenticated by DANE",
        r"Outcome +would be delivered at mx\.verify-dane\.lab\[")),
    "mismatch": Case("verify-mismatch.lab", DEFERRED, (
        r"Verified +no, tlsa-mismatch: ", r"Failed +certificate not verified: certificate does not match any TLSA record",
        r"Verdict +no message can go here: ", r"Outcome +would wait", r"Log line +deferred .*tls=dane:none")),
    "no-starttls": Case("verify-clear.lab", DEFERRED, (
        r"Settings +TLS=Required \(verify-clear\.lab\)", r"Wanted +required: ", r"STARTTLS +not offered",
        r"Failed +TLS is required, but ", r"Outcome +would wait")),
    "null-mx": Case("verify-null.lab", RETURNED, (r"does not accept mail \(null MX\)", r"Outcome +would be returned")),
    "unsigned": Case("verify.insecure.lab", DELIVERED, (
        r"MX +insecure", r"Wanted +may: ", r"Verified +no, self-signed", r"Verdict +would take a message over TLS, unverified: ",
        r"Outcome +would be delivered", r"Log line +delivered .*tls=may:encrypted")),
    "down": Case("verify-down.lab", DEFERRED, (
        r"Connection +mx\.verify-down\.lab\[", r"Failed +connection failed: Connection refused", r"Outcome +would wait")),
    "second": Case("verify-two.lab", DELIVERED, (
        r"^mx1\.verify-two\.lab$", r"Verified +no, tlsa-mismatch", r"Verdict +no message can go here", r"^mx2\.verify-two\.lab$",
        r"Verified +yes, dane", r"Verdict +would take a message over TLS", r"Outcome +would be delivered at mx2\.verify-two\.lab\[")),
}


@pytest.fixture(scope="module")
def servers(lab, dns, gate):
    """A server for each case that has one."""
    def server(name, host, behaviour=None):
        return lab.fake_smtp(f"verify-{name}", behaviour, certificate=Certificate.self_signed(lab.directory, host))

    _, nobody = lab.attach("verify-down")
    wrong = Certificate.self_signed(lab.directory, "wrong.lab").tlsa()
    made = {
        "dane": server("dane", "mx.verify-dane.lab"),
        "mismatch": server("mismatch", "mx.verify-mismatch.lab"),
        "no-starttls": server("clear", "mx.verify-clear.lab", Behaviour(offer_starttls=False)),
        "unsigned": server("unsigned", "mx.verify.insecure.lab"),
        "first": server("first", "mx1.verify-two.lab"),
        "second": server("second", "mx2.verify-two.lab"),
    }
    dns.mail_domain("verify-dane.lab", "mx.verify-dane.lab", made["dane"].address, made["dane"].certificate.tlsa())
    dns.mail_domain("verify-mismatch.lab", "mx.verify-mismatch.lab", made["mismatch"].address, wrong)
    dns.mail_domain("verify-clear.lab", "mx.verify-clear.lab", made["no-starttls"].address)
    dns.mail_domain("verify.insecure.lab", "mx.verify.insecure.lab", made["unsigned"].address)
    dns.mail_domain("verify-down.lab", "mx.verify-down.lab", nobody)
    dns.set("verify-null.lab", "MX", "0 .")
    dns.mail_domain("verify-two.lab", "mx1.verify-two.lab", made["first"].address, wrong)
    dns.mail_domain("verify-two.lab", "mx2.verify-two.lab", made["second"].address, made["second"].certificate.tlsa())
    dns.set("verify-two.lab", "MX", "10 mx1.verify-two.lab.", "20 mx2.verify-two.lab.")
    gate.configure("deliverd", "[Destination verify-clear.lab]\nTLS=Required\n")
    gate.reload("deliverd")
    yield made
    gate.unconfigure("deliverd")
    gate.reload("deliverd")


@pytest.fixture(scope="module")
def verified(ctl, servers):
    """What posternctl said of each case, as text and as JSON, before any message."""
    said = {name: (ctl("verify", case.domain), ctl("verify", case.domain, "--json=short")) for name, case in CASES.items()}
    for server in servers.values():
        assert server.commands and {line.split()[0].upper() for line in server.commands} <= {"EHLO", "STARTTLS", "QUIT"}
        assert server.messages.empty()
    return said


@pytest.fixture(scope="module")
def entries(gate, verified):
    """How a message to each case ended."""
    since = gate.cursor()
    sent = {}
    for name, case in CASES.items():
        recipient = f"postmaster@{case.domain}"
        sent[name] = send(gate.address, plain_message(recipient=recipient), recipients=[recipient])
        assert sent[name].accepted
    return {name: gate.wait_entry(ENTRY[case.outcome], since=since, QUEUE_ID=sent[name].queue_id, timeout=60)
            for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_it_says_what_becomes_of_a_message(name, verified, entries):
    case, (text, machine), entry = CASES[name], verified[name], entries[name]

    # Given what it said in text,
    position = 0
    for expression in case.says:
        found = re.compile(expression, re.MULTILINE).search(text.text, position)
        assert found, f"no {expression} in\n{text.text}{text.error}"
        position = found.end()
    assert "\x1b" not in text.text and text.error == ""
    assert text.status == machine.status == (SUCCESS if case.outcome == DELIVERED else FAILURE)

    # and for programs,
    result = json.loads(machine.text)
    assert (result["Domain"], result["Outcome"], result["Deliverable"]) == (case.domain, case.outcome, case.outcome == DELIVERED)
    assert result["Steps"][0]["Step"] == "Destination"

    # when a message is sent, then the journal has that line.
    _, line = entry["MESSAGE"].split(": ", 1)
    if case.outcome == DEFERRED:
        line = re.sub(r", next attempt in \d+ s", "", line)
        assert entry.get("POSTERN_FAILURE") == result["Failure"]
    assert line.startswith(result["LogLine"])
    if case.outcome == DELIVERED:
        assert entry["POSTERN_PEER"] == result["Peer"]


def test_options_stand_in_for_settings(gate, ctl, verified):
    # The server without TLS would get mail if TLS were not required,
    assert "Outcome       would be delivered at" in ctl.check("verify", "verify-clear.lab", "--level=Preferred").text
    # the one whose certificate nobody knows would not if it had to be verified,
    strict = ctl("verify", "verify.insecure.lab", "--level", "Required-Verify")
    assert strict.status == FAILURE and "TLS=Required-Verify (option)" in strict.text and "certificate is self-signed" in strict.text
    assert ctl("verify", "verify.insecure.lab", "--dane=Mandatory").status == FAILURE
    # the wrong TLSA record would not matter without DANE,
    assert ctl("verify", "verify-mismatch.lab", "--dane=None").status == SUCCESS
    # and of two servers each can be looked at alone.
    first = ctl("verify", "verify-two.lab", "--mx=mx1.verify-two.lab")
    assert first.status == FAILURE and "Connection    mx2" not in first.text
    assert ctl("verify", "verify-two.lab", "--mx", "MX2.verify-two.lab").status == SUCCESS
    assert "is no mail server of" in ctl("verify", "verify-two.lab", "--mx=mx3.verify-two.lab").text
    # It works on the peer socket, too, for root without a system bus.
    direct = ctl.run("POSTERN_RUNTIME_DIR=/run/postern posternctl verify verify-dane.lab").stdout
    assert direct.count("Connection ") == 1 and "Outcome       would be delivered" in direct
    # What makes no sense is said.
    assert ctl("verify", "not a domain").status == USAGE
    assert ctl("verify", "verify-two.lab", "--level=Enormous").status == USAGE
    assert ctl("verify", "verify-two.lab", "--dane=maybe").status == USAGE
    assert ctl("verify").status == USAGE
    # Who is not authorized is told nothing of it.
    assert gate.run(["posternctl", "verify", "verify-two.lab"], user="nobody", check=False).returncode == NOT_PERMITTED


def test_a_policy_is_fetched_and_counts(lab, dns, gate, ctl, lists):
    # Given two domains with an MTA-STS policy, of which one names another server than DNS does,
    lists.add(lab.authority)
    policies = lab.policy_host("verify-policies")
    server = lab.fake_smtp("verify-sts", certificate=lab.authority.issue("mx.verify-sts.lab"))
    for domain, named in ("verify-sts.lab", "mx.verify-sts.lab"), ("verify-unnamed.lab", "*.elsewhere.lab"):
        dns.mail_domain(domain, "mx.verify-sts.lab", server.address)
        policies.publish(dns, domain, policy("enforce", named))

    # when they are verified, then it is told what the policy says, and what came of it,
    good = ctl.check("verify", "verify-sts.lab").text
    for expression in (r"MTA-STS +enforce, for mx\.verify-sts\.lab$", r"id 1, fetched .* expires ", r"Wanted +sts: TLS, verified",
                       r"Verified +yes, pkix, by CN=Lab Authority$", r"over TLS, verified$", r"Log line .*tls=sts:verified TLSv1\.3 \(pkix\)$"):
        assert re.search(expression, good, re.MULTILINE), f"no {expression} in\n{good}"
    bad = ctl("verify", "verify-unnamed.lab")
    assert bad.status == FAILURE and "no message can go here: the MTA-STS policy does not name this host" in bad.text

    # and it is what a message comes to.
    since = gate.cursor()
    sent = {domain: send(gate.address, recipients=[f"postmaster@{domain}"]) for domain in ("verify-sts.lab", "verify-unnamed.lab")}
    entry = gate.wait_entry(gateway.DELIVERED, since=since, QUEUE_ID=sent["verify-sts.lab"].queue_id)
    assert entry["POSTERN_TLS_WANTED"] == "sts"
    entry = gate.wait_entry(gateway.DEFERRED, since=since, QUEUE_ID=sent["verify-unnamed.lab"].queue_id)
    assert entry["POSTERN_FAILURE"] == "sts"


def test_lines_appear_while_it_waits(lab, dns, gate, ctl):
    # Given a server that takes its time,
    slow = lab.fake_smtp("verify-slow", Behaviour(delay=20), certificate=lab.authority.issue("mx.verify-slow.lab"))
    dns.mail_domain("verify-slow.lab", "mx.verify-slow.lab", slow.address)

    # when as many people as may ask for it at once, then each sees how far it is,
    pids = [ctl.run(f"posternctl verify verify-slow.lab >{n} 2>&1 & echo $!").stdout.strip() for n in range(4)]
    for n in range(4):
        wait_until(lambda: "Connection    mx.verify-slow.lab" in ctl.read(str(n)), 10, "the connection")
    assert "Outcome" not in ctl.read("0")
    # nobody else gets a place, and mail is not held up,
    limited = ctl("verify", "verify-down.lab")
    assert limited.status == FAILURE and "Other domains are being verified" in limited.error
    assert ctl.check("queue", "list").status == SUCCESS

    # until they lose patience: then it is over at once.
    gate.run(["kill", *pids])
    wait_until(lambda: "Outcome" in ctl("verify", "verify-down.lab").text, 10, "a place")
