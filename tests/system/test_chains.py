# SPDX-License-Identifier: Apache-2.0
"""Whom deliverd takes for authenticated: the verdicts of the suite, of OpenSSL's s_client and of Postfix's posttls-finger about
the same servers, beside a table of what the RFCs want (RFC 7671, 7672, 6698, 5280, 6125).

One server shows a chain on each port; the records are at _PORT._tcp of its name, in a signed zone. Titles that begin with
dane_N are rows of the delivery matrix.
"""

import concurrent.futures
import re
import subprocess

import pytest

from lab import gateway
from lab.chains import ChainServer, Pki
from lab.dns import Dns
from lab.node import wait_until

DOMAIN = "chains.lab"
BASE = "mx.chains.lab"
FIRST_PORT = 20000
AT_ONCE = 4
LOOKUPS = 3  # a resolver gives up early on a machine that has other things to do

CA = {"basicConstraints": "critical,CA:TRUE", "keyUsage": "critical,keyCertSign,cRLSign", "subjectKeyIdentifier": "hash"}
NOW, OVER, NOT_YET = (-1, 30), (-9, -2), (2, 9)


def make_certificates(pki):
    def ca(name, issuer=None, days=NOW, **other):
        """Extensions of None are left out."""
        extensions = {key: value for key, value in {**CA, **other}.items() if value}
        pki.make(name, issuer, days=days, **extensions)

    def leaf(name, issuer="inter", san=f"DNS:{BASE}", cn="leaf", days=NOW, **other):
        pki.make(name, issuer, cn, days, basicConstraints="CA:FALSE", subjectKeyIdentifier="hash",
                 **({"subjectAltName": san} if san else {}), **other)

    ca("root")
    ca("stranger")
    ca("inter", "root")
    ca("inter2", "inter")
    leaf("leaf")
    leaf("leaf-of-root", "root")
    leaf("leaf-of-2", "inter2")
    leaf("other")  # a certificate that no server has

    # Names
    leaf("wildcard", san=f"DNS:*.{DOMAIN}")
    leaf("wildcard-parent", san="DNS:*.lab")
    leaf("wildcard-below", san=f"DNS:*.{BASE}")
    leaf("wildcard-partial", san=f"DNS:m*.{DOMAIN}")
    leaf("wildcard-inside", san="DNS:mx.*.lab")
    leaf("wildcard-alone", san="DNS:*")
    leaf("wrong", san="DNS:mx.elsewhere.lab")
    leaf("below", san=f"DNS:a.{BASE}")
    leaf("parent", san=f"DNS:{DOMAIN}")
    leaf("dot", san=f"DNS:.{DOMAIN}")
    leaf("two", san=f"DNS:mx.elsewhere.lab,DNS:{BASE}")
    leaf("upper", san=f"DNS:{BASE.upper()}")
    leaf("cn", san=None, cn=BASE)
    leaf("cn-upper", san=None, cn=BASE.upper())
    leaf("cn-wildcard", san=None, cn=f"*.{DOMAIN}")
    leaf("cn-wrong", san=None, cn="mx.elsewhere.lab")
    leaf("cn-ignored", san="DNS:mx.elsewhere.lab", cn=BASE)
    leaf("cn-differs", cn="mx.elsewhere.lab")
    leaf("cn-email", san="email:postmaster@chains.lab", cn=BASE)
    leaf("domain", san=f"DNS:{DOMAIN}")

    # Times
    leaf("expired", days=OVER)
    leaf("future", days=NOT_YET)
    ca("inter-expired", "root", OVER)
    leaf("below-expired", "inter-expired")
    ca("inter-future", "root", NOT_YET)
    leaf("below-future", "inter-future")
    ca("root-expired", None, OVER)
    ca("inter-of-expired", "root-expired")
    leaf("below-root-expired", "inter-of-expired")

    # Purposes
    leaf("eku-server", extendedKeyUsage="serverAuth")
    leaf("eku-both", extendedKeyUsage="clientAuth,serverAuth")
    leaf("eku-client", extendedKeyUsage="clientAuth")
    leaf("eku-mail", extendedKeyUsage="emailProtection")
    ca("inter-client", "root", extendedKeyUsage="clientAuth")
    leaf("below-client", "inter-client")
    ca("inter-server", "root", extendedKeyUsage="serverAuth")
    leaf("below-server", "inter-server")

    # Who may issue
    ca("no-ca", "root", basicConstraints="critical,CA:FALSE", keyUsage=None)
    leaf("below-no-ca", "no-ca")
    ca("no-constraints", "root", basicConstraints=None, keyUsage=None)
    leaf("below-no-constraints", "no-constraints")
    ca("no-sign", "root", keyUsage="critical,cRLSign")
    leaf("below-no-sign", "no-sign")
    ca("root-short", None, basicConstraints="critical,CA:TRUE,pathlen:0")
    ca("too-deep", "root-short")
    leaf("below-too-deep", "too-deep")
    leaf("of-short", "root-short")
    ca("inter-short", "root", basicConstraints="critical,CA:TRUE,pathlen:0")
    ca("inter-too-deep", "inter-short")
    leaf("below-inter-too-deep", "inter-too-deep")
    leaf("of-inter-short", "inter-short")

    # Name constraints
    for name, constraints in {"kept": f"permitted;DNS:{DOMAIN}", "broken": "permitted;DNS:elsewhere.lab",
                              "excluded": f"excluded;DNS:{DOMAIN}", "other-excluded": "excluded;DNS:elsewhere.lab"}.items():
        ca(f"nc-{name}", "root", nameConstraints=f"critical,{constraints}")
        leaf(f"below-{name}", f"nc-{name}")
    ca("root-nc", None, nameConstraints="critical,permitted;DNS:elsewhere.lab")
    leaf("below-root-nc", "root-nc")

    # Without an issuer
    leaf("self", None)
    leaf("self-wrong", None, san="DNS:mx.elsewhere.lab", cn="wrong", days=OVER)
    ca("self-ca", None, subjectAltName=f"DNS:{BASE}")


