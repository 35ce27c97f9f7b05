# SPDX-License-Identifier: Apache-2.0
"""Programs that are not of the suite serve TLS, and show certificates, with keys that are in certd and nowhere else."""

import re
import subprocess

import pytest

from lab.memory import holders, key_forms
from lab.node import wait_until

ENVIRONMENT = "[Service]\nEnvironment=OPENSSL_CONF=/etc/postern/openssl.cnf\n"
CONFIGURED = ["env", "OPENSSL_CONF=/etc/postern/openssl.cnf"]
NAME = "programs.lab"
ASSIGNMENTS = "/var/lib/postern/certd/assignments"
KEYS = {"ecdsa": "ecdsa-p256", "rsa": "rsa-2048", "ed25519": "ed25519"}

NGINX = """\
user www-data;
worker_processes 2;
error_log /var/log/nginx/error.log info;
events {{ }}
http {{
    access_log off;
    server {{
        listen 443 ssl;
        {certificates}
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets off;
        ssl_client_certificate /etc/nginx/authority.pem;
        ssl_verify_client optional;
        location / {{ return 200 "hello $ssl_client_verify $ssl_client_s_dn\\n"; }}
    }}
}}
"""

HAPROXY = """\
global
    user haproxy
    group haproxy
    chroot /var/lib/haproxy
    nbthread 4
    log stdout format raw local0
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend https
    bind :8443 ssl crt /etc/haproxy/web.pem
    log global
    error-log-format "%ci failed: %[ssl_fc_err_str]"
    http-request return status 200 content-type text/plain string hello
"""


class Programs:
    """The host with the programs, and what an administrator does there."""

    def __init__(self, gate, authority):
        self.gate = gate
        self.authority = authority
        self.assigned = set()

    def __getattr__(self, name):
        return getattr(self.gate, name)

    def ctl(self, *words, **options):
        return self.run(["posternctl", *words], **options).stdout

    def create(self, name, key_type):
        """A certificate that the lab's authority has signed."""
        self.ctl("cert", "create", name, f"--common-name={NAME}", f"--key-type={key_type}")
        request = self.ctl("cert", "request", name)
        signed = subprocess.run(["openssl", "x509", "-req", "-CA", self.authority.certificate, "-CAkey", self.authority.key,
                                 "-days", "2", "-copy_extensions", "copyall"], input=request, text=True, check=True,
                                capture_output=True).stdout
        self.ctl("cert", "install", name, "-", input=signed + self.authority.certificate.read_text())

    def assign(self, name, user):
        self.assigned.add((name, user))
        self._store_assignments()

    def unassign(self, name, user):
        self.assigned.remove((name, user))
        self._store_assignments()

    def _store_assignments(self):
        uids = {user: self.ids(user)[0] for _, user in self.assigned}
        self.write(ASSIGNMENTS, "".join(f"{name} user:{user} {uids[user]}\n" for name, user in sorted(self.assigned)))
        self.run(["chown", "postern-certd:postern-certd", ASSIGNMENTS])
        self.reload("certd")

    def give(self, name, user, chain, pointer):
        """Everything that a program of user needs to use the certificate."""
        self.assign(name, user)
        self.ctl("cert", "export-pem", name, chain, "--force")
        self.ctl("cert", "pointer", name, pointer, "--force")

    def key_forms(self, name):
        """The private key in the forms that it could have in a memory."""
        self.write("/root/passphrase", "a secret\n", mode=0o600)
        self.ctl("cert", "export", name, "/root/key.p12", "--passphrase-file=/root/passphrase", "--force")
        pem = self.run("openssl pkcs12 -in /root/key.p12 -passin file:/root/passphrase -nodes -nocerts | openssl pkey").stdout
        self.run("rm /root/key.p12")
        return key_forms(pem)

    def handshake(self, port, *options):
        """openssl s_client, which verifies chain, name and signature: whether it was content, and its output."""
        result = subprocess.run(["openssl", "s_client", "-connect", f"{self.address}:{port}", "-servername", NAME,
                                 "-verify_hostname", NAME, "-CAfile", self.authority.certificate, "-verify_return_error",
                                 *options], input="Q\n", text=True, capture_output=True, timeout=30)
        output = result.stdout + result.stderr
        return "Verify return code: 0 (ok)" in output and "Peer signature type" in output, output


