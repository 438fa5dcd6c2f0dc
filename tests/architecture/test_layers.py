"""The contracts of import-linter hold, and each of them notices when it is broken."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
NAMES = {contract["id"]: contract["name"] for contract in CONTRACTS}


class Offence(NamedTuple):
    contract: str
    module: str
    statement: str


OFFENCES = [
    Offence("layers", "milepost/core/offence.py", "import milepost.settings"),
    Offence("layers", "milepost/core/offence.py", "from milepost.codec import offended"),
    Offence("layers", "milepost/codec/offence.py", "from milepost.kafka import offended"),
    Offence("layers", "milepost/codec/offence.py", "from milepost.contract import offended"),
    Offence("layers", "milepost/kafka/offence.py", "from milepost.join import offended"),
    Offence("layers", "milepost/store/offence.py", "from milepost.sql import offended"),
    Offence("layers", "milepost/join/offence.py", "from milepost.ledger import offended"),
    Offence("layers", "milepost/ledger/offence.py", "def late():\n    from milepost.join import offended"),
    Offence("layers", "milepost/join/offence.py", "from milepost.demo import offended"),
    Offence("layers", "milepost/demo/offence.py", "from milepost.cli import offended"),
    Offence("layers", "milepost/unlisted/offence.py", ""),
    Offence("processes", "milepost/cli/offence.py", "import consumers"),
    Offence("processes", "milepost/cli/offence.py", "import producers"),
    Offence("processes-apart", "consumers/offence.py", "import producers"),
    Offence("kafka-clients", "milepost/join/offence.py", "import aiokafka"),
    Offence("kafka-clients", "consumers/offence.py", "from confluent_kafka.admin import AdminClient"),
    Offence("sql-libraries", "milepost/ledger/offence.py", "from sqlalchemy.orm import Session"),
    Offence("sql-libraries", "milepost/cli/offence.py", "import alembic.command"),
    Offence("faust", "milepost/join/offence.py", "import faust"),
    Offence("faust", "milepost/kafka/offence.py", "from faust.transport.drivers import aiokafka"),
    Offence("http-clients", "milepost/ledger/offence.py", "from aiohttp import ClientSession"),
    Offence("pure-adapters", "milepost/gateway/adapters/offence.py", "import time"),
    Offence("pure-adapters", "milepost/gateway/adapters/offence.py", "from milepost.sql import engine"),
    Offence("pure-core", "milepost/core/rules/offence.py", "import time"),
    Offence("pure-core", "milepost/core/offence.py", "from holidays import country_holidays"),
]


def lint(folder: Path) -> tuple[int, set[str], str]:
    """Run import-linter on the sources in `folder`: exit status, names of broken contracts, the whole report."""
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--config", folder / "pyproject.toml", "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    report = run.stdout + run.stderr
    outcomes = dict(re.findall(r"^(.+) (KEPT|BROKEN)(?: \(.*\))?$", report, re.MULTILINE))
    assert outcomes.keys() == set(NAMES.values()), report
    return run.returncode, {name for name, outcome in outcomes.items() if outcome == "BROKEN"}, report


def test_all_contracts_hold() -> None:
    status, broken, report = lint(ROOT)
    assert (status, broken) == (0, set()), report
    assert f"{len(NAMES)} kept, 0 broken" in report


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    without_caches = shutil.ignore_patterns("__pycache__")
    for source in ("src/milepost", "consumers", "producers"):
        shutil.copytree(ROOT / source, folder / source, ignore=without_caches)
    return folder


def place(folder: Path, name: str) -> Path:
    """Path of a module in the copy; packages that do not exist yet are made."""
    path = folder / ("src" if name.startswith("milepost/") else "") / name
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    return path


def imported(statement: str) -> str | None:
    """The module of ours that an offending statement names."""
    found = re.search(r"from (milepost\.\w+) import offended", statement)
    return found[1].replace(".", "/") + "/offended.py" if found else None


@pytest.mark.parametrize("offence", OFFENCES, ids=lambda offence: f"{offence.contract}: {offence.module}")
def test_each_contract_bites(copied: Path, offence: Offence) -> None:
    made = [place(copied, offence.module)]
    made[0].write_text(f'"""Breaks a contract."""\n\n{offence.statement}\n')
    if target := imported(offence.statement):
        made.append(place(copied, target))
        made[-1].write_text('"""Is imported by what must not."""\n')
    status, broken, report = lint(copied)
    for path in made:
        path.unlink()
        if path.parent.name == "unlisted":
            shutil.rmtree(path.parent)
    assert status != 0, report
    assert NAMES[offence.contract] in broken, report


def test_every_contract_is_broken_once() -> None:
    assert {offence.contract for offence in OFFENCES} == set(NAMES)
    assert [contract["exhaustive"] for contract in CONTRACTS if contract["type"] == "layers"] == [True]