UNBOUND = """\
server:
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    trust-anchor: "{anchor}"
stub-zone:
    name: "lab."
    stub-addr: {address}
"""


class Settled(Dns):
    """Nothing of it changes."""

    ttl = 3600


class Case:
    """chain: what the server sends. records: "3 1 1 NAME" of a certificate, or hexadecimal data in place of the name. wanted: the
    verdict of the suite. domain: the records are found by way of the domain's MX, so its name counts, too."""

    def __init__(self, title, chain, records, wanted, domain=False):
        self.title = title
        self.chain = chain.split()
        self.records = [records] if isinstance(records, str) else records
        self.wanted = wanted
        self.domain = domain

    def tlsa(self, pki):
        found = []
        for record in self.records:
            usage, selector, matching, what = record.split()
            made = re.fullmatch("[0-9a-f]{8,}", what) is None
            found.append(pki[what].tlsa(int(usage), int(selector), int(matching)) if made else record)
        return found

    @property
    def kind(self):
        return "dane" if self.records else "pkix"

    @property
    def names(self):
        return [BASE, DOMAIN] if self.domain else [BASE]


FORMS = [(selector, matching) for selector in (0, 1) for matching in (0, 1, 2)]
FULL = "leaf inter root"


def every_form(title, chain, usage, what, wanted):
    """A case for each selector and matching type. wanted: a verdict, or that of each form."""
    return [Case(f"{title}, {usage} {s} {m}", chain, f"{usage} {s} {m} {what}",
                 wanted if isinstance(wanted, str) else wanted.get((s, m), wanted[None])) for s, m in FORMS]


# The certificate or the key itself is in the record, so that it need not be sent (RFC 7671, section 5.2.3).
WHOLE = {(0, 0): "dane", (1, 0): "dane", None: "tlsa-mismatch"}

