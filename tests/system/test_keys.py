# SPDX-License-Identifier: Apache-2.0
"""Private keys are in the memory of certd and nowhere else; on disk they are encrypted, or certd says that they are not."""

import re
import subprocess

import pytest

from lab import gateway, send
from lab.memory import CREDENTIAL, decrypted, holders, key_forms, passphrase, stored_keys

STORE = "/var/lib/postern/certd"
STORE_INVALID = "c04d59bed64a4bd1a8ec784b724ff74e"
NOT_ENCRYPTED = "c4c4ae0f330f4ba6ba7824efb09bf113"


def keys_encrypted(host):
    answer = host.run(["busctl", "get-property", "org.postern.Cert1", "/org/postern/Cert1", "org.postern.Cert1", "KeysEncrypted"])
    return {"b true": True, "b false": False}[answer.stdout.strip()]


@pytest.fixture(scope="module")
def forms(gate):
    found = stored_keys(gate)
    assert found, "certd stores no key that this test could look for"
    return key_forms(decrypted(gate, found[0]))


def test_the_key_is_in_certd_and_in_no_other_process(gate, forms):
    # Given handshakes that the key signed
    for _ in range(5):
        assert send(gate.address).accepted

    # then certd has it (so the search finds what it is looking for)
    assert holders(gate, forms, "postern-certd.service")

    # but not as text: neither when it was made nor when it was read did it pass through memory as a file.
    assert not {form for _, form in holders(gate, forms, "postern-certd.service")} & {"PEM", "base64", "hexadecimal"}

    # and nobody else has any of it.
    others = [unit for unit in gateway.UNITS if unit != "postern-certd.service"]
    assert set().union(*(holders(gate, forms, unit) for unit in others)) == set()


def test_the_key_is_in_no_file(gate, forms):
    files = gate.run("find /var/lib/postern /etc /run/credentials /run/postern /tmp -xdev -type f").stdout.split("\n")
    files += gate.run("find /var/lib/postern -type f").stdout.split("\n")
    for file in filter(None, files):
        content = gate.path(file).read_bytes()
        assert not [form for form, data in forms.items() if data in content], f"the key is in {file}"
    assert {"ENCRYPTED" in gate.read(file) for file in stored_keys(gate)} == {True}


def test_the_passphrase_is_for_certd_alone(gate):
    assert gate.run(["stat", "-c", "%a %U", CREDENTIAL, "/etc/credstore.encrypted"]).stdout.split("\n")[:2] == ["600 root", "700 root"]
    assert len(passphrase(gate)) == 64
    secret = passphrase(gate).encode()
    assert secret not in gate.path(CREDENTIAL).read_bytes()
    for daemon in gateway.DAEMONS:
        seen = gate.run(["cat", "/run/credentials/postern-certd.service/postern-certd-key"], user=f"postern-{daemon}", check=False)
        assert (seen.returncode == 0) == (daemon == "certd")


def test_nobody_but_certd_can_read_the_stored_key(gate):
    files = stored_keys(gate)
    for daemon in gateway.DAEMONS:
        if daemon != "certd":
            for file in files:
                assert gate.run(["cat", file], user=f"postern-{daemon}", check=False).returncode != 0
    assert {gate.run(["stat", "-c", "%a %U", file]).stdout.strip() for file in files} == {"600 postern-certd"}


# ---- a host of its own for what goes wrong


class Vault:
    """A host where only certd is started, and how it is found afterwards."""

    def __init__(self, host):
        self.host = host

    def start(self):
        # The counters of starts, too: on a fast machine these tests start the units more often than systemd lets pass.
        self.host.systemctl("reset-failed", "postern-certd.service", "postern-certd-key.service", "postern-certd.socket",
                            "postern-certd-programs.socket", check=False)
        return self.host.systemctl("start", "postern-certd.service", check=False)

    def stop(self):
        self.host.systemctl("stop", "postern-certd.service", "postern-certd.socket", "postern-certd-programs.socket",
                            "postern-certd-key.service")

    def failure(self, since):
        """What certd said when it did not start, which it does not try again."""
        said = self.host.wait_journal(since=since, MESSAGE_ID=STORE_INVALID)[0]["MESSAGE"]
        status = self.host.systemctl("show", "--property=ExecMainStatus,ActiveState,NRestarts", "postern-certd.service")
        assert dict(line.split("=") for line in status.splitlines()) == {"ExecMainStatus": "78", "ActiveState": "failed", "NRestarts": "0"}
        return said

    def key(self, name="demonstration"):
        return self.host.read(f"{STORE}/{name}.pem")


