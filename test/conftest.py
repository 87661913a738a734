"""What several rooms' tests share."""

import os
from pathlib import Path

import pytest

DRIVES = Path(__file__).parents[1].parent / "shared" / "data" / "drives"


@pytest.fixture(scope="session")
def drive():
    """Find a shared drive by file name, or skip; TWNET_REQUIRE_DATA=1 fails instead."""

    def find(name):
        path = DRIVES / name
        if not path.is_file():
            reason = f"the shared drive {name} is not there"
            if os.environ.get("TWNET_REQUIRE_DATA") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find
