# SPDX-License-Identifier: Apache-2.0
"""A peer: one foreign server program in its own root directory and network, without an init system.

It costs a tenth of a booted host, and is enough for what only has to answer over the network.
"""

import subprocess

from . import overlay
from .node import ENVIRONMENT, Node, children, wait_until

# Runs in namespaces of its own. The shell stays as their first process: a server that changes its uid would lose the order
# to die with its parent.
START = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && root=$1 && shift && { chroot "$root" "$@" & wait $!; }'


class Peer(Node):
    """A node whose server is started by start(); files can be written before."""

    def __init__(self, lab, name, layers=()):
        super().__init__(lab, name)
        overlay.lay(layers, self.directory / "upper")
        overlay.mount_overlay(self.directory)
        self.log = self.directory / "log"
        self._process = None

    def start(self, *command):
        command = ["nsenter", f"--net={self.network}", "unshare", "--uts", "sh", "-c", START, "sh", str(self.root), *command]
        with open(self.log, "ab") as log:
            self._process = self.lab.spawn(command, cgroup=self.name, env=ENVIRONMENT, stdout=log, stderr=log)
        self.init = wait_until(lambda: self._first_process(), what=f"the start of {self.name}")

    def _first_process(self):
        if self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended at once:\n{self.log.read_text(errors='replace')}")
        return next(iter(children(self._process.pid)), None)

    def stop(self):
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = self.init = None

    def enter(self):
        if self.init is None:
            return ["chroot", str(self.root)]
        # The root is mounted only in the lab's own mount namespace, so it is looked up there.
        return ["nsenter", f"--target={self.init}", "--mount", "--uts", "--net", "--pid", "chroot", str(self.root)]

    def wait_listening(self, port, timeout=20):
        """Wait until something listens on the TCP port, whatever it would say."""
        def listening():
            if self._process.poll() is not None:
                raise AssertionError(f"{self.name} ended:\n{self.log.read_text(errors='replace')}")
            table = subprocess.run(["nsenter", f"--net={self.network}", "ss", "-Hltn", f"sport = :{port}"],
                                   capture_output=True, text=True, check=True)
            return table.stdout.strip()

        wait_until(listening, timeout, f"{self.name} to listen on port {port}")
