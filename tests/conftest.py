"""Fixtures shared by all tests: where the real recordings are, when they are there at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def recordings() -> Callable[[str], Path]:
    """Function from the name of a real recording to its path; skips the test when the folder is absent."""

    def find(name: str) -> Path:
        if not DATA.is_dir():
            pytest.skip("the real recordings (../shared/data) are not on this machine")
        return DATA / name

    return find
