# SPDX-License-Identifier: Apache-2.0
"""What it costs to authenticate the server of a delivery: the processor time of all processes of deliverd and dnsd, as a ratio to
that of a delivery which only has to have TLS, alternating in one run."""

import pathlib

import pytest

from lab import Behaviour, Load, gateway
from lab.node import children

HOST = "mx.cost.lab"
ROUNDS = 10
MESSAGES = 30  # a round
TTL = 3600
LIMIT = 1.1
RESULTS = {"dane": "dane", "tls": "encrypted"}  # POSTERN_TLS_RESULT


def processor_time(pids):
    """Nanoseconds that all threads of these processes and of their children have run."""
    total = 0
    for pid in [*pids, *(child for pid in pids for child in children(pid))]:
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(path.read_text().split()[0])
    return total


@pytest.fixture(scope="module")
def server(lab, dns, gate):
    """A mail server of many domains, half of which deliverd authenticates by DANE, and half of which have to have TLS."""
    server = lab.fake_smtp("cost", Behaviour(greeting="421 4.3.2 Later"), lab.authority.issue(HOST))
    dns.set(HOST, "A", server.address, ttl=TTL)
    dns.set(f"_25._tcp.{HOST}", "TLSA", server.certificate.tlsa(3), ttl=TTL)
    for i in range(ROUNDS):
        for kind in ("dane", "tls"):
            dns.set(f"{kind}{i}.cost.lab", "MX", f"10 {HOST}.", ttl=TTL)
    gate.configure("deliverd", "[Destination .cost.lab]\nTLS=Required\nMTASTS=no\n"
                   + "".join(f"[Destination tls{i}.cost.lab]\nDANE=None\n" for i in range(ROUNDS)))
    gate.reload("deliverd")
    yield server
    gate.unconfigure("deliverd")
    gate.reload("deliverd")


def test_a_delivery_by_dane_costs_hardly_more_than_one_by_tls(gate, server, capsys):
    pids = [gate.pid_of("postern-deliverd.service"), gate.pid_of("postern-dnsd.service")]
    # Kinds take turns, and take turns in being the first.
    domains = [f"{kind}{i}.cost.lab" for i in range(ROUNDS) for kind in (("dane", "tls") if i % 2 else ("tls", "dane"))]
    before = gate.cursor()

    # Given messages for each of the domains, which the server did not take yet
    for domain in domains:
        Load(gate.address, count=MESSAGES, connections=4, recipient=f"bob@{domain}").start().wait()
    for domain in domains:
        gate.wait_journal(timeout=60, since=before, count=MESSAGES, MESSAGE_ID=gateway.DEFERRED, POSTERN_DESTINATION=domain)
    server.behaviour = Behaviour()

    # when they are delivered, one domain after the other, with DNS answers that are cached by now,
    cost = {"dane": 0, "tls": 0}
    for domain in domains:
        kind = "dane" if domain.startswith("dane") else "tls"
        start = processor_time(pids)
        gate.flush(domain)
        delivered = gate.wait_journal(timeout=60, since=before, count=MESSAGES, MESSAGE_ID=gateway.DELIVERED,
                                      POSTERN_DESTINATION=domain)
        cost[kind] += processor_time(pids) - start
        assert {entry["POSTERN_TLS_RESULT"] for entry in delivered} == {RESULTS[kind]}

    # then those that DANE has authenticated cost hardly more than the others.
    dane, tls = (total / ROUNDS / MESSAGES / 1000 for total in (cost["dane"], cost["tls"]))
    with capsys.disabled():
        print(f"\nA delivery by DANE costs {dane:.0f} µs, with TLS required {tls:.0f} µs: ratio {dane / tls:.2f}, limit {LIMIT}")
    assert dane <= LIMIT * tls
