# SPDX-License-Identifier: Apache-2.0
"""What was answered 250 is not lost, whatever is killed or restarted meanwhile."""

import os
import signal

import pytest

from lab import Load, Timeout, gateway
from lab.node import wait_until

COUNT = 500


def tokens(messages):
    return {message.header("Message-ID")[0].strip("<>").partition("@")[0] for message in messages}


def assert_all_arrived(gate, mx, load):
    """Everything that was answered 250 is there: all that was sent, since a client tries again what was not."""
    load.wait(timeout=180)
    assert set(load.accepted) == {f"load-{number:06d}" for number in range(COUNT)}

    def missing():
        return set(load.accepted) - tokens(mx.messages())

    for _ in range(10):
        gate.flush("remote.lab")  # what was deferred because dnsd was away, say
        try:
            wait_until(lambda: not missing(), timeout=6, what="all messages", interval=0.5)
            return
        except Timeout:
            continue
    assert not missing(), f"in the queue: {gate.queue()}"


@pytest.fixture
def mail(gate, mx):
    """A load that is under way, and ends with the mail server's store empty."""
    mx.clear()
    yield Load(gate.address, count=COUNT, connections=8, per_connection=5, patience=170).start()
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
        os.kill(pids[min(position, len(pids) - 1)], signal.SIGKILL)

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
