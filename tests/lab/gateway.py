# SPDX-License-Identifier: Apache-2.0
"""A booted host with the suite installed and running."""

import contextlib
import json
import os
import pathlib
import re

from .node import Timeout

DAEMONS = ("smtpd", "deliverd", "certd", "dnsd", "alertd")
UNITS = [f"postern-{name}.service" for name in DAEMONS]
CHECKOUT = pathlib.Path(__file__).parents[2]

# MESSAGE_ID of the journal entries that tests look for, as in lib/catalog-ids.h.
RECEIVED = "4846439538644545bc8dff4352962094"
DELIVERED = "c4b1c74fa66949429960926cef60c8f8"
DEFERRED = "6c7647b4332a4c999fea66d35af8b76a"
BOUNCED = "7a601983444046f2b384157965905cf4"
CONFIGURATION_INVALID = "69e4172c417c4fe2a08d9424f6fb0b73"
WORKER_DIED = "d8bbe1637a134288aa4cff1f46486993"
ALERT = "8a1b7f1ebaca4f448d7ae82af324ba53"


def build_directory():
    """Where the programs under test were built: $POSTERN_BUILD, or the directory that tests/check or a developer made."""
    candidates = [os.environ["POSTERN_BUILD"]] if "POSTERN_BUILD" in os.environ else ["build-check/plain", "build"]
    for candidate in candidates:
        path = CHECKOUT / candidate
        if (path / "build.ninja").exists():
            return path
    raise SystemExit(f"The suite is not built ({' or '.join(candidates)}): meson setup build && ninja -C build")


def configuration(dns, domains, alert_recipient):
    """The drop-ins with which the suite takes mail for domains and finds its way in the lab."""
    return {
        "smtpd": "[MailFlow default]\n" + "".join(f"Domains={domain}\n" for domain in domains),
        "dnsd": f"[Stub lab]\nServer={dns.address}\nTrustAnchor={dns.anchor()}\n",
        "alertd": f"[Recipient admin]\nAddress={alert_recipient}\n",
    }


INTERFACES = {"smtpd": "Smtp1", "deliverd": "Delivery1", "certd": "Cert1", "dnsd": "Dns1", "alertd": "Alert1"}


class Answer:
    """What a method of a peer socket answered: the data, or the name of the error (without org.postern.Error.)."""

    def __init__(self, result):
        found = re.search(r"error-name=(org\.\S+) error-message=(.*)", result.stderr)
        failed = result.returncode != 0
        self.data = None if failed else json.loads(result.stdout)["data"]
        self.error = found.group(1).removeprefix("org.postern.Error.") if failed and found else None
        self.text = found.group(2) if failed and found else result.stderr


class Gateway:
    """lab.gateway(): gate.host is the host itself, whose functions can be called on the gateway, too."""

    def __init__(self, host, dns, domains, alert_recipient):
        self.host = host
        for daemon, text in configuration(dns, domains, alert_recipient).items():
            self.configure(daemon, text, name="50-lab")
        host.systemctl("start", "postern.target")
        for unit in ("postern-smtp.socket", *UNITS):
            host.wait_active(unit)

    def __getattr__(self, name):
        return getattr(self.host, name)

    def configure(self, daemon, text, name="60-test"):
        """Write a drop-in; the daemon does not know before it is reloaded."""
        self.host.write(f"/etc/postern/{daemon}.conf.d/{name}.conf", text)

    def unconfigure(self, daemon, name="60-test"):
        self.host.run(["rm", "-f", f"/etc/postern/{daemon}.conf.d/{name}.conf"])

    def reload(self, daemon):
        self.host.systemctl("reload", f"postern-{daemon}.service")

    def call_peer(self, daemon, method, signature="", *arguments, user="root", groups=(), socket=None):
        """Call a method of the Peer interface on a daemon's peer socket, or another socket of its, with busctl, as a user of choice.
        Bytes become an array."""
        words = []
        for argument in arguments:
            words += [len(argument), *argument] if isinstance(argument, bytes) else [argument]
        name = INTERFACES[daemon]
        # busctl shows the name of an error only among its debug messages.
        command = ["env", "SYSTEMD_LOG_LEVEL=debug", "busctl", "--json=short", f"--address=unix:path=/run/postern/{socket or daemon}",
                   "call", f"org.postern.{name}", f"/org/postern/{name}", f"org.postern.{name}.Peer", method, signature, "--", *words]
        return Answer(self.host.run(command, user=user, groups=groups, check=False))

    def flush(self, domain):
        """Try deferred mail for domain now."""
        self.host.run(["busctl", "call", "org.postern.Delivery1", "/org/postern/Delivery1", "org.postern.Delivery1",
                       "FlushDestination", "s", domain])

    def flush_all(self):
        """Try everything that waits now."""
        self.host.run(["busctl", "call", "org.postern.Delivery1", "/org/postern/Delivery1", "org.postern.Delivery1", "Flush"])

    def queue(self):
        """The messages in the queue, as file names."""
        files = self.host.run("find /var/lib/postern/deliverd/queue -ignore_readdir_race -type f -perm 0400 -printf '%f\\n'").stdout.split()
        return sorted(name for name in files if "." not in name)

    def wait_entry(self, message_id, since=0, timeout=20, **fields):
        """The first journal entry with this MESSAGE_ID and these fields (POSTERN_ is put before their names)."""
        wanted = {f"POSTERN_{name}": value for name, value in fields.items()}
        return self.host.wait_journal(timeout=timeout, since=since, MESSAGE_ID=message_id, **wanted)[0]

    def ends(self, queue_ids, since=0, timeout=60):
        """How the first attempt with each of these messages ended: queue id → journal entry. After timeout those that there are."""
        found = {}

        def is_first(entry):
            queue_id = entry.get("POSTERN_QUEUE_ID")
            if entry.get("MESSAGE_ID") not in (DELIVERED, DEFERRED, BOUNCED) or queue_id not in queue_ids or queue_id in found:
                return False
            found[queue_id] = entry
            return True

        with contextlib.suppress(Timeout):
            self.host.wait_journal(timeout=timeout, since=since, match=is_first, count=len(queue_ids),
                                   SYSLOG_IDENTIFIER="postern-deliverd")
        return found
