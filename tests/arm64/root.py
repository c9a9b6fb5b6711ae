"""An emulated 64-bit Arm Debian, one Python environment in it for each ONNX Runtime.

No binfmt and no image: a folder, a static qemu and a mount namespace that ends with its process.
Each environment's ``python`` is a script for this machine's kernel that starts the emulator, so
that what is tested may start processes of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
DEBIAN = ("python3.11", "python3.11-minimal", "libdbus-1-3", "libgomp1", "libstdc++6", "tzdata")
TOOLS = {  # program → package of this machine
    "debootstrap": "debootstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "busybox": "busybox-static",
    "aarch64-linux-gnu-g++": "crossbuild-essential-arm64",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "pkg-config": "pkg-config",
}
DBUS = Path("/usr/lib/aarch64-linux-gnu/pkgconfig/dbus-1.pc")
RUNTIMES = {"1.23.2": "onnxruntime==1.23.2", "newest": "onnxruntime"}
# Under Debian 12's qemu, 1.23.2 needs /sys to be there, newer ones must not see this machine's.
WITH_SYS = ("1.23.2",)
PACKAGES = (
    "numpy", "scipy", "msgspec", "click", "rich", "setuptools<82", "pip",
    "pytest>=8", "pytest-randomly>=3.16", "pytest-timeout>=2.3.1", "hypothesis>=6.100",
    "jsonschema>=4.21",
)  # fmt: skip
PLATFORMS = [f"manylinux{tag}_aarch64" for tag in ("_2_28", "_2_27", "_2_17", "2014")]
LAUNCHER = """#!/host/busybox sh
exec /host/qemu-aarch64-static -0 "$0" /usr/bin/python3.11 "$@"
"""
# $1 root, $2 project, $3 shared, $4 results, $5 whether /sys is seen; then the command.
ENTER = """set -e
mount --bind "$2" "$1/work/project"
[ -z "$3" ] || mount --bind -o ro "$3" "$1/work/shared"
mount --bind "$4" "$1/work/results"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
[ "$5" = no ] || mount --bind /sys "$1/sys"
root=$1
shift 5
exec "$root/host/busybox" chroot "$root" /host/busybox env -i \\
  PATH=/host/bin:/usr/bin HOME=/root LANG=C.UTF-8 PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 \\
  BIOXEDGE_SHARED=/work/shared \\
  /host/busybox sh -c 'cd /work/project; exec "$@"' sh "$@"
"""


def tools() -> None:
    """Install what is missing of this machine's packages, where one may; else name them.

    Raises
    ------
    SystemExit
        Not root, or packages that cannot be installed.
    """
    missing = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    if not DBUS.is_file():
        missing.append("libdbus-1-dev:arm64")
    if os.geteuid():
        also = f", and installed: {' '.join(missing)}" if missing else ""
        sys.exit(f"error: mounting needs root: run this with sudo{also}")
    if not missing:
        return
    print(f"installing {' '.join(missing)}", flush=True)
    for command in (
        ["dpkg", "--add-architecture", "arm64"],
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
    ):
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            sys.exit(f"error: `{' '.join(command)}` failed: install {' '.join(missing)} yourself")


class Root:
    """The folder of an emulated machine.

    Parameters
    ----------
    folder : Path
        Everything is kept below it, and made once.
    shared : Path, optional
        The folder with real recordings.
    """

    def __init__(self, folder: Path, shared: Path | None) -> None:
        self.root, self.shared = folder / "root", shared
        self.project, self.results = folder / "project", folder / "results"
        self._made = folder / "made"
        for path in (self.root, self.project, self.results, self._made):
            path.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, key: Iterable[object], make: Callable[[], None]) -> None:
        """Make a part unless it was made of the same."""
        digest = hashlib.sha256(repr([str(part) for part in key]).encode()).hexdigest()
        mark = self._made / name
        if not mark.is_file() or mark.read_text() != digest:
            mark.unlink(missing_ok=True)
            make()
            mark.write_text(digest)

    def debian(self) -> None:
        """Unpack Debian's packages: nothing of them is configured, nothing needs to be."""
        shutil.rmtree(self.root)  # with the environments that were made in it
        for mark in self._made.iterdir():
            mark.unlink()
        command = [
            "debootstrap", "--foreign", "--arch=arm64", "--variant=minbase",
            f"--include={','.join(DEBIAN)}", SUITE, str(self.root), MIRROR,
        ]  # fmt: skip
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        for package in sorted((self.root / "var/cache/apt/archives").glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(self.root)], check=True)
        for name in ("work/project", "work/shared", "work/results", "host/bin", "sys", "proc"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for tool in ("busybox", "qemu-aarch64-static"):
            shutil.copy(shutil.which(tool) or tool, self.root / "host" / tool)
        # The kernel runs these tools, where it would refuse Debian's of the other machine.
        shell = self.root / "bin/sh"
        for name in ("sh", "mount", "umount", "cat", "sleep", "kill", "ls", "true", "false", "env"):
            (self.root / "host/bin" / name).symlink_to("/host/busybox")
        shell.unlink(missing_ok=True)
        shell.symlink_to("/host/busybox")

    def environment(self, name: str, runtime: str) -> None:
        """Make a virtual environment with this ONNX Runtime, as pip resolves it for the board."""
        folder = self.root / "opt" / name
        shutil.rmtree(folder, ignore_errors=True)
        packages = folder / "lib/python3.11/site-packages"
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/python").write_text(LAUNCHER)
        (folder / "bin/python").chmod(0o755)
        about = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n"
        (folder / "pyvenv.cfg").write_text(about)
        platforms = [word for tag in PLATFORMS for word in ("--platform", tag)]
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-compile", "--target", str(packages), *platforms, "--implementation", "cp",
            "--python-version", "3.11", "--only-binary=:all:", runtime, *PACKAGES,
        ]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not ran.returncode, f"pip cannot resolve {runtime}: {ran.stderr.strip()[-300:]}"

    def install(self, name: str, *wheels: Path) -> None:
        """Install wheels with the emulated machine's own pip, which judges their tags."""
        for wheel in wheels:
            shutil.copy(wheel, self.results / wheel.name)
        inside = [f"/work/results/{wheel.name}" for wheel in wheels]
        quiet = ["--quiet", "--root-user-action=ignore", "--disable-pip-version-check"]
        alone = ["--no-index", "--no-deps", "--no-compile", "--force-reinstall"]
        ran = self.run(name, "-m", "pip", "install", *quiet, *alone, *inside, timeout=900)
        if ran.returncode:
            sys.exit(f"error: pip refuses {', '.join(inside)} on the board: {ran.stderr.strip()}")

    def run(
        self, name: str, *arguments: str, timeout: float, program: str = "python"
    ) -> subprocess.CompletedProcess[str]:
        """Run one of an environment's programs there, in ``/work/project``."""
        sys_ = "yes" if name in WITH_SYS else "no"
        shared = str(self.shared or "")
        where = [self.root, self.project, shared, self.results, sys_, f"/opt/{name}/bin/{program}"]
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]
        command += [str(part) for part in (*where, *arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
