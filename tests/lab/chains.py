# SPDX-License-Identifier: Apache-2.0
"""Many chains of certificates, good and bad, and one server that shows another of them on each of its ports."""

import contextlib
import datetime
import hashlib
import socket
import ssl
import subprocess
import threading

# "openssl ca" is the one of its commands that takes a time which is past, and every extension as it is written.
CA = """\
[ca]
default_ca = c
[c]
database = index
new_certs_dir = .
policy = p
default_md = sha256
rand_serial = yes
unique_subject = no
[p]
commonName = supplied
"""


def _time(days):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


class Made:
    """A certificate: what names it in TLSA records, and its files."""

    def __init__(self, pki, name, issuer, cn, extensions, days):
        self.key, self.path = pki.directory / f"{name}.key", pki.directory / f"{name}.pem"
        pki.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
                    "-subj", f"/CN={cn}", "-out", "request")
        (pki.directory / "extensions").write_text("".join(f"{key}={value}\n" for key, value in extensions.items()))
        signer = ["-cert", issuer.path, "-keyfile", issuer.key] if issuer else ["-selfsign", "-keyfile", self.key]
        pki.openssl("ca", "-batch", "-notext", "-config", "ca.cnf", *signer, "-in", "request", "-out", self.path,
                    "-startdate", _time(days[0]), "-enddate", _time(days[1]), "-extfile", "extensions")
        self.pem = self.path.read_text()
        self.der = ssl.PEM_cert_to_DER_cert(self.pem)
        self.spki = pki.openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")

    def tlsa(self, usage, selector, matching):
        """The data of a TLSA record (RFC 6698) that names this certificate."""
        data = self.spki if selector == 1 else self.der
        digest = {1: hashlib.sha256, 2: hashlib.sha512}.get(matching)
        return f"{usage} {selector} {matching} {(digest(data).digest() if digest else data).hex()}"


class Pki:
    """Certificates by name, made by make(). Extensions are those of the arguments and no others."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        (directory / "ca.cnf").write_text(CA)
        (directory / "index").touch()
        self._made = {}

    def openssl(self, *arguments):
        result = subprocess.run(["openssl", *map(str, arguments)], cwd=self.directory, capture_output=True)
        if result.returncode != 0:
            raise AssertionError(f"openssl {arguments}: {result.stderr.decode()}")
        return result.stdout

    def make(self, name, issuer=None, cn=None, days=(-1, 30), **extensions):
        self._made[name] = Made(self, name, self._made[issuer] if issuer else None, cn or name, extensions, days)

    def __getitem__(self, name):
        return self._made[name]

    def server_context(self, chain):
        """For a server that shows these certificates, the leaf first, and nothing else."""
        path = self.directory / ("+".join(chain) + ".chain")
        if not path.exists():
            path.write_text("".join(self[name].pem for name in chain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path, self[chain[0]].key)
        return context


class ChainServer:
    """Just as much of an SMTP server as it takes to get to TLS, on ports from first on, one for each context."""

    def __init__(self, address, contexts, first):
        self.address = address
        self._listeners = [socket.create_server((address, first + i), backlog=16) for i in range(len(contexts))]
        for listener, context in zip(self._listeners, contexts):
            threading.Thread(target=self._accept, args=(listener, context), daemon=True).start()

    def stop(self):
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener, context):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, context), daemon=True).start()

    @staticmethod
    def _serve(connection, context):
        """After TLS a transaction is turned away, with which every client is content."""
        with contextlib.suppress(OSError), connection:
            connection.settimeout(30)
            connection.sendall(b"220 chains.lab ESMTP\r\n")
            stream = connection.makefile("rb")
            while line := stream.readline():
                verb = line.split()[0].upper() if line.split() else b""
                if verb == b"EHLO" and not isinstance(connection, ssl.SSLSocket):
                    connection.sendall(b"250-chains.lab\r\n250 STARTTLS\r\n")
                elif verb == b"STARTTLS":
                    connection.sendall(b"220 2.0.0 Go ahead\r\n")
                    connection = context.wrap_socket(connection, server_side=True)
                    stream = connection.makefile("rb")
                elif verb == b"MAIL":
                    connection.sendall(b"421 4.3.2 Enough\r\n")
                    return
                else:
                    connection.sendall(b"221 2.0.0 Bye\r\n" if verb == b"QUIT" else b"250 chains.lab\r\n")
                    if verb == b"QUIT":
                        return
