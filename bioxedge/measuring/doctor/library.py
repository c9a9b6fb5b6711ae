"""BrainFlow: is its library there, of this machine's type, does it load, with Bluetooth?"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from bioxedge.measuring.doctor import child, elf
from bioxedge.measuring.doctor.finding import Finding, Host

PATIENCE = 20.0
CORE = "lib/libBoardController.so"
BLE = "lib/libsimpleble-c.so"
_BUILD = "python3 device/brainflow/build.py makes a wheel, pip installs it (device/README.md)"
_AGAIN = "pip install --force-reinstall 'brainflow>=5.23,<6'"
_LOAD = """
import warnings
warnings.simplefilter("ignore")
from brainflow.board_shim import BoardShim
print(json.dumps(BoardShim.get_version()))
"""
_OPEN = "import ctypes; ctypes.CDLL(sys.argv[1]); print(json.dumps(True))"


def check(host: Host) -> Iterator[Finding]:
    """Look at BrainFlow, at what it needs of setuptools, and at its Bluetooth."""
    folder = _folder()
    if folder is None:
        cure = _BUILD if _arm(host) else "pip install 'bioxedge[brainflow]'"
        yield Finding(
            check="brainflow", state="warning", seen="not installed", cure=cure,
            wanted="for sensors; recordings are replayed without it",
        )  # fmt: skip
        return
    trap = _setuptools(folder)
    if trap is not None:
        yield trap
    yield _core(host, folder, trap)
    yield _ble(host, folder)


def _folder() -> Path | None:
    """Where the package is; it is not imported."""
    found = importlib.util.find_spec("brainflow")
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) if places else None


def _setuptools(folder: Path) -> Finding | None:
    """Hold setuptools to what BrainFlow needs; None where it needs nothing of it.

    Below Python 3.12 its way to its own library ends in ``pkg_resources``, which setuptools 82
    no longer has.
    """
    shim = folder / "board_shim.py"
    try:
        needs = "pkg_resources" in shim.read_text(encoding="utf-8", errors="replace")
    except OSError:
        needs = False
    if not needs or sys.version_info >= (3, 12):
        return None
    try:
        seen = metadata.version("setuptools")
    except metadata.PackageNotFoundError:
        seen = "not installed"
    if importlib.util.find_spec("pkg_resources"):
        return Finding(check="setuptools", state="ok", seen=seen, wanted="with pkg_resources")
    return Finding(
        check="setuptools", state="problem", seen=f"{seen}, without pkg_resources",
        wanted="below 82 for BrainFlow before Python 3.12", cure="pip install 'setuptools<82'",
    )  # fmt: skip


def _core(host: Host, folder: Path, trap: Finding | None) -> Finding:
    """Hold the library's machine type to the interpreter's, then load it."""
    wrong = _machine(host, folder / CORE)
    if wrong:
        return Finding(
            check="brainflow", state="problem", seen=wrong[0], wanted=wrong[1], cure=_fitting(host)
        )
    outcome = child.python(_LOAD, patience=PATIENCE)
    if outcome.answer is not None:
        seen = f"{outcome.answer}, {elf.machine(folder / CORE)}"
        return Finding(check="brainflow", state="ok", seen=seen, wanted="loads")
    cure = trap.cure if trap is not None and trap.cure else _fitting(host)
    return Finding(check="brainflow", state="problem", seen=outcome.said, wanted="loads", cure=cure)


def _ble(host: Host, folder: Path) -> Finding:
    """Look at the library that speaks Bluetooth Low Energy, which a default build lacks."""
    name, path = "brainflow-bluetooth", folder / BLE
    if not path.exists():
        return Finding(
            check=name, state="warning", seen=f"{path.name} is not there",
            wanted="for Bluetooth boards without a dongle of their own",
            cure=f"{_fitting(host)}; a core built by hand needs BUILD_BLE=ON",
        )  # fmt: skip
    wrong = _machine(host, path)
    if wrong:
        return Finding(
            check=name, state="problem", seen=wrong[0], wanted=wrong[1], cure=_fitting(host)
        )
    outcome = child.python(_OPEN, str(path), patience=PATIENCE)
    if outcome.answer is None:
        cure = "sudo apt-get install libdbus-1-3" if "dbus" in outcome.said else _fitting(host)
        return Finding(check=name, state="problem", seen=outcome.said, wanted="loads", cure=cure)
    return Finding(check=name, state="ok", seen=f"{path.name} loads")


def _machine(host: Host, path: Path) -> tuple[str, str] | None:
    """Say what is wrong with a library's machine type, and what it should be."""
    ours = elf.machine(host.python)
    try:
        theirs = elf.machine(path)
    except OSError as error:
        return f"{path}: {error.strerror}", f"a library for {ours}"
    if theirs is None:
        return f"{path.name} is no ELF library", f"a library for {ours}"
    if ours is not None and theirs != ours:
        return f"{path.name} is for {theirs}", f"for {ours}, as this Python is"
    return None


def _arm(host: Host) -> bool:
    return elf.machine(host.python) == "64-bit Arm"


def _fitting(host: Host) -> str:
    """Say where a library for this machine comes from: for Linux on Arm, pip has none."""
    return _BUILD if _arm(host) else _AGAIN
