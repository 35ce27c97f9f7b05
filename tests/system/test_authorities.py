# SPDX-License-Identifier: Apache-2.0
"""The lists of certificate authorities: each operation by posternctl, judged by openssl, and what is left when one is refused,
when the host's list changes, and when certd is killed."""

import concurrent.futures
import json
import random
import subprocess
import time

import pytest

from lab.node import wait_until

SUCCESS, FAILURE, USAGE, NOT_RUNNING, NOT_PERMITTED, NOT_FOUND = range(6)
CERTD = "postern-certd.service"
WORK = "/root/authorities"
HOSTS_LIST = "/etc/ssl/certs/ca-certificates.crt"


def openssl(*words, data=None):
    return subprocess.run(["openssl", *words], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=True).stdout


def make(directory, name, *options, days=30):
    """A self-signed certificate, in PEM; an authority's if the options do not say otherwise."""
    return openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", str(directory / "key.pem"), "-days", str(days),
                   "-subj", f"/O=Lab/CN={name}", *options)


def make_expired(directory):
    """Only "openssl ca" takes a time that is past."""
    make(directory, "Expired")
    (directory / "ca.cnf").write_text(f"""
        [ca]
        default_ca=expired
        [expired]
        database={directory}/index.txt
        rand_serial=yes
        new_certs_dir={directory}
        default_md=default
        policy=policy
        x509_extensions=authority
        [policy]
        commonName=supplied
        [authority]
        basicConstraints=critical,CA:TRUE
        """)
    (directory / "index.txt").write_text("")
    openssl("req", "-new", "-key", str(directory / "key.pem"), "-subj", "/CN=Expired", "-out", str(directory / "expired.csr"))
    return openssl("ca", "-batch", "-notext", "-config", str(directory / "ca.cnf"), "-selfsign",
                   "-keyfile", str(directory / "key.pem"), "-startdate", "20200101000000Z", "-enddate", "20210101000000Z",
                   "-in", str(directory / "expired.csr"))


def fingerprint(pem):
    return openssl("x509", "-noout", "-fingerprint", "-sha256", data=pem).strip().split("=")[1]


def count(pem):
    """As openssl counts certificates."""
    if "BEGIN" not in pem:
        return 0
    bundle = subprocess.run("openssl crl2pkcs7 -nocrl -certfile /dev/stdin | openssl pkcs7 -print_certs -noout", shell=True,
                            input=pem, stdout=subprocess.PIPE, text=True, check=True).stdout
    return bundle.count("subject=")


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    directory = tmp_path_factory.mktemp("authorities")
    return {
        "host": make(directory, "Host Authority"),
        "other": make(directory, "other host authority"),
        "a": make(directory, "Authority A"),
        "b": make(directory, "Authority B"),
        "expired": make_expired(directory),
        "leaf": make(directory, "mx.example.com", "-addext", "basicConstraints=CA:FALSE"),
    }


class Lists:
    """posternctl ca on the gateway."""

    def __init__(self, gate):
        self.gate = gate

    def __call__(self, *words, status=SUCCESS, input=None):
        result = self.gate.run(["env", f"--chdir={WORK}", "posternctl", "ca", *words], check=False, input=input)
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout if status == SUCCESS else result.stderr

    def json(self, *words, **options):
        return json.loads(self(*words, "--json=short", **options))

    def trusted(self):
        """Names of what peers are verified by, from what certd tells of each."""
        fingerprints = {entry["FingerprintSHA256"] for entry in self.json("list")}
        shown = [self.json("show", name) for name in sorted(fingerprints)]
        return sorted(entry["Name"] for entry in shown if entry["TrustedBy"])

    def state(self):
        return self.json("lists"), self.json("list")

    def put_host(self, *pems):
        """As update-ca-certificates does it."""
        self.gate.write(f"{HOSTS_LIST}.new", "".join(pems))
        self.gate.run(["mv", f"{HOSTS_LIST}.new", HOSTS_LIST])

    def wait_host(self, *pems):
        expected = {fingerprint(pem) for pem in pems}
        wait_until(lambda: {entry["FingerprintSHA256"] for entry in self.json("list", "system")} == expected, 20,
                   "certd to read the host's list")


