"""A bundle: the directory that holds everything a device needs.

``manifest.json``, the model's ONNX files and ``golden.npz``. Opening one reads every file once,
through a descriptor that follows no link, and checks it against the manifest; what was checked
is what is used. Nothing is ever unpickled.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import json
import math
import os
import shutil
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from bioxedge import manifestfile, onnxfile
from bioxedge.errors import BundleError
from bioxedge.manifest import Golden, Manifest, Variant
from bioxedge.windows import WindowStream

MANIFEST = "manifest.json"
MANIFEST_LIMIT = 4 * 2**20


@dataclass(frozen=True)
class GoldenData:
    """Recorded input and the answers it must give.

    Attributes
    ----------
    raw : ndarray of float64, shape [pieces, channels, n]
        Input samples at the input rate; each piece is a stream of its own.
    windows : ndarray of float32, shape [windows, channels, length]
        What the pieces are cut into, in order.
    probabilities : ndarray of float32, shape [windows, labels]
        What the model answered where it was exported.
    """

    raw: npt.NDArray[np.float64]
    windows: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Bundle:
    """An opened and checked bundle.

    Attributes
    ----------
    path : Path
    manifest : Manifest
    golden : GoldenData
    """

    path: Path
    manifest: Manifest
    golden: GoldenData
    _models: Mapping[str, bytes]

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Read a bundle and check every file in it.

        Parameters
        ----------
        path : path
            The bundle's directory.

        Raises
        ------
        BundleError
            Anything missing, damaged, linked elsewhere, or not what the manifest says.
        """
        path = Path(path)
        try:
            if not path.is_dir() and _aside(path).is_dir():
                path = _aside(path)  # a crash between the two renames of _put_in_place
            there = path.is_dir()
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} cannot be opened: {error}") from error
        if not there:
            raise BundleError(
                f"{path} is no bundle: there is no such directory; bioxedge build makes one"
            )
        manifest = manifestfile.decode(_read(path, MANIFEST, None))
        models = {name: _checked(path, part) for name, part in manifest.model.items()}
        for name, raw in models.items():
            _check_model(name, manifest.model[name], raw)
        golden = _read_golden(_checked(path, manifest.golden), manifest)
        return cls(path, manifest, golden, models)

    def model(self, variant: str | None = None) -> bytes:
        """Give the checked content of a variant's ONNX file (``fp32`` by default).

        Raises
        ------
        ManifestError
            A variant that the bundle does not hold.
        """
        wanted = self.manifest.variant(variant)
        return next(self._models[n] for n, part in self.manifest.model.items() if part == wanted)

    def windows(self) -> WindowStream:
        """Make a fresh stream that cuts windows as this bundle says."""
        return WindowStream(self.manifest.input, self.manifest.stream, self.manifest.window)


def seal(raw: bytes) -> dict[str, Any]:
    """Give the ``sha256`` and ``bytes`` fields of a file's content."""
    return {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}


def pack_golden(golden: GoldenData) -> bytes:
    """Give the content of ``golden.npz``."""
    file = io.BytesIO()
    raw, windows, probabilities = map(
        np.ascontiguousarray, (golden.raw, golden.windows, golden.probabilities)
    )
    np.savez(file, raw=raw, windows=windows, probabilities=probabilities)
    return file.getvalue()


