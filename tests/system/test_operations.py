# SPDX-License-Identifier: Apache-2.0
"""Everything that can be done with certificates, by posternctl and over the bus, with openssl as the judge; and what cannot be
done says why and changes nothing."""

import contextlib
import hashlib
import re
import subprocess

import pytest

from lab import Authority, Certificate, Posternctl
from lab.bus import BusError, PublicInterface, memfd
from lab.node import wait_until

WORK = "/root/operations"
STORE = "/var/lib/postern/certd"
HOST = "mx.operations.lab"
SUBJECT = {"CommonName": HOST, "Organization": "Häuser & Söhne, Ltd.", "Unit": "Mail", "City": "Zürich", "State": "ZH",
           "Country": "CH"}
KEY_TYPES = {"ecdsa-p256": "prime256v1", "ecdsa-p384": "secp384r1", "ed25519": "ED25519", "rsa-2048": "2048 bit",
             "rsa-3072": "3072 bit", "rsa-4096": "4096 bit"}
SUCCESS, FAILURE, USAGE, NOT_RUNNING, NOT_PERMITTED, NOT_FOUND = range(6)


def openssl(*arguments, data=None):
    data = data.encode() if isinstance(data, str) else data
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True).stdout.decode()


def blocks(pem):
    return re.findall(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n", pem)


# The two ways in. What is refused is a Refused of either, with what tells a program why.

class Refused(Exception):
    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


def _kebab(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


class ByPosternctl:
    """Every operation as one command."""

    def __init__(self, ctl):
        self.ctl = ctl

    def _call(self, command, *words, options=None, input=None):
        flags = []
        for name, value in (options or {}).items():
            if value is True:
                flags.append(f"--{_kebab(name)}")
            elif name == "Names":
                flags += [f"--name={item}" for item in value]
            else:
                flags.append(f"--{_kebab(name)}={value}")
        result = self.ctl("cert", command, *words, *flags, input=input)
        if result.status != SUCCESS:
            assert result.text == ""
            raise Refused(result.status, result.error.strip())
        return result

    def _file(self, content):
        self.ctl.write("file", content)
        return "file"

    def _secret(self, passphrase):
        self.ctl.write("passphrase", passphrase + "\n")
        return {"PassphraseFile": "passphrase"}

    def names(self):
        return [certificate["Name"] for certificate in self.ctl("cert", "list", "--json").json]

    def details(self, name):
        return self._call("show", name, "--json").json

    def tlsa(self, name):
        text = self._call("tlsa", name, options={"Host": HOST}).text
        return text.removeprefix(f"_25._tcp.{HOST}. IN TLSA ").splitlines()[0]

    def pem(self, name):
        return self._call("export-pem", name).text

    def create(self, name, **options):
        self._call("create", name, options=options)

    def request(self, name):
        return self._call("request", name).text

    def last_request(self, name):
        return self._call("request", name, options={"Last": True}).text

    def install(self, name, content, **options):
        self._call("install", name, self._file(content), options=options)

    def add_intermediates(self, name, content, **options):
        self._call("add-intermediate", name, self._file(content), options=options)

    def import_pkcs12(self, content, passphrase, name, **options):
        self._call("import", self._file(content), name, options={**options, **self._secret(passphrase)})

    def export_pkcs12(self, name, passphrase):
        self._call("export", name, "out.p12", options={"Force": True, **self._secret(passphrase)})
        return self.ctl.path("out.p12").read_bytes()

    def rename(self, name, new_name, **options):
        self._call("rename", name, new_name, options=options)

    def delete(self, name, **options):
        self._call("delete", name, options=options)

    def forbid_export(self, name):
        self._call("forbid-export", name)


KINDS = {"Days": "u", "Names": "as", "ForbidExport": "b", "Incomplete": "b", "Replace": "b"}


def _variants(options):
    return {name: (KINDS.get(name, "s"), value) for name, value in options.items()}


class OverTheBus:
    """Every operation as one call of org.postern.Cert1."""

    def __init__(self, gate):
        self.interface = PublicInterface(gate, "Cert1")

    def _busctl(self, *words):
        try:
            return self.interface.busctl(*words)
        except BusError as error:
            raise Refused(error.name, error.text) from None

    def _call(self, *words):
        try:
            return self.interface.call(*words)
        except BusError as error:
            raise Refused(error.name, error.text) from None

    def names(self):
        return [certificate[0] for certificate in self._busctl("ListCertificates")[0]]

    def details(self, name):
        return {key: value["data"] for key, value in self._busctl("DescribeCertificate", ["s"], name)[0].items()}

    def tlsa(self, name):
        return self._busctl("GetTLSA", ["s"], name)[0]

    def pem(self, name):
        return self._busctl("GetCertificate", ["s"], name)[0]

    def create(self, name, **options):
        assert self._busctl("CreateCertificate", ["s", "a{sv}"], name, _variants(options)) == [name]

    def request(self, name):
        return self._busctl("CreateRequest", ["s"], name)[0]

    def last_request(self, name):
        return self._busctl("GetRequest", ["s"], name)[0]

    def install(self, name, content, **options):
        with memfd(content) as file:
            self._call("InstallCertificate", "sha{sv}", name, file, _variants(options))

    def add_intermediates(self, name, content, **options):
        with memfd(content) as file:
            self._call("AddIntermediates", "sha{sv}", name, file, _variants(options))

    def import_pkcs12(self, content, passphrase, name, **options):
        with memfd(content) as file, memfd(passphrase.encode()) as secret:
            assert self._call("ImportCertificate", "shha{sv}", name, file, secret, _variants(options)) == [name]

    def export_pkcs12(self, name, passphrase):
        with memfd(passphrase.encode()) as secret:
            [file] = self._call("ExportCertificate", "sh", name, secret)
        with file:
            return file.read()

    def rename(self, name, new_name, Force=False):
        self._busctl("RenameCertificate", ["s", "s", "b"], name, new_name, Force)

    def delete(self, name, Force=False):
        self._busctl("DeleteCertificate", ["s", "b"], name, Force)

    def forbid_export(self, name):
        self._busctl("ForbidExport", ["s"], name)


@pytest.fixture(scope="module")
def ctl(gate):
    with Posternctl(gate, WORK) as ctl:
        yield ctl


@pytest.fixture(scope="module", params=["posternctl", "bus"])
def way(request, gate, ctl):
    return ByPosternctl(ctl) if request.param == "posternctl" else OverTheBus(gate)


@pytest.fixture
def cleanup(way):
    """Whatever a test leaves is deleted."""
    before = set(way.names())
    yield
    for name in set(way.names()) - before:
        way.delete(name)


@pytest.fixture(scope="module")
def root(lab):
    return Authority(lab.directory, "Operations Root")


@pytest.fixture(scope="module")
def authority(lab, root):
    """An authority two steps below the root."""
    return Authority(lab.directory, "Operations Lower", Authority(lab.directory, "Operations Upper", root))


@pytest.fixture
def unchanged(gate):
    """A context manager, at the end of which what certd has on disk is byte for byte what it was when the test first used it."""
    def store():
        files = gate.path(STORE).rglob("*")
        return {str(file): (file.lstat().st_mode, file.is_file() and file.read_bytes()) for file in files}

    before = {}

    @contextlib.contextmanager
    def unchanged():
        if not before:
            before.update(store())
        yield
        assert store() == before

    return unchanged


@pytest.fixture
def pending(way, cleanup):
    """A certificate "mx" for which an authority is asked; the request."""
    way.create("mx", CommonName=HOST)
    return way.request("mx")


# What is made here

@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_certificate_is_made_as_it_was_asked_for(way, cleanup, key_type):
    way.create("made", **SUBJECT, Names=["*.operations.lab", "192.0.2.7", "2001:db8::7"], Days=90, KeyType=key_type)
    pem = way.pem("made")
    text = openssl("x509", "-noout", "-text", data=pem)
    assert KEY_TYPES[key_type] in text
    subject = openssl("x509", "-noout", "-subject", "-nameopt", "utf8,sep_multiline,sname", data=pem)
    for field, value in zip(["CN", "O", "OU", "L", "ST", "C"], SUBJECT.values(), strict=True):
        assert re.search(rf"^ *{field}={re.escape(value)}$", subject, re.MULTILINE), subject
    for option, name in [("host", HOST), ("host", "a.operations.lab"), ("ip", "192.0.2.7"), ("ip", "2001:db8::7")]:
        assert "does match" in openssl("x509", "-noout", f"-check{option}", name, data=pem)
    lasts = 90 * 86400
    assert "will not expire" in openssl("x509", "-checkend", lasts - 3600, "-noout", data=pem)
    with pytest.raises(subprocess.CalledProcessError):
        openssl("x509", "-checkend", lasts + 3600, "-noout", data=pem)


def test_what_is_told_of_a_certificate_is_what_openssl_sees(way, cleanup):
    way.create("made", **SUBJECT)
    pem, details = way.pem("made"), way.details("made")
    seen = openssl("x509", "-noout", "-serial", "-fingerprint", "-sha256", data=pem).replace(":", "").lower()
    assert "made" in way.names() and details["Name"] == "made" and details["State"] == "self-signed"
    assert re.search(r"serial=0*(\w+)", seen).group(1) == details["SerialNumber"].replace(":", "").lower().lstrip("0")
    assert re.search(r"fingerprint=(\w+)", seen).group(1) == details["FingerprintSHA256"].replace(":", "").lower()
    assert details["Names"] == [HOST] and details["ChainLength"] == 1 and not details["ExportForbidden"]
    assert details["KeyBits"] == 256 and details["NotAfterUSec"] - details["NotBeforeUSec"] >= 365 * 86400 * 10**6
    spki = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], check=True, capture_output=True,
                          input=openssl("x509", "-pubkey", "-noout", data=pem).encode()).stdout
    assert way.tlsa("made") == details["TLSA"] == f"3 1 1 {hashlib.sha256(spki).hexdigest()}"


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_request_has_the_key_the_subject_and_the_names(way, cleanup, key_type):
    way.create("asks", **SUBJECT, Names=["*.operations.lab"], KeyType=key_type)
    request = way.request("asks")
    openssl("req", "-verify", "-noout", data=request)
    for what in ["-subject", "-pubkey"]:
        assert openssl("req", "-noout", what, data=request).replace("subject=", "") == \
            openssl("x509", "-noout", what, data=way.pem("asks")).replace("subject=", "")
    text = openssl("req", "-noout", "-text", data=request)
    assert f"DNS:{HOST}" in text and "DNS:*.operations.lab" in text
    assert way.last_request("asks") == request and way.details("asks")["State"] == "request-pending"


