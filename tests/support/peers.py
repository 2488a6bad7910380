"""Other people's programs that tests compare us with."""

import os
import shutil

import pytest


def require(name: str) -> str:
    """The path of a program; without it the test is skipped, except in CI (``CI`` is set), where that is a failure."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
