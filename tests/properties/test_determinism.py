"""The same events give the same bytes in every process, whatever order its hash tables have."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_two_hash_seeds_give_the_same_bytes() -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.properties.digest", "60"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "4242")
    ]
    found = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert found[0] == found[1]
    assert len(found[0].split()) == 60