CASES = [
    # Usage, selector, matching type and where the anchor is
    *every_form("dane_33-leaf", FULL, 3, "leaf", "dane"),
    *every_form("dane_33-leaf mismatch", FULL, 3, "other", "tlsa-mismatch"),
    *every_form("dane_36-issuer only", FULL, 3, "inter", "tlsa-mismatch"),
    *every_form("dane_37-root", FULL, 2, "root", "dane"),
    *every_form("dane_37-intermediate", FULL, 2, "inter", "dane"),
    *every_form("dane_37-mismatch", FULL, 2, "stranger", "tlsa-mismatch"),
    *every_form("dane_39_40-root absent", "leaf inter", 2, "root", WHOLE),
    *every_form("dane_39_40-intermediate absent", "leaf", 2, "inter", WHOLE),
    *every_form("dane_41-leaf only", FULL, 2, "leaf", "tlsa-mismatch"),
    *every_form("dane_35-self-signed", "self", 3, "self", "dane"),
    *every_form("dane_41-self-signed", "self", 2, "self", {(1, 0): "dane", None: "tlsa-mismatch"}),
    Case("dane_41-self-signed authority as leaf", "self-ca", "2 0 1 self-ca", "tlsa-mismatch"),
    Case("dane_37-root of a short chain", "leaf-of-root root", "2 0 1 root", "dane"),
    Case("dane_37-root of a long chain", "leaf-of-2 inter2 inter root", "2 1 2 root", "dane"),
    Case("dane_37-second of a long chain", "leaf-of-2 inter2 inter root", "2 1 1 inter", "dane"),
    Case("dane_39-long chain without its root", "leaf-of-2 inter2 inter", "2 1 1 root", "tlsa-mismatch"),
    Case("dane_40-long chain without its root", "leaf-of-2 inter2 inter", "2 0 0 root", "dane"),
    Case("dane_39-gap in the chain", "leaf-of-2 inter root", "2 1 1 root", "tlsa-mismatch"),
    Case("dane_37-wrong order", "leaf root inter", "2 1 1 root", "dane"),
    Case("dane_37-a stranger among them", "leaf stranger inter root", "2 1 1 root", "dane"),
    Case("dane_37-stranger sent and named", "leaf inter root stranger", "2 1 1 stranger", "tlsa-mismatch"),
    Case("dane_40-wrong root in full", "leaf inter", "2 0 0 stranger", "tlsa-mismatch"),

    # What does not count
    Case("dane_28-PKIX-TA", FULL, "0 0 1 root", "unusable"),
    Case("dane_28-PKIX-TA of a key", FULL, "0 1 1 root", "unusable"),
    Case("dane_28-PKIX-EE", FULL, "1 0 1 leaf", "unusable"),
    Case("dane_28-PKIX-EE of a key", FULL, "1 1 2 leaf", "unusable"),
    Case("dane_28-usage 4", FULL, f"4 1 1 {'00' * 32}", "unusable"),
    Case("dane_28-usage 255", FULL, f"255 1 1 {'00' * 32}", "unusable"),
    Case("dane_28-selector 2", FULL, f"3 2 1 {'00' * 32}", "unusable"),
    Case("dane_28-matching type 3", FULL, f"3 1 3 {'00' * 48}", "unusable"),
    Case("dane_28-short digest", FULL, f"3 1 1 {'00' * 31}", "unusable"),
    Case("dane_28-long digest", FULL, f"3 1 2 {'00' * 65}", "unusable"),
    Case("dane_28-no certificate", FULL, f"2 0 0 {'30' * 64}", "unusable"),
    Case("dane_28-no key", FULL, f"3 1 0 {'30' * 64}", "unusable"),

    # Several records
    Case("dane_30-PKIX-EE and DANE-EE", FULL, ["1 1 1 leaf", "3 1 1 leaf"], "dane"),
    Case("dane_30-PKIX-TA and wrong DANE-EE", FULL, ["0 1 1 root", "3 1 1 other"], "tlsa-mismatch"),
    Case("dane_30-short digest and DANE-TA", FULL, [f"3 1 1 {'00' * 31}", "2 0 1 root"], "dane"),
    Case("dane_30-unknown matching type and DANE-EE", FULL, [f"3 1 9 {'00' * 31}", "3 0 2 leaf"], "dane"),
    Case("dane_31-SHA-512 mismatch, SHA-256 match", FULL, ["3 1 2 other", "3 1 1 leaf"], "tlsa-mismatch"),
    Case("dane_31-SHA-256 mismatch, SHA-512 match", FULL, ["3 1 1 other", "3 1 2 leaf"], "dane"),
    Case("dane_31-the same of an anchor", FULL, ["2 0 2 stranger", "2 0 1 root"], "tlsa-mismatch"),
    Case("dane_32-other selector", FULL, ["3 0 2 other", "3 1 1 leaf"], "dane"),
    Case("dane_32-other usage", FULL, ["2 1 2 stranger", "3 1 1 leaf"], "dane"),
    Case("dane_32-in full", FULL, ["3 1 2 other", "3 1 0 leaf"], "dane"),
    Case("dane_32-unusable SHA-512", FULL, [f"3 1 2 {'00' * 63}", "3 1 1 leaf"], "dane"),
    Case("dane_33-mismatch and match", FULL, ["3 1 1 other", "3 1 1 leaf"], "dane"),
    Case("dane_33-three mismatches", FULL, ["3 1 1 other", "3 0 1 other", "2 1 1 stranger"], "tlsa-mismatch"),
    Case("dane_34-DANE-EE mismatch, DANE-TA match", FULL, ["3 1 1 other", "2 1 1 root"], "dane"),
    Case("dane_34-DANE-EE match of a wrong name, DANE-TA match", "wrong inter root", ["3 1 1 wrong", "2 1 1 root"], "dane"),
    Case("dane_34-DANE-EE mismatch, DANE-TA match of a wrong name", "wrong inter root", ["3 1 1 leaf", "2 1 1 root"],
         "name-mismatch"),

    # Names
    Case("dane_38-wrong name", "wrong inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_38-wrong name, anchor from DNS", "wrong inter", "2 0 0 root", "name-mismatch"),
    Case("dane_38-name below", "below inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_38-name above", "parent inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_38-name with a dot in front", "dot inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_43-second of two names", "two inter root", "2 1 1 root", "dane"),
    Case("dane_43-capitals", "upper inter root", "2 1 1 root", "dane"),
    Case("dane_43-the domain", "domain inter root", "2 1 1 root", "dane", domain=True),
    Case("dane_43-the host, by way of the domain", FULL, "2 1 1 root", "dane", domain=True),
    Case("dane_43-another, by way of the domain", "wrong inter root", "2 1 1 root", "name-mismatch", domain=True),
    Case("dane_44-common name only", "cn inter root", "2 1 1 root", "dane"),
    Case("dane_44-common name in capitals", "cn-upper inter root", "2 1 1 root", "dane"),
    Case("dane_44-common name with a wildcard", "cn-wildcard inter root", "2 1 1 root", "dane"),
    Case("dane_44-wrong common name", "cn-wrong inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_44-common name beside another DNS name", "cn-ignored inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_44-another common name beside the DNS name", "cn-differs inter root", "2 1 1 root", "dane"),
    Case("dane_44-common name beside a mail address", "cn-email inter root", "2 1 1 root", "dane"),
    Case("dane_44-wildcard", "wildcard inter root", "2 1 1 root", "dane"),
    Case("dane_44-wildcard for two labels", "wildcard-parent inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_44-wildcard for none", "wildcard-below inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_44-wildcard as a part", "wildcard-partial inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_44-wildcard inside", "wildcard-inside inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_44-wildcard alone", "wildcard-alone inter root", "2 1 1 root", "name-mismatch"),
    Case("dane_35-wrong name", "wrong inter root", "3 1 1 wrong", "dane"),
    Case("dane_35-wrong name by certificate", "wrong inter root", "3 0 1 wrong", "dane"),
    Case("dane_35-wrong name and nothing else sent", "wrong", "3 1 2 wrong", "dane"),

    # Times
    Case("dane_42-expired leaf", "expired inter root", "2 1 1 root", "expired"),
    Case("dane_42-leaf not yet valid", "future inter root", "2 1 1 root", "not-yet-valid"),
    Case("dane_42-expired intermediate", "below-expired inter-expired root", "2 1 1 root", "expired"),
    Case("dane_42-intermediate not yet valid", "below-future inter-future root", "2 1 1 root", "not-yet-valid"),
    Case("dane_42-expired root", "below-root-expired inter-of-expired root-expired", "2 1 1 root-expired", "expired"),
    Case("dane_42-expired root from DNS", "below-root-expired inter-of-expired", "2 0 0 root-expired", "expired"),
    Case("dane_40-key of an expired root from DNS", "below-root-expired inter-of-expired", "2 1 0 root-expired", "dane"),
    Case("dane_37-expired root above the anchor", "below-root-expired inter-of-expired root-expired", "2 1 1 inter-of-expired",
         "dane"),
    Case("dane_35-expired leaf", "expired inter root", "3 1 1 expired", "dane"),
    Case("dane_35-leaf not yet valid", "future inter root", "3 0 1 future", "dane"),
    Case("dane_35-expired intermediate", "below-expired inter-expired root", "3 1 1 below-expired", "dane"),
    Case("dane_35-expired and self-signed for another", "self-wrong", "3 1 1 self-wrong", "dane"),

    # Purposes
    Case("dane_37-for servers", "eku-server inter root", "2 1 1 root", "dane"),
    Case("dane_37-for clients and servers", "eku-both inter root", "2 1 1 root", "dane"),
    Case("dane_42-for clients", "eku-client inter root", "2 1 1 root", "wrong-purpose"),
    Case("dane_42-for mail", "eku-mail inter root", "2 1 1 root", "wrong-purpose"),
    Case("dane_42-intermediate for clients", "below-client inter-client root", "2 1 1 root", "wrong-purpose"),
    Case("dane_37-intermediate for servers", "below-server inter-server root", "2 1 1 root", "dane"),
    Case("dane_35-for clients", "eku-client inter root", "3 1 1 eku-client", "dane"),
    Case("dane_35-intermediate for clients", "below-client inter-client root", "3 1 1 below-client", "dane"),

    # Who may issue
    Case("dane_42-issuer is no authority", "below-no-ca no-ca root", "2 1 1 root", "invalid"),
    Case("dane_42-issuer without basic constraints", "below-no-constraints no-constraints root", "2 1 1 root", "invalid"),
    Case("dane_42-issuer may not sign certificates", "below-no-sign no-sign root", "2 1 1 root", "invalid"),
    Case("dane_42-path too long for the root", "below-too-deep too-deep root-short", "2 1 1 root-short", "invalid"),
    Case("dane_37-path just as long", "of-short root-short", "2 1 1 root-short", "dane"),
    Case("dane_42-path too long for an intermediate", "below-inter-too-deep inter-too-deep inter-short root", "2 1 1 root",
         "invalid"),
    Case("dane_37-path just as long below an intermediate", "of-inter-short inter-short root", "2 1 1 root", "dane"),
    Case("dane_37-path too long above the anchor", "below-inter-too-deep inter-too-deep inter-short root", "2 1 1 inter-too-deep",
         "dane"),
    Case("dane_35-issuer is no authority", "below-no-ca no-ca root", "3 1 1 below-no-ca", "dane"),
    Case("dane_35-path too long", "below-too-deep too-deep root-short", "3 1 1 below-too-deep", "dane"),

    # Name constraints
    Case("dane_37-name permitted", "below-kept nc-kept root", "2 1 1 root", "dane"),
    Case("dane_42-name not permitted", "below-broken nc-broken root", "2 1 1 root", "invalid"),
    Case("dane_42-name excluded", "below-excluded nc-excluded root", "2 1 1 root", "invalid"),
    Case("dane_37-other name excluded", "below-other-excluded nc-other-excluded root", "2 1 1 root", "dane"),
    Case("dane_42-name not permitted by the root", "below-root-nc root-nc", "2 1 1 root-nc", "invalid"),
    Case("dane_35-name not permitted", "below-broken nc-broken root", "3 1 1 below-broken", "dane"),
]

