# SPDX-License-Identifier: Apache-2.0
"""PKCS#12 files of other programs are read by certd, and certd's by them."""

import re

import pytest

from lab import Authority, Posternctl

PACKAGES = ["default-jre-headless", "gnutls-bin", "libnss3-tools"]
WORK = "/root/pkcs12"
NAME = "part.example.org"

# Not ASCII, for each program has its own way from there to the bytes that are hashed. Java's only takes ASCII.
PASSPHRASE = "Zwölf Häuser"
ASCII = "twelve houses"

OPENSSL = "openssl pkcs12 -export -in chain.pem -inkey key.pem -name part -passout file:passphrase -out"
CERTTOOL = 'certtool --to-p12 --load-privkey key.pem --load-certificate chain.pem --p12-name part ' \
           '--password "$(cat passphrase)" --outder --outfile'
NSS = "pk12util -d sql:db -n part -w passphrase -o"
KEYTOOL = "keytool {} -importkeystore -noprompt -srckeystore ascii.p12 -srcstoretype PKCS12 -srcstorepass:file ascii " \
          "-deststoretype PKCS12 -deststorepass:file ascii -destkeystore"
NSS_3DES = "'PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC'"
NSS_RC2 = "'PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC'"

WRITERS = {
    "openssl": f"{OPENSSL} FILE",
    "openssl-3des": f"{OPENSSL} FILE -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
    "openssl-no-mac": f"{OPENSSL} FILE -nomac",
    "openssl-rc2": f"{OPENSSL} FILE -legacy",
    "certtool": f"{CERTTOOL} FILE",
    "certtool-3des": f"{CERTTOOL} FILE --pkcs-cipher 3des-pkcs12",
    "certtool-rc2": f"{CERTTOOL} FILE --pkcs-cipher rc2-40",
    "pk12util": f"{NSS} FILE",
    "pk12util-3des": f"{NSS} FILE -c {NSS_3DES} -C {NSS_3DES}",
    "pk12util-rc2": f"{NSS} FILE -c {NSS_3DES} -C {NSS_RC2}",
    "keytool": KEYTOOL.format("") + " FILE",
    "keytool-rc2": KEYTOOL.format("-J-Dkeystore.pkcs12.legacy=true") + " FILE",
}

READERS = {
    "openssl": "openssl pkcs12 -in FILE -passin file:passphrase -nodes",
    "certtool": 'certtool --p12-info --inder --infile FILE --password "$(cat passphrase)" | tee said && '
                'certtool --key-info --pkcs8 --infile said --password "$(cat passphrase)"',
    "pk12util": "rm -rf read && mkdir read && certutil -N -d sql:read --empty-password && "
                "pk12util -i FILE -d sql:read -w passphrase && certutil -L -d sql:read -n NAME -a && certutil -K -d sql:read",
    "keytool": "keytool -list -rfc -keystore FILE -storepass:file ascii -alias NAME",
}


@pytest.fixture(scope="module")
def others(lab):
    """A machine with the other programs, and a key with its chain in the forms that they start from."""
    peer = lab.peer("others", PACKAGES)
    peer.start("sleep", "infinity")
    root = Authority(lab.directory, "Root")
    lower = Authority(lab.directory, "Lower", Authority(lab.directory, "Upper", root))
    certificate = lower.issue(NAME)
    peer.write(f"{WORK}/key.pem", certificate.key.read_text())
    peer.write(f"{WORK}/chain.pem", certificate.chain.read_text())
    peer.write(f"{WORK}/passphrase", PASSPHRASE)
    peer.write(f"{WORK}/ascii", ASCII)
    peer.run(f"cd {WORK} && {OPENSSL.replace('passphrase', 'ascii')} ascii.p12 && {OPENSSL} source.p12 && mkdir db && "
             "certutil -N -d sql:db --empty-password && pk12util -i source.p12 -d sql:db -w passphrase")
    return peer


@pytest.fixture(scope="module")
def ctl(gate):
    with Posternctl(gate, WORK) as ctl:
        ctl.write("passphrase", PASSPHRASE)
        ctl.write("ascii", ASCII)
        yield ctl


