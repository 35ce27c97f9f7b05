# SPDX-License-Identifier: Apache-2.0
"""Keys in a PKCS#11 token are used where they are: SoftHSM stands for a hardware module, OpenSSL's pkcs11 provider reaches it."""

import re

import pytest

from lab import gateway
from lab.node import wait_until

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
TOKENS = "/var/lib/certd-tokens"
STORE = "/var/lib/postern/certd"
PIN = "4711"

DROP_IN = f"""[Service]
Environment=SOFTHSM2_CONF=/etc/softhsm-certd.conf
ReadWritePaths={TOKENS}
"""


def has_provider():
    """Debian 13 has the package, 12 has not."""
    return "VERSION_CODENAME=bookworm" not in open("/etc/os-release").read()


needs_provider = pytest.mark.skipif(not has_provider(), reason="this release has no pkcs11-provider")


class Vault:
    def __init__(self, host):
        self.host = host

    def ctl(self, *words, check=True):
        return self.host.run(["posternctl", *words], check=check)

    def handshake(self, version):
        """What openssl s_client saw of smtpd: "CN=…", "TLSv1.3"."""
        result = self.host.run("openssl s_client -connect 127.0.0.1:25 -starttls smtp -showcerts " + version, check=False, input="QUIT\r\n")
        return (re.search(r"subject=(.*)", result.stdout) or [None, result.stderr])[1].replace(" ", ""), result.stdout

    def key(self, kind, label, *identity):
        self.host.run(["env", "SOFTHSM2_CONF=/etc/softhsm-certd.conf", "pkcs11-tool", "--module", MODULE, "--token-label", "mail",
                       "--login", "--pin", PIN, "--keypairgen", "--key-type", kind, "--label", label, *identity], user="postern-certd")


@pytest.fixture(scope="module")
def vault(lab):
    packages = ("pkcs11-provider", "softhsm2", "opensc", "openssl")
    host = lab.host("token", packages=packages, stage=lab.stage(gateway.build_directory()))
    vault = Vault(host)
    host.write("/etc/softhsm-certd.conf", f"directories.tokendir = {TOKENS}\n")
    host.run(f"install -d -m 700 -o postern-certd -g postern-certd {TOKENS}")
    host.run(["env", "SOFTHSM2_CONF=/etc/softhsm-certd.conf", "softhsm2-util", "--init-token", "--free", "--label", "mail", "--pin", PIN,
              "--so-pin", "0815"], user="postern-certd")
    vault.key("EC:prime256v1", "p256", "--id", "01")
    vault.key("rsa:2048", "rsa", "--id", "02")
    vault.key("EC:prime256v1", "alone")
    host.run(["mkdir", "-p", "/etc/credstore.encrypted"])
    host.run("systemd-creds encrypt --name=postern-certd-pin - /etc/credstore.encrypted/postern-certd-pin", input=PIN)
    host.write("/etc/systemd/system/postern-certd.service.d/token.conf", DROP_IN)
    host.write("/etc/postern/certd.conf.d/token.conf",
               f"[Tokens]\nModule={MODULE}\n[Service smtpd]\nCertificates=demonstration p256 rsa\n")
    host.systemctl("daemon-reload")
    host.systemctl("start", "postern.target")
    host.wait_active("postern-certd.service")
    return vault


@needs_provider
@pytest.mark.parametrize("label", ["p256", "rsa"])
def test_a_key_in_a_token_serves(vault, label):
    host = vault.host
    vault.ctl("cert", "create", label, f"--common-name=mx.{label}.lab", f"--key=pkcs11:token=mail;object={label}")
    file = host.read(f"{STORE}/{label}.pem")
    assert file.startswith(f"Key: pkcs11:token=mail;object={label}\n")
    assert "PRIVATE KEY" not in file
    assert f"pkcs11:token=mail;object={label}" in vault.ctl("cert", "show", label).stdout

    host.write("/etc/postern/smtpd.conf.d/token.conf", f"[Listener public]\nCertificate={label}\n")
    host.systemctl("reload", "postern-smtpd.service")
    wait_until(lambda: vault.handshake("-tls1_3")[0] == f"CN=mx.{label}.lab", 15, "the certificate to be served")
    for version, name in (("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")):
        subject, text = vault.handshake(version)
        assert subject == f"CN=mx.{label}.lab" and name in text