@pytest.fixture(scope="module")
def vault(lab):
    host = lab.host("vault", stage=lab.stage(gateway.build_directory()))
    return Vault(host)


@pytest.fixture(autouse=True)
def _fresh(request):
    """Each test of the vault begins without store and credential."""
    if "vault" in request.fixturenames:
        vault = request.getfixturevalue("vault")
        vault.stop()
        vault.host.run(f"rm -rf {STORE} /etc/credstore.encrypted")
        vault.host.systemctl("unmask", "postern-certd-key.service")


def test_the_first_start_makes_the_passphrase_once(vault):
    vault.start()
    vault.host.wait_active("postern-certd.service")
    assert keys_encrypted(vault.host)
    before = passphrase(vault.host), vault.key()
    assert re.fullmatch("[0-9a-f]{64}", before[0])
    assert subprocess.run(["openssl", "x509", "-noout", "-pubkey"], input=before[1], text=True, check=True, capture_output=True).stdout \
        == vault.host.run(["openssl", "pkey", "-pubout"], input=decrypted(vault.host, f"{STORE}/demonstration.pem")).stdout

    # The next starts change nothing.
    vault.stop()
    vault.start()
    vault.host.wait_active("postern-certd.service")
    assert (passphrase(vault.host), vault.key()) == before
    assert vault.host.journal(MESSAGE_ID=NOT_ENCRYPTED) == []


def test_without_a_credential_keys_are_plain_and_that_is_said(vault):
    vault.host.systemctl("mask", "postern-certd-key.service")
    since = vault.host.cursor()
    vault.start()
    vault.host.wait_active("postern-certd.service")
    assert len(vault.host.journal(since=since, MESSAGE_ID=NOT_ENCRYPTED)) == 1
    assert not keys_encrypted(vault.host)
    assert "not encrypted on disk" in vault.host.run(["posternctl", "status"], check=False).stdout
    assert "\n-----BEGIN PRIVATE KEY-----" in "\n" + vault.key()
    assert vault.host.run(["stat", "-c", "%a", f"{STORE}/demonstration.pem"]).stdout.strip() == "600"

    # When there is one, as after an upgrade, they are encrypted at the next start.
    public = vault.host.run(["openssl", "pkey", "-pubout", "-in", f"{STORE}/demonstration.pem"]).stdout
    vault.host.systemctl("unmask", "postern-certd-key.service")
    vault.stop()
    vault.start()
    vault.host.wait_active("postern-certd.service")
    assert keys_encrypted(vault.host)
    assert "BEGIN PRIVATE KEY" not in vault.key()
    assert vault.host.run(["openssl", "pkey", "-pubout"], input=decrypted(vault.host, f"{STORE}/demonstration.pem")).stdout == public
    shown = vault.host.run(["posternctl", "status"], check=False).stdout
    assert "encrypted on disk" in shown and "not encrypted" not in shown
    assert re.search(r"Key encrypted:? +yes", vault.host.run(["posternctl", "cert", "show", "demonstration"]).stdout)


def test_a_lost_credential_stops_certd_and_makes_nothing_new(vault):
    vault.start()
    vault.host.wait_active("postern-certd.service")
    before = vault.key()
    vault.stop()
    lost = vault.host.path(CREDENTIAL).read_bytes()
    vault.host.run(["rm", CREDENTIAL])

    since = vault.host.cursor()
    vault.start()
    said = vault.failure(since)
    assert "demonstration.pem" in said and CREDENTIAL in said
    assert vault.key() == before
    # Nor was another passphrase made, with which the message would be another one.
    assert vault.host.run(["test", "-e", CREDENTIAL], check=False).returncode != 0

    vault.host.write(CREDENTIAL, lost, mode=0o600)
    vault.start()
    vault.host.wait_active("postern-certd.service")
    assert vault.key() == before


