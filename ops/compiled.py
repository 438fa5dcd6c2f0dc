"""Hatch's hook for wheels: with MILEPOST_COMPILE=1 the core is in the wheel twice, as Python and as C extensions.

Python prefers the extensions, which mypyc makes of the same files; with none there it runs the Python. Modules that
define msgspec's structs, or exceptions, stay Python: mypyc knows neither. Needs mypyc and a C compiler.
"""

import ast
import os
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "MILEPOST_COMPILE"
PACKAGE = Path("src/milepost/core")
_INTERPRETED = {"Struct", "AssertionError"}


class CompiledCore(BuildHookInterface[Any]):
    """Adds the extensions to a wheel that is asked for them; an editable installation never has any."""

    _work: TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build them before the wheel's files are gathered. Raises RuntimeError for another value than 0 or 1."""
        asked = os.environ.get(SWITCH, "0")
        if asked not in ("0", "1"):
            raise RuntimeError(f"{SWITCH}: {asked!r} found, 0 or 1 expected")
        if asked == "1" and version != "editable":
            self._work = TemporaryDirectory(prefix="milepost-compiled-")
            build_data["force_include"].update(_built(Path(self.root), Path(self._work.name)))
            build_data.update(pure_python=False, infer_tag=True)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Nothing else is left of the build once the wheel has the extensions."""
        if self._work is not None:
            self._work.cleanup()


def _built(root: Path, work: Path) -> dict[str, str]:
    """The extensions, and where each belongs in the wheel."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    with chdir(root):
        names = [str(path) for path in sorted(PACKAGE.rglob("*.py")) if _is_compilable(path)]
        extensions = mypycify(names, group_name="milepost_core", target_dir=str(work / "c"))
        command = Distribution({"name": "milepost-core", "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(work / "lib"), str(work / "objects")
        command.ensure_finalized()
        command.run()
    return {str(path): str(path.relative_to(work / "lib")) for path in (work / "lib").rglob("*.so")}


def _is_compilable(path: Path) -> bool:
    classes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    bases = {ast.unparse(base).rpartition(".")[2] for one in classes for base in one.bases}
    return path.name != "__init__.py" and not bases & _INTERPRETED