# What authorities signed

def signed(authority, request):
    """The leaf; lower, upper and root."""
    return authority.sign(request), blocks(authority.chain)


def assert_in_order(way, leaf, above, root, tmp_path):
    pem = way.pem("mx")
    assert blocks(pem) == [*blocks(leaf), *above]
    tmp_path.joinpath("chain.pem").write_text(pem)
    openssl("verify", "-x509_strict", "-CAfile", root.certificate, "-untrusted", tmp_path / "chain.pem", "-verify_hostname", HOST,
            tmp_path / "chain.pem")
    assert way.details("mx")["State"] == "signed" and way.details("mx")["ChainLength"] == len(above) + 1


@pytest.mark.parametrize("order", ["0123", "3210", "2031", "1302"])
def test_a_file_in_any_order_is_put_in_order(way, pending, authority, root, tmp_path, order):
    leaf, above = signed(authority, pending)
    parts = [leaf, *above]
    way.install("mx", "".join(parts[int(i)] for i in order).encode())
    assert_in_order(way, leaf, above, root, tmp_path)


def test_a_der_file_and_intermediates_later(way, pending, authority, root, tmp_path):
    leaf, above = signed(authority, pending)
    der = subprocess.run(["openssl", "x509", "-outform", "DER"], input=leaf.encode(), check=True, capture_output=True).stdout
    way.install("mx", der, Incomplete=True)
    way.add_intermediates("mx", (above[2] + above[0] + above[1]).encode())
    assert_in_order(way, leaf, above, root, tmp_path)