@pytest.fixture(scope="module")
def programs(lab, dns):
    gate = lab.gateway("programs", dns, [".lab"], packages=["curl", "haproxy", "nginx", "postfix"])
    programs = Programs(gate, lab.authority)
    for name, key_type in KEYS.items():
        programs.create(name, key_type)
    return programs


@pytest.fixture(scope="module")
def nginx(programs):
    certificates = ""
    for name in KEYS:
        programs.give(name, "www-data", f"/etc/nginx/{name}.pem", f"/etc/nginx/{name}.key")
        certificates += f"ssl_certificate /etc/nginx/{name}.pem; ssl_certificate_key /etc/nginx/{name}.key;\n"
    programs.write("/etc/nginx/authority.pem", programs.authority.certificate.read_text())
    programs.write("/etc/nginx/nginx.conf", NGINX.format(certificates=certificates))
    programs.write("/etc/systemd/system/nginx.service.d/postern.conf", ENVIRONMENT)
    programs.systemctl("daemon-reload")
    programs.systemctl("start", "nginx.service")
    return programs


def wait_log(programs, file, text):
    wait_until(lambda: text in programs.read(file), 10, f"'{text}' in {file}")


@pytest.mark.parametrize("version, algorithm, signature", [
    ("-tls1_3", "ecdsa_secp256r1_sha256", "ECDSA"), ("-tls1_2", "ecdsa_secp256r1_sha256", "ECDSA"),
    ("-tls1_3", "rsa_pss_rsae_sha256", "RSA-PSS"), ("-tls1_2", "rsa_pss_rsae_sha256", "RSA-PSS"),
    ("-tls1_2", "rsa_pkcs1_sha256", "RSA"), ("-tls1_3", "ed25519", "Ed25519"), ("-tls1_2", "ed25519", "Ed25519")])
def test_nginx_serves_https(nginx, version, algorithm, signature):
    done, output = nginx.handshake(443, version, "-sigalgs", algorithm)
    assert done, output + nginx.read("/var/log/nginx/error.log")
    # OpenSSL 3.5 calls it by its name in TLS.
    assert re.search(rf"^Peer signature type: ({signature}|{algorithm})$", output, re.MULTILINE | re.IGNORECASE), output


def test_the_key_is_in_certd_and_not_in_nginx(nginx):
    forms = nginx.key_forms("ecdsa")
    for _ in range(4):
        assert nginx.handshake(443, "-sigalgs", "ecdsa_secp256r1_sha256")[0]
    assert holders(nginx, forms, "postern-certd.service")
    assert holders(nginx, forms, "nginx.service") == set()
    assert nginx.run("grep -rl 'PRIVATE KEY' /etc/nginx", check=False).stdout == ""
    assert "BEGIN POSTERN KEY" in nginx.read("/etc/nginx/ecdsa.key")


def test_certd_restarts_and_nginx_goes_on(nginx):
    worker = nginx.pids_of("nginx.service")
    assert nginx.handshake(443)[0]
    nginx.systemctl("restart", "postern-certd.service")
    for _ in range(4):
        done, output = nginx.handshake(443)
        assert done, output
    assert nginx.pids_of("nginx.service") == worker


def test_what_is_assigned_no_more_is_not_signed_with(nginx):
    assert nginx.handshake(443, "-sigalgs", "ed25519")[0]
    nginx.unassign("ed25519", "www-data")
    try:
        assert not nginx.handshake(443, "-sigalgs", "ed25519")[0]
        wait_log(nginx, "/var/log/nginx/error.log", "postern-certd refused to sign")
        wait_log(nginx, "/var/log/nginx/error.log", "Certificate 'ed25519' is not assigned")
        # The others are not concerned.
        assert nginx.handshake(443, "-sigalgs", "ecdsa_secp256r1_sha256")[0]
    finally:
        nginx.assign("ed25519", "www-data")
    done, output = nginx.handshake(443, "-sigalgs", "ed25519")
    assert done, output


