# SPDX-License-Identifier: Apache-2.0
"""posternctl on a gateway, as a person or a script would run it."""

import json
import shlex


class Result:
    """Exit status, standard output and error of a command."""

    def __init__(self, result):
        self.status = result.returncode
        self.text = result.stdout
        self.error = result.stderr

    @property
    def json(self):
        assert self.status == 0, self.error
        return json.loads(self.text)


class Posternctl:
    """Calls posternctl in a working directory of its own, which is there while it is used as a context manager."""

    def __init__(self, gate, directory):
        self.gate = gate
        self.directory = directory

    def __enter__(self):
        self.gate.run(["mkdir", "-p", self.directory])
        return self

    def __exit__(self, *exception):
        self.gate.run(["rm", "-r", self.directory])

    def __call__(self, *words, **options):
        return Result(self.gate.run(["env", f"--chdir={self.directory}", "posternctl", *words], check=False, **options))

    def check(self, *words, **options):
        """A call that has to succeed."""
        result = self(*words, **options)
        assert result.status == 0, f"posternctl {shlex.join(words)}: {result.error}"
        return result

    def run(self, command, **options):
        """A shell command in the working directory."""
        return self.gate.run(f"cd {self.directory} && {{ {command}\n}}", **options)

    def path(self, name):
        return self.gate.path(f"{self.directory}/{name}")

    def read(self, name):
        return self.gate.read(f"{self.directory}/{name}")

    def write(self, name, content, mode=0o600):
        self.gate.write(f"{self.directory}/{name}", content, mode)
