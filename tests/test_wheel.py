"""What a user installs: the wheel holds code, templates, recipes, and the demo's data with licences and sources."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        check=True,
    )
    (wheel,) = folder.glob("turnpoint-*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_file_of_the_package_is_in_the_wheel(names: set[str]) -> None:
    package = ROOT / "src"
    shipped = {str(f.relative_to(package)) for f in package.rglob("*") if f.is_file() and f.suffix != ".pyc"}
    assert {"turnpoint/py.typed", "turnpoint/template/chatml_tools.jinja", "turnpoint/recipes/demo.yaml"} <= shipped
    assert shipped <= names


def test_each_data_folder_has_its_licence_and_source(names: set[str]) -> None:
    data = {name.split("/")[3] for name in names if name.startswith("turnpoint/recipes/data/")}
    assert data == {"glaive", "api_bank", "sgd"}
    for folder in data:
        inside = [name.rsplit("/", 1)[1] for name in names if name.startswith(f"turnpoint/recipes/data/{folder}/")]
        assert "SOURCE.txt" in inside
        assert any(name.startswith("LICENSE") for name in inside)


def test_the_licences_are_in_the_metadata(names: set[str]) -> None:
    licences = {name for name in names if ".dist-info/licenses/" in name}
    assert any(name.endswith("licenses/LICENSE") for name in licences)
    assert any("sgd/LICENSE" in name for name in licences)
