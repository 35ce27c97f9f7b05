# SPDX-License-Identifier: Apache-2.0
"""What it costs to authenticate the server of a delivery: the processor time of all processes of deliverd and dnsd, as a ratio to
that of a delivery which only has to have TLS, alternating in one run."""

import pathlib
import statistics

import pytest

from lab import Behaviour, Load, gateway
from lab.node import children

HOST = "mx.cost.lab"
ROUNDS = 10
MESSAGES = 30  # a round
TTL = 3600
LIMIT = 1.1
TRIES = 3
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
    """A mail server of many domains; deliverd authenticates it by DANE for half of them, for the others it has to have TLS."""
    server = lab.fake_smtp("cost", Behaviour(), lab.authority.issue(HOST))
    dns.set(HOST, "A", server.address, ttl=TTL)
    dns.set(f"_25._tcp.{HOST}", "TLSA", server.certificate.tlsa(3), ttl=TTL)
    for kind in RESULTS:
        dns.set(f"*.{kind}.cost.lab", "MX", f"10 {HOST}.", ttl=TTL)
    gate.configure("deliverd", "[Destination .cost.lab]\nTLS=Required\nMTASTS=no\n[Destination .tls.cost.lab]\nDANE=None\n")
    gate.reload("deliverd")
    yield server
    gate.unconfigure("deliverd")
    gate.reload("deliverd")


class Cost:
    """Nanoseconds for the messages of each round, of each kind. Their medians count: what the machine does besides is in some."""

    def __init__(self, gate, server):
        self.gate, self.server = gate, server
        self.spent = {kind: [] for kind in RESULTS}

    def measure(self):
        before = self.gate.cursor()
        # Kinds take turns, and take turns in being the first.
        domains = [(kind, f"{i}.{kind}.cost.lab") for i in range(ROUNDS) for kind in sorted(RESULTS, reverse=i % 2 == 1)]

        # Messages for each of the domains, which the server does not take yet. DNS answers are cached by then.
        self.server.behaviour = Behaviour(greeting="421 4.3.2 Later")
        for _, domain in domains:
            Load(self.gate.address, count=MESSAGES, connections=4, recipient=f"bob@{domain}").start().wait()
        for _, domain in domains:
            self.wait(gateway.DEFERRED, domain, before)

        # Now they are delivered, one domain after the other.
        self.server.behaviour = Behaviour()
        pids = [self.gate.pid_of(f"postern-{daemon}.service") for daemon in ("deliverd", "dnsd")]
        for kind, domain in domains:
            start = processor_time(pids)
            self.gate.flush(domain)
            delivered = self.wait(gateway.DELIVERED, domain, before)
            self.spent[kind].append(processor_time(pids) - start)
            assert {entry["POSTERN_TLS_RESULT"] for entry in delivered} == {RESULTS[kind]}

    def wait(self, message_id, domain, since):
        return self.gate.wait_journal(timeout=60, since=since, count=MESSAGES, MESSAGE_ID=message_id, POSTERN_DESTINATION=domain)

    def of(self, kind):
        return statistics.median(self.spent[kind])

    @property
    def ratio(self):
        return self.of("dane") / self.of("tls")

    def __str__(self):
        dane, tls = (self.of(kind) / MESSAGES / 1000 for kind in ("dane", "tls"))
        return f"A delivery by DANE costs {dane:.0f} µs, with TLS required {tls:.0f} µs: ratio {self.ratio:.2f}, limit {LIMIT}"


def test_a_delivery_by_dane_costs_hardly_more_than_one_by_tls(gate, server, capsys):
    cost = Cost(gate, server)
    # On a machine that has other things to do, so few messages say little.
    for _ in range(TRIES):
        cost.measure()
        if cost.ratio <= LIMIT:
            break
    with capsys.disabled():
        print(f"\n{cost}")
    assert cost.ratio <= LIMIT
