"""What a recording shows while it goes on, and says at its end."""

from __future__ import annotations

import json
import math
import shutil
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from bioxedge.commands.shared import say

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from bioxedge.runtime.events import Event
    from bioxedge.runtime.recorder import Recorder, Track

_SILENT = 2.0  # seconds without a sample after which a stream is said to be
_EVERY = 60.0  # seconds from one line to the next where nobody watches


def make_view(recorder: Recorder, as_json: bool) -> View:
    """Choose how to show it: JSON lines, a table on a terminal, else a line a minute."""
    if as_json:
        return JsonView(recorder)
    return TableView(recorder) if sys.stdout.isatty() else View(recorder)


class View:
    """A line at the beginning, one a minute, and one for each event."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._next = _EVERY

    def __enter__(self) -> View:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for role, event in self._recorder.take_events():
            self.tell(role, event)

    def begin(self, keys: bool) -> None:
        """Say what is recorded."""
        for track in self._recorder.tracks:
            say(opening(track, self._recorder))
        same = _same_board(self._recorder)
        if same:
            say(same)
        if keys:
            say("a key marks the moment, Enter begins a text, Ctrl-C ends the recording")

    def show(self, typed: str | None) -> None:
        """Bring it up to date."""
        for role, event in self._recorder.take_events():
            self.tell(role, event)
        if self._recorder.seconds >= self._next:
            self._next += _EVERY
            said = "; ".join(
                f"{track.role} {track.samples} samples at {_rate(track)}, {_lost(track)}"
                f"{_state(track, self._recorder)}"
                for track in self._recorder.tracks
            )
            say(f"{_clock(self._recorder.seconds)}  {said}; {_disk(self._recorder)}")

    def tell(self, role: str, event: Event) -> None:
        """Say what happened to a stream."""
        if event.kind == "mark" and role != self._recorder.tracks[0].role:
            return  # it is in all of them
        what = "mark" if event.kind == "mark" else role
        at = self._recorder.seconds if event.t is None else event.t
        say(f"{_clock(at)}  {what}: {event.message}")


class JsonView(View):
    """A JSON object a line, for programs."""

    def begin(self, keys: bool) -> None:
        """Say what is recorded."""
        self._say({"kind": "recording", **self._recorder.to_dict()})

    def show(self, typed: str | None) -> None:
        """Say what happened, and how far it is."""
        for role, event in self._recorder.take_events():
            self.tell(role, event)
        if self._recorder.seconds >= self._next:
            self._next += _EVERY
            self._say({"kind": "progress", **self._recorder.to_dict()})

    def tell(self, role: str, event: Event) -> None:
        """Say what happened to a stream."""
        self._say({"kind": "event", "stream": role, **event.to_dict()})

    def _say(self, what: dict[str, object]) -> None:
        say(json.dumps(what, allow_nan=False, default=str))


class TableView(View):
    """A table that is kept up to date, with what happened above it."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._live: Live | None = None

    def __enter__(self) -> View:
        from rich.live import Live

        self._live = Live(refresh_per_second=5, transient=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        live, self._live = self._live, None
        if live is not None and live.is_started:
            live.stop()
        super().__exit__(kind, error, trace)

    def begin(self, keys: bool) -> None:
        """Say what is recorded, and begin the table under it."""
        super().begin(keys)
        if self._live is not None:
            self._live.start()

    def show(self, typed: str | None) -> None:
        """Bring the table up to date."""
        for role, event in self._recorder.take_events():
            self.tell(role, event)
        if self._live is not None:
            self._live.update(self._table(typed))

    def _table(self, typed: str | None) -> Table:
        from rich.table import Table
        from rich.text import Text

        one = self._recorder
        table = Table(
            title=f"{_clock(one.seconds)}   {_disk(one)}   {one.marks} marks",
            title_justify="left",
            caption=None if typed is None else f"mark: {typed}▏ (Enter ends it, Esc drops it)",
            caption_justify="left",
        )
        table.add_column("stream")
        for name in ("samples", "rate", "missing", "on the disk"):
            table.add_column(name, justify="right")
        table.add_column("")
        for track in one.tracks:
            size = 0 if track.recorded is None else track.recorded.progress.bytes
            state, told = _state(track, one).lstrip(", "), f"{size / 1e6:.2f} MB"
            table.add_row(
                track.role, str(track.samples), _rate(track), _missing(track), told,
                Text(state, style="red") if state else Text("●", style="green"),
            )  # fmt: skip
        return table


def opening(track: Track, recorder: Recorder) -> str:
    """Say in one line what a stream is."""
    source = track.source
    what = f"{track.modality} " if track.modality else ""
    names = ", ".join(source.channels)
    return (
        f"{track.role}: {what}{names} at {source.rate:g} Hz from {source.name}, "
        f"into {recorder.folder / track.role}"
    )


def summary(recorder: Recorder, person: str) -> list[str]:
    """Say what was recorded, what replays it, and what build needs of it."""
    lines = []
    for track in recorder.tracks:
        seconds = (track.end - track.first) / track.source.rate
        left = 0 if track.recorded is None else track.recorded.progress.left_out
        said = (
            f"{track.role}: {seconds / 60:.1f} min, {_rate(track)} (nominal "
            f"{track.source.rate:g} Hz), {_lost(track)}"
        )
        if track.holes:
            t, samples = track.holes[0]
            said += f", the longest {samples} at {_clock(t)}"
        if left:
            said += f", {left} not written because the disk was too slow"
        said += f"; {recorder.folder / track.role}"
        if track.over not in (None, "stopped"):
            said += f"; ended: {track.over}"
        lines.append(said)
    first = recorder.folder / recorder.tracks[0].role
    lines.append(f"{recorder.marks} marks, {recorder.bytes / 1e6:.1f} MB in {recorder.folder}")
    lines.append(f"replay: bioxedge run BUNDLE --source replay:{first}")
    lines.append(_for_build(recorder, person))
    return lines


def _for_build(recorder: Recorder, person: str) -> str:
    """Say what is missing until build reads the session as a pair."""
    roles = {track.role for track in recorder.tracks}
    missing = [f"a stream {role}" for role in ("source", "target") if role not in roles]
    if not person:
        missing.append(
            'the person ("person" in each stream.json; --person the next time), by which it splits'
        )
    where = f'build: dataset = "folder", folder = "{recorder.folder.absolute().parent}"'
    return where + (f"; it still needs {' and '.join(missing)}" if missing else "")


def _same_board(recorder: Recorder) -> str:
    """Say that two streams come from one board and preset, which may be a slip."""
    seen: dict[tuple[object, ...], str] = {}
    for track in recorder.tracks:
        key = track.source.sensor, track.source.name, track.source.channels
        if track.source.sensor is not None and key in seen:
            return (
                f"{seen[key]} and {track.role} have the same sensor and channels: if two boards "
                "are meant, tell them apart by serial_port=, mac_address= or serial_number="
            )
        seen[key] = track.role
    return ""


def _rate(track: Track) -> str:
    real = track.real_rate
    if not math.isfinite(real):
        return "rate not known yet"
    return f"{real:.2f} Hz ({real / track.source.rate - 1:+.2%})"


def _missing(track: Track) -> str:
    return "not known" if track.loss is None else str(track.loss)


def _lost(track: Track) -> str:
    if track.loss is None:
        return "losses not known"
    return f"{track.loss} missing"


def _state(track: Track, recorder: Recorder) -> str:
    """Say what is wrong with a stream; empty where nothing is."""
    if track.over is not None:
        return f", ended: {track.over}"
    silent = recorder.silent(track)
    return f", waiting for {silent:.0f} s" if silent > _SILENT else ""


def _disk(recorder: Recorder) -> str:
    free = shutil.disk_usage(recorder.folder).free
    return f"{recorder.bytes / 1e6:.1f} MB recorded, {free / 1e9:.1f} GB free"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
