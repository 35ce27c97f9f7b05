# SPDX-License-Identifier: Apache-2.0
"""A booted host: a throw-away copy of this machine with its own systemd, network and files."""

import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time
import uuid

from . import overlay
from .node import ENVIRONMENT, Node, Timeout, children, process_ids, processes, wait_until

# The units and generators that would bring to life what happens to be installed on this machine.
MASKED = ["systemd-sysv-generator", "systemd-getty-generator", "systemd-fstab-generator", "systemd-gpt-auto-generator",
          "postgresql-generator", "netplan"]
UNWANTED = ["console-getty.service", "systemd-timesyncd.service", "systemd-networkd.service", "systemd-resolved.service",
            "systemd-firstboot.service", "systemd-hwdb-update.service", "ldconfig.service", "systemd-machine-id-commit.service",
            "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-journal-catalog-update.service"]

# Directories that are empty on a new host before the suite is laid over it, whatever this machine has there.
BLANK = ["etc/cron.d", "etc/postern", "etc/tmpfiles.d", "var/lib/postern", "var/log", "var/tmp"]

# Not part of the overlay but a plain directory of the disk: the queue's durability and leases are those of a real file system.
PLAIN = "var/lib/postern"

JOURNALD = """\
[Journal]
Storage=volatile
RateLimitIntervalSec=0
ForwardToConsole=no
"""


def _condition(fields):
    return [f"{name}={value}" for name, value in fields.items()]


def _sequence(entry):
    """The number that journald gave the entry. (journalctl's own --after-cursor= overlooks an entry when fields are asked for.)"""
    return int(dict(part.split("=") for part in entry["__CURSOR"].split(";"))["i"], 16)


