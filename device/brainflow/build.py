#!/usr/bin/env python3
"""Build BrainFlow for 64-bit Arm and pack a wheel, on the board or on an x86-64 Debian desktop.

Python's standard library is enough, with CMake, Ninja and a compiler. Done steps are not repeated;
what was interrupted goes on where it stopped. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from source import REVISION, SPACE, URL, BuildError, check_space, say, sha256, show, unpacked
from wheel import is_aarch64, needs, pack, written

VERSION = "5.23.0"  # what pip is told: the version that pyproject.toml asks for
LIBRARIES = (
    "libBoardController.so", "libDataHandler.so", "libMLModule.so",
    "libGanglionLib.so", "libMuseLib.so", "libBrainBitLib.so",
)  # fmt: skip
BLUETOOTH = "libsimpleble-c.so"
JOB = 900_000_000  # bytes of memory that one compiler may need


def options() -> argparse.Namespace:
    """Read the command line."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(
        description="Build BrainFlow for 64-bit Arm and pack a wheel that pip installs.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--cross", action="store_true", help="compile on an x86-64 Debian for the board")
    add("--no-bluetooth", action="store_true", help="without Bluetooth LE: needs no libdbus")
    add("--out", type=Path, default=Path("wheels"), help="the wheel's folder (wheels)")
    add("--source", type=Path, metavar="FILE", help="a source archive that was fetched before")
    add("--url", default=URL, help="another https address of it")
    add("--sha256", help="of the archive, where it is another revision than the known one")
    add("--jobs", type=int, help="compilers at once (as cores and memory allow)")
    work = cache / "bioxedge" / "brainflow"
    add("--work", type=Path, default=work, help=f"the folder of source and objects ({work})")
    given = parser.parse_args()
    if given.jobs is not None and given.jobs < 1:
        raise BuildError(f"--jobs is {given.jobs}; at least 1")
    if given.sha256 and not re.fullmatch("[0-9a-fA-F]{64}", given.sha256):
        raise BuildError(f"--sha256 is {given.sha256!r}; give 64 hexadecimal digits")
    if not given.source and not given.url.startswith("https://"):
        raise BuildError(f"--url is {given.url!r}; only https:// is fetched")
    given.work = given.work.resolve()
    return given


def build(given: argparse.Namespace) -> None:
    """Take the four steps: check, unpack, compile, pack."""
    began = time.monotonic()
    check_machine(given)
    given.work.mkdir(parents=True, exist_ok=True)
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BuildError(f"another build works in {given.work}: wait for its end") from error
        folder = unpacked(given)
        libraries = compiled(given, folder, lock)
    revision = f"of an archive with sha256 {given.sha256}" if given.sha256 else REVISION
    name, data = pack(folder / "source", libraries, VERSION, revision)
    wheel: Path = given.out / name
    if wheel.is_file() and wheel.read_bytes() == data:
        say(f"wheel    {wheel}: done before")
    else:
        written(wheel, data)
        asked = ", ".join(f"{what} {version}" for what, version in needs(libraries).items())
        say(f"wheel    {wheel}, {len(data) / 1e6:.1f} MB; it needs {asked}")
    say(f"done     in {time.monotonic() - began:.0f} s; on the board: pip install {wheel}")


def check_machine(given: argparse.Namespace) -> None:
    """Name everything that is missing before anything is fetched."""
    machine = platform.machine()
    if machine != "aarch64" and not given.cross:
        raise BuildError(f"this machine is {machine}, not aarch64: add --cross, or use the board")
    compiler = "aarch64-linux-gnu-g++" if given.cross else "g++"
    arm64 = ":arm64" if given.cross else ""
    packages = {
        compiler: "crossbuild-essential-arm64" if given.cross else "build-essential",
        "cmake": "cmake",
        "ninja": "ninja-build",
    }
    if not given.no_bluetooth:
        packages["pkg-config"] = "pkg-config"
    missing = [package for program, package in packages.items() if not shutil.which(program)]
    if not given.no_bluetooth:
        asked = ["pkg-config", "--exists", "dbus-1"]
        if (
            "pkg-config" in missing
            or subprocess.run(asked, env=seen(given), check=False).returncode
        ):
            missing.append(f"libdbus-1-dev{arm64}")
    if missing:
        first = "sudo dpkg --add-architecture arm64 && sudo apt-get update && " if arm64 else ""
        raise BuildError(f"no {missing[0]}: {first}sudo apt-get install {' '.join(missing)}")


