# SPDX-License-Identifier: Apache-2.0
"""Who is not root may do what polkit allows him, and polkit can keep nobody waiting."""

import json
import os
import re
import select
import signal
import subprocess
import termios
import time

import pytest

from lab.node import ENVIRONMENT, wait_until

NOT_PERMITTED = 4
# The time that the daemons give polkit, when it may ask nobody.
DEADLINE = 5

RULES = """\
polkit.addRule(function(action, subject) {
    if (action.id == "org.postern.manage-certificates" && subject.isInGroup("mailadmin"))
        return polkit.Result.YES;
});
"""
ACTIVATION = "/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service"


@pytest.fixture(scope="module")
def office(lab, dns):
    """A gateway with polkit and three users: alice may manage certificates, bob nothing, carol is an administrator."""
    host = lab.gateway("office", dns, [".lab"], packages=["polkitd"])
    host.run("groupadd mailadmin && useradd -G mailadmin alice && useradd bob && useradd -G sudo carol &&"
             " echo carol:open-sesame | chpasswd")
    host.write("/etc/polkit-1/rules.d/50-postern.rules", RULES)
    host.systemctl("restart", "polkit.service")
    return host


# polkit looks at the groups of the process, before 124 at those of the user.
GROUPS = {"alice": ["mailadmin"], "carol": ["sudo"]}


def run(host, user, command, **options):
    return host.run(command, user=user, groups=GROUPS.get(user, ()), check=False, **options)


def call(host, user, daemon, method, *arguments, interactive=False):
    """What busctl said to a user: None if it went well, else the error."""
    name = {"certd": "Cert1", "deliverd": "Delivery1"}[daemon]
    result = run(host, user, ["env", "SYSTEMD_LOG_LEVEL=debug", "busctl", f"--allow-interactive-authorization={interactive}", "call",
                              f"org.postern.{name}", f"/org/postern/{name}", f"org.postern.{name}", method, *arguments])
    if result.returncode == 0:
        return None
    return re.search(r"error-name=(org\.\S+) error-message=", result.stderr).group(1)


def create(host, user, name, **options):
    return call(host, user, "certd", "CreateCertificate", "sa{sv}", name, 1, "CommonName", "s", f"{name}.lab", **options)


def export(host, user, name):
    """By posternctl, since busctl cannot pass a passphrase."""
    return run(host, user, ["env", "--chdir=/tmp", "posternctl", "cert", "export", name, f"{user}.p12", "--passphrase-file=-"],
               input="a secret")


REQUIRED = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"


def test_nothing_is_allowed_by_default(office):
    assert create(office, "bob", "of-bob") == REQUIRED
    assert create(office, "bob", "of-bob", interactive=True) == REQUIRED  # there is nobody to ask
    assert call(office, "bob", "deliverd", "ListMessages", "s", "") == REQUIRED
    assert call(office, "bob", "deliverd", "Flush") == REQUIRED
    # What is public, is; what root does, nobody is asked about.
    assert call(office, "bob", "certd", "ListCertificates") is None
    assert create(office, "root", "of-root") is None


def test_a_rule_allows_what_it_names(office):
    assert create(office, "alice", "of-alice") is None
    assert run(office, "alice", ["posternctl", "cert", "forbid-export", "of-alice"]).returncode == 0
    # and no more
    assert create(office, "root", "with-key") is None
    result = export(office, "alice", "with-key")
    assert result.returncode == NOT_PERMITTED and "polkit" in result.stderr
    assert call(office, "alice", "deliverd", "ListMessages", "s", "") == REQUIRED
    assert export(office, "root", "with-key").returncode == 0


class Terminal:
    """A user's posternctl at a terminal."""

    def __init__(self, host, user, *words):
        uid, gid = host.ids(user)
        self.fd, terminal = os.openpty()
        command = [*host.enter(), "setpriv", f"--reuid={uid}", f"--regid={gid}", "--init-groups", "posternctl", *words]
        # Not by pty.fork(), which is not safe beside threads.
        self.process = subprocess.Popen(["setsid", "--ctty", *command], stdin=terminal, stdout=terminal, stderr=terminal,
                                        env=ENVIRONMENT)
        os.close(terminal)
        self.shown = ""

    def wait(self, text, timeout=30):
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            assert select.select([self.fd], [], [], max(deadline - time.monotonic(), 0))[0], self.shown
            try:
                self.shown += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:  # the other end is closed
                raise AssertionError(self.shown) from None

    def type_secretly(self, text):
        """When the terminal does not show it any more; what is typed before is thrown away."""
        wait_until(lambda: not termios.tcgetattr(self.fd)[3] & termios.ECHO, what="the terminal to be silent")
        os.write(self.fd, text.encode())

    def end(self):
        status = self.process.wait(timeout=30)
        os.close(self.fd)
        return status


def test_a_password_is_asked_for_on_the_terminal(office):
    terminal = Terminal(office, "carol", "cert", "create", "of-carol", "--common-name=carol.lab")
    terminal.wait("Authentication is required to change the certificates of the mail gateway.")
    terminal.wait("Password:")
    terminal.type_secretly("open-sesame\n")
    terminal.wait("of-carol: created")
    assert terminal.end() == 0
    assert "open-sesame" not in terminal.shown

    terminal = Terminal(office, "carol", "queue", "list")
    terminal.wait("Password:")
    terminal.type_secretly("wrong\n")
    terminal.wait("posternctl:")
    assert terminal.end() == NOT_PERMITTED


def test_a_polkit_that_hangs_stops_nobody_else(office):
    pid = office.pid_of("polkit.service")
    os.kill(pid, signal.SIGSTOP)
    try:
        # While alice waits, others are answered.
        began = time.monotonic()
        waiting = office.run("""setpriv --reuid=alice --regid=alice --init-groups busctl --allow-interactive-authorization=no call \
            org.postern.Cert1 /org/postern/Cert1 org.postern.Cert1 ForbidExport s of-root >/tmp/alice 2>&1 & echo $!""")
        for _ in range(3):
            assert call(office, "bob", "certd", "ListCertificates") is None
        assert create(office, "root", "meanwhile") is None
        assert time.monotonic() - began < DEADLINE, "the machine is too busy for this test"
        # She is refused in the end.
        assert create(office, "alice", "in-vain") == DENIED
        assert time.monotonic() - began < 4 * DEADLINE
        wait_until(lambda: not office.path(f"/proc/{waiting.stdout.strip()}").exists(), what="the end of alice's call")
        assert "ccess denied" in office.read("/tmp/alice")
    finally:
        os.kill(pid, signal.SIGCONT)
    details = json.loads(office.run(["posternctl", "cert", "show", "of-root", "--json"]).stdout)
    assert details["ExportForbidden"] is False
    assert create(office, "alice", "again") is None


def test_without_polkit_all_is_roots(office):
    office.run(["mv", ACTIVATION, "/root/activation"])
    office.systemctl("stop", "polkit.service")
    office.systemctl("reload", "dbus.service")
    try:
        assert create(office, "alice", "too-late") == DENIED
        result = run(office, "alice", ["posternctl", "queue", "list"])
        assert result.returncode == NOT_PERMITTED and "Only root" in result.stderr and "no polkit" in result.stderr
        assert create(office, "root", "without") is None
        assert call(office, "bob", "certd", "ListCertificates") is None
    finally:
        office.run(["mv", "/root/activation", ACTIVATION])
        office.systemctl("reload", "dbus.service")
    wait_until(lambda: create(office, "alice", "back") is None, what="polkit to be back")
