"""A test whose program is missing is counted and named, and in CI is an error; it never just passes by."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite with our conftest.py, two tests that need a program nobody has, and one that needs none."""
    for name in ("tests/conftest.py", "ops/debian.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "ops/debian.txt").write_text(
        "# comment\nno-such-package no-such-program|/nowhere/*/bin/it kcat\nbash sh postgres\n"
    )
    (tmp_path / "tests/test_sample.py").write_text(
        "import pytest\n"
        "@pytest.mark.kcat\n@pytest.mark.parametrize('n', [1, 2])\ndef test_needs_it(n): assert n\n"
        "@pytest.mark.postgres\ndef test_has_it(): assert True\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    kcat\n    postgres\n")
    return tmp_path


def run(suite: Path, *args: str, ci: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args],
        cwd=suite,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
    )


def test_what_is_left_out_is_counted(suite: Path) -> None:
    result = run(suite)
    assert result.returncode == 0, result.stdout
    assert "1 passed, 2 deselected" in result.stdout
    assert "left out: 2 tests need no-such-package: apt-get install no-such-package" in result.stdout


def test_ci_leaves_nothing_out(suite: Path) -> None:
    result = run(suite, ci="true")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "CI=true leaves out no test, and 2 need what is missing: no-such-package" in result.stderr


def test_what_nobody_asked_for_is_not_left_out(suite: Path) -> None:
    result = run(suite, "-m", "postgres", ci="true")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "left out" not in result.stdout


def test_the_real_list_names_known_markers() -> None:
    lines = [line.split() for line in (ROOT / "ops/debian.txt").read_text().splitlines() if not line.startswith("#")]
    markers = {marker for _, _, marked in lines for marker in marked.split(",")}
    assert markers == {"asyncapi", "browser", "compiler", "kafka", "kcat", "postgres", "prometheus"}
    for marker in markers:
        assert f'"{marker}: ' in (ROOT / "pyproject.toml").read_text()
