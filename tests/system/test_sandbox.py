# SPDX-License-Identifier: Apache-2.0
"""The sandboxes: what systemd says about each unit, and what a worker can do that was taken over."""

import re
import subprocess

import pytest

from lab import gateway, send
from lab.node import wait_until

CEILINGS = {"postern-certd.service": 0.6}
EPERM = 1
EINPROGRESS = 115  # of a connect() that does nothing, see lib/sandbox.h
SIGSYS = 31


@pytest.mark.parametrize("unit", gateway.UNITS)
def test_the_exposure_of_each_service_is_low(gate, unit):
    output = gate.run(["systemd-analyze", "security", "--no-pager", unit]).stdout
    exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", output).group(1))
    wrong = "\n".join(line for line in output.splitlines() if "✗" in line)
    assert exposure <= CEILINGS.get(unit, 1.5), wrong


def debug(pid, *commands):
    """What gdb says when it runs commands in a process, with that process' privileges and filter."""
    arguments = [word for command in commands for word in ("-ex", command)]
    # gdb of Debian 13 does not look for the program and its libraries in the process' own mount namespace.
    where = ["-iex", f"set sysroot /proc/{pid}/root", "-iex", f"file /proc/{pid}/exe"]
    return subprocess.run(["gdb", "-nx", "-batch", *where, "-p", str(pid), *arguments], capture_output=True, text=True).stdout


def inside(pid, *expressions):
    """Evaluate C expressions in a process; returns (value, errno) of each."""
    commands = []
    for expression in expressions:
        commands += [f"print ((int) ({expression}))", "print *((int *(*)(void)) __errno_location)()"]
    output = debug(pid, *commands)
    values = [int(value) for value in re.findall(r"^\$\d+ = (-?\d+)", output, re.MULTILINE)]
    assert len(values) == 2 * len(expressions), output
    return list(zip(values[::2], values[1::2]))


ADDRESS = '"\\002\\000\\000\\031\\177\\000\\000\\001\\000\\000\\000\\000\\000\\000\\000"'  # 127.0.0.1, port 25
ATTEMPTS = {
    "open a file": '((int (*)(const char *, int, ...)) open)("/etc/passwd", 0)',
    "create a file": '((int (*)(const char *, int, ...)) open)("/tmp/x", 0102, 0600)',
    "remove a file": '((int (*)(const char *)) unlink)("/etc/passwd")',
    "create a Unix socket": "((int (*)(int, int, int)) socket)(1, 1, 0)",
    "create an IPv4 socket": "((int (*)(int, int, int)) socket)(2, 1, 0)",
    "create an IPv6 socket": "((int (*)(int, int, int)) socket)(10, 1, 0)",
    "create a netlink socket": "((int (*)(int, int, int)) socket)(16, 3, 0)",
    "connect": f"((int (*)(int, const void *, unsigned)) connect)(0, {ADDRESS}, 16)",
    "trace its parent": "((long (*)(int, ...)) ptrace)(16, ((int (*)(void)) getppid)(), 0, 0)",
    "kill its parent": "((int (*)(int, int)) kill)(((int (*)(void)) getppid)(), 9)",
    "fork": "((int (*)(void)) fork)()",
}
# gdb lets it go first: who dies under a debugger dies later for its parent.
EXEC = ["set $pc = execve", "detach"]
WITH_WORKERS = ["postern-smtpd.service", "postern-deliverd.service"]


@pytest.mark.parametrize("unit", WITH_WORKERS)
def test_a_worker_can_do_nothing_but_use_what_it_was_given(gate, unit):
    # Given workers that have served a client
    assert send(gate.address).accepted
    workers = [pid for pid in gate.pids_of(unit)[1:] if not is_fetcher(pid)]
    assert workers
    for worker in workers:
        # when their own code tries to reach for more,
        outcomes = dict(zip(ATTEMPTS, inside(worker, *ATTEMPTS.values())))
        # then the kernel says no.
        assert outcomes == {attempt: (-1, EPERM) for attempt in ATTEMPTS}


def is_fetcher(pid):
    with open(f"/proc/{pid}/cmdline") as command:
        return "--fetcher" in command.read()


def test_the_fetcher_of_policies_can_do_no_more(gate):
    fetcher, = (pid for pid in gate.pids_of("postern-deliverd.service") if is_fetcher(pid))
    outcomes = dict(zip(ATTEMPTS, inside(fetcher, *ATTEMPTS.values())))
    assert outcomes == {attempt: (-1, EINPROGRESS if attempt == "connect" else EPERM) for attempt in ATTEMPTS}


@pytest.mark.parametrize("unit", WITH_WORKERS)
def test_a_worker_that_tries_to_exec_is_killed_and_replaced(gate, unit):
    before = gate.cursor()
    workers = gate.pids_of(unit)[1:]
    debug(workers[0], *EXEC)
    assert f"signal {SIGSYS}" in gate.wait_entry(gateway.WORKER_DIED, since=before)["MESSAGE"]
    wait_until(lambda: len(gate.pids_of(unit)) == 1 + len(workers), what="a new worker")
    assert send(gate.address).accepted


def test_a_worker_has_no_privilege(gate):
    for unit in WITH_WORKERS:
        for worker in gate.pids_of(unit)[1:]:
            with open(f"/proc/{worker}/status") as status:
                fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
            assert fields["CapEff"] == fields["CapPrm"] == fields["CapBnd"] == "0000000000000000"
            assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


def test_certd_has_no_network(gate):
    network = subprocess.run(["nsenter", f"--net=/proc/{gate.pid_of('postern-certd.service')}/ns/net", "ip", "-o", "addr"],
                             capture_output=True, text=True, check=True).stdout
    assert gate.address not in network