def served(gate, root):
    """What a client of the listener gets to see of its certificate."""
    return subprocess.run(["openssl", "s_client", "-connect", f"{gate.address}:25", "-starttls", "smtp", "-showcerts",
                           "-verify_return_error", "-verify_hostname", HOST, "-CAfile", root.certificate],
                          input=b"QUIT\r\n", capture_output=True).stdout.decode()


def test_what_was_installed_is_served_in_order(gate, way, pending, authority, root):
    # Given a certificate and its intermediates in wrong order, installed for the listener
    leaf, above = signed(authority, pending)
    way.install("mx", (above[1] + above[2] + leaf + above[0]).encode())
    gate.configure("certd", "[Service smtpd]\nCertificates=mx demonstration\n")
    gate.configure("smtpd", "[Listener public]\nCertificate=mx\n")
    try:
        gate.reload("certd")
        gate.reload("smtpd")
        # when clients come, then soon they get the leaf, what signed it, what signed that, up to the root,
        seen = wait_until(lambda: HOST in (text := served(gate, root)) and text, what="the new certificate", interval=0.2)
        assert blocks(seen)[:4] == [*blocks(leaf), *above] and "Verify return code: 0 (ok)" in seen
        # and nobody deletes what is in use.
        with pytest.raises(Refused, match="smtpd"):
            way.delete("mx")
    finally:
        for daemon in ("smtpd", "certd"):
            gate.unconfigure(daemon)
            gate.reload(daemon)


