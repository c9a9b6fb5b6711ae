"""BrainFlow's source: fetched, checked by its sha256, unpacked. Used by build.py."""

from __future__ import annotations

import argparse
import hashlib
import http.client
import lzma
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path, PurePosixPath

# The newest revision that was read, built and run for this project; see README.md.
REVISION = "9097190cc70ff039172b7c56bfc44bf1c8f3be25"
URL = f"https://github.com/brainflow-dev/brainflow/archive/{REVISION}.tar.gz"
# Of the files that are built, not of the archive: GitHub packs anew, and may compress otherwise.
CONTENTS = "7cbef369e41e7813bab47f3319e60bc05e44dbd556bbc3905890d21bb6117485"

FILES = ("CMakeLists.txt", "LICENSE")
FOLDERS = ("cmake/", "cpp_package/", "python_package/brainflow/", "src/", "third_party/")
# Ready-made libraries are never unpacked: what the wheel holds was compiled here.
REFUSED = (".so", ".dll", ".dylib", ".lib", ".aar", ".sh", ".bat", ".cmd")
UNUSED = ("third_party/onnxruntime/runtimes/", "third_party/synchroni/")
# CMake copies these vendors' libraries, none for 64-bit Arm, to where nobody looks: empty will do.
COPIED = (
    "third_party/ant_neuro/linux/libeego-SDK.so",
    "third_party/unicorn/lib/libunicorn.so",
    "third_party/unicorn/lib/libunicorn_raspberry.so",
)
SPACE = 250_000_000  # bytes: source, objects and the wheel, with some to spare
LARGEST = 300_000_000  # bytes of an archive, packed, and of what is taken from it


class BuildError(Exception):
    """What is wrong and what to do about it, on one line."""


def check_space(folder: Path, needed: int) -> None:
    """Refuse a disk that would be full before the end."""
    if (free := shutil.disk_usage(folder).free) < needed:
        raise BuildError(
            f"{folder} has {free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB are needed: "
            "make room, or name another folder with --work"
        )


def unpacked(given: argparse.Namespace) -> Path:
    """Give the folder of this source built with these options: CMake writes beside the source."""
    key = (given.sha256 or CONTENTS).lower()
    folder: Path = given.work / (key[:16] + "-cross" * given.cross + "-plain" * given.no_bluetooth)
    if (folder / "source").is_dir():
        say(f"source   {folder / 'source'}: done before")
        return folder
    check_space(given.work, SPACE)
    archive = given.source or fetched(given)
    if not archive.is_file():
        raise BuildError(f"{archive} is no file: --source takes the source archive")
    if given.sha256 and (got := sha256(archive.read_bytes())) != key:
        raise BuildError(f"{archive}: sha256 is {got}, not {key}: {again(given, archive)}")
    say(f"source   unpacking {archive}")
    staging = Path(tempfile.mkdtemp(dir=given.work, prefix="unpacking-"))
    try:
        take(archive, staging)
        if not given.sha256 and (got := contents(staging)) != CONTENTS:
            raise BuildError(
                f"{archive}: its files have sha256 {got}, not {CONTENTS}: "
                f"{again(given, archive)}, or give --sha256 if another revision is meant"
            )
        for name in COPIED:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).touch()
        folder.mkdir(exist_ok=True)
        staging.rename(folder / "source")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def again(given: argparse.Namespace, archive: Path) -> str:
    """Say how to get the right archive; one that was fetched here is removed."""
    if given.source:
        return f"fetch it again from {given.url}"
    archive.unlink()
    return "it was removed, run the command again"


def fetched(given: argparse.Namespace) -> Path:
    """Fetch the archive; a part that came before an interruption is not trusted."""
    archive: Path = given.work / f"{sha256(given.url.encode())[:16]}.archive"
    if archive.is_file():
        return archive
    part = archive.with_suffix(".part")
    say(f"source   fetching {given.url}")
    try:
        with urllib.request.urlopen(given.url, timeout=60) as answer, part.open("wb") as file:
            while block := answer.read(1 << 20):
                file.write(block)
                show(f"source   {file.tell() / 1e6:.0f} MB")
                if file.tell() > LARGEST:
                    raise BuildError(f"{given.url} is more than {LARGEST} bytes: not the source")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as e:
        raise BuildError(
            f"{given.url} cannot be fetched ({getattr(e, 'reason', e)}): mend the network, or "
            "fetch it elsewhere and give --source FILE"
        ) from e
    part.replace(archive)
    return archive


def take(archive: Path, folder: Path) -> None:
    """Unpack the files that are built, and nothing outside the folder."""
    total = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if name.startswith("brainflow-"):  # GitHub puts everything under such a folder
                    name = name.partition("/")[2]
                if not (member.isfile() and wanted(name)):
                    continue
                total += member.size
                if ".." in PurePosixPath(name).parts or total > LARGEST:
                    raise BuildError(f"{archive} is not BrainFlow's source: {member.name!r} in it")
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                data = tar.extractfile(member)
                assert data is not None  # a file has some
                with (folder / name).open("wb") as file:
                    shutil.copyfileobj(data, file)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BuildError(f"{archive} is damaged or no archive: fetch it again") from error


def wanted(name: str) -> bool:
    """Tell whether a file of the archive is built."""
    built = name in FILES or name.startswith(FOLDERS)
    return built and not name.endswith(REFUSED) and not name.startswith(UNUSED)


def sha256(data: bytes) -> str:
    """Give the digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def contents(folder: Path) -> str:
    """Give the digest of the files that are built: of a list as sha256sum prints it, by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    lines = [f"{sha256((folder / name).read_bytes())}  {name}\n" for name in names]
    return sha256("".join(lines).encode())


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def show(text: str, step: int = 0, steps: int = 0) -> None:
    """Rewrite a line on a terminal; into a file goes a line for each tenth."""
    if sys.stdout.isatty():
        print(f"\r{text} ", end="\n" * (0 < steps == step), flush=True)
    elif steps and step * 10 // steps > (step - 1) * 10 // steps:
        say(text)
