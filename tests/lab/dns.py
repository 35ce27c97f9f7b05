# SPDX-License-Identifier: Apache-2.0
"""A name server (Knot DNS) with zones signed, unsigned and wrongly signed, whose records change while it runs."""

import shlex

from .node import wait_until

ZONES = {"lab": "nsec3", "insecure.lab": "unsigned", "bogus.lab": "bogus", "nsec.lab": "signed", "rolled.lab": "signed",
         "_tcp.half.lab": "unsigned"}

CONFIGURATION = """\
server:
    listen: 0.0.0.0@53
    rundir: /run/knot
    user: root:root

log:
  - target: stdout
    any: info

database:
    storage: /var/lib/knot-lab

policy:
  - id: lab
    algorithm: ecdsap256sha256
    single-type-signing: on
    propagation-delay: 0
  - id: nsec3
    algorithm: ecdsap256sha256
    single-type-signing: on
    propagation-delay: 0
    nsec3: on

template:
  - id: default
    storage: /var/lib/knot-lab
    file: "%s.zone"
    zonefile-sync: -1
    journal-content: all
    semantic-checks: off

zone:
"""

ZONE = """\
@ {ttl} SOA {server} hostmaster.{name}. 1 3600 600 86400 0
@ {ttl} NS {server}
"""


def _absolute(name):
    return name if name.endswith(".") else name + "."


