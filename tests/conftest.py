"""What holds for all tests."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tokens and log-probs are kept for one test, not in the user's cache; converted models stay shared."""
    folder = tmp_path / "cache"
    for module in ("dpo", "tokenized"):
        monkeypatch.setattr(f"turnpoint.training.{module}.cache_folder", lambda: folder)
    return folder
