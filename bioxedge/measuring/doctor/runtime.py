"""Python and ONNX Runtime: imported in another process, which an illegal instruction may end."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from bioxedge.measuring.doctor import child, elf
from bioxedge.measuring.doctor.finding import Finding, Host

# A first import from a slow card takes many seconds.
PATIENCE = 30.0
_IMPORT = """
import onnxruntime
print(json.dumps([onnxruntime.__version__, onnxruntime.get_available_providers()]))
"""
_ANOTHER = "pip install --force-reinstall 'onnxruntime>=1.20,!=1.21.*,!=1.22.*'"
_SHIPS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")


def check(host: Host) -> Iterator[Finding]:
    """Look at the interpreter and at ONNX Runtime."""
    yield _python(host)
    yield from _onnxruntime(host)


def _python(host: Host) -> Finding:
    made_for = elf.machine(host.python)
    seen = f"{platform.python_version()}, {made_for or 'of an unknown kind'}"
    if made_for in ("32-bit Arm", "x86 (32 bit)"):
        return Finding(
            check="python", state="problem", seen=seen, wanted="64 bit",
            cure="install the 64-bit edition of the system: ONNX Runtime has no 32-bit wheel",
        )  # fmt: skip
    return Finding(check="python", state="ok", seen=seen, wanted="3.10 or newer, 64 bit")


def _onnxruntime(host: Host) -> Iterator[Finding]:
    installed = {name: version for name in _SHIPS if (version := _version(name))}
    seen = ", ".join(f"{name} {version}" for name, version in installed.items())
    outcome = child.python(_IMPORT, patience=PATIENCE)
    if outcome.answer is None:
        yield Finding(
            check="onnxruntime", state="problem", wanted="imports",
            seen=f"{seen or 'not installed'}: its import {outcome.said}" if outcome.signal
            else f"{seen or 'not installed'}: {outcome.said}",
            cure=_cure(outcome, bool(installed)),
        )  # fmt: skip
        return
    version, providers = outcome.answer
    seen = f"{version}: {', '.join(p.removesuffix('ExecutionProvider') for p in providers)}"
    if len(installed) > 1:
        yield Finding(
            check="onnxruntime", state="warning", wanted="one of them",
            seen=" and ".join(installed),
            cure=f"pip uninstall {' '.join(installed)}, then install one: they share their files",
        )  # fmt: skip
    elif host.jetson and "CUDAExecutionProvider" not in providers:
        yield Finding(
            check="onnxruntime", state="warning", seen=seen, wanted="CUDA on a Jetson",
            cure="install NVIDIA's onnxruntime-gpu wheel for this JetPack (device/README.md)",
        )  # fmt: skip
    elif version.startswith(("1.21.", "1.22.")):
        yield Finding(
            check="onnxruntime", state="warning", seen=seen, wanted="neither 1.21 nor 1.22",
            cure=_ANOTHER,
        )  # fmt: skip
    else:
        yield Finding(check="onnxruntime", state="ok", seen=seen)


def _cure(outcome: child.Outcome, installed: bool) -> str:
    if outcome.signal == "SIGILL":
        return f"this build needs instructions that the processor lacks: {_ANOTHER}"
    if outcome.signal in ("SIGABRT", "SIGSEGV"):
        return f"another version: {_ANOTHER}"
    if installed and "within" in outcome.said:
        return "ask again: a first import from a slow card takes long; then look at its health"
    return _ANOTHER if installed else "pip install onnxruntime"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