@pytest.fixture(scope="module")
def lists(gate, pems):
    """With a host whose list has two authorities, and an empty list of its own."""
    lists = Lists(gate)
    gate.run(f"mkdir -p {WORK} /etc/ssl/certs; cp -a {HOSTS_LIST} {WORK}/hosts-list || true")
    gate.write(HOSTS_LIST, pems["host"] + pems["other"])
    gate.systemctl("restart", CERTD)
    lists.wait_host(pems["host"], pems["other"])
    for name, pem in pems.items():
        gate.write(f"{WORK}/{name}.pem", pem)
    yield lists
    gate.run(f"cp -a {WORK}/hosts-list {HOSTS_LIST} || rm -f {HOSTS_LIST}; rm -r {WORK}")
    gate.systemctl("restart", CERTD)


@pytest.fixture(autouse=True)
def clean(lists, pems):
    """Each test begins with everything enabled and an empty list of its own."""
    yield
    custom = [entry["FingerprintSHA256"] for entry in lists.json("list", "custom")]
    if custom:
        lists("remove", *custom)
    for name in ("system", "custom"):
        lists("enable", name)
    disabled = [entry["FingerprintSHA256"] for entry in lists.json("list", "system") if not entry["Enabled"]]
    if disabled:
        lists("enable", "system", *disabled)


def test_import_shows_what_openssl_says(lists, pems):
    # Given nothing but the host's list, when two are imported, one of them from standard input,
    assert lists.json("import", "a.pem") == {"Added": 1, "Known": 0, "Removed": 0, "Expired": 0}
    assert lists.json("import", "-", input=pems["b"] + pems["a"]) == {"Added": 1, "Known": 1, "Removed": 0, "Expired": 0}

    # then they are listed by name, as openssl knows them, and trusted.
    listed = lists.json("list", "custom")
    assert [entry["Name"] for entry in listed] == ["Authority A", "Authority B"]
    assert [entry["FingerprintSHA256"] for entry in listed] == [fingerprint(pems["a"]), fingerprint(pems["b"])]
    shown = lists.json("show", fingerprint(pems["a"]))
    assert shown["Lists"] == ["custom"] and shown["TrustedBy"] == ["custom"]
    subject = openssl("x509", "-noout", "-subject", "-nameopt", "RFC2253", data=pems["a"]).strip()
    assert shown["Subject"] == subject.removeprefix("subject=")
    assert shown["SerialNumber"].replace(":", "") == openssl("x509", "-noout", "-serial", data=pems["a"]).strip().split("=")[1]
    assert shown["FingerprintSHA1"] == openssl("x509", "-noout", "-fingerprint", "-sha1", data=pems["a"]).strip().split("=")[1]
    assert shown["KeyType"] == "ED25519"
    assert lists.trusted() == ["Authority A", "Authority B", "Host Authority", "other host authority"]
    assert lists.json("lists") == [{"List": "system", "Enabled": True, "Authorities": 2, "EnabledAuthorities": 2},
                                   {"List": "custom", "Enabled": True, "Authorities": 2, "EnabledAuthorities": 2}]

    # People see a table that names enough of a fingerprint to name it by.
    line = next(line for line in lists("list").splitlines() if "Authority A" in line)
    assert line.split()[0] == "custom" and lists.json("show", line.split()[1])["Name"] == "Authority A"


def test_an_expired_one_is_taken_with_a_warning(lists, pems):
    assert "warning: 1 of those added is expired" in lists("import", "expired.pem")
    assert lists.json("list", "custom")[0]["Name"] == "Expired"


