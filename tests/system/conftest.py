# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: one lab for the whole run, and the servers in it that no test changes for good."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from lab import Lab  # noqa: E402

@pytest.fixture(scope="session")
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def dns(lab):
    return lab.dns()
