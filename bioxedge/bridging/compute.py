"""On what, and how precisely, frozen models are run and a bridge is trained."""

from __future__ import annotations

import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.packed import can_pack, packed
from bioxedge.errors import ModelError


@dataclass(frozen=True)
class Compute:
    """Choices that change speed, and results by rounding.

    Attributes
    ----------
    device : str
        ``auto`` takes the GPU that this process was given where there is one; else a name as
        torch has them (``cpu``, ``cuda:1``).
    precision : {"fp32", "bf16"}
        Of the matrix products inside frozen models. The bridge's parameters, the loss and
        everything that is averaged stay in float32.
    compiled : bool
        Fuse what lies between the matrix products of a frozen tail (``torch.compile``; needs a
        C++ compiler on a processor, and half a minute before the first step).
    packed : bool
        On a processor, lay the weights of frozen linear layers out once (`packed`), in the
        wanted precision. Where something is compiled it changes nothing.
    """

    device: str = "auto"
    precision: str = "fp32"
    compiled: bool = False
    packed: bool = False

    def check(self) -> Compute:
        """Refuse what this machine has not; ModelError says what to choose instead."""
        try:
            device = self.where
        except RuntimeError as error:
            raise ModelError(f"{self.device!r} is no device: choose auto, cpu or cuda") from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ModelError(f"torch finds no GPU for {self.device!r}: choose auto or cpu")
        if self.compiled and device.type == "cpu" and not can_compile(device):
            raise ModelError(
                "no C++ compiler is found, which compiled = true needs on a processor: install "
                "g++, or set compiled = false"
            )
        if self.packed and device.type == "cpu" and not can_pack():
            raise ModelError("this torch has no oneDNN, which packs weights: set packed = false")
        if not self.native:
            raise ModelError(
                f"this {'GPU' if device.type == 'cuda' else 'processor'} has no bf16: it would be "
                "slower than fp32; choose fp32"
            )
        return self

    @property
    def native(self) -> bool:
        """Whether the device multiplies in the wanted precision itself."""
        return self.precision == "fp32" or has_bf16(self.where)

    @property
    def where(self) -> torch.device:
        """The device that is meant."""
        if self.device != "auto":
            return torch.device(self.device)
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")

    @contextmanager
    def placed(self, module: nn.Module) -> Iterator[None]:
        """Have a frozen module on the device, and back on the processor afterwards.

        On GPUs its 2-D convolutions are kept channels-last, which their kernels want; on the
        processor its weights are packed where that is wanted.
        """
        device = self.where
        if device.type == "cpu":
            wanted = self.packed and not self.compiled
            kind = torch.float32 if self.precision == "fp32" else torch.bfloat16
            with packed(module, kind) if wanted else nullcontext():
                yield
            return
        _move(module, device, torch.channels_last)
        try:
            yield
        finally:
            _move(module, torch.device("cpu"), torch.contiguous_format)

    def fused(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """Compile a module where that is wanted; else give it as it is."""
        if not self.compiled:
            return module
        with _hushed():
            compiled = torch.compile(module)

        def run(tokens: Tensor) -> Tensor:
            with _hushed():  # it compiles when it is first called
                out: Tensor = compiled(tokens)
                return out

        return run

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run frozen models in the wanted precision."""
        if self.precision == "fp32":
            yield
            return
        with torch.autocast(self.where.type, dtype=torch.bfloat16):
            yield


def _move(module: nn.Module, device: torch.device, layout: torch.memory_format) -> None:
    """Have a module on a device, what it convolves in 2-D laid out in that way."""
    module.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch declares it not


def can_compile(device: torch.device) -> bool:
    """Say whether what ``torch.compile`` writes for a device can be compiled here."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    names = (os.environ.get("CXX", ""), "g++", "clang++")
    return any(shutil.which(name) for name in names)


@contextmanager
def _hushed() -> Iterator[None]:
    """Silence what torch 2.13's compiler says of its own inside."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not")
        yield


def has_bf16(device: torch.device) -> bool:
    """Say whether matrix products in bf16 are native there."""
    if device.type == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False  # no Linux: unknown, so not
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))