def test_a_list_is_exported_edited_and_imported(lists, gate, pems):
    # Given an export of the host's list, which openssl reads
    lists("export", "system", "list.pem")
    exported = gate.read(f"{WORK}/list.pem")
    assert count(exported) == 2 and "# Host Authority\n" in exported
    lists("export", "system", "list.pem", status=FAILURE)  # it is there
    lists("export", "system", "list.pem", "--force")
    assert lists("export", "system") == exported == lists("export", "system", "-")

    # when one is cut out with an editor and the rest becomes the list of its own, and the host's is not used any more,
    lists("import", "a.pem")
    start = exported.index("# other host authority")
    gate.write(f"{WORK}/list.pem", exported[:start])
    assert lists.json("import", "--replace", "list.pem") == {"Added": 1, "Known": 0, "Removed": 1, "Expired": 0}
    lists("disable", "system")

    # then that one is what is trusted.
    assert lists.trusted() == ["Host Authority"]
    assert count(lists("export", "custom")) == 1
    lists("enable", "system")
    assert lists.trusted() == ["Host Authority", "other host authority"]


def test_single_ones_are_disabled_and_stay_so(lists, gate, pems):
    # Given one of the host's disabled by the beginning of its fingerprint,
    lists("import", "a.pem", "--replace")
    lists("disable", "system", fingerprint(pems["host"])[:11].lower())
    lists("disable", "custom", fingerprint(pems["a"]))
    assert lists.trusted() == ["other host authority"]
    assert "# Host Authority (disabled)\n" in lists("export", "system")

    # when the host loses it and has it again, and certd is restarted,
    lists.put_host(pems["other"])
    lists.wait_host(pems["other"])
    lists.put_host(pems["other"], pems["host"])
    lists.wait_host(pems["other"], pems["host"])
    assert lists.trusted() == ["other host authority"]
    gate.systemctl("restart", CERTD)

    # then it is still disabled, until somebody enables it.
    assert lists.trusted() == ["other host authority"]
    lists("enable", "system", fingerprint(pems["host"]).replace(":", ""))
    assert lists.trusted() == ["Host Authority", "other host authority"]


def test_the_host_list_is_followed(lists, gate, pems):
    # When the host's list is broken, then what was good stays, and the journal says why,
    cursor = gate.cursor()
    lists.put_host(pems["host"], "-----BEGIN CERTIFICATE-----\nMIIB\n")
    gate.wait_journal(since=cursor, SYSLOG_IDENTIFIER="postern-certd",
                      match=lambda entry: "line" in entry["MESSAGE"] and HOSTS_LIST in entry["MESSAGE"])
    assert lists.trusted() == ["Host Authority", "other host authority"]

    # and changes are possible.
    lists("import", "a.pem")
    assert "Authority A" in lists.trusted()
    lists.put_host(pems["host"], pems["other"])
    gate.systemctl("reload", CERTD)
    lists.wait_host(pems["host"], pems["other"])


@pytest.mark.parametrize("text, reason", [
    (lambda pems: "", "there is no certificate in it"),
    (lambda pems: "\0\1\2", "line 1 is no text"),
    (lambda pems: pems["b"] + pems["leaf"], "(mx.example.com) is no authority's: its basicConstraints say"),
    (lambda pems: pems["b"][:-20], "begins in line 1 does not end"),
    (lambda pems: "\n" + pems["b"].replace("M", "N", 1), "begins in line 2 is damaged"),
    (lambda pems: pems["b"].replace("-----BEGIN", "----BEGIN"), "is no boundary"),
    (lambda pems: pems["b"] + "-----BEGIN PRIVATE KEY-----\n", "there is a private key"),
], ids=["empty", "binary", "no authority", "cut", "damaged", "mangled", "private key"])
def test_what_is_refused_changes_nothing(lists, pems, text, reason):
    lists("import", "a.pem")
    before = lists.state()
    assert reason in lists("import", "--replace", "-", input=text(pems), status=FAILURE)
    assert lists.state() == before


