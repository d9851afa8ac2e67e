"""The modules of the room import each other in one direction, for type checking too."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import turnpoint.training

ROOM = Path(next(iter(turnpoint.training.__path__)))


def imported(file: Path) -> set[str]:
    """Modules of the room that the file imports anywhere."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    return {str(node.module).rpartition(".")[2] for node in nodes if str(node.module).startswith("turnpoint.training.")}


def test_no_two_modules_import_each_other() -> None:
    graph = {file.stem: imported(file) for file in ROOM.glob("*.py")}
    assert graph["run_folder"] == {"data_report", "model_card"}
    TopologicalSorter(graph).prepare()  # raises CycleError
