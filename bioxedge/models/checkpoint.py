"""Checkpoints: read without running anything, matched key by key."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor, nn

from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain
from bioxedge.models.inert import BESIDE, Inert, plain
from bioxedge.models.translate import agree

__all__ = [
    "Checkpoint",
    "Inert",
    "agreed",
    "fill",
    "ours",
    "plain",
    "read",
    "save",
    "sha256",
]

_OURS = "bioxedge"  # the metadata key under which `save` keeps name and configuration

# What torch's reader raises, besides its own error, where bytes are not what they should be.
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes
    ----------
    weights : dict of str to Tensor
        On the CPU, under the file's own key names.
    sha256 : str
        Of the file, in hexadecimal.
    beside : dict
        What a wrapper holds beside the weights (configuration, epoch, …).
    config : dict or None
        The configuration, if `save` wrote the file.
    """

    weights: dict[str, Tensor]
    sha256: str
    beside: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] | None = None


def sha256(path: str | Path) -> str:
    """Digest a file in hexadecimal; ModelError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}): give the path of a checkpoint"
        ) from error
    return digest.hexdigest()


def read(
    path: str | Path,
    *,
    name: str,
    wrappers: Collection[str] = (),
    inert: Collection[str] = (),
) -> Checkpoint:
    """Read a checkpoint without running any code that it may carry.

    Parameters
    ----------
    path : str or Path
        ``.safetensors``, or a file of `torch.save`, which is read with
        ``weights_only=True``.
    name : str
        The model it is meant for; a file that `save` wrote for another is refused.
    wrappers : collection of str
        Keys under which this model's authors put the weights; without one of them the
        file itself is the state dict.
    inert : collection of str
        Full names (patterns as of `fnmatch`) of the objects that this model's authors store
        beside the weights. They are read as `Inert`, which does nothing.

    Raises
    ------
    ModelError
        If the file is missing, damaged, holds more than tensors and plain values, or was
        saved from another model.
    """
    digest = sha256(path)
    if Path(path).suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ModelError(f"{path} is not a safetensors file: {error}") from error
        return Checkpoint(weights, digest, config=_config(metadata, path, name))
    try:
        allowed = torch.serialization.safe_globals(_stand_ins(path, (*BESIDE, *inert)))
        with warnings.catch_warnings(), allowed:
            # Of files by another pickle protocol, which are then read, or refused below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, *_DAMAGED) as error:
        raise ModelError(
            f"{path} cannot be read as weights alone ({_reason(error)}): ask its authors for "
            f"a state dict or a safetensors file"
        ) from error
    beside: dict[str, Any] = {}
    if isinstance(content, Mapping):
        for wrapper in wrappers:
            if isinstance(content.get(wrapper), Mapping):
                beside = {key: value for key, value in content.items() if key != wrapper}
                content = content[wrapper]
                break
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ModelError(
            f"{path} holds no state dict: expected tensors by name"
            + (f", bare or under {', '.join(wrappers)}" if wrappers else "")
        )
    return Checkpoint(dict(content), digest, beside)


def ours(path: str | Path) -> bool:
    """Say whether `save` wrote a file; False for what cannot be read."""
    if Path(path).suffix != ".safetensors":
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return _OURS in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _stand_ins(path: str | Path, allowed: Collection[str]) -> list[Any]:
    """Map each allowed object that a file holds to `Inert`."""
    try:
        held = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (UnpicklingError, *_DAMAGED):
        return []  # not of the current format: it is read, or refused, with nothing allowed
    return [
        (Inert, name) for name in held if any(fnmatchcase(name, pattern) for pattern in allowed)
    ]


def _reason(error: Exception) -> str:
    """Say in a few words why a file was refused; torch's own words advise to run it."""
    text = str(error)
    held = re.search(r"Unsupported (?:global|class)[^:]*: (?:GLOBAL )?(\S+)", text)
    if held:
        return f"it holds {held[1]}, which may run code"
    if isinstance(error, UnpicklingError | RuntimeError | EOFError | BadZipFile) and text.strip():
        return text.strip().splitlines()[0]
    return "it is damaged, or not a file of torch.save"


def fill(
    module: nn.Module, weights: Mapping[str, Tensor], *, source: str, optional: tuple[str, ...] = ()
) -> None:
    """Copy weights into a module, strictly.

    Parameters
    ----------
    module : Module
        What is filled; untouched when something does not fit.
    weights : mapping of str to Tensor
        Under the module's key names.
    source : str
        What to call the checkpoint in an error.
    optional : tuple of str
        Ends of the keys that may be absent from the weights.

    Raises
    ------
    ModelError
        One error that names every missing and unexpected key and every other shape.
    """
    wanted = module.state_dict()
    missing = [
        key for key in wanted if key not in weights and not key.endswith(optional or ("\0",))
    ]
    unexpected = [key for key in weights if key not in wanted]
    shapes = [
        f"{key} {list(weights[key].shape)} for {list(wanted[key].shape)}"
        for key in wanted
        if key in weights and weights[key].shape != wanted[key].shape
    ]
    faults = [
        f"{what} {', '.join(which)}"
        for what, which in (("missing", missing), ("unexpected", unexpected), ("shape", shapes))
        if which
    ]
    if faults:
        raise ModelError(
            f"{source} does not fit: {'; '.join(faults)}: check the model's name and dimensions"
        )
    module.load_state_dict(dict(weights), strict=False)  # strictness is checked above


def save(chain: Chain, path: str | Path) -> str:
    """Write a whole chain as safetensors with its name and configuration; give its sha256.

    Raises
    ------
    ModelError
        If the chain is a slice, the path does not end in ``.safetensors``, options cannot be
        written as JSON, or two keys hold one tensor.
    """
    if chain.stem is None or len(chain) != chain.whole:
        raise ModelError(f"only a whole chain is saved, not {chain.extra_repr()}: save it uncut")
    if Path(path).suffix != ".safetensors":
        raise ModelError(f"{path} does not end in .safetensors: name it so")
    try:
        about = json.dumps({"model": chain.name, "config": chain.options()})
    except TypeError as error:
        raise ModelError(
            f"{chain.name} was made with {chain.options()}, which JSON cannot hold ({error}): "
            "let its function take numbers, words and lists of them"
        ) from error
    weights = {key: value.contiguous() for key, value in chain.state_dict().items()}
    try:
        # Through a file of our own, which says why a write failed; the library's does not.
        Path(path).write_bytes(as_bytes(weights, metadata={_OURS: about}))
    except RuntimeError as error:
        raise ModelError(
            f"{chain.name} keeps one tensor under several names, which cannot be saved: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return sha256(path)


def agreed(found: Checkpoint, options: dict[str, Any], *, source: str) -> dict[str, Any]:
    """Join the options with the configuration that a file brings; ModelError if they differ."""
    if found.config is None:
        return options
    agree(found.config, options, source=source)
    return {**found.config, **options}


def _config(metadata: dict[str, str], path: str | Path, name: str) -> dict[str, Any] | None:
    if _OURS not in metadata:
        return None
    try:
        about = json.loads(metadata[_OURS])
        held, config = str(about["model"]), dict(about["config"])
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} is damaged: what it says of its model cannot be read; save it again"
        ) from error
    if held != name:
        raise ModelError(f"{path} holds a {held}, not a {name}: load it by that name")
    return config
