# SPDX-License-Identifier: Apache-2.0
"""The lab itself: its directory, its network, its processes, and that all of it ends."""

import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from . import cgroups, namespaces, overlay
from .certs import Authority
from .dns import Dns
from .dns_proxy import DnsProxy
from .fake import FakeSmtp
from .gateway import Gateway, build_directory
from .host import Host
from .mx import Mx
from .peer import Peer
from .policy import PolicyHost

NETWORK = "10.99"
BRIDGE = "lab"
RUNS = overlay.CACHE / "run"


def _terminate(signum, frame):
    sys.exit(128 + signum)


def remove_stale():
    """Remove the directories of labs whose processes are gone."""
    for directory in RUNS.iterdir():
        try:
            with open(directory / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            continue
    cgroups.remove_stale()


class Lab:
    """A context manager; there can be one in a process, for the process itself moves into the lab's network.

    So a test can connect to every address of the lab directly. Its own address there is Lab.address.
    """

    address = f"{NETWORK}.0.1"

    def __init__(self):
        self.directory = None
        self.nodes = []
        self._servers = []
        self._stages = {}
        self._next = 10
        self._authority = None

    # Beginning and end

    def __enter__(self):
        if os.geteuid() != 0:
            raise SystemExit("The lab makes namespaces and mounts: run it as root.")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)
        RUNS.mkdir(parents=True, exist_ok=True)
        remove_stale()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=RUNS))
        self.directory.chmod(0o755)
        self._lock = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Package mirrors are reached from the network that we leave now.
        self._outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        namespaces.unshare(namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET)
        namespaces.mount("none", "/", None, None, "--make-rprivate")
        for path in ("/run/netns", "/run/systemd/nspawn"):
            os.makedirs(path, exist_ok=True)
            namespaces.mount("lab", path, "tmpfs", "mode=0755")
        self._ip(f"link set lo up", f"link add {BRIDGE} type bridge", f"addr add {self.address}/16 dev {BRIDGE}",
                 f"link set {BRIDGE} up")
        return self

    def __exit__(self, *exception):
        for server in reversed(self._servers):
            server.stop()
        for node in reversed(self.nodes):
            node.stop()
        for node in self.nodes:
            subprocess.run(["umount", "--recursive", "--lazy", str(node.directory / "root")], check=False)
        cgroups.remove(self.directory.name)
        os.close(self._lock)
        os.close(self._outside)
        shutil.rmtree(self.directory, ignore_errors=True)

    # Network

    @staticmethod
    def _ip(*lines):
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)

    def attach(self, name):
        """Make a network namespace on the lab's bridge; return its path and address."""
        address = f"{NETWORK}.{self._next // 250}.{self._next % 250 + 1}"
        link = f"to{self._next}"
        self._next += 1
        self._ip(f"netns add {name}", f"link add {link} type veth peer name host0 netns {name}",
                 f"link set {link} master {BRIDGE} up")
        subprocess.run(["ip", "-netns", name, "-batch", "-"], text=True, check=True,
                       input=f"link set lo up\naddr add {address}/16 dev host0\nlink set host0 up\n"
                             f"route add default via {self.address}\n")
        return f"/run/netns/{name}", address

    # Processes

    def spawn(self, command, cgroup, **options):
        """Start a command as first process of a process id namespace, in a control group of its own.

        All of the namespace ends with this process, whatever happens to it: the kernel sees to that.
        """
        enter = "".join(f"echo $$ > {file}; " for file in cgroups.make(self.directory.name, cgroup))
        enter += 'exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc "$@"'
        return subprocess.Popen(["sh", "-c", enter, "sh", *command], stdin=subprocess.DEVNULL, **options)

    # What the lab consists of

    @property
    def outside(self):
        """The path of the network namespace that this process came from."""
        return f"/proc/{os.getpid()}/fd/{self._outside}"

    def layer(self, *packages):
        """A layer with Debian packages that this machine need not have."""
        return overlay.package_layer(packages, self.outside, self.directory / "apt.log")

    def stage(self, build):
        """A layer with what `meson install` in the build directory installs."""
        build = pathlib.Path(build).resolve()
        if build not in self._stages:
            stage = self.directory / f"stage{len(self._stages)}"
            subprocess.run(["meson", "install", "-C", str(build), "--no-rebuild", "--quiet", "--destdir", str(stage)],
                           check=True, stdout=subprocess.DEVNULL)
            overlay.merge_usr(stage)
            self._stages[build] = stage
        return self._stages[build]

    def hosts(self, *names, packages=(), stage=None, files=None):
        """Boot several hosts at once."""
        layers = ([self.layer(*packages)] if packages else []) + ([stage] if stage else [])
        hosts = []
        for name in names:
            hosts.append(Host(self, name, layers, files))
            self.nodes.append(hosts[-1])
        return [host.wait_booted() for host in hosts]

    def host(self, name, packages=(), stage=None, files=None):
        """Boot a host NAME.lab. Files (path → content) are there before it boots."""
        return self.hosts(name, packages=packages, stage=stage, files=files)[0]

    def gateway(self, name, dns, domains, alert_recipient="admin@alerts.lab", packages=()):
        """Boot a host with the suite installed and running, which takes mail for domains; see Gateway."""
        host = self.host(name, packages, stage=self.stage(build_directory()))
        return Gateway(host, dns, domains, alert_recipient)

    def peer(self, name, packages=()):
        """A root directory and network for a server that is no booted host."""
        peer = Peer(self, name, [self.layer(*packages)] if packages else [])
        self.nodes.append(peer)
        return peer

    def dns(self, zones=None):
        """A name server with DNSSEC-signed zones; see Dns."""
        return Dns(self.peer("dns", ["bind9-dnsutils", "knot", "knot-dnsutils"]), zones)

    def dns_proxy(self, name, dns):
        """A name server that asks dns, and fails on request; see DnsProxy."""
        network, address = self.attach(name)
        server = DnsProxy(network, address, dns.address)
        self._servers.append(server)
        return server

    def mx(self, name, domain, certificate=None, **settings):
        """A Postfix that takes mail for domain; see Mx."""
        return Mx(self.peer(name, ["postfix"]), domain, certificate, settings)

    def fake_smtp(self, name, behaviour=None, certificate=None, port=25):
        """A scripted SMTP server for what no real one does; see FakeSmtp."""
        network, address = self.attach(name)
        server = FakeSmtp(network, address, behaviour, certificate, port)
        self._servers.append(server)
        return server

    def policy_host(self, name):
        """A server of MTA-STS policies; see PolicyHost."""
        network, address = self.attach(name)
        server = PolicyHost(network, address, self.authority)
        self._servers.append(server)
        return server

    @property
    def authority(self):
        """A certificate authority of this lab."""
        if self._authority is None:
            self._authority = Authority(self.directory)
        return self._authority
