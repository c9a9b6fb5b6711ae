"""What a device knows of its wearers: one small file a wearer and bundle, in the user's state.

It holds counts, means and mean squares of features, no signal; it never leaves the machine.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO

import msgspec

from bioxedge.atomic import write_file
from bioxedge.errors import StorageError
from bioxedge.manifest import Manifest
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.wearer import Baseline, Known

FORMAT = 1
EVERY = 60.0
"""Seconds between two writings: what a power cut can cost."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_LARGEST = 16 * 2**20  # bytes of a file that can be one of ours


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wearer's file."""

    format: int
    bundle: str
    name: str
    baseline: Known


@dataclass(frozen=True)
class Listed:
    """A wearer of whom something is known.

    Attributes
    ----------
    wearer : str
    bundle : str
        The bundle's name.
    windows : int
        Seen so far.
    changed : float
        Unix time of the last writing.
    damaged : str
        Why the file cannot be read, with the cure; empty where it can.
    """

    wearer: str
    bundle: str
    windows: int
    changed: float
    damaged: str = ""


def folder() -> Path:
    """Give where wearers are kept; it need not be there.

    Under systemd ``StateDirectory=`` says where a service may keep things.

    Raises
    ------
    StorageError
        The user has no home.
    """
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    given = service or os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise StorageError(
            "there is no home to keep wearers in: set XDG_STATE_HOME to a directory"
        ) from error
    return base / "bioxedge" / "wearers"


def listed() -> list[Listed]:
    """List every wearer and bundle of which something is known."""
    found = []
    for path in sorted(folder().glob("*/*.json")):
        who = path.parent.name
        try:
            changed = path.stat().st_mtime
            kept = _read(path)
        except StorageError as error:
            found.append(Listed(who, "", 0, changed, str(error)))
        except OSError:
            continue  # forgotten meanwhile
        else:
            found.append(Listed(who, kept.name, kept.baseline.windows, changed))
    return found


def forget(name: str) -> int:
    """Forget a wearer; give how many files there were.

    Raises
    ------
    StorageError
        No name, one of whom nothing is known, of whom a run learns now, or files that cannot be
        removed.
    """
    place = folder() / _checked(name)
    count = len(list(place.glob("*.json")))
    if not place.is_dir():
        raise StorageError(f"nothing is known of {name}: bioxedge wearers lists who is known")
    try:
        with ExitStack() as locks:
            for path in place.glob("*.lock"):
                file = locks.enter_context(path.open("rb"))
                if not _locked(file):  # it would write all of it again
                    raise StorageError(f"a run learns of {name} now: stop it before")
            shutil.rmtree(place)
    except OSError as error:
        why = error.strerror or error
        raise StorageError(f"{place} cannot be removed: {why}") from error
    return count


class Wearer:
    """One wearer of one bundle, for one run at a time; used as a context.

    Parameters
    ----------
    name : str
        Letters, digits, ``.``, ``_`` and ``-``.
    about : Manifest
    anew : bool, optional
        Forget what was known.
    clock : HostClock, optional

    Attributes
    ----------
    known : Known or None
        What is known now; at first what was kept, None where nothing was.

    Raises
    ------
    StorageError
        A bundle without a baseline, a file that is not as it was written, another run with the
        same wearer, or a directory that cannot be written.
    """

    def __init__(
        self, name: str, about: Manifest, *, anew: bool = False, clock: HostClock = SYSTEM
    ) -> None:
        if about.features is None or about.features.baseline is None:
            raise StorageError(
                f"{about.name} has no baseline, so that nothing is learnt of {name}: leave the "
                "wearer out"
            )
        self.name, self._about, self._clock = _checked(name), about, clock
        self._path = folder() / self.name / f"{about.digest[:16]}.json"
        self._writing: Thread | None = None
        self._written = clock.monotonic_ns()
        self._failed: OSError | None = None
        self._baseline: Baseline | None = None
        self._lock: IO[bytes] | None = None
        with ExitStack() as undone:
            lock = self._hold(anew, undone)
            self._kept = self._read() if self._path.exists() else None
            undone.pop_all()
        self._lock = lock

    def _hold(self, anew: bool, undone: ExitStack) -> IO[bytes]:
        """Be the only run that learns of this wearer."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = undone.enter_context(self._path.with_suffix(".lock").open("wb"))
            alone = _locked(lock)
            if anew and alone:
                self._path.unlink(missing_ok=True)  # at once: a run may be killed
        except OSError as error:
            raise StorageError(
                f"{self._path.parent} cannot be written: {error.strerror}; set XDG_STATE_HOME to "
                "a directory that can"
            ) from error
        if not alone:
            raise StorageError(
                f"another run of {self._about.name} learns of {self.name} now: stop it, or name "
                "another wearer"
            )
        return lock

    @property
    def known(self) -> Known | None:
        """What is known now; at first what was kept, None where nothing was."""
        return self._kept if self._baseline is None else self._baseline.known()

    def _read(self) -> Known:
        """Read what was known."""
        assert self._about.features is not None and self._about.features.baseline is not None
        found = _read(self._path)
        try:
            Baseline(self._about.features.baseline, self._about.features.count).take(found.baseline)
        except ValueError as error:
            raise StorageError(
                f"{self._path} is damaged: {error}; bioxedge wearers --forget {self.name} begins "
                "anew"
            ) from error
        return found.baseline

    def __enter__(self) -> Wearer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self.close()
        except StorageError:
            if error is None:  # else the first one is told
                raise

    def saw(self, baseline: Baseline) -> None:
        """Take note of what is known after a window; now and then it is written, beside the run."""
        now = self._clock.monotonic_ns()
        self._baseline = baseline
        if now - self._written < EVERY * 1e9:
            return
        if self._writing is not None and self._writing.is_alive():
            return
        self._written = now
        known = baseline.known()
        self._writing = Thread(target=self._write, args=(known,), name="wearer", daemon=True)
        self._writing.start()

    def close(self) -> None:
        """Write what is known, and let others learn of this wearer.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        if self._lock is None:
            return
        if self._writing is not None:
            self._writing.join()
        if self._baseline is not None:
            self._failed = None
            self._write(self._baseline.known())
        self._lock.close()
        self._lock = None
        if self._failed is not None:
            raise StorageError(
                f"what was learnt of {self.name} cannot be kept in {self._path}: "
                f"{self._failed.strerror}; free some space, the next run begins where the last "
                "writing ended"
            ) from self._failed

    def _write(self, known: Known) -> None:
        kept = Kept(FORMAT, self._about.digest, self._about.name, known)
        try:
            write_file(self._path, msgspec.json.encode(kept))
        except OSError as error:
            self._failed = error


def _locked(file: IO[bytes]) -> bool:
    """Lock a file for as long as it is open; say whether nobody else has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _checked(name: str) -> str:
    """Refuse a name that is none: it becomes a directory's."""
    if not _NAME.match(name):
        raise StorageError(
            f"{name!r} is no wearer's name: use up to 64 letters, digits, '.', '_' and '-', a "
            "letter or digit first"
        )
    return name


def _read(path: Path) -> Kept:
    """Read a wearer's file."""
    cure = f"bioxedge wearers --forget {path.parent.name} begins anew"
    try:
        if path.stat().st_size > _LARGEST:
            raise StorageError(f"{path} is too large to be a wearer's: {cure}")
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise StorageError(f"{path} is damaged: {error}; {cure}") from error
    if kept.format != FORMAT:
        raise StorageError(
            f"{path} is of format {kept.format}, this bioxedge reads {FORMAT}: {cure}"
        )
    return kept