def test_requests_that_make_no_sense(lists, gate, pems):
    lists("import", "a.pem")
    before = lists.state()
    gate.run(f"head -c 3000000 /dev/zero | tr '\\0' '#' >{WORK}/large")
    assert "too large" in lists("import", "large", status=FAILURE)
    lists("show", "00000000", status=NOT_FOUND)
    lists("show", "Authority A", status=USAGE)
    lists("list", "mine", status=USAGE)
    lists("disable", "mine", status=USAGE)
    lists("disable", "custom", fingerprint(pems["a"]), fingerprint(pems["host"]), status=NOT_FOUND)
    assert "the host's" in lists("remove", fingerprint(pems["host"]), status=FAILURE)
    lists("remove", fingerprint(pems["b"]), status=NOT_FOUND)
    assert lists.state() == before
    assert lists.json("remove", fingerprint(pems["a"])) == {"Removed": 1}


def test_by_busctl_and_by_root_only(lists, gate, pems):
    call = ["busctl", "--json=short", "call", "org.postern.Cert1", "/org/postern/Cert1", "org.postern.Cert1"]
    assert count(json.loads(gate.run([*call, "GetAuthorities", "s", "system"]).stdout)["data"][0]) == 2
    gate.run([*call, "SetAuthoritiesEnabled", "sasb", "system", "1", fingerprint(pems["host"]), "false"])
    assert lists.trusted() == ["other host authority"]
    refused = gate.run([*call, "SetAuthoritiesEnabled", "sasb", "system", "0", "false"], check=False, user="nobody")
    assert refused.returncode != 0
    for daemon in ("smtpd", "deliverd"):
        caller = {"user": f"postern-{daemon}", "groups": ("postern-certd",)}
        assert gate.call_peer("certd", "GetAuthorities", **caller).error is None
        refused = gate.run(["busctl", "--address=unix:path=/run/postern/certd", *call[2:], "SetAuthoritiesEnabled", "sasb",
                            "system", "0", "false"], check=False, **caller)
        assert refused.returncode != 0 and "may not call" in refused.stderr
    assert gate.call_peer("certd", "GetAuthorities").error == "AccessDenied"  # root is no daemon
    assert lists.json("lists")[0]["Enabled"]


def test_kill_9_leaves_the_old_or_the_new(lists, gate):
    """At whatever instant: the list is one of the two that it was to be, and certd starts with it."""
    names = {"a": ["Authority A"], "b": ["Authority B"]}
    lists("import", "--replace", "a.pem")
    for name in ["b", "a"] * 10:
        pid = gate.pid_of(CERTD)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            change = pool.submit(gate.run, f"cd {WORK} && posternctl ca import --replace {name}.pem", check=False)
            time.sleep(random.uniform(0, 0.06))
            gate.kill(pid)
            change.result()
        gate.wait_active(CERTD)
        assert [entry["Name"] for entry in lists.json("list", "custom")] in names.values()
    lists("import", "--replace", "b.pem")
    gate.systemctl("restart", CERTD)
    assert [entry["Name"] for entry in lists.json("list", "custom")] == names["b"]


def test_a_broken_file_is_no_reason_to_trust_others(lists, gate, pems):
    # Given a file that lost its end
    lists("import", "a.pem")
    gate.run("cd /var/lib/postern/certd && cp -a authorities /root/authorities.good && truncate -s -100 authorities")
    cursor = gate.cursor()
    try:
        # when certd starts, then it does not, and says why.
        gate.systemctl("restart", CERTD, check=False)
        gate.wait_journal(since=cursor, SYSLOG_IDENTIFIER="postern-certd",
                          match=lambda entry: "the file authorities of the state directory is broken" in entry["MESSAGE"])
    finally:
        gate.run("mv /root/authorities.good /var/lib/postern/certd/authorities")
        gate.systemctl("restart", CERTD)
    assert "Authority A" in lists.trusted()