class Dns:
    """The zones are a dictionary of name → "signed", "nsec3" (signed, with hashed proofs of what is not there), "unsigned" or
    "bogus" (signed, but not with the key that its parent names). Every zone but the first must lie inside another one, which
    delegates to it. Names are written without a final dot.

    Records live for one second, so that tests which change them need not wait long; resolvers count in whole ones, so they forget
    within two. What is not there is forgotten within one; and most names are in a zone with hashed proofs, since others may cover
    names that a test is just about to set (RFC 8198). Records that are there from the beginning, tuples of name, type and data,
    cost nothing, however many they are.
    """

    ttl = 1
    forgotten = ttl + 1.1  # seconds after which nobody knows a record any more that was changed

    def __init__(self, peer, zones=None, records=()):
        self._peer = peer
        self.address = peer.address
        self.zones = dict(zones or ZONES)
        server = "ns.lab."
        configuration = CONFIGURATION
        peer.path("/var/lib/knot-lab").mkdir(parents=True)
        peer.path("/run/knot").mkdir(parents=True, exist_ok=True)
        for name, kind in self.zones.items():
            configuration += f"  - domain: {name}.\n"
            if kind != "unsigned":
                configuration += f"    dnssec-signing: on\n    dnssec-policy: {'nsec3' if kind == 'nsec3' else 'lab'}\n"
            peer.write(f"/var/lib/knot-lab/{name}.zone", ZONE.format(ttl=self.ttl, name=name, server=server)
                       + "".join(f"{_absolute(owner)} {self.ttl} {kind} {data}\n" for owner, kind, data in records
                                 if self._zone_of(owner) == name))
        peer.write("/etc/knot/knot.conf", configuration)
        peer.start("/usr/sbin/knotd", "-c", "/etc/knot/knot.conf")
        wait_until(lambda: peer.run(["knotc", "-c", "/etc/knot/knot.conf", "zone-status"], check=False).returncode == 0,
                   what="the name server's control socket")
        self.set("ns.lab", "A", self.address)
        for name in self.zones:
            parent = self._zone_of(name.partition(".")[2])
            if parent:
                self.set(name, "NS", server, zone=parent)
                if self.zones[name] != "unsigned":
                    self.set(name, "DS", self._delegation(name), zone=parent)

    def _zone_of(self, name):
        """The zone that name belongs to: the longest that it ends with."""
        name = name.rstrip(".")
        matching = [zone for zone in self.zones if name == zone or name.endswith("." + zone)]
        return max(matching, key=len, default=None)

    def _ds(self, zone):
        """The DS data of the zone's key with a SHA-256 digest."""
        lines = self._peer.run(["keymgr", "-c", "/etc/knot/knot.conf", _absolute(zone), "ds"]).stdout.splitlines()
        data = [line.split()[2:] for line in lines]
        return next(" ".join(words) for words in data if words[2] == "2")

    def _delegation(self, zone):
        data = self._ds(zone)
        if self.zones[zone] == "bogus":
            # The digest of a key that does not exist.
            data = data[:-4] + ("0000" if data[-4:] != "0000" else "ffff")
        return data

    def anchor(self, zone="lab"):
        """The trust anchor of a zone, one DS record in the form of a zone file."""
        return f"{_absolute(zone)} 3600 IN DS {self._ds(zone)}"

    def _change(self, zone, *steps):
        zone = _absolute(zone)
        # One process for all, since each takes its time.
        lines = [f"zone-begin {zone}", *(shlex.join([verb, zone, *arguments]) for verb, *arguments in steps), f"zone-commit {zone}"]
        result = self._peer.run(["knotc", "-b", "-c", "/etc/knot/knot.conf"], input="\n".join(lines) + "\n")
        # Knot of Debian 13 remarks on its configuration each time.
        said = [line for line in result.stdout.splitlines() if not line.startswith("notice:")]
        # To remove what is not there is no error here, but it is for knotc.
        answers = zip(lines, said, strict=True)
        errors = [(line, answer) for line, answer in answers if answer != "OK" and not line.startswith("zone-unset")]
        if errors or result.stderr:
            raise AssertionError(f"{errors}\n{result.stderr}")

    def _setting(self, name, kind, data, ttl=None):
        owner = _absolute(name)
        return [("zone-unset", owner, kind), *(("zone-set", owner, str(ttl or self.ttl), kind, item) for item in data)]

    def set(self, name, kind, *data, ttl=None, zone=None):
        """Make these the only records of this type at name."""
        self._change(zone or self._zone_of(name), *self._setting(name, kind, data, ttl))

    def set_all(self, records):
        """set() for many at once, which is much faster: records is a dictionary of (name, type) → data, one or a list."""
        steps = {}
        for (name, kind), data in records.items():
            data = [data] if isinstance(data, str) else data
            steps.setdefault(self._zone_of(name), []).extend(self._setting(name, kind, data))
        for zone, changes in steps.items():
            self._change(zone, *changes)

    def remove(self, name, kind, zone=None):
        """Remove the records of this type at name."""
        self._change(zone or self._zone_of(name), ("zone-unset", _absolute(name), kind))

    def add_key(self, zone):
        """One more key, which signs beside the others from now on; its tag."""
        before = self.keys(zone)
        self._keymgr(zone, "generate", "algorithm=ecdsap256sha256", "ksk=yes", "zsk=yes")
        self._sign(zone)
        return next(tag for tag in self.keys(zone) if tag not in before)

    def remove_key(self, zone, tag):
        """A key is in the zone no more and signs nothing."""
        self._keymgr(zone, "delete", str(tag))
        self._sign(zone)

    def keys(self, zone):
        """The tags of the zone's keys."""
        return sorted({int(line.split()[2]) for line in self._keymgr(zone, "ds").splitlines()})

    def _keymgr(self, zone, *arguments):
        return self._peer.run(["keymgr", "-c", "/etc/knot/knot.conf", _absolute(zone), *arguments]).stdout

    def _sign(self, zone):
        for verb in ("zone-keys-load", "zone-sign"):
            self._peer.run(["knotc", "-b", "-c", "/etc/knot/knot.conf", verb, _absolute(zone)])

    def mail_domain(self, domain, mx, address, tlsa=None, port=25):
        """Publish that mail for domain goes to the host mx at address, with TLSA data if there is some."""
        records = {(domain, "MX"): f"10 {_absolute(mx)}", (mx, "A"): address}
        if tlsa:
            records[f"_{port}._tcp.{mx}", "TLSA"] = tlsa
        self.set_all(records)

    def query(self, name, kind):
        """What the server itself answers, as kdig prints it."""
        return self._peer.run(["kdig", f"@{self.address}", "+dnssec", name, kind]).stdout

    def validated(self, name, kind):
        """What a validating resolver finds, as delv prints it: "fully validated", "unsigned answer" or an error."""
        anchors = self._peer.path("/etc/lab-anchors")
        words = self._peer.run(["kdig", f"@{self.address}", "+short", "lab.", "DNSKEY"]).stdout.split()
        anchors.write_text(f'trust-anchors {{ lab. static-key {" ".join(words[:3])} "{"".join(words[3:])}"; }};\n')
        result = self._peer.run(["delv", f"@{self.address}", "-a", "/etc/lab-anchors", "+root=lab", name, kind], check=False)
        return result.stdout + result.stderr

    def log(self):
        return self._peer.log.read_text(errors="replace")
