"""The public names: what they are, where they come from, and that they cost nothing until they are asked for."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import turnpoint

HEAVY = ("torch", "transformers", "datasets", "peft", "pydantic", "matplotlib", "rich", "yaml")


def declared() -> dict[str, str]:
    """Public name -> module, as type checkers read them: the imports under `if TYPE_CHECKING`."""
    tree = ast.parse(Path(turnpoint.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    assert all(alias.name == alias.asname for node in imports for alias in node.names)
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_what_type_checkers_see_is_what_there_is() -> None:
    assert set(declared()) == set(turnpoint.__all__)
    assert dir(turnpoint) == sorted(turnpoint.__all__)


@pytest.mark.parametrize("name", turnpoint.__all__)
def test_a_public_name_is_the_one_of_its_room(name: str) -> None:
    assert getattr(turnpoint, name) is getattr(importlib.import_module(declared()[name]), name)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'turnpoint' has no attribute 'KTOTrainer'"):
        turnpoint.KTOTrainer  # noqa: B018


def loaded_by(statement: str) -> set[str]:
    """Which of the heavy libraries a fresh interpreter holds after a statement."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing() -> None:
    assert loaded_by("import turnpoint") == set()


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    assert not loaded_by("import turnpoint.cli") & {"torch", "transformers", "datasets", "peft", "matplotlib"}


@pytest.mark.parametrize("room", ["dialogue", "data", "pairs"])
def test_rooms_without_torch(room: str) -> None:
    assert not loaded_by(f"import turnpoint.{room}") & {"torch", "transformers"}
