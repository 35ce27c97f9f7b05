# SPDX-License-Identifier: Apache-2.0
"""A remote mail server: Debian's Postfix, which takes all mail for a domain and stores every message as it came."""

from .certs import Certificate
from .message import Message
from .node import wait_until

STORE = "/var/lab-mail"

MAIN = {
    "compatibility_level": "3.6",
    "maillog_file": "/dev/stdout",
    "inet_interfaces": "all",
    "inet_protocols": "ipv4",
    "mydestination": "",
    "mynetworks": "127.0.0.1/32",
    "alias_maps": "",
    "smtpd_peername_lookup": "no",
    "smtpd_relay_restrictions": "reject_unauth_destination",
    "virtual_transport": "store",
    "message_size_limit": "0",
    "virtual_mailbox_limit": "0",
    "default_process_limit": "50",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_tls_loglevel": "1",
    "smtpd_tls_received_header": "yes",
    "smtpd_tls_chain_files": "/etc/postfix/key.pem, /etc/postfix/chain.pem",
    "smtpd_tls_security_level": "may",
    "in_flow_delay": "0",
}

MASTER = """\
smtp      inet  n - n - -   smtpd
pickup    unix  n - n 60 1  pickup
cleanup   unix  n - n - 0   cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - -   trivial-rewrite
bounce    unix  - - n - 0   bounce
defer     unix  - - n - 0   bounce
trace     unix  - - n - 0   bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - -   proxymap
smtp      unix  - - n - -   smtp
relay     unix  - - n - -   smtp
showq     unix  n - n - -   showq
error     unix  - - n - -   error
retry     unix  - - n - -   error
discard   unix  - - n - -   discard
anvil     unix  - - n - 1   anvil
scache    unix  - - n - 1   scache
postlog   unix-dgram n - n - 1 postlogd
store     unix  - n n - 20  pipe flags=X user=nobody argv=/usr/local/bin/lab-store ${queue_id} ${sender} ${recipient}
"""

# pipe(8) gives the message with LF line ends and changes nothing else. A file appears under its final name when it is complete.
STORE_SCRIPT = f"""\
#!/bin/sh
set -e
file={STORE}/$(date +%s.%N).$1
{{ printf '%s\\n' "$2" "$3"; cat; }} > "$file.new"
mv "$file.new" "$file.eml"
"""


class Mx:
    """Made by Lab.mx(). Without a certificate it makes a self-signed one for its name; certificate=False: no TLS.
    Other keyword arguments are settings of main.cf."""

    def __init__(self, peer, domain, certificate, settings):
        self.peer = peer
        self.name = f"{peer.name}.lab"
        self.domain = domain
        self.address = peer.address
        if certificate is None:
            certificate = Certificate.self_signed(peer.directory, self.name)
        self.certificate = certificate or None
        main = {**MAIN, "myhostname": self.name, "virtual_mailbox_domains": domain, **settings}
        if self.certificate:
            self._write_certificate()
        else:
            main["smtpd_tls_security_level"] = "none"
            del main["smtpd_tls_chain_files"]
        peer.write("/etc/postfix/main.cf", "".join(f"{key} = {value}\n" for key, value in main.items()))
        peer.write("/etc/postfix/master.cf", MASTER)
        peer.write("/usr/local/bin/lab-store", STORE_SCRIPT, mode=0o755)
        store = peer.path(STORE)
        store.mkdir()
        store.chmod(0o777)
        peer.start("/usr/sbin/postfix", "start-fg")
        peer.wait_listening(25)

    def _write_certificate(self):
        self.peer.write("/etc/postfix/key.pem", self.certificate.key.read_bytes(), mode=0o600)
        self.peer.write("/etc/postfix/chain.pem", self.certificate.chain.read_bytes())

    def use_certificate(self, certificate):
        """Another certificate, for connections from now on."""
        self.certificate = certificate
        self._write_certificate()
        self.peer.run(["postfix", "reload"])

    def set(self, **settings):
        """Change settings of main.cf, for connections from now on."""
        self.peer.run(["postconf", "-e", *(f"{key} = {value}" for key, value in settings.items())])
        self.peer.run(["postfix", "reload"])

    def tlsa(self, usage=3, selector=1, matching=1):
        return self.certificate.tlsa(usage, selector, matching)

    def messages(self):
        """All messages stored so far, the oldest first."""
        found = []
        for path in sorted(self.peer.path(STORE).glob("*.eml")):
            sender, recipient, raw = path.read_bytes().split(b"\n", 2)
            found.append(Message(raw.replace(b"\n", b"\r\n"), sender.decode(), [recipient.decode()]))
        return found

    def wait_messages(self, count=1, timeout=20):
        """Wait until at least count messages are stored; return all of them."""
        def stored():
            return len(list(self.peer.path(STORE).glob("*.eml"))) >= count

        try:
            wait_until(stored, timeout, f"{count} messages at {self.name}")
        except AssertionError as error:
            raise type(error)(f"{error}; there are {len(self.messages())}; the log of {self.name}:\n{self.log()[-3000:]}") from None
        return self.messages()

    def clear(self):
        """Forget what is stored, as soon as nothing is on its way to there."""
        spool = self.peer.path("/var/spool/postfix")
        wait_until(lambda: not [*spool.glob("incoming/*"), *spool.glob("active/*")], what=f"the queue of {self.name} to be empty")
        for path in self.peer.path(STORE).iterdir():
            path.unlink()

    def log(self):
        return self.peer.log.read_text(errors="replace")