def write(path: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle so that a crash leaves the old one or the new one.

    Everything is written beside the place where it will stand, opened and checked there, and
    then put in place in one step.

    Parameters
    ----------
    path : path
        The bundle's directory; a bundle that is there is replaced.
    manifest : Manifest
        Complete but for its digest.
    files : mapping of str to bytes
        Every file that the manifest names.

    Raises
    ------
    BundleError
        Files that do not fit the manifest, or a directory that is there and no bundle.
    """
    path = Path(path).resolve()
    if path.exists() and not _replaceable(path):
        raise BundleError(f"{path} holds other things than a bundle: remove it or name another")
    named = {part.file for part in manifest.model.values()} | {manifest.golden.file}
    if set(files) != named:
        odd = ", ".join(sorted(set(files) ^ named))
        raise BundleError(f"files and manifest do not fit each other: {odd}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, raw in {**files, MANIFEST: manifestfile.encode(manifest)}.items():
            with (partial / name).open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
        _sync(partial)
        Bundle.open(partial)
        _put_in_place(partial, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Bundle.open(path)


def _read(directory: Path, name: str, size: int | None) -> bytes:
    """Read one regular file of a directory, following no link."""
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise BundleError(f"{directory} lacks {name}: the bundle is incomplete") from error
    except OSError as error:
        why = "it is a link" if error.errno in (errno.ELOOP, errno.EMLINK) else error.strerror
        raise BundleError(f"{directory / name} cannot be read: {why}") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise BundleError(f"{directory / name} is not a regular file")
        if size is None and facts.st_size > MANIFEST_LIMIT:
            raise BundleError(
                f"{directory / name} has {facts.st_size} bytes: at most {MANIFEST_LIMIT} are read"
            )
        if size is not None and facts.st_size != size:
            raise BundleError(
                f"{directory / name} has {facts.st_size} bytes, the manifest says {size}: "
                f"it was truncated or swapped; copy the bundle again"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise BundleError(f"{directory / name} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _checked(directory: Path, part: Variant | Golden) -> bytes:
    """Read a file that the manifest names and hold it to its size and hash."""
    raw = _read(directory, part.file, part.bytes)
    if hashlib.sha256(raw).hexdigest() != part.sha256:
        raise BundleError(
            f"{directory / part.file} does not match its sha256: it was damaged or swapped; "
            "copy the bundle again"
        )
    return raw


def _check_model(name: str, part: Variant, raw: bytes) -> None:
    """Hold an ONNX file to what the manifest says of it."""
    facts = onnxfile.inspect(raw)
    for what in ("ir", "opset", "parameters"):
        found, said = getattr(facts, what), getattr(part, what)
        if found != said:
            raise BundleError(
                f"variant {name}: {part.file} has {what} {found}, the manifest says {said}"
            )


def _read_golden(raw: bytes, manifest: Manifest) -> GoldenData:
    """Decode the golden arrays, after holding them to the manifest's shapes."""
    name = manifest.golden.file
    count = manifest.golden.windows
    shapes: dict[str, tuple[tuple[int | None, ...], type]] = {
        "raw": ((None, len(manifest.input.channels), None), np.float64),
        "windows": ((count, *manifest.variant().input.shape[1:]), np.float32),
        "probabilities": ((count, len(manifest.output.labels)), np.float32),
    }
    found: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            held = [member.filename for member in members]
            if sorted(held) != sorted(f"{key}.npy" for key in shapes):
                raise BundleError(f"{name} holds {', '.join(held)}, not the golden arrays")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise BundleError(f"{name} is compressed, which golden arrays never are")
            for key, (shape, kind) in shapes.items():
                found[key] = _array(archive.read(f"{key}.npy"), f"{name}: {key}", shape, kind)
    except BundleError:
        raise
    except Exception as error:  # zipfile and NumPy fail in a dozen ways on bytes like these
        raise BundleError(f"{name} cannot be read: {error}") from error
    return GoldenData(**found)


def _array(
    content: bytes, where: str, shape: tuple[int | None, ...], kind: type
) -> npt.NDArray[Any]:
    """Decode one array in NumPy's format; nothing is allocated from what its header claims."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise BundleError(f"{where} is not in version 1.0 of NumPy's format")
    declared, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    fits = len(declared) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, declared, strict=True)
    )
    if not fits or dtype != kind or fortran:
        raise BundleError(
            f"{where} is {dtype}{list(declared)}, not {np.dtype(kind)}{[n or 'n' for n in shape]}"
        )
    body = content[file.tell() :]
    if len(body) != math.prod(declared) * dtype.itemsize:
        raise BundleError(f"{where} has {len(body)} bytes, which do not fill {list(declared)}")
    array: npt.NDArray[Any] = np.frombuffer(body, dtype).reshape(declared).copy()
    if not np.isfinite(array).all():
        raise BundleError(f"{where} holds values that are not finite")
    return array


def _sync(directory: Path) -> None:
    """Make a directory's entries durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replaceable(path: Path) -> bool:
    """Tell whether a bundle, or nothing at all, would be lost. Many tools have a manifest.json."""
    if not path.is_dir():
        return False
    try:
        about = json.loads((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        return not any(path.iterdir())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(about, dict) and {"format", "golden", "model", "made_by"} <= set(about)


def _aside(path: Path) -> Path:
    """Name the place where an old bundle waits until the new one stands."""
    return path.absolute().with_name(f".{path.absolute().name}.old")


def _put_in_place(partial: Path, path: Path) -> None:
    """Let the new directory stand where the old one stood, in one step where there is one."""
    if not path.exists() or not any(path.iterdir()):
        partial.replace(path)
    elif not _exchange(partial, path):
        # No atomic exchange on this file system: between the two renames the old bundle stands
        # aside, where Bundle.open finds it.
        old = _aside(path)
        shutil.rmtree(old, ignore_errors=True)
        path.replace(old)
        try:
            partial.replace(path)
        except BaseException:
            old.replace(path)
            raise
    # What stands aside, now or since an earlier crash, is older than what is in place.
    shutil.rmtree(_aside(path), ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories atomically (Linux ``renameat2``); False where that is unknown."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def with_files(manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Fill in the sizes and hashes of the files, and what the ONNX files say of themselves."""
    variants = {
        name: msgspec.structs.replace(
            part, **seal(files[part.file]), **vars(onnxfile.inspect(files[part.file]))
        )
        for name, part in manifest.model.items()
    }
    golden = msgspec.structs.replace(manifest.golden, **seal(files[manifest.golden.file]))
    return msgspec.structs.replace(manifest, model=variants, golden=golden)