# Without records: by authorities, of which "root" is the only one (RFC 5280, 6125).
PKIX_CASES = [
    Case("pkix-everything sent", FULL, [], "pkix"),
    Case("pkix-root not sent", "leaf inter", [], "pkix"),
    Case("pkix-wrong order", "leaf root inter", [], "pkix"),
    Case("pkix-short chain", "leaf-of-root", [], "pkix"),
    Case("pkix-long chain", "leaf-of-2 inter2 inter", [], "pkix"),
    Case("pkix-intermediate not sent", "leaf", [], "chain-incomplete"),
    Case("pkix-gap in the chain", "leaf-of-2 inter root", [], "untrusted"),
    Case("pkix-other root", "below-root-nc root-nc", [], "untrusted"),
    Case("pkix-self-signed", "self", [], "self-signed"),
    Case("pkix-self-signed authority", "self-ca", [], "self-signed"),
    Case("pkix-wrong name", "wrong inter", [], "name-mismatch"),
    Case("pkix-name above", "parent inter", [], "name-mismatch"),
    Case("pkix-second of two names", "two inter", [], "pkix"),
    Case("pkix-capitals", "upper inter", [], "pkix"),
    Case("pkix-common name only", "cn inter", [], "pkix"),
    Case("pkix-common name beside another DNS name", "cn-ignored inter", [], "name-mismatch"),
    Case("pkix-wildcard", "wildcard inter", [], "pkix"),
    Case("pkix-wildcard for two labels", "wildcard-parent inter", [], "name-mismatch"),
    Case("pkix-wildcard as a part", "wildcard-partial inter", [], "name-mismatch"),
    Case("pkix-expired leaf", "expired inter", [], "expired"),
    Case("pkix-leaf not yet valid", "future inter", [], "not-yet-valid"),
    Case("pkix-expired intermediate", "below-expired inter-expired", [], "expired"),
    Case("pkix-for clients", "eku-client inter", [], "wrong-purpose"),
    Case("pkix-intermediate for clients", "below-client inter-client", [], "wrong-purpose"),
    Case("pkix-issuer is no authority", "below-no-ca no-ca", [], "invalid"),
    Case("pkix-issuer may not sign certificates", "below-no-sign no-sign", [], "invalid"),
    Case("pkix-path too long", "below-inter-too-deep inter-too-deep inter-short", [], "invalid"),
    Case("pkix-name permitted", "below-kept nc-kept", [], "pkix"),
    Case("pkix-name not permitted", "below-broken nc-broken", [], "invalid"),
    Case("pkix-name excluded", "below-excluded nc-excluded", [], "invalid"),
]
ALL = CASES + PKIX_CASES