class Host(Node):
    """Made by Lab.host(); booting goes on in the background until wait_booted()."""

    def __init__(self, lab, name, layers=(), files=None):
        super().__init__(lab, name)
        upper = self.directory / "upper"
        for path in BLANK:
            overlay.opaque(upper / path)
        upper.joinpath("var/tmp").chmod(0o1777)
        overlay.lay(layers, upper)
        self._prepare(upper)
        overlay.mount_overlay(self.directory)
        for path, content in (files or {}).items():
            self.write(path, content)
        self._boot()

    def _prepare(self, upper):
        # What packages enabled, on this machine or in a layer, does not run in the lab.
        shutil.rmtree(upper / "etc/systemd/system", ignore_errors=True)
        overlay.opaque(upper / "etc/systemd/system")
        generators = upper / "etc/systemd/system-generators"
        generators.mkdir(parents=True)
        for name in MASKED:
            generators.joinpath(name).symlink_to("/dev/null")
        for name in UNWANTED:
            upper.joinpath("etc/systemd/system", name).symlink_to("/dev/null")
        upper.joinpath("etc/systemd/system/default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
        for path, content in {
                "etc/fstab": "",
                "etc/hostname": f"{self.name}.lab\n",
                "etc/hosts": f"127.0.0.1 localhost\n{self.address} {self.name}.lab {self.name}\n",
                "etc/machine-id": uuid.uuid4().hex + "\n",
                "etc/resolv.conf": "",
                "etc/systemd/journald.conf": JOURNALD}.items():
            target = upper / path
            target.unlink(missing_ok=True)  # a layer may hide the file of this machine
            target.write_text(content)

    def _boot(self):
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._ready.bind(str(self.directory / "notify"))
        environment = {**ENVIRONMENT, "NOTIFY_SOCKET": str(self.directory / "notify"), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        plain = self.directory / "plain"
        plain.mkdir()
        # What a real host has and a container by default has not: to lock memory, and to bring a loopback interface up.
        command = ["systemd-nspawn", "--quiet", f"--bind={plain}:/{PLAIN}", "--boot", "--capability=CAP_IPC_LOCK,CAP_NET_ADMIN",
                   "--console=pipe", f"--directory={self.root}", f"--hostname={self.name}",
                   "--keep-unit", "--link-journal=no", f"--machine=lab-{os.getpid()}-{self.name}",
                   f"--network-namespace-path={self.network}", "--notify-ready=yes", "--register=no", "--resolv-conf=off",
                   "--timezone=off", "systemd.firstboot=off"]
        with open(self.directory / "console", "wb") as console:
            self._nspawn = self.lab.spawn(command, cgroup=self.name, env=environment, stdout=console, stderr=console)

    def wait_booted(self, timeout=60):
        """Wait until systemd inside says that it reached its default target."""
        deadline = time.monotonic() + timeout
        ready = False
        while not ready:
            self._ready.settimeout(0.2)
            try:
                message = self._ready.recv(4096).decode().split("\n")
            except TimeoutError:
                if self._nspawn.poll() is not None or time.monotonic() > deadline:
                    console = self.directory.joinpath("console").read_text(errors="replace")
                    raise Timeout(f"{self.name} did not boot:\n{console}") from None
                continue
            for line in message:
                if line.startswith("X_NSPAWN_LEADER_PID="):
                    leader = int(line.partition("=")[2])
                    self.init = wait_until(lambda: self._find_init(leader), what=f"the first process of {self.name}")
            ready = "READY=1" in message
        # systemd goes on to tell what it does when a job takes long, and would wait for ever for somebody to read it.
        self._ready.close()
        if self.init is None:
            raise Timeout(f"{self.name} booted, but systemd-nspawn did not tell its process id")
        # The view that commands inside have, with /run and /tmp; what was written before the boot is visible in it too.
        self.root = pathlib.Path(f"/proc/{self.init}/root")
        return self

    def _find_init(self, leader):
        """The process id here of systemd inside, which systemd-nspawn knows as leader. It is nspawn's child after a moment only."""
        for supervisor in children(self._nspawn.pid):
            for child in children(supervisor):
                if process_ids(child)[-2:] == [leader, 1]:
                    return child
        return None

    def stop(self):
        self._nspawn.kill()
        self._nspawn.wait()
        self._ready.close()

    def enter(self):
        return ["nsenter", f"--target={self.init}", "--all", "--wd=/"]

    # systemd inside

    def systemctl(self, *arguments, check=True):
        return self.run(["systemctl", *arguments], check=check).stdout.strip()

    def pid_of(self, unit):
        """The main process of unit, as a process id of the outside."""
        inside = int(self.systemctl("show", "--property=MainPID", "--value", unit))
        if inside == 0:
            raise AssertionError(f"{unit} is not running on {self.name}")
        return self.outer_pid(inside)

    def pids_of(self, unit):
        """All processes of unit, its main process first, as process ids of the outside."""
        main = self.pid_of(unit)
        group = self.systemctl("show", "--property=ControlGroup", "--value", unit)
        inside = self.run(f"cat /sys/fs/cgroup{group}/cgroup.procs").stdout.split()
        pids = self._pids()
        return [main] + [pids[pid] for pid in map(int, inside) if pid in pids and pids[pid] != main]

    def _pids(self):
        """The ids of all processes: id inside → id here."""
        namespace = os.stat(f"/proc/{self.init}/ns/pid").st_ino
        found = {}
        for pid in processes():
            try:
                if os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace:
                    found[process_ids(pid)[-1]] = pid
            except OSError:
                continue  # it is gone
        return found

    def outer_pid(self, inside):
        """The process id here of the process that has the id inside there."""
        pids = self._pids()
        if inside not in pids:
            raise AssertionError(f"no process {inside} on {self.name}")
        return pids[inside]

    # The journal inside

    def cursor(self):
        """A position of the journal: its present end."""
        last = self.run(["journalctl", "--quiet", "--output=json", "--lines=1"]).stdout
        return _sequence(json.loads(last))

    def journal(self, since=0, **fields):
        """The journal entries with these fields, since a cursor() if one is given, as dictionaries."""
        command = ["journalctl", "--quiet", "--output=json", "--all", *_condition(fields)]
        entries = map(json.loads, self.run(command).stdout.splitlines())
        return [entry for entry in entries if _sequence(entry) > since]

    def wait_journal(self, timeout=10, since=0, match=None, count=1, **fields):
        """Wait until count journal entries have these fields (and satisfy match); return the list of them."""
        command = [*self.enter(), "journalctl", "--quiet", "--output=json", "--all", "--follow", "--lines=all", *_condition(fields)]
        deadline = time.monotonic() + timeout
        found = []
        follower = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
        rest = b""
        try:
            while len(found) < count:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([follower.stdout], [], [], left)[0]:
                    wanted = ", ".join(_condition(fields))
                    recent = "\n".join(str(entry.get("MESSAGE")) for entry in self.journal(since=since)[-40:])
                    raise Timeout(f"waited {timeout} s for {count} journal entries with {wanted}, found {len(found)}; "
                                  f"the journal of {self.name} ends:\n{recent}")
                data = os.read(follower.stdout.fileno(), 65536)
                if not data:
                    raise Timeout(f"journalctl on {self.name} ended")
                *lines, rest = (rest + data).split(b"\n")
                entries = map(json.loads, lines)
                found += [entry for entry in entries if _sequence(entry) > since and (match is None or match(entry))]
            return found
        finally:
            follower.kill()
            follower.wait()
            follower.stdout.close()

    def kill(self, pid):
        """Kill a process, and wait until its parent knows: before, systemd says that a service still runs as it did."""
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what=f"the end of process {pid} on {self.name}")

    def wait_active(self, unit, timeout=15):
        try:
            wait_until(lambda: self.systemctl("is-active", unit, check=False) == "active", timeout, f"{unit} to be active")
        except Timeout as error:
            status = self.systemctl("status", "--full", "--lines=40", unit, check=False)
            raise Timeout(f"{error}\n{status}") from None