def seen(given: argparse.Namespace) -> dict[str, str]:
    """Let pkg-config see the board's libraries, not the desktop's."""
    if not given.cross:
        return dict(os.environ)
    folders = "/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig"
    return {**os.environ, "PKG_CONFIG_LIBDIR": folders}


def compiled(given: argparse.Namespace, folder: Path, lock: TextIO) -> dict[str, bytes]:
    """Give the libraries by name; Ninja does again only what was not finished."""
    names = [*LIBRARIES, *([] if given.no_bluetooth else [BLUETOOTH])]
    made, done = folder / "source" / "compiled", folder / "done.json"

    def libraries() -> dict[str, bytes]:
        return {name: (made / name).read_bytes() for name in names if (made / name).is_file()}

    def digests() -> dict[str, str]:
        return {name: sha256(data) for name, data in libraries().items()}

    if done.is_file() and json.loads(done.read_text()) == digests():
        say("compile  done before")
        return libraries()
    check_space(folder, SPACE // 2)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    jobs = given.jobs or max(1, min(os.cpu_count() or 1, memory // JOB))
    switches = {
        "CMAKE_BUILD_TYPE": "Release",
        "BRAINFLOW_VERSION": VERSION,
        "BRAINFLOW_COPY_TO_PACKAGE_DIRS": "OFF",
        "BUILD_BLE": "OFF" if given.no_bluetooth else "ON",
        "BUILD_ONNX": "OFF",  # models are run by ONNX Runtime's own package
        "BUILD_SYNCHRONI_SDK": "OFF",  # links a vendor's library
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",  # CMake 4 refuses what third parties ask for
    }
    if given.cross:
        switches["CMAKE_TOOLCHAIN_FILE"] = str(Path(__file__).resolve().with_name("aarch64.cmake"))
    configure = ["cmake", "-G", "Ninja", "-S", f"{folder}/source", "-B", f"{folder}/objects"]
    configure += [f"-D{name}={value}" for name, value in switches.items()]
    compile_ = ["cmake", "--build", f"{folder}/objects", "--parallel", str(jobs)]
    log = folder / "build.log"
    say(f"compile  {jobs} at once; every line of it goes to {log}")
    with log.open("w", buffering=1) as file:
        for command in (configure, compile_):
            run(command, seen(given), file, lock)
    got = libraries()
    for name in names:
        if not is_aarch64(got.get(name, b"")):
            raise BuildError(
                f"{made / name} is not for 64-bit Arm: rm -r {folder}, and run it again"
            )
    written(done, json.dumps(digests()).encode())
    return got


def run(command: list[str], environment: dict[str, str], log: TextIO, lock: TextIO) -> None:
    """Run CMake; show how far it is, and its first complaint where it fails.

    It holds the lock, too: compilers that outlive a killed script are waited for.
    """
    complaint = ""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", pass_fds=[lock.fileno()],
    ) as process:  # fmt: skip
        assert process.stdout is not None  # a pipe was asked for
        for line in process.stdout:
            log.write(line)
            if step := re.match(r"\[(\d+)/(\d+)\]", line):
                show(f"compile  {step[1]} of {step[2]}", int(step[1]), int(step[2]))
            elif not complaint and re.search("(?i)error|killed|no space left", line):
                complaint = line.strip()
    if process.returncode:
        cure = f"see {log.name}"
        if "no space left" in complaint.lower():
            cure = "make room and run it again, it goes on from here"
        elif "killed" in complaint.lower():
            cure = "too little memory, run it again with --jobs 1"
        why = complaint[:200] or f"exit code {process.returncode}"
        raise BuildError(f"{' '.join(command[:2])} failed ({why}): {cure}")


def main() -> int:
    """Build; whatever goes wrong is one line."""
    try:
        build(options())
    except BuildError as error:
        message = str(error)
    except OSError as error:
        full = "make room, " if error.errno == errno.ENOSPC else ""
        message = f"{error.filename or 'disk'}: {error.strerror}: {full}then run it again"
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from here", file=sys.stderr)
        return 130
    else:
        return 0
    print(f"\rerror: {message}" if sys.stdout.isatty() else f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
