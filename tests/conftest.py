"""What holds for every test: nothing of the developer's environment leaks in, and nothing is left out unseen."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# Fixtures that several folders share.
pytest_plugins = ["tests.brokers", "tests.databases", "tests.postgres"]

ROOT = Path(__file__).parent.parent
IN_CI = os.environ.get("CI") == "true"
LEFT_OUT = pytest.StashKey[Counter[str]]()

# No deadline: two busy cores make an honest test slow. In CI the same examples every time, so that a red build is about
# the change; on a developer's machine new ones each run, which is where new faults are found.
# `make fuzz` has many times as many.
hypothesis.settings.register_profile(
    "milepost",
    deadline=None,
    print_blob=True,
    derandomize=IN_CI,
    max_examples=100 * int(os.environ.get("FUZZ_TIMES", "1")),
)
hypothesis.settings.load_profile("milepost")


def missing_packages() -> dict[str, set[str]]:
    """Debian packages by the marker of the tests that need them, of those whose command is not installed."""
    listed = subprocess.run([ROOT / "ops/debian.sh", "missing"], check=True, capture_output=True, text=True).stdout
    missing: dict[str, set[str]] = {}
    for package, markers in (line.split() for line in listed.splitlines()):
        for marker in markers.split(","):
            missing.setdefault(marker, set()).add(package)
    return missing


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite golden files instead of comparing with them")


def pytest_configure(config: pytest.Config) -> None:
    # MILEPOST_PROPERTY_RUNS is the tests' own: how long the property tests look.
    for name in [name for name in os.environ if name.startswith("MILEPOST_") and name != "MILEPOST_PROPERTY_RUNS"]:
        del os.environ[name]
    config.stash[LEFT_OUT] = Counter()
    # A shell without job control starts what it puts into the background with Ctrl-C ignored, and every process that a
    # test starts and interrupts would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # after -m and -k: what nobody asked for is not left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("golden"):
        others = [item for item in items if "golden" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    missing = missing_packages()
    kept, out = [], []
    for item in items:
        packages = set().union(*(missing.get(mark.name, ()) for mark in item.iter_markers()))
        if packages:
            out.append(item)
            config.stash[LEFT_OUT][" ".join(sorted(packages))] += 1
        else:
            kept.append(item)
    if out and IN_CI:
        needed = " ".join(sorted(set().union(*missing.values())))
        raise pytest.UsageError(f"CI=true leaves out no test, and {len(out)} need what is missing: {needed}")
    config.hook.pytest_deselected(items=out)
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for packages, count in sorted(terminalreporter.config.stash[LEFT_OUT].items()):
        tests = "1 test needs" if count == 1 else f"{count} tests need"
        terminalreporter.write_line(f"left out: {tests} {packages}: apt-get install {packages}", yellow=True)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """`golden(path, text)`: the file holds exactly this text; `make golden` writes it instead."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path.relative_to(ROOT)} does not exist; `make golden` writes it"
        assert text == path.read_text(encoding="utf-8"), f"{path.name} is out of date; `make golden` rewrites it"

    return check