def test_another_user_has_the_files_but_not_the_key(nginx):
    server = [*CONFIGURED, "timeout", "20", "openssl", "s_server", "-accept", "4433", "-naccept", "1", "-www",
              "-cert", "/etc/nginx/ecdsa.pem", "-key", "/etc/nginx/ecdsa.key"]
    command = f"""setpriv --reuid=nobody --regid=nogroup --clear-groups {' '.join(server)} >/tmp/server 2>&1 &
        server=$!
        for i in $(seq 100); do ! ss -Hltn 'sport = :4433' | grep -q . || break; sleep 0.1; done
        openssl s_client -connect localhost:4433 </dev/null >/tmp/client 2>&1
        wait $server; cat /tmp/server"""
    output = nginx.run(command, check=False).stdout
    assert "postern-certd refused to sign" in output and "it closed the connection" in output, output


def test_curl_shows_a_certificate(nginx):
    # Given a user with a certificate
    nginx.create("client", "ecdsa-p256")
    nginx.give("client", "games", "/tmp/client.pem", "/tmp/client.key")
    curl = ["curl", "--silent", "--show-error", "--cacert", "/etc/nginx/authority.pem", "--resolve", f"{NAME}:443:127.0.0.1",
            "--cert", "/tmp/client.pem", "--key", "/tmp/client.key", f"https://{NAME}/"]

    # when he asks, then the server knows him,
    for version in ("1.2", "1.3"):
        answer = nginx.run([*CONFIGURED, *curl, "--tls-max", version], user="games").stdout
        assert answer == f"hello SUCCESS CN={NAME}\n"

    # and another user cannot do the same.
    result = nginx.run([*CONFIGURED, *curl], user="nobody", check=False)
    assert result.returncode != 0 and "postern-certd refused to sign" in result.stderr, result.stderr


def test_postfix_does_starttls(programs):
    programs.give("rsa", "postfix", "/etc/postfix/mx.pem", "/etc/postfix/mx.key")
    programs.run(["postconf", "-e", "tls_config_file=/etc/postern/openssl.cnf", "smtpd_tls_cert_file=/etc/postfix/mx.pem",
                  "smtpd_tls_key_file=/etc/postfix/mx.key", "smtpd_tls_security_level=may", "inet_interfaces=all",
                  f"myhostname={NAME}", "maillog_file=/var/log/postfix.log", "mydestination=localhost",
                  "smtpd_peername_lookup=no", "compatibility_level=3.6"])
    programs.run(["postconf", "-M", "-e", "10025/inet=10025 inet n - n - - smtpd"])
    programs.run(["postconf", "-M", "-#", "smtp/inet"])  # its port is the gateway's
    programs.run(["postfix", "start"])
    try:
        wait_until(lambda: programs.run("ss -Hltn 'sport = :10025'").stdout, 20, "Postfix")
        for version in ("-tls1_2", "-tls1_3"):
            done, output = programs.handshake(10025, "-starttls", "smtp", version)
            assert done, output + programs.read("/var/log/postfix.log")
        # The log says why when it does not work.
        programs.unassign("rsa", "postfix")
        assert not programs.handshake(10025, "-starttls", "smtp")[0]
        wait_log(programs, "/var/log/postfix.log", "postern-certd refused to sign")
    finally:
        programs.run(["postfix", "stop"])


def test_haproxy_terminates_tls_in_its_chroot(programs):
    programs.give("ecdsa", "haproxy", "/etc/haproxy/web.pem", "/etc/haproxy/web.pem.key")
    programs.write("/etc/haproxy/haproxy.cfg", HAPROXY)
    programs.write("/etc/systemd/system/haproxy.service.d/postern.conf",
                   ENVIRONMENT + "BindReadOnlyPaths=/run/postern:/var/lib/haproxy/run/postern\n")
    programs.systemctl("daemon-reload")
    programs.systemctl("start", "haproxy.service")
    for version in ("-tls1_2", "-tls1_3"):
        for _ in range(8):
            done, output = programs.handshake(8443, version)
            assert done, output
    assert holders(programs, programs.key_forms("ecdsa"), "haproxy.service") == set()

    # certd restarts, and it goes on.
    programs.systemctl("restart", "postern-certd.service")
    for _ in range(8):
        done, output = programs.handshake(8443)
        assert done, output
    programs.systemctl("stop", "haproxy.service")
