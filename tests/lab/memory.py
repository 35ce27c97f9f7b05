# SPDX-License-Identifier: Apache-2.0
"""Which processes have a private key in their memory: looks at all of it, as only root can."""

import base64
import pathlib
import re
import subprocess

CREDENTIAL = "/etc/credstore.encrypted/postern-certd-key"


def regions(pid):
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


def key_forms(pem):
    """An elliptic-curve key in each form that could lie in a memory, by the name of the form."""
    text = subprocess.run(["openssl", "pkey", "-text", "-noout"], input=pem, check=True, capture_output=True, text=True).stdout
    digits = re.search(r"priv:\s*((?:[0-9a-f]{2}:?\s*)+)pub:", text).group(1)
    scalar = bytes.fromhex(re.sub(r"[:\s]", "", digits))[-32:].rjust(32, b"\0")
    lines = pem.strip().splitlines()[1:-1]
    whole = base64.b64encode(scalar)
    return {"big-endian": scalar, "little-endian": scalar[::-1], "hexadecimal": scalar.hex().encode(),
            "PEM": max(lines, key=len).encode(), "base64": whole[:40]}


def stored_keys(host):
    """The files of certd's store that have a key."""
    return host.run("grep -rlE 'PRIVATE KEY-----' /var/lib/postern/certd").stdout.split()


def passphrase(host):
    """What keys are encrypted with on a host, as its root gets it."""
    return host.run(["systemd-creds", "decrypt", f"--name={pathlib.Path(CREDENTIAL).name}", CREDENTIAL, "-"]).stdout


def decrypted(host, file):
    """The key of a file of the store, as an administrator gets it back."""
    return host.run(["openssl", "pkey", "-passin", "stdin", "-in", file], input=passphrase(host)).stdout


def holders(gate, forms, unit):
    """Which processes of a unit have which forms of a key in their memory."""
    found = set()
    for pid in gate.pids_of(unit):
        for region in regions(pid):
            found |= {(unit, form) for form, data in forms.items() if data in region}
    return found