# Who says otherwise than the table, and why.
PARTS = "s_client has no option that forbids a wildcard to be a part of a label (RFC 6125, section 7.2; RFC 7672, section 3.2.3)"
DIFFERENCES = {
    "dane_44-wildcard as a part": {"s_client": PARTS},
    "pkix-wildcard as a part": {"s_client": PARTS},
}
AUTHENTICATED = ("dane", "pkix")


@pytest.fixture(scope="module")
def pki(lab):
    pki = Pki(lab.directory / "chains")
    make_certificates(pki)
    return pki


@pytest.fixture(scope="module")
def ports(lab, pki):
    """A port of the server for each case."""
    server = ChainServer(lab.address, [pki.server_context(case.chain) for case in ALL], FIRST_PORT)
    yield {case.title: FIRST_PORT + i for i, case in enumerate(ALL)}
    server.stop()


@pytest.fixture(scope="module")
def finger(lab, pki, ports):
    """A machine with posttls-finger, which takes the word of a validating resolver for the records."""
    records = [(DOMAIN, "MX", f"10 {BASE}."), (BASE, "A", lab.address)]
    for case in CASES:
        records += [(f"_{ports[case.title]}._tcp.{BASE}", "TLSA", record) for record in case.tlsa(pki)]
    dns = Settled(lab.peer("chains-dns", ["bind9-dnsutils", "knot", "knot-dnsutils"]), {"lab": "signed"}, records)
    peer = lab.peer("finger", ["postfix", "unbound"])
    peer.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions edns0 trust-ad\n")
    peer.write("/etc/postfix/main.cf", "compatibility_level = 3.6\ninet_protocols = ipv4\n")
    peer.write("/etc/authorities.pem", pki["root"].pem)
    peer.write("/etc/unbound/unbound.conf", UNBOUND.format(anchor=dns.anchor(), address=dns.address))
    peer.start("/usr/sbin/unbound", "-d", "-c", "/etc/unbound/unbound.conf")
    wait_until(lambda: peer.run(["ss", "-Hltn", "sport = :53"]).stdout.strip(), what="the resolver")
    return peer


