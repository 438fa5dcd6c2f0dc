"""The built wheel, in an empty environment, bills the examples: schemas, examples and the dossier's files are in it."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_works_where_nothing_else_is(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(ROOT)]
    subprocess.run([*build, "--wheel-dir", tmp_path], check=True, timeout=120)
    [wheel] = tmp_path.glob("milepost-*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    pip = [tmp_path / "env/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements.lock"], check=True, timeout=300)
    subprocess.run([*pip, "--no-deps", wheel], check=True, timeout=60)
    program = tmp_path / "env/bin/milepost"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def run(*words: str) -> str:
        command = [program, *words]
        found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    assert "14 schemas, 0 faults" in run("schemas", "check")
    assert "retention release" in run("demo")
    where = "import milepost.operations, pathlib; print(pathlib.Path(milepost.operations.__file__).parent)"
    package = subprocess.run(
        [tmp_path / "env/bin/python", "-c", where], env=environment, capture_output=True, text=True, check=True
    )
    folder = Path(package.stdout.strip())
    assert folder.is_relative_to(tmp_path)
    assert {"verify.py", "README.txt", "dossier.html.jinja"} <= {
        one.name for one in (folder / "dossier_files").iterdir()
    }
