# SPDX-License-Identifier: Apache-2.0
"""What booted hosts and peers have in common: a root directory, a network namespace, commands run inside."""

import os
import pathlib
import shlex
import subprocess
import time

ENVIRONMENT = {"HOME": "/root", "LC_ALL": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "TERM": "dumb", "SYSTEMD_PAGER": "cat", "SYSTEMD_COLORS": "0"}


class Timeout(AssertionError):
    """Something that was waited for did not happen."""


class CommandFailed(AssertionError):
    def __init__(self, where, command, result):
        text = command if isinstance(command, str) else shlex.join(command)
        super().__init__(f"on {where}: {text}\nexit status {result.returncode}\n{result.stdout}{result.stderr}")
        self.result = result


def wait_until(condition, timeout=10, what="the condition", interval=0.02):
    """Wait for something that tells nobody when it happens, such as a file made by a foreign program."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"waited {timeout} s for {what}")
        time.sleep(interval)


def processes():
    """The ids of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def process_ids(pid):
    """The ids of a process in its process id namespaces, from the one of /proc here to its innermost."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return [int(word) for word in line.split()[1:]]
    return []


def children(parent):
    """The ids of the children of a process."""
    found = []
    for pid in processes():
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue  # it is gone
        if int(stat.rpartition(")")[2].split()[1]) == parent:
            found.append(pid)
    return found


class Node:
    """Something with a name, an address, and a process whose namespaces commands can enter."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.directory = lab.directory / name
        self.directory.mkdir()
        self.root = self.directory / "root"
        self.init = None  # process id, seen from outside, of the first process inside
        self.network, self.address = lab.attach(name)

    def enter(self):
        """The command line that runs what is appended to it inside."""
        raise NotImplementedError

    def run(self, command, input=None, check=True, user=None, groups=(), timeout=60):
        """Run a command (a list, or a string for the shell) inside, as root or as user with additional groups."""
        argv = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        if user:
            uid, gid = self.ids(user)
            argv = ["setpriv", f"--reuid={uid}", f"--regid={gid}",
                    f"--groups={','.join(groups)}" if groups else "--clear-groups", *argv]
        text = not isinstance(input, bytes)
        source = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        result = subprocess.run([*self.enter(), *argv], capture_output=True, text=text, env=ENVIRONMENT, timeout=timeout,
                                errors="replace" if text else None, **source)
        if check and result.returncode != 0:
            raise CommandFailed(self.name, command, result)
        return result

    def ids(self, user):
        """The uid and gid of a user inside."""
        for line in self.read("/etc/passwd").splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == user:
                return int(uid), int(gid)
        raise AssertionError(f"there is no user {user} on {self.name}")

    def path(self, path):
        """The file path of the inside, as the test process sees it."""
        return self.root / str(path).lstrip("/")

    def write(self, path, content, mode=0o644):
        """Write a file inside, with its directories; content that is text loses its common indentation."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        target.chmod(mode)

    def read(self, path):
        return self.path(path).read_text(errors="replace")