def test_busctl_alone_is_enough_where_it_can_pass_descriptors(gate, ctl, authority, root, tmp_path):
    version = int(re.search(r"systemd (\d+)", gate.run(["busctl", "--version"]).stdout).group(1))
    call = "busctl call org.postern.Cert1 /org/postern/Cert1 org.postern.Cert1"
    way = OverTheBus(gate)
    way.create("mx", CommonName=HOST)
    try:
        leaf, above = signed(authority, way.request("mx"))
        ctl.write("leaf", leaf)
        ctl.write("above", "".join(above))
        install = ctl.run(f"{call} InstallCertificate 'sha{{sv}}' mx 3 1 Incomplete b true 3<leaf", check=False)
        if version < 257:
            assert install.returncode != 0 and "not supported" in install.stderr
            return
        assert install.returncode == 0, install.stderr
        ctl.run(f"{call} AddIntermediates 'sha{{sv}}' mx 3 0 3<above")
        assert_in_order(way, leaf, above, root, tmp_path)
        ctl.write("pkcs12", way.export_pkcs12("mx", "a secret"))
        ctl.write("secret", "a secret")
        imported = ctl.run(f"{call} ImportCertificate 'shha{{sv}}' copy 3 4 0 3<pkcs12 4<secret")
        assert imported.stdout == 's "copy"\n'
        way.delete("copy")
    finally:
        way.delete("mx")


# Keys in and out

def test_what_is_exported_is_the_key_and_its_chain(way, pending, authority, unchanged, tmp_path):
    leaf, above = signed(authority, pending)
    way.install("mx", (leaf + "".join(above)).encode())
    with unchanged():
        file = way.export_pkcs12("mx", "a secret")
    tmp_path.joinpath("out.p12").write_bytes(file)
    opened = ["pkcs12", "-in", tmp_path / "out.p12", "-passin", "pass:a secret", "-nodes"]
    assert sorted(blocks(openssl(*opened, "-nokeys"))) == sorted(blocks(way.pem("mx")))
    key = openssl(*opened, "-nocerts")
    assert openssl("pkey", "-pubout", data=key) == openssl("x509", "-pubkey", "-noout", data=way.pem("mx"))
    # It is the same when it comes back under another name, and after that never goes out again.
    pem = way.pem("mx")
    way.import_pkcs12(file, "a secret", "back", ForbidExport=True)
    assert way.pem("back") == pem and way.details("back")["ExportForbidden"]


def test_keys_made_elsewhere_are_imported_and_replaced(way, cleanup, authority, tmp_path):
    def pkcs12(certificate):
        openssl("pkcs12", "-export", "-in", certificate.chain, "-inkey", certificate.key, "-passout", "pass:a secret", "-out",
                tmp_path / "in.p12")
        return tmp_path.joinpath("in.p12").read_bytes()

    first, second = authority.issue("one.operations.lab"), authority.issue("two.operations.lab")
    way.import_pkcs12(pkcs12(first), "a secret", "foreign")
    assert way.pem("foreign") == first.chain.read_text()
    way.import_pkcs12(pkcs12(second), "a secret", "foreign", Replace=True)
    assert way.pem("foreign") == second.chain.read_text()