@needs_provider
def test_a_request_is_signed_by_the_token(vault):
    vault.ctl("cert", "create", "request", "--common-name=mx.request.lab", "--key=pkcs11:token=mail;object=p256")
    request = vault.ctl("cert", "request", "request").stdout
    seen = vault.host.run("openssl req -verify -noout -subject", input=request)
    assert "verify OK" in seen.stdout + seen.stderr
    vault.ctl("cert", "delete", "request")


@needs_provider
def test_the_key_stays(vault):
    if "p256" not in vault.ctl("cert", "list").stdout:
        vault.ctl("cert", "create", "p256", "--common-name=mx.p256.lab", "--key=pkcs11:token=mail;object=p256")
    vault.host.write("/root/passphrase", "secret")
    result = vault.ctl("cert", "export", "p256", "/root/p256.p12", "--passphrase-file=/root/passphrase", check=False)
    assert result.returncode != 0
    assert "its key is in a token and does not leave it" in result.stderr


@needs_provider
@pytest.mark.parametrize(("uri", "complaint"), [
    ("pkcs11:token=mail;object=nothing", "a private key that no token has"),
    ("pkcs11:token=mail;object=alone", "whose public key is not in the token"),
    ("pkcs11:token=mail", "more than one key"),
    (f"pkcs11:token=mail;object=p256?pin-value={PIN}", "postern-certd-pin"),
    ("file:/etc/shadow", "by a URI"),
])
def test_what_is_no_key_is_named(vault, uri, complaint):
    result = vault.ctl("cert", "create", "wrong", "--common-name=wrong.lab", f"--key={uri}", check=False)
    assert result.returncode != 0
    assert complaint in result.stderr
    assert "wrong" not in vault.ctl("cert", "list").stdout


@needs_provider
def test_a_token_that_is_away_is_waited_for(vault):
    host = vault.host
    if "p256" not in vault.ctl("cert", "list").stdout:
        vault.ctl("cert", "create", "p256", "--common-name=mx.p256.lab", "--key=pkcs11:token=mail;object=p256")
    host.systemctl("stop", "postern-certd.service")
    host.run(["mv", f"{TOKENS}", f"{TOKENS}.away"])
    host.run(f"install -d -m 700 -o postern-certd -g postern-certd {TOKENS}")
    since = host.cursor()
    host.systemctl("start", "postern-certd.service", check=False)
    said = host.wait_journal(since=since, match=lambda entry: "token" in entry["MESSAGE"], _SYSTEMD_UNIT="postern-certd.service")[0]["MESSAGE"]
    assert re.search(r"(p256|rsa)\.pem names a private key that no token has", said)

    host.run(["rmdir", TOKENS])
    host.run(["mv", f"{TOKENS}.away", TOKENS])
    host.wait_active("postern-certd.service")
    assert "p256" in vault.ctl("cert", "list").stdout


@pytest.mark.skipif(has_provider(), reason="this release can use tokens")
def test_without_the_provider_that_is_said(lab):
    host = lab.host("tokenless", stage=lab.stage(gateway.build_directory()))
    host.write("/etc/postern/certd.conf.d/token.conf", f"[Tokens]\nModule={MODULE}\n")
    host.systemctl("start", "postern-certd.service", check=False)
    said = host.wait_journal(match=lambda entry: "PKCS#11" in entry["MESSAGE"], _SYSTEMD_UNIT="postern-certd.service")[0]["MESSAGE"]
    assert MODULE in said and "OpenSSL 3.2" in said
    assert "failed" in host.systemctl("is-active", "postern-certd.service", check=False)
