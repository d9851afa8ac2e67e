"""What holds for all tests."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_reference_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log-probs of references are kept for one test, not in the user's cache. Converted models stay shared."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("turnpoint.training.dpo.cache_folder", lambda: folder)
    return folder / "reference"
