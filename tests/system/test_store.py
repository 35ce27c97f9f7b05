# SPDX-License-Identifier: Apache-2.0
"""Whoever kills certd, at whatever instant: the store is whole. Each certificate is the old or the new, none is lost, and what was
answered has happened.

certd runs by hand here, without host and systemd, since it is started hundreds of times; with a credential, so that keys are encrypted.
"""

import collections
import concurrent.futures
import hashlib
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import time

import pytest

from lab import Authority, Certificate, gateway

KILLS, WORKERS = 200, 2
KILLS_OF_STARTS = 40
SEED = 7
PASSPHRASE = "5f1d" * 16

OTHERS = r"\.?(assignments|authorities|expiry)(\.new)?"

Identity = collections.namedtuple("Identity", "fingerprint chain export_forbidden request")
NEW = "a certificate that was not there before"
Change = collections.namedtuple("Change", "kind words after")


class Certd:
    """certd with a store of its own; its socket stays open while it is dead, as systemd would keep it."""

    def __init__(self, directory):
        self.directory = directory
        self.store, credentials = directory / "store", directory / "credentials"
        for path in (directory, self.store, credentials):
            path.mkdir(mode=0o700, exist_ok=True)
        credentials.joinpath("postern-certd-key").write_text(PASSPHRASE)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(directory / "certd"))
        self.socket.listen()
        self.socket.setblocking(False)
        self.log = open(directory / "log", "a")
        self.programs = gateway.build_directory()
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "STATE_DIRECTORY": str(self.store),
                            "CREDENTIALS_DIRECTORY": str(credentials), "POSTERN_RUNTIME_DIR": str(directory),
                            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={directory}/no-bus"}
        self.process = None

    def start(self):
        fd = self.socket.fileno()
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{fd} {fd}<&-; LISTEN_PID=$$ exec "$0"', str(self.programs / "certd/postern-certd")],
            env={**self.environment, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "peer"}, pass_fds=[fd], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self.log)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        # Who waits in the socket has gone as well, and is not to be answered by the next certd.
        while True:
            try:
                self.socket.accept()[0].close()
            except BlockingIOError:
                return

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0
        self.socket.close()

    def said(self):
        return (self.directory / "log").read_text()

    def client(self, *words):
        return subprocess.Popen([str(self.programs / "posternctl/posternctl"), *map(str, words)], env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words):
        client = self.client(*words)
        try:
            out, error = client.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            client.kill()
            raise AssertionError(f"certd does not answer {words}; it said:\n{self.said()}") from None
        assert client.returncode == 0, f"{words}: {error}\ncertd said:\n{self.said()}"
        return out

    def certificates(self):
        """What there is, as certd tells it: it has read the whole store, and tried each key with its certificate."""
        names = sorted({path.stem for path in self.store.iterdir() if path.suffix in (".pem", ".crt")
                        and not path.name.startswith(".")}) or ["demonstration"]
        shown = json.loads(self.run("cert", "show", "--json", *names))
        shown = shown if isinstance(shown, list) else [shown]
        assert all(entry["KeyEncrypted"] for entry in shown)
        return {entry["Name"]: Identity(entry["FingerprintSHA256"], entry["ChainLength"], entry["ExportForbidden"],
                                        entry["RequestPending"]) for entry in shown}

    def files(self):
        """What lies there for certificates: all but the other files that certd keeps, which have one temporary each."""
        return sorted(path.name for path in self.store.iterdir() if not re.fullmatch(OTHERS, path.name))


def fits(seen, expected):
    """Whether the certificates are those expected, where one may be NEW."""
    return seen.keys() == expected.keys() and all(
        expected[name] in (identity, NEW) and (expected[name] is not NEW or (identity.chain, identity.export_forbidden) == (1, False))
        for name, identity in seen.items())