def made_by(others, ctl, writer):
    """A file made by one of WRITERS, on both machines; its name."""
    file = f"{writer}.p12"
    if not others.path(f"{WORK}/{file}").exists():
        others.run(f"cd {WORK} && " + WRITERS[writer].replace("FILE", file))
    ctl.write(file, others.path(f"{WORK}/{file}").read_bytes())
    return file


def secret_of(program):
    """The option for the passphrase that the program is used with."""
    return "--passphrase-file=" + ("ascii" if program.startswith("keytool") else "passphrase")


def certificates(text):
    return re.findall(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n", text.replace("\r", ""))


@pytest.mark.parametrize("writer", WRITERS)
def test_files_of_others_are_read(others, ctl, writer):
    file = made_by(others, ctl, writer)
    assert ctl.check("cert", "import", file, secret_of(writer)).text == f"{NAME}: imported\n"
    try:
        assert ctl("cert", "export-pem", NAME).text == others.read(f"{WORK}/chain.pem")
        assert ctl("cert", "show", NAME, "--json").json["State"] == "signed"
    finally:
        ctl("cert", "delete", NAME)


@pytest.mark.parametrize("reader", READERS)
def test_others_read_ours(others, ctl, reader):
    ctl.check("cert", "import", made_by(others, ctl, "openssl"), "--passphrase-file=passphrase")
    try:
        ctl.check("cert", "export", NAME, "ours.p12", secret_of(reader), "--force")
    finally:
        ctl("cert", "delete", NAME)
    others.write(f"{WORK}/ours.p12", ctl.path("ours.p12").read_bytes())
    said = others.run(f"cd {WORK} && " + READERS[reader].replace("FILE", "ours.p12").replace("NAME", NAME)).stdout
    assert set(certificates(said)) >= {certificates(others.read(f"{WORK}/chain.pem"))[0]}
    # That they got the key, too.
    assert re.search(r"BEGIN (EC )?PRIVATE KEY|< *0> *ec +[0-9a-f]+|Entry type: PrivateKeyEntry", said), said


def test_without_the_legacy_provider_rc2_is_refused_with_the_reason(others, gate, ctl):
    file = made_by(others, ctl, "openssl-rc2")
    module = gate.run("openssl version -m").stdout.split('"')[1] + "/legacy.so"
    gate.run(["mv", module, f"{module}.away"])
    try:
        gate.systemctl("restart", "postern-certd.service")
        result = ctl("cert", "import", file, "--passphrase-file=passphrase")
        assert result.status == 1 and "RC2" in result.error and "legacy provider" in result.error
        # What does not need it is read.
        ctl.check("cert", "import", made_by(others, ctl, "pk12util"), "--passphrase-file=passphrase")
        ctl.check("cert", "delete", NAME)
    finally:
        gate.run(["mv", f"{module}.away", module])
        gate.systemctl("restart", "postern-certd.service")


def with_iterations(file, count):
    """The same file with another number of iterations of its MAC, which is the last number in it."""
    mac = 7 + 4 + int.from_bytes(file[9:11], "big")  # behind the version and what is authenticated
    assert file[0:2] == file[7:9] == b"\x30\x82" and file[mac] == 0x30 and file.endswith(b"\x02\x02\x08\x00")
    number = count.to_bytes(count.bit_length() // 8 + 1, "big")
    more = len(number) - 2
    return b"".join([file[:2], (int.from_bytes(file[2:4], "big") + more).to_bytes(2, "big"), file[4:mac + 1],
                     bytes([file[mac + 1] + more]), file[mac + 2:-3], bytes([len(number)]), number])


def test_a_file_that_demands_years_is_refused_at_once(others, ctl):
    others.run(f"cd {WORK} && {OPENSSL} bomb.p12 -macalg sha256 -iter 2048")
    ctl.write("bomb.p12", with_iterations(others.path(f"{WORK}/bomb.p12").read_bytes(), 1 << 31))
    said = ctl.run("openssl pkcs12 -in bomb.p12 -passin file:passphrase -info -noout & sleep 0.5; kill $!", check=False).stderr
    assert "2147483648" in said or "MAC" in said  # openssl, too, takes it for what it is meant to be
    result = ctl("cert", "import", "bomb.p12", "--passphrase-file=passphrase", timeout=10)
    assert result.status == 1 and "iterations" in result.error
