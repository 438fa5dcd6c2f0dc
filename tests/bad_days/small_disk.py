"""A disk of a few megabytes that can be filled, emptied and made larger, for whatever is run `on` it.

It is a tmpfs in a mount namespace of its own: nobody needs to be root, and it is gone with the last process in it.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_CHUNK = bytes(4096)


@dataclass(frozen=True)
class SmallDisk:
    """`folder` is its path for processes on it, `seen` the same folder for everybody else."""

    folder: Path
    holder: int

    @property
    def on(self) -> list[str]:
        """What a command begins with that sees the disk."""
        return ["nsenter", "--target", str(self.holder), "--user", "--mount", "--preserve-credentials", "--"]

    @property
    def seen(self) -> Path:
        return Path(f"/proc/{self.holder}/root{self.folder}")

    def fill(self) -> None:
        """Until not a byte more goes onto it."""
        with (self.seen / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
            while ballast.write(_CHUNK):
                pass

    def empty(self) -> None:
        """Take the ballast away."""
        (self.seen / "ballast").unlink()

    def enlarge(self, mebibytes: int) -> None:
        """Make it larger, as it is, under whoever uses it."""
        remount = ["mount", "-o", f"remount,size={mebibytes}m", str(self.folder)]
        subprocess.run([*self.on, *remount], check=True, timeout=30)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mounted on `folder`, which is made."""
    folder.mkdir()
    mount = f'mount -t tmpfs -o size={mebibytes}m tmpfs "$1" && echo mounted && exec sleep infinity'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(folder)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stderr is not None
        assert holder.stdout.readline() == "mounted\n", holder.stderr.read()
        yield SmallDisk(folder, holder.pid)
    finally:
        holder.kill()
        holder.communicate()
