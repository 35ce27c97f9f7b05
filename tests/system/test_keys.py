# SPDX-License-Identifier: Apache-2.0
"""Private keys are in the memory of certd and nowhere else."""

import base64
import re
import subprocess

import pytest

from lab import gateway, send


def memory(pid):
    """The readable memory of a process, region by region."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as contents:
        for line in maps:
            addresses, permissions, *_ = line.split()
            start, end = (int(address, 16) for address in addresses.split("-"))
            if "r" not in permissions or "[v" in line:
                continue
            try:
                contents.seek(start)
                left = end - start
                tail = b""
                while left > 0 and (data := contents.read(min(left, 1 << 24))):
                    yield tail + data
                    tail = data[-128:]
                    left -= len(data)
            except OSError:
                continue  # secret memory, which the kernel shows nobody


@pytest.fixture(scope="module")
def forms(gate):
    """The private key of the demonstration certificate in each form that could lie in a memory."""
    found = gate.run("grep -rl 'PRIVATE KEY' /var/lib/postern/certd").stdout.split()
    assert found, "certd stores no key that this test could look for"
    pem = gate.read(found[0])
    text = subprocess.run(["openssl", "pkey", "-text", "-noout"], input=pem, check=True, capture_output=True, text=True).stdout
    digits = re.search(r"priv:\s*((?:[0-9a-f]{2}:?\s*)+)pub:", text).group(1)
    scalar = bytes.fromhex(re.sub(r"[:\s]", "", digits))[-32:].rjust(32, b"\0")
    lines = pem.strip().splitlines()[1:-1]
    whole = base64.b64encode(scalar)
    return {"big-endian": scalar, "little-endian": scalar[::-1], "hexadecimal": scalar.hex().encode(),
            "PEM": max(lines, key=len).encode(), "base64": whole[:40]}


def holders(gate, forms, unit):
    """Which processes of a unit have which forms of the key in their memory."""
    found = set()
    for pid in gate.pids_of(unit):
        for region in memory(pid):
            found |= {(unit, form) for form, data in forms.items() if data in region}
    return found


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