def suite_verdicts(lab, pki, ports):
    """The word of tests/programs/verify-peers for each case."""
    lines = []
    for case in ALL:
        records = "".join(f" {record.replace(' ', ':')}" for record in case.tlsa(pki))
        lines.append(f"{lab.address} {ports[case.title]} {case.kind} {','.join(case.names)}{records}\n")
    result = subprocess.run([gateway.build_directory() / "tests/programs/verify-peers", pki["root"].path], input="".join(lines),
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return dict(zip(ports, result.stdout.splitlines(), strict=True))


def s_client(lab, pki, case, port, name):
    """s_client knows one name at a time."""
    if case.kind == "dane":
        how = ["-dane_tlsa_domain", name, "-dane_ee_no_namechecks"]
        how += [word for record in case.tlsa(pki) for word in ("-dane_tlsa_rrdata", record)]
    else:
        how = ["-verify_hostname", name, "-CAfile", pki["root"].path]
    command = ["openssl", "s_client", "-starttls", "smtp", "-connect", f"{lab.address}:{port}", "-servername", BASE, *how]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    text = result.stdout + result.stderr
    return "Verify return code: 0 (ok)" in text and (case.kind == "pkix" or "DANE TLSA" in text), text


def posttls_finger(finger, case, port):
    how = ["-l", "dane"] if case.kind == "dane" else ["-l", "secure", "-F", "/etc/authorities.pem"]
    destination = f"{DOMAIN if case.domain else f'[{BASE}]'}:{port}"
    match = [] if case.kind == "dane" else [BASE]
    for _ in range(LOOKUPS):
        result = finger.run(["posttls-finger", "-t", "30", "-T", "30", *how, destination, *match], check=False)
        text = result.stdout + result.stderr
        if "lookup problem" not in text:
            break
    assert "TLS connection established" in text, text
    return "Verified TLS connection established" in text, text


class Verdicts:
    """What each of the three says of each case: verdicts, and for the other two what they printed."""

    def __init__(self, lab, pki, ports, finger):
        self.suite = suite_verdicts(lab, pki, ports)

        def ask(case):
            port = ports[case.title]
            answers = [s_client(lab, pki, case, port, name) for name in case.names]
            return next((answer for answer in answers if answer[0]), answers[0]), posttls_finger(finger, case, port)

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            answers = dict(zip(ports, pool.map(ask, ALL), strict=True))
        self.s_client = {title: answer[0] for title, answer in answers.items()}
        self.posttls_finger = {title: answer[1] for title, answer in answers.items()}


@pytest.fixture(scope="module")
def verdicts(lab, pki, ports, finger):
    return Verdicts(lab, pki, ports, finger)


@pytest.mark.parametrize("case", ALL, ids=[case.title.replace(" ", "_") for case in ALL])
def test_verdict(verdicts, case):
    differs = DIFFERENCES.get(case.title, {})
    assert verdicts.suite[case.title] == case.wanted
    for who in ("s_client", "posttls_finger"):
        authenticated, text = getattr(verdicts, who)[case.title]
        assert authenticated == ((case.wanted in AUTHENTICATED) != (who in differs)), f"{who}: {text}"


def test_that_there_are_enough(verdicts, capsys):
    assert len(CASES) >= 100 and len(verdicts.suite) == len(ALL)
    with capsys.disabled():
        print(f"\n{len(ALL)} chains and record sets ({len(CASES)} with DANE): the suite, s_client and posttls-finger agree on "
              f"all but {len(DIFFERENCES)}")
        for title, who in DIFFERENCES.items():
            print(f"  {title}: {', '.join(who.values())}")
