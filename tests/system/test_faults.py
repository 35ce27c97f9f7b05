# SPDX-License-Identifier: Apache-2.0
"""What was answered 250 is not lost, whatever is killed or restarted meanwhile."""

import pytest

from lab import Load, Timeout, gateway
from lab.node import wait_until

COUNT = 500


def tokens(messages):
    return {message.header("Message-ID")[0].strip("<>").partition("@")[0] for message in messages}


def assert_all_arrived(gate, mx, load):
    """Everything that was answered 250 is there: all that was sent, since a client tries again what was not. Nothing of it is
    still on its way, not even what was sent a second time."""
    load.wait(timeout=180)
    assert set(load.accepted) == {f"load-{number:06d}" for number in range(COUNT)}

    def missing():
        return set(load.accepted) - tokens(mx.messages())

    def done():
        return not missing() and set(gate.queue()) <= load.queued_before

    for _ in range(10):
        gate.flush("remote.lab")  # what was deferred because dnsd was away, say
        try:
            return wait_until(done, timeout=6, what="all messages", interval=0.5)
        except Timeout:
            continue
    raise AssertionError(f"missing: {missing()}, in the queue: {gate.queue()}")


@pytest.fixture
def mail(gate, mx):
    """A load that is under way, and ends with the mail server's store empty."""
    mx.clear()
    load = Load(gate.address, count=COUNT, connections=8, per_connection=5, patience=170)
    load.queued_before = set(gate.queue())
    yield load.start()
    mx.clear()


def test_nothing_is_lost_by_kill_9_of_any_process(gate, mx, mail):
    # Given each daemon, and each worker of those that have workers
    victims = [(unit, position) for unit in gateway.UNITS for position in range(len(gate.pids_of(unit)))]
    assert len(victims) > len(gateway.UNITS), "no daemon has a worker"

    # when they are killed during a load, one after the other,
    for number, (unit, position) in enumerate(victims):
        mail.wait_accepted((number + 1) * COUNT // (len(victims) + 2), timeout=120)
        gate.wait_active(unit)
        pids = gate.pids_of(unit)
        gate.kill(pids[min(position, len(pids) - 1)])

    # then all that was answered 250 arrives, and all services run.
    assert_all_arrived(gate, mx, mail)
    for unit in gateway.UNITS:
        gate.wait_active(unit)


def test_no_client_is_refused_while_daemons_restart(gate, mx, mail):
    # When each daemon is restarted during a load
    for number, unit in enumerate(gateway.UNITS):
        mail.wait_accepted((number + 1) * COUNT // (len(gateway.UNITS) + 2), timeout=120)
        gate.systemctl("restart", unit)

    # then no client sees a refused connection, and everything arrives.
    assert_all_arrived(gate, mx, mail)
    assert mail.refused == []