def test_a_wrong_credential_stops_certd(vault):
    vault.start()
    vault.host.wait_active("postern-certd.service")
    before = vault.key()
    right = passphrase(vault.host)
    vault.stop()
    vault.host.run(f"printf another | systemd-creds encrypt --name=postern-certd-key - {CREDENTIAL}")

    since = vault.host.cursor()
    vault.start()
    said = vault.failure(since)
    assert "demonstration.pem" in said and "does not decrypt" in said and CREDENTIAL in said
    assert vault.key() == before

    # As after a move to another host: the passphrase, encrypted for this one.
    vault.host.run(["systemd-creds", "encrypt", "--name=postern-certd-key", "-", CREDENTIAL], input=right)
    vault.start()
    vault.host.wait_active("postern-certd.service")
    assert vault.key() == before


def test_a_credential_of_another_host_is_not_tried_again_and_again(vault):
    vault.start()
    vault.host.wait_active("postern-certd.service")
    vault.stop()
    content = vault.host.read(CREDENTIAL)
    vault.host.write(CREDENTIAL, content[:-20].rstrip("=")[:-8] + "AAAAAAAA\n", mode=0o600)
    vault.start()
    status = vault.host.systemctl("show", "--property=ExecMainStatus,ActiveState,NRestarts", "postern-certd.service")
    assert dict(line.split("=") for line in status.splitlines()) == {"ExecMainStatus": "243", "ActiveState": "failed", "NRestarts": "0"}


def test_a_reload_with_a_damaged_file_keeps_the_old(vault):
    vault.start()
    vault.host.wait_active("postern-certd.service")
    before = vault.key()
    served = vault.host.run(["posternctl", "cert", "export-pem", "demonstration"]).stdout
    lines = before.splitlines()
    begin = lines.index("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    lines[begin + 4] = lines[begin + 4][::-1]
    vault.host.path(f"{STORE}/demonstration.pem").write_text("\n".join(lines) + "\n")

    reload = vault.host.run(["systemctl", "reload", "postern-certd.service"], check=False)
    assert reload.returncode != 0
    assert vault.host.run(["posternctl", "cert", "export-pem", "demonstration"]).stdout == served

    vault.host.path(f"{STORE}/demonstration.pem").write_text(before)
    vault.host.systemctl("reload", "postern-certd.service")


def test_a_key_that_somebody_puts_there_is_encrypted(vault):
    vault.start()
    vault.host.wait_active("postern-certd.service")
    vault.host.run(f"cd {STORE} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=mx.example.com"
                   " -keyout mx.key -out mx.crt 2>&1 && chown postern-certd: mx.* && chmod 600 mx.key")
    forms = key_forms(vault.host.read(f"{STORE}/mx.key"))
    vault.host.systemctl("reload", "postern-certd.service")
    assert vault.host.run(f"cd {STORE} && ls | grep '[.]'").stdout.split() == ["demonstration.pem", "mx.pem"]
    assert "BEGIN ENCRYPTED PRIVATE KEY" in vault.key("mx")
    assert not [form for form, data in forms.items() if data in vault.key("mx").encode()]
    assert key_forms(decrypted(vault.host, f"{STORE}/mx.pem"))["big-endian"] == forms["big-endian"]


def test_the_maker_of_the_passphrase_is_sandboxed(vault):
    assert float(re.search(r"([0-9.]+) (OK|MEDIUM|SAFE|EXPOSED|UNSAFE)", vault.host.run(
        ["systemd-analyze", "security", "--no-pager", "postern-certd-key.service"], check=False).stdout.splitlines()[-1]).group(1)) < 3.5
