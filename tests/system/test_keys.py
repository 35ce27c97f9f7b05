# SPDX-License-Identifier: Apache-2.0
"""Private keys are in the memory of certd and nowhere else."""

import pytest

from lab import gateway, send
from lab.memory import holders, key_forms


@pytest.fixture(scope="module")
def forms(gate):
    found = gate.run("grep -rl 'PRIVATE KEY' /var/lib/postern/certd").stdout.split()
    assert found, "certd stores no key that this test could look for"
    return key_forms(gate.read(found[0]))


def test_the_key_is_in_certd_and_in_no_other_process(gate, forms):
    # Given handshakes that the key signed
    for _ in range(5):
        assert send(gate.address).accepted

    # then certd has it (so the search finds what it is looking for)
    assert holders(gate, forms, "postern-certd.service")

    # and nobody else has any of it.
    others = [unit for unit in gateway.UNITS if unit != "postern-certd.service"]
    assert set().union(*(holders(gate, forms, unit) for unit in others)) == set()


def test_nobody_but_certd_can_read_the_stored_key(gate):
    files = gate.run("grep -rl 'PRIVATE KEY' /var/lib/postern/certd").stdout.split()
    for daemon in gateway.DAEMONS:
        if daemon != "certd":
            for file in files:
                assert gate.run(["cat", file], user=f"postern-{daemon}", check=False).returncode != 0
    assert {gate.run(["stat", "-c", "%a %U", file]).stdout.strip() for file in files} == {"600 postern-certd"}
