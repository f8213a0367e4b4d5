"""What the contract tests need of pytest."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of tests that take more than a few seconds."""
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
