"""Pack BrainFlow's Python files and libraries for 64-bit Arm into a wheel. Used by build.py."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import re
import tempfile
import zipfile
from pathlib import Path

AARCH64 = 183  # e_machine of an ELF file
LICENCES = {  # in the source → in the wheel
    "LICENSE": "LICENSE.txt",
    "third_party/SimpleBLE/LICENSE.md": "LICENSE-SimpleBLE.md",
}
METADATA = """\
Metadata-Version: 2.1
Name: brainflow
Version: {version}
Summary: Python Binding for BrainFlow, built for 64-bit Arm from revision {revision}
Home-page: https://github.com/brainflow-dev/brainflow
License: MIT; with Bluetooth LE also SimpleBLE's, see LICENSE-SimpleBLE.md
Requires-Python: >=3.5.6
Requires-Dist: numpy
Requires-Dist: setuptools
"""


def is_aarch64(data: bytes) -> bool:
    """Tell whether these are the bytes of a 64-bit Arm library."""
    return data[:6] == b"\x7fELF\x02\x01" and int.from_bytes(data[18:20], "little") == AARCH64


def needs(libraries: dict[str, bytes]) -> dict[str, str]:
    """Give the newest symbol versions of the C and C++ libraries that these ask a board for."""
    everything = b"\0".join(libraries.values())
    found = {}
    for what in ("GLIBC", "GLIBCXX"):
        asked = re.findall(
            rb"\0" + what.encode() + rb"_([0-9.]+)\0", everything.replace(b"\0", b"\0\0")
        )
        if asked:
            found[what] = max(asked, key=_numbers).decode()
    return found


def _numbers(version: bytes) -> list[int]:
    return [int(part) for part in version.split(b".")]


def pack(
    source: Path, libraries: dict[str, bytes], version: str, revision: str
) -> tuple[str, bytes]:
    """Give the wheel's name and bytes, the same for the same input.

    The Python files are the source's own, since they name functions that the libraries must have.
    The tag asks pip for the board's glibc; libdbus, which Bluetooth needs, no tag can ask for.
    """
    glibc = needs(libraries).get("GLIBC", "2.17")
    tag = f"py3-none-manylinux_{glibc.replace('.', '_')}_aarch64"
    info = f"brainflow-{version}.dist-info"
    python = sorted((source / "python_package" / "brainflow").glob("*.py"))
    files = {f"brainflow/{path.name}": path.read_bytes() for path in python}
    files |= {f"brainflow/lib/{name}": data for name, data in sorted(libraries.items())}
    for name, as_ in LICENCES.items():
        if (source / name).is_file() and (
            "SimpleBLE" not in as_ or "libsimpleble-c.so" in libraries
        ):
            files[f"{info}/{as_}"] = (source / name).read_bytes()
    files[f"{info}/METADATA"] = METADATA.format(version=version, revision=revision).encode()
    files[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: bioxedge device/brainflow\n"
        f"Root-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    files[f"{info}/top_level.txt"] = b"brainflow\n"
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980: the same input gives the same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            wheel.writestr(entry, data)
    return f"brainflow-{version}-{tag}.whl", buffer.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def written(path: Path, data: bytes) -> None:
    """Put a whole file in its place, or leave what was there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
