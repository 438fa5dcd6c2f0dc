"""The wheel with the compiled core decides every cent as the Python does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.compiler, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `milepost` is what a compiled wheel holds, not the checkout."""
    folder = tmp_path_factory.mktemp("compiled")
    make = [
        "make",
        "-s",
        "-o",
        ".venv/installed",
        "compiled",
        f"compiled={folder / 'core'}",
        f"bin={Path(sys.executable).parent}",
    ]
    subprocess.run(make, cwd=ROOT, check=True, timeout=900)
    return {**os.environ, "PYTHONPATH": str(folder / "core")}


def run(compiled: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, env=compiled, capture_output=True, text=True, timeout=600, check=False)


def test_the_fold_is_an_extension(compiled: dict[str, str]) -> None:
    where = "from milepost.core import claims, fold, money; print(*(one.__file__ for one in (claims, fold, money)))"
    found = run(compiled, "-c", where)
    files = found.stdout.split()
    assert len(files) == 3, found.stderr
    assert all(file.startswith(compiled["PYTHONPATH"]) and file.endswith(".so") for file in files)


def test_the_cores_tests_pass(compiled: dict[str, str]) -> None:
    found = run(compiled, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/core")
    assert found.returncode == 0, found.stdout[-3000:]
    assert " passed" in found.stdout


def test_the_oracle_agrees(compiled: dict[str, str]) -> None:
    found = run(compiled, "-m", "tests.properties.hunt", "300", compiled["PYTHONPATH"])
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