class Story:
    """A store that is changed in every way, and a certd that is killed in the middle of a change."""

    def __init__(self, directory, seed):
        self.random = random.Random(seed)
        self.certd = Certd(directory)
        self.certd.start()
        self.duration = collections.defaultdict(lambda: 0.03)
        self.outcomes = collections.Counter()
        self.prepare(directory)
        self.state = self.certd.certificates()

    def prepare(self, directory):
        run = self.certd.run
        for name in ("moves", "signed"):
            run("cert", "create", name, f"--common-name={name}.example.com")
        # Two certificates of an authority for one key, and two files with a key each, to take turns.
        authority = Authority(directory)
        run("cert", "request", "signed", directory / "request")
        self.turns = {"install": [], "import": []}
        directory.joinpath("passphrase").write_text("open sesame")
        for i in (1, 2):
            chain = directory / f"signed{i}.pem"
            leaf = subprocess.run(["openssl", "x509", "-req", "-in", directory / "request", "-CA", authority.certificate, "-CAkey",
                                   authority.key, "-days", str(10 + i)], check=True, capture_output=True).stdout
            chain.write_bytes(leaf + authority.certificate.read_bytes() * (i - 1))
            words = ["cert", "install", "signed", chain, "--incomplete"]
            run(*words)
            self.turns["install"].append((words, "signed", self.certd.certificates()["signed"]))

            pair, file = Certificate.self_signed(directory, f"imported{i}.example.com"), directory / f"imported{i}.p12"
            subprocess.run(["openssl", "pkcs12", "-export", "-inkey", pair.key, "-in", pair.chain, "-out", file, "-passout",
                            "pass:open sesame"], check=True)
            words = ["cert", "import", file, "imported", "--replace", f"--passphrase-file={directory}/passphrase"]
            run(*words)
            self.turns["import"].append((words, "imported", self.certd.certificates()["imported"]))

    def changes(self):
        """What can be done to the store as it is."""
        state = self.state
        for kind, turns in self.turns.items():
            for words, name, identity in turns:
                if state[name] != identity:
                    yield Change(kind, words, {**state, name: identity})
        there, back = ("moves", "moved") if "moves" in state else ("moved", "moves")
        yield Change("rename", ["cert", "rename", there, back],
                     {**{name: identity for name, identity in state.items() if name != there}, back: state[there]})
        if "comes" in state:
            yield Change("delete", ["cert", "delete", "comes"], {name: state[name] for name in state if name != "comes"})
            if not state["comes"].export_forbidden:
                yield Change("forbid-export", ["cert", "forbid-export", "comes"],
                             {**state, "comes": state["comes"]._replace(export_forbidden=True)})
        else:
            yield Change("create", ["cert", "create", "comes", "--common-name=comes.example.com"], {**state, "comes": NEW})

    def look(self, *possible):
        """The store is one of these, in memory as on disk, and nothing else lies there."""
        seen = self.certd.certificates()
        matching = [i for i, expected in enumerate(possible) if fits(seen, expected)]
        assert matching, f"found {seen}\nexpected one of {possible}\ncertd said:\n{self.certd.said()}"
        assert self.certd.files() == sorted(f"{name}.pem" for name in seen)
        self.state = seen
        return matching[0]

    def change(self):
        """A change that nobody disturbs; it tells how long such a one takes."""
        change = self.random.choice(list(self.changes()))
        began = time.monotonic()
        self.certd.run(*change.words)
        self.duration[change.kind] += (time.monotonic() - began - self.duration[change.kind]) / 4
        self.look(change.after)

    def change_and_kill(self):
        change = self.random.choice(list(self.changes()))
        client = self.certd.client(*change.words)
        watched = os.pidfd_open(client.pid)
        ended = select.select([watched], [], [], self.random.uniform(0, 1.5 * self.duration[change.kind]))[0]
        self.certd.kill()
        os.close(watched)
        if not ended:
            client.kill()
        client.communicate()
        answered = client.returncode == 0
        self.certd.start()
        happened = self.look(*([change.after] if answered else [self.state, change.after])) == 1 or answered
        self.outcomes[change.kind, "answered" if answered else "happened" if happened else "did not happen"] += 1

    def run(self, kills):
        for _ in range(kills):
            if self.random.random() < 0.25:
                self.change()
            self.change_and_kill()
        self.certd.stop()
        assert "Failed" not in self.certd.said()
        for file in self.certd.store.glob("*.pem"):
            # And what is on disk is what openssl finds there, too.
            key = subprocess.run(["openssl", "pkey", "-in", file, "-passin", f"pass:{PASSPHRASE}", "-pubout"], check=True,
                                 capture_output=True).stdout
            assert key == subprocess.run(["openssl", "x509", "-in", file, "-noout", "-pubkey"], check=True, capture_output=True).stdout
        return self.outcomes


@pytest.fixture
def stories(tmp_path):
    """Some at once; what is still alive at the end is killed."""
    made = [Story(tmp_path / str(i), SEED + i) for i in range(WORKERS)]
    yield made
    for story in made:
        if story.certd.process.poll() is None:
            story.certd.process.kill()
            story.certd.process.wait()


def test_certd_can_be_killed_at_any_instant_of_a_change(stories):
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        outcomes = sum(pool.map(lambda story: story.run(KILLS // WORKERS), stories), collections.Counter())
    print(*(f"{kind}: {outcome} {n}" for (kind, outcome), n in sorted(outcomes.items())), sep="\n")

    # It was killed so often, during each kind of change; before it had an effect, and after.
    assert sum(outcomes.values()) == KILLS
    assert {kind for kind, _ in outcomes} == {"create", "delete", "forbid-export", "import", "install", "rename"}
    by_outcome = collections.Counter()
    for (_, outcome), n in outcomes.items():
        by_outcome[outcome] += n
    assert by_outcome["did not happen"] > KILLS / 10 and by_outcome["happened"] > 0


def test_certd_can_be_killed_while_it_takes_a_pair_over(tmp_path):
    """The other writing is done when the store is read: NAME.crt and NAME.key become NAME.pem, and keys are encrypted."""
    instant = random.Random(SEED)
    certd = Certd(tmp_path / "certd")
    pairs = [Certificate.self_signed(tmp_path, f"pair{i}.example.com") for i in range(2)]
    fingerprints = [hashlib.sha256(pair.der()).hexdigest() for pair in pairs]
    unfinished = 0
    try:
        began = time.monotonic()
        certd.start()
        stays = certd.certificates()
        duration = time.monotonic() - began
        certd.kill()
        for i in range(KILLS_OF_STARTS):
            for suffix, content in ((".key", pairs[i % 2].key), (".crt", pairs[i % 2].chain)):
                certd.store.joinpath(f"pair{suffix}").write_bytes(content.read_bytes())
                certd.store.joinpath(f"pair{suffix}").chmod(0o600)
            certd.start()
            # No event to wait for: any instant will do.
            time.sleep(instant.uniform(0, 3 * duration))
            certd.kill()
            unfinished += "pair.crt" in certd.files()
            certd.start()
            seen = certd.certificates()
            assert seen.pop("pair").fingerprint.replace(":", "").lower() == fingerprints[i % 2]
            assert seen == stays
            assert certd.files() == ["demonstration.pem", "pair.pem"]
            assert "BEGIN ENCRYPTED PRIVATE KEY" in certd.store.joinpath("pair.pem").read_text()
            certd.kill()
        assert 0 < unfinished < KILLS_OF_STARTS
        assert "Failed" not in certd.said()
    finally:
        certd.process.kill()
        certd.process.wait()