def test_names_are_changed_and_certificates_deleted(gate, way, cleanup):
    def files():
        return sorted(file.name for file in gate.path(STORE).rglob("*"))

    before = files()
    way.create("first", CommonName=HOST)
    pem = way.pem("first")
    way.rename("first", "second")
    assert way.pem("second") == pem and "first" not in way.names()
    way.delete("second")
    assert "second" not in way.names()
    assert files() == before


# What is refused

class Faults:
    """Files that cannot be used for the certificate "mx", by name."""

    def __init__(self, directory, authority, request):
        other = Certificate.self_signed(directory, "other.operations.lab")
        leaf, above = signed(authority, request)
        issued = authority.issue("foreign.operations.lab")
        lone = directory / "lone.pem"
        lone.write_text(blocks(issued.chain.read_text())[0])

        def pkcs12(*options):
            openssl("pkcs12", "-export", "-passout", "pass:a secret", "-out", directory / "p12", *options)
            return directory.joinpath("p12").read_bytes()

        whole = pkcs12("-in", issued.chain, "-inkey", issued.key)
        self.files = {
            "other key": other.chain.read_bytes(),
            "expired": (authority.sign(request, days=0) + "".join(above)).encode(),
            "no end": (leaf + above[0]).encode(),
            "stranger": (leaf + "".join(above)).encode() + other.chain.read_bytes(),
            "garbage": b"garbage\n" * 100,
            "nothing": b"",
            "cut": leaf.encode()[:400],
            "a key": other.key.read_bytes(),
            "too many": leaf.encode() * 17,
            "10 MB": leaf.encode() + b"\n" * 10_000_000,
            "PKCS#12": whole,
            "PKCS#12 cut": whole[:-100],
            "PKCS#12 of 10 MB": whole + b"\0" * 10_000_000,
            "PKCS#12 without a key": pkcs12("-in", issued.chain, "-nokeys"),
            "PKCS#12 without an end": pkcs12("-in", lone, "-inkey", issued.key),
        }


@pytest.fixture
def faults(tmp_path, authority, pending):
    return Faults(tmp_path, authority, pending).files


INSTALLATIONS = [
    # file, what the bus calls it, what posternctl ends with, what both say
    ("other key", "WrongKey", FAILURE, "no certificate in the file is for the private key"),
    ("expired", "CertificateExpired", FAILURE, "the certificate has expired"),
    ("no end", "ChainIncomplete", FAILURE, "the chain does not end"),
    ("stranger", "CertificateInvalid", FAILURE, "does not belong to the chain"),
    ("garbage", "CertificateInvalid", FAILURE, "there is no certificate in the file"),
    ("nothing", "CertificateInvalid", FAILURE, "there is no certificate in the file"),
    ("cut", "CertificateInvalid", FAILURE, "certificate"),
    ("a key", "CertificateInvalid", FAILURE, "there is no certificate in the file"),
    ("too many", "LimitExceeded", FAILURE, "too many certificates"),
    ("10 MB", "TooLarge", FAILURE, "too large"),
    ("PKCS#12", "CertificateInvalid", FAILURE, "there is no certificate in the file"),
]

IMPORTS = [
    ("PKCS#12", "wrong", "WrongPassphrase", FAILURE, "the passphrase is wrong"),
    ("PKCS#12", "", "WrongPassphrase", FAILURE, "the passphrase is wrong"),
    ("PKCS#12 cut", "a secret", "CertificateInvalid", FAILURE, "is damaged"),
    ("PKCS#12 of 10 MB", "a secret", "TooLarge", FAILURE, "too large"),
    ("PKCS#12 without a key", "a secret", "CertificateInvalid", FAILURE, "no private key"),
    ("PKCS#12 without an end", "a secret", "ChainIncomplete", FAILURE, "the chain does not end"),
    ("garbage", "a secret", "CertificateInvalid", FAILURE, "is no PKCS#12"),
    ("nothing", "a secret", "CertificateInvalid", FAILURE, "is no PKCS#12"),
    ("a key", "a secret", "CertificateInvalid", FAILURE, "is no PKCS#12"),
]


@contextlib.contextmanager
def refused(way, name, status, text):
    """What happens in it is refused, with this error or exit status, in words that have text in them."""
    with pytest.raises(Refused) as caught:
        yield
    error = caught.value
    assert error.kind == (status if isinstance(way, ByPosternctl) else name) and text in error.text, str(error)


def test_files_that_cannot_be_installed_say_why_and_change_nothing(way, faults, unchanged):
    for file, name, status, text in INSTALLATIONS:
        with unchanged(), refused(way, name, status, text):
            way.install("mx", faults[file])


def test_intermediates_that_do_not_fit_say_why_and_change_nothing(way, faults, unchanged):
    for file, name, status, text in [("garbage", "CertificateInvalid", FAILURE, "there is no certificate in the file"),
                                     ("other key", "CertificateInvalid", FAILURE, "does not belong to the chain")]:
        with unchanged(), refused(way, name, status, text):
            way.add_intermediates("mx", faults[file])


def test_files_that_cannot_be_imported_say_why_and_change_nothing(way, faults, unchanged):
    for file, passphrase, name, status, text in IMPORTS:
        with unchanged(), refused(way, name, status, text):
            way.import_pkcs12(faults[file], passphrase, "new")


CALLS = [
    # what is called with what, and then as above
    ("create", ["../mx"], {"CommonName": HOST}, "InvalidArgument", USAGE, "characters"),
    ("create", ["mx"], {"CommonName": HOST}, "CertificateExists", FAILURE, "there is a certificate"),
    ("create", ["new"], {"CommonName": HOST, "KeyType": "rsa-1024"}, "NotSupported", FAILURE, "2048"),
    ("create", ["new"], {"CommonName": HOST, "KeyType": "dsa"}, "NotSupported", FAILURE, "ecdsa-p256"),
    ("create", ["new"], {"CommonName": HOST, "Country": "CHE"}, "InvalidArgument", USAGE, "two letters"),
    ("create", ["new"], {"CommonName": HOST, "Days": 0}, "InvalidArgument", USAGE, "days"),
    ("create", ["new"], {"CommonName": HOST, "Names": ["no host"]}, "InvalidArgument", USAGE, "name"),
    ("request", ["absent"], {}, "NoSuchCertificate", NOT_FOUND, "no such certificate"),
    ("install", ["absent", b"x"], {}, "CertificateInvalid", FAILURE, "no certificate in the file"),
    ("pem", ["absent"], {}, "NoSuchCertificate", NOT_FOUND, "absent"),
    ("details", ["absent"], {}, "NoSuchCertificate", NOT_FOUND, "absent"),
    ("tlsa", ["absent"], {}, "NoSuchCertificate", NOT_FOUND, "absent"),
    ("last_request", ["demonstration"], {}, "NoRequest", NOT_FOUND, "demonstration"),
    ("rename", ["absent", "new"], {}, "NoSuchCertificate", NOT_FOUND, "no such certificate"),
    ("rename", ["mx", "demonstration"], {}, "CertificateExists", FAILURE, "there is a certificate"),
    ("rename", ["mx", ".hidden"], {}, "InvalidArgument", USAGE, "characters"),
    ("delete", ["absent"], {}, "NoSuchCertificate", NOT_FOUND, "no such certificate"),
    ("delete", ["demonstration"], {}, "CertificateInUse", FAILURE, "smtpd"),
    ("export_pkcs12", ["absent", "a secret"], {}, "NoSuchCertificate", NOT_FOUND, "no such certificate"),
    ("export_pkcs12", ["mx", ""], {}, "InvalidArgument", USAGE, "without a passphrase"),
    ("forbid_export", ["absent"], {}, "NoSuchCertificate", NOT_FOUND, "no such certificate"),
]


def test_calls_that_make_no_sense_say_why_and_change_nothing(way, pending, unchanged):
    for operation, arguments, options, name, status, text in CALLS:
        with unchanged(), refused(way, name, status, text):
            getattr(way, operation)(*arguments, **options)


def test_what_is_not_to_be_exported_is_not(way, pending, unchanged):
    way.forbid_export("mx")
    assert way.details("mx")["ExportForbidden"]
    with unchanged(), refused(way, "ExportForbidden", FAILURE, "forbidden"):
        way.export_pkcs12("mx", "a secret")
