"""Recordings as they come: what is on the disk, what is damaged, full, slow or somebody else's."""

from __future__ import annotations

import json
import os
import random
import re
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_disk import small_disk
from fixtures_sessions import pairs_in
from fixtures_signal import T0, recorded, with_gaps
from test_runtime_stream import Keep

from bioxedge import RecordingError, SourceError, Stream, recording
from bioxedge.recorded import About, End, Read, Reader, Writer
from bioxedge.recorded.frames import HEAD, READ, frame
from bioxedge.recorded.read import MOST, pack
from bioxedge.runtime import ReplaySource, loop, record, recordlog
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.sources.logreplay import LogReplay
from bioxedge.signals import Channel, Chunk

ROOT = Path(__file__).resolve().parent.parent
MAX = float("inf")
ABOUT = About((Channel("a", "uV"), Channel("b", "uV")), 100.0, "ecg", "anna", "cyton/default")


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b")  # 4 s windows, every second


def chunk_of(number, many=7, width=2):
    values = np.arange(number * many, (number + 1) * many, dtype=float)
    return Chunk(np.tile(values, (width, 1)), number * many, 100.0, T0, 10**9 * (number + 1))


def read_of(number, **other):
    return Read(chunk_of(number, **other), 10**9 * (number + 1), T0, 0)


def write(folder, reads=10, end="enough", **options):
    """Record so many reads, each by itself; the bytes that it took after each."""
    writer, sizes = Writer(folder, ABOUT, keep_free=0, **options), []
    for number in range(reads):
        writer.write([read_of(number)])
        sizes.append(writer.bytes)
    if end is not None:
        writer.end(End(end, 5, 0))
    writer.close()
    return sizes


def numbers(folder, take=0):
    """Give which reads of a take are there, and the reader."""
    reader = Reader(folder)
    reads = [one for one in reader.takes[take].reads() if isinstance(one, Read)]
    for one in reads:
        assert one.chunk.samples.tobytes() == chunk_of(one.chunk.first // 7).samples.tobytes()
    return [one.chunk.first // 7 for one in reads], reader.takes[take]


class Worn(Managed):
    """A sensor that is slower than it should be, on a clock that is simulated."""

    name, channels, units, rate = "worn", ("a", "b"), ("uV", "uV"), 100.0

    def __init__(self, clock, real=100.0, reads=10**9):
        self.clock, self.real, self.reads, self.loss = clock, real, reads, 0

    def start(self):
        self.began, self.at = self.clock.monotonic_ns(), 0

    def read(self):
        if self.reads <= 0:
            raise SourceError("the board has gone: bring it back")
        self.reads -= 1
        now = self.clock.monotonic_ns()
        due = int((now - self.began) / 1e9 * self.real)
        first, self.at = self.at, due
        taken = self.began + round((due - 1) / self.real * 1e9)
        unix = self.clock.time() - (now - taken) / 1e9
        values = np.tile(np.arange(first, due, dtype=float), (2, 1))
        return Chunk(values, first, 100.0, unix - (due - 1) / 100.0, now, taken, self.real)


def wear(source, seconds, clock, each=None):
    """Read for so long; give the events."""
    events = []
    for step in range(round(seconds * 10)):
        clock.sleep(0.1)
        if each is not None:
            each(step)
        source.read()
        events += source.take_events()
    return events


# -- what is on the disk ----------------------------------------------------------------------


def test_a_recording_is_its_owners_only_and_says_what_it_is(tmp_path):
    write(tmp_path / "anna" / "source")
    folder = tmp_path / "anna" / "source"
    assert [(tmp_path / one).stat().st_mode & 0o777 for one in ("anna", "anna/source")] == [
        0o700, 0o700,
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    said = json.loads((folder / "stream.json").read_text())
    assert said["channels"] == [{"name": "a", "unit": "uV"}, {"name": "b", "unit": "uV"}]
    assert said["sensor"] == "cyton/default" and said["format"] == 1


def test_a_new_part_is_begun_and_all_are_read(tmp_path):
    write(tmp_path / "s", 40, part_bytes=1000)
    assert len(list((tmp_path / "s").glob("part-*.log"))) > 5
    found, take = numbers(tmp_path / "s")
    assert found == list(range(40)) and take.end.why == "enough" and not take.lost


def test_a_torn_end_loses_what_is_torn_and_nothing_before_it(tmp_path):
    sizes = write(tmp_path / "s", 6, end=None)
    part = tmp_path / "s" / "part-000001.log"
    whole = part.read_bytes()
    for size in range(len(whole) + 1):
        part.write_bytes(whole[:size])
        if size == 0:
            with pytest.raises(RecordingError, match="without anything in it"):
                Reader(tmp_path / "s")
            continue
        found, take = numbers(tmp_path / "s")
        assert found == list(range(sum(one <= size for one in sizes)))
        assert take.end is None and not take.lost


def test_a_recording_goes_on_after_a_torn_end(tmp_path):
    write(tmp_path / "s", 5, end=None)
    part = tmp_path / "s" / "part-000001.log"
    part.write_bytes(part.read_bytes()[:-9])
    write(tmp_path / "s", 3)
    assert numbers(tmp_path / "s")[0] == [0, 1, 2, 3]
    assert numbers(tmp_path / "s", 1)[0] == [0, 1, 2]
    assert numbers(tmp_path / "s")[1].torn


def test_flipped_bits_cost_the_frames_they_are_in_and_it_is_said(tmp_path):
    sizes = write(tmp_path / "s", 30)
    part = tmp_path / "s" / "part-000001.log"
    whole, chance = part.read_bytes(), random.Random(5)
    begin = sizes[0] - (sizes[1] - sizes[0])  # where the first read begins
    for _ in range(150):
        hurt = bytearray(whole)
        at = chance.randrange(begin, sizes[-1])
        hurt[at] ^= 1 << chance.randrange(8)
        part.write_bytes(hurt)
        frame = sum(one <= at for one in sizes)
        found, take = numbers(tmp_path / "s")
        assert found == [one for one in range(30) if one != frame]
        assert [(lost.frames, lost.part) for lost in take.lost] == [(1, "part-000001.log")]
        loaded = recording.load(tmp_path / "s")
        assert np.flatnonzero(np.isnan(loaded.samples[0])).tolist() == (
            list(range(frame * 7, frame * 7 + 7)) if frame < 29 else []
        )
        assert "1 frame is damaged or missing in part-000001.log" in loaded.facts["damage"][0]


def test_a_replay_says_where_frames_are_damaged(tmp_path):
    sizes = write(tmp_path / "s", 30)
    part = tmp_path / "s" / "part-000001.log"
    hurt = bytearray(part.read_bytes())
    hurt[sizes[10] + 60] ^= 4
    part.write_bytes(hurt)
    with LogReplay(tmp_path / "s", speed=MAX) as source:
        chunks = list(iter(source.read, None))
        (event,) = source.take_events()
    assert [chunk.first for chunk in chunks] == [7 * n for n in range(30) if n != 11]
    assert event.kind == "recording" and event.t == 0.77 and "not whole" in event.message


def test_a_missing_part_is_said(tmp_path):
    write(tmp_path / "s", 40, part_bytes=1000)
    (tmp_path / "s" / "part-000003.log").unlink()
    found, take = numbers(tmp_path / "s")
    assert len(found) < 40 and len(take.lost) == 1
    assert take.lost[0].frames == 40 - len(found) + 1  # and what the part said of itself


def test_the_format_is_as_it_is_documented(tmp_path):
    """A reader made from docs/recording.md alone."""
    clock = SimulatedClock(unix=T0)
    with Recorded(Worn(clock), tmp_path / "s", clock=clock, keep_free=0) as source:
        wear(source, 2, clock)
        source.mark("here")
        wear(source, 1, clock)
    raw = (tmp_path / "s" / "source" / "part-000001.log").read_bytes()
    at, count, kinds, values, told, heads = 0, 0, [], [], [], []
    while at < len(raw):
        mark, kind, number, length, crc = struct.unpack_from("<4sB3xIII", raw, at)
        assert mark == bytes.fromhex("b16f5845") and number == count
        payload = raw[at + 20 : at + 20 + length]
        assert zlib.crc32(raw[at : at + 16] + payload) == crc
        at, count, kinds = at + 20 + length, count + 1, [*kinds, kind]
        if kind != 2:
            said = json.loads(payload)
            continue
        many, size = struct.unpack_from("<II", payload)
        columns = zlib.decompress(payload[8 : 8 + size])
        body = 8 + size
        for read in range(many):
            head = struct.unpack("<qdqqddqqdBxHII", columns[read::many])
            channels, samples, events = head[10:]
            told += json.loads(payload[body : body + events] or "[]")
            body += events
            values.append(np.frombuffer(payload, "<f8", channels * samples, body))
            body += channels * samples * 8
            heads.append(head)
        assert body == len(payload)
    assert kinds[0] == 1 and kinds[-1] == 3 and said["why"] == "stopped" and said["loss"] == 0
    first = np.concatenate([one.reshape(2, -1)[0] for one in values])
    np.testing.assert_array_equal(first, np.arange(len(first)))
    assert [one["message"] for one in told] == ["here"]
    assert [head[3] for head in heads if head[11]] == [int(one[0]) for one in values if len(one)]


# -- what a recording is as a Recording -------------------------------------------------------


def test_what_was_recorded_is_a_recording_with_nan_where_samples_are_missing(tmp_path):
    worn = with_gaps(recorded(pulse(2, 64 * 90, 64.0, 3)), (600, 640))
    source = Recorded(ReplaySource(worn, speed=MAX), tmp_path / "s", person="p1", modality="ppg")
    with source:
        while source.read() is not None:
            pass
    found = recording.load(tmp_path / "s")  # of the one stream in it
    np.testing.assert_array_equal(found.samples, worn.samples)
    assert (found.person, found.modality, found.rate) == ("p1", "ppg", 64.0)
    assert found.channels == worn.channels and found.t0 == pytest.approx(T0, abs=1e-6)
    assert found.facts["ended"] == "the source ended" and found.facts["damage"] == []
    saved = recording.save(found, tmp_path / "saved")
    assert recording.load(saved).facts == found.facts


def test_drift_and_steps_of_the_clock_are_told_and_time_is_right(tmp_path):
    clock = SimulatedClock(unix=T0)
    with Recorded(Worn(clock, 99.0), tmp_path / "s", clock=clock, keep_free=0) as source:
        events = wear(source, 300, clock, lambda step: step == 1000 and clock.step(3600))
    assert [event.kind for event in events] == ["clock_step"]
    found = recording.load(tmp_path / "s")
    assert found.facts["real_rate"] == pytest.approx(99.0, rel=1e-5)
    assert found.facts["drift_ppm"] == pytest.approx(-10_000, abs=10)
    assert found.t0 == pytest.approx(T0, abs=0.01)
    (step,) = found.facts["clock_steps"]
    assert step["seconds"] == pytest.approx(3600) and step["index"] == pytest.approx(9900, abs=20)
    for index, unix, monotonic in found.facts["anchors"]:
        assert unix == pytest.approx(T0 + index / 99.0, abs=0.01)
        assert monotonic == pytest.approx(1 + index / 99.0, abs=0.01)


def test_what_was_recorded_is_what_build_reads_as_a_pair(tmp_path):
    clock = SimulatedClock(unix=T0)
    session = tmp_path / "all" / "anna-monday"
    one = Recorded(Worn(clock), session, person="anna", modality="ppg", clock=clock, keep_free=0)
    two = Recorded(
        Worn(clock), session, role="target", person="anna", modality="ecg", clock=clock, keep_free=0
    )
    with one:
        wear(one, 2, clock)
        with two:
            for _ in range(300):
                wear(one, 0.1, clock)
                wear(two, 0.1, clock)
    (pair,) = pairs_in(tmp_path / "all")
    assert (pair.name, pair.person, pair.target.modality) == ("anna-monday", "anna", "ecg")
    assert pair.target.t0 - pair.source.t0 == pytest.approx(2.0, abs=0.01)
    with pytest.raises(RecordingError, match=r"holds the streams source, target: name one, as .*"):
        recording.load(session)


# -- marks ------------------------------------------------------------------------------------


def test_marks_are_told_recorded_and_replayed(tmp_path):
    clock = SimulatedClock(unix=T0)
    source = Recorded(Worn(clock), tmp_path / "s", clock=clock, keep_free=0)
    with source:
        events = wear(source, 5, clock)
        thread = threading.Thread(target=source.mark, args=("stood  up\n",))
        thread.start()
        thread.join()
        events += wear(source, 5, clock)
        source.mark("at the end")
    (event,) = events
    assert event.kind == "mark" and event.message == "stood up"
    assert event.t == pytest.approx(5.0, abs=0.02)
    assert event.facts["unix"] == pytest.approx(T0 + 5, abs=0.02)
    assert source.progress.marks == 2 and source.progress.samples == 1000
    with LogReplay(tmp_path / "s", speed=MAX) as replay:
        while replay.read() is not None:
            pass
        first, last = replay.take_events()
    assert first == event and last.message == "at the end"
    marks = recording.load(tmp_path / "s").facts["marks"]
    assert [mark["text"] for mark in marks] == ["stood up", "at the end"]
    assert marks[0]["index"] == pytest.approx(500, abs=2) and marks[1]["index"] in range(998, 1002)


# -- how it begins and ends -------------------------------------------------------------------


def test_a_recording_goes_on_where_time_has_brought_it(tmp_path):
    clock = SimulatedClock(unix=T0)
    for _ in range(2):
        with Recorded(Worn(clock), tmp_path / "s", clock=clock, keep_free=0) as source:
            wear(source, 10, clock)
        clock.sleep(5)
    found = recording.load(tmp_path / "s")
    missing = np.flatnonzero(np.isnan(found.samples[0]))
    assert found.samples.shape[1] == pytest.approx(2500, abs=2) and found.facts["takes"] == 2
    assert len(missing) == pytest.approx(500, abs=2) and missing[0] == 1000
    with LogReplay(tmp_path / "s", speed=MAX) as replay:
        chunks = [chunk for chunk in iter(replay.read, None) if chunk.samples.shape[1]]
        (event,) = replay.take_events()
        assert replay.loss == len(missing) == event.facts["samples"]
    assert "goes on 5.0 s after it had ended" in event.message
    line = np.concatenate([np.arange(chunk.first, chunk.end) for chunk in chunks])
    np.testing.assert_array_equal(line, np.flatnonzero(np.isfinite(found.samples[0])))
    times = [c.t0 + c.end / 100.0 for c in chunks]
    assert times == pytest.approx([T0 + c.end / 100.0 for c in chunks], abs=0.03)
    with LogReplay(tmp_path / "s", speed=MAX, take=2) as replay:
        assert next(c for c in iter(replay.read, None) if c.samples.shape[1]).first == 0
    with LogReplay(tmp_path / "s", speed=MAX, start=7.0) as replay:
        assert replay.read().end in range(700, 712)
    with pytest.raises(SourceError, match="has no take 3: it has 1, 2"):
        LogReplay(tmp_path / "s", take=3)


def test_nothing_that_is_there_is_ever_overwritten(tmp_path):
    write(tmp_path / "s")
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    other = About(ABOUT.channels, 250.0, "ecg", "anna", "cyton/default")
    with pytest.raises(RecordingError, match="whose rate is 100, not 250: record into another fol"):
        Writer(tmp_path / "s", other)
    with pytest.raises(RecordingError, match="whose person is 'anna', not 'ben'"):
        Writer(tmp_path / "s", About(ABOUT.channels, 100.0, "ecg", "ben", "cyton/default"))
    with pytest.raises(RecordingError, match="holds a recording: record into another folder"):
        Writer(tmp_path / "s", ABOUT, fresh=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(RecordingError, match=r"holds other things \(cat.jpg\)"):
        Writer(tmp_path / "photos", ABOUT)
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before


def test_a_stream_is_no_session_and_a_file_is_no_folder(tmp_path):
    write(tmp_path / "anna" / "source")
    (tmp_path / "file").write_bytes(b"x")
    for folder, said in (
        ("anna/source", "is a stream of a session: name the session"),
        ("file", "cannot be recorded into: Not a directory"),
    ):
        with pytest.raises(RecordingError, match=said):
            Recorded(Worn(SimulatedClock()), tmp_path / folder, keep_free=0).start()


def test_two_do_not_record_into_one_folder(tmp_path):
    writer = Writer(tmp_path / "s", ABOUT, keep_free=0)
    with pytest.raises(RecordingError, match="being recorded into by another process"):
        Writer(tmp_path / "s", ABOUT, keep_free=0)
    writer.close()
    Writer(tmp_path / "s", ABOUT, keep_free=0).close()


def test_a_source_that_does_not_start_leaves_nothing(tmp_path):
    class Off(Worn):
        def start(self):
            raise SourceError("the board is off")

    source = Recorded(Off(SimulatedClock()), tmp_path / "anna", keep_free=0)
    with pytest.raises(SourceError, match="the board is off"):
        source.start()
    assert not (tmp_path / "anna").exists()


def test_a_source_that_fails_ends_its_recording_with_why(tmp_path):
    clock = SimulatedClock(unix=T0)
    source = Recorded(Worn(clock, reads=50), tmp_path / "s", clock=clock, keep_free=0)
    with source, pytest.raises(SourceError, match="has gone"):
        wear(source, 10, clock)
    found = recording.load(tmp_path / "s")
    assert found.samples.shape[1] in (499, 500)
    assert found.facts["ended"] == "the board has gone: bring it back"


# -- the disk ---------------------------------------------------------------------------------


def often(monkeypatch):
    """Write in small parts, however busy the machine: the replay waits for room."""
    monkeypatch.setattr(recordlog, "EVERY", 0.002)
    monkeypatch.setattr(recordlog, "HELD", 8192)


def run_beside(tested, folder, **options):
    """Run a bundle with a recording beside it; what the run said, and the recording."""
    worn = recorded(pulse(1, 64 * 900, 64.0, 3))
    source = Recorded(ReplaySource(worn, speed=MAX), folder, **options)
    sink = Keep()
    tally = loop.run(source, Stream(tested), [sink])
    assert tally.windows == len(sink.predictions) > 890  # whatever happens to the recording
    return [event for event in sink.events if event.kind == "recording"], source.progress, worn


def test_a_recording_ends_in_order_at_its_limit_and_the_run_goes_on(tested, tmp_path, monkeypatch):
    often(monkeypatch)
    told, progress, worn = run_beside(tested, tmp_path / "s", limit_bytes=60_000, keep_free=0)
    assert len(told) == 1 and "has reached its limit of 0.06 MB" in told[0].message
    assert sum(path.stat().st_size for path in (tmp_path / "s/source").glob("part*")) < 62_000
    found = recording.load(tmp_path / "s")
    many = found.samples.shape[1]
    np.testing.assert_array_equal(found.samples, worn.samples[:, :many])
    assert progress.ended == found.facts["ended"] == told[0].message
    assert progress.samples == many


def test_a_disk_that_fills_loses_nothing_that_was_written(tested, tmp_path, monkeypatch):
    often(monkeypatch)
    with small_disk(tmp_path, kB=128) as disk:
        told, _, worn = run_beside(tested, disk / "s", keep_free=0)
        assert len(told) == 1 and "No space left on device" in told[0].message
        found = recording.load(disk / "s")
        many = found.samples.shape[1]
        assert many > 3000 and not found.facts["damage"]
        np.testing.assert_array_equal(found.samples, worn.samples[:, :many])


def test_a_disk_is_not_filled(tested, tmp_path, monkeypatch):
    often(monkeypatch)
    monkeypatch.setattr("bioxedge.recorded.disk.LOOK", 4096)
    with small_disk(tmp_path, kB=256) as disk:
        told, _, _ = run_beside(tested, disk / "s", keep_free=100_000)
        assert len(told) == 1 and "0.1 MB are kept free" in told[0].message
        about = os.statvfs(disk)
        assert 90_000 < about.f_bavail * about.f_frsize < 160_000
        found = recording.load(disk / "s")
        assert found.facts["ended"] == told[0].message
        (disk / "x").write_bytes(bytes(60_000))
        with pytest.raises(RecordingError, match=r"are kept free: .* make room"):
            Writer(disk / "t", ABOUT, keep_free=100_000)


def test_a_disk_that_is_too_slow_delays_no_read_and_what_is_left_out_is_told(tmp_path, monkeypatch):
    gate = threading.Event()

    class Slow(Writer):
        def write(self, reads):
            assert gate.wait(30)
            super().write(reads)

    monkeypatch.setattr(record, "Writer", Slow)
    monkeypatch.setattr(recordlog, "HELD", 100_000)
    clock = SimulatedClock(unix=T0)
    with Recorded(Worn(clock), tmp_path / "s", clock=clock, keep_free=0) as source:
        events = wear(source, 300, clock)  # nobody waits for the disk
        assert not events and source.progress.left_out > 20_000
        gate.set()
        wait_for(lambda: source.progress.samples > 0)
        wait_for(lambda: (events.extend(wear(source, 0.2, clock)), events)[1])
    (event,) = events
    assert event.kind == "recording" and "the disk was too slow" in event.message
    left_out = source.progress.left_out
    assert event.facts["samples"] == left_out
    found = recording.load(tmp_path / "s")
    assert np.isnan(found.samples[0]).sum() == left_out == found.facts["missing"]
    assert found.facts["events"] == {"recording": 1}


def wait_for(what):
    """Wait for something, not for a time."""
    for _ in range(10_000):
        if what():
            return
        threading.Event().wait(0.002)
    raise AssertionError("it did not happen")


# -- what is not ours -------------------------------------------------------------------------


def changed(folder, **keys):
    """Change what stream.json says."""
    path = folder / "stream.json"
    said = {**json.loads(path.read_text()), **keys}
    path.write_text(json.dumps({key: value for key, value in said.items() if value != "gone"}))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"format": 2}, "is of format 2, this bioxedge reads 1: update bioxedge"),
        ({"format": "1"}, "is of format '1', this bioxedge reads 1: record it again"),
        ({"kind": "photos"}, "is not of a bioxedge recording"),
        ({"rate": "gone"}, "has missing or unknown keys: rate"),
        ({"more": 1}, "has missing or unknown keys: more"),
        ({"rate": -3}, "is damaged: its channels or its rate make no sense"),
        ({"rate": "fast"}, "is damaged: could not convert"),
        ({"channels": [{"name": "a"}]}, "is damaged: 'unit'"),
        ({"channels": []}, "is damaged: its channels"),
    ],
)
def test_another_format_is_one_line_with_the_cure(tmp_path, how, said):
    write(tmp_path / "s")
    changed(tmp_path / "s", **how)
    for read in (Reader, recording.load, LogReplay, lambda folder: Writer(folder, ABOUT)):
        with pytest.raises(RecordingError, match=re.escape(said)) as error:
            read(tmp_path / "s")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_description_is_one_line(tmp_path, raw):
    write(tmp_path / "s")
    (tmp_path / "s" / "stream.json").write_bytes(raw)
    with pytest.raises(RecordingError) as error:
        recording.load(tmp_path / "s")
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_what_was_changed_with_care_is_one_line_too(tmp_path):
    """Frames whose check sum is right, and whose payload cannot be."""
    good = pack([read_of(0)])
    far = pack([Read(Chunk(np.zeros((2, 1)), 2**60, 100.0), 0, 0.0, 0)])
    other = pack([Read(Chunk(np.zeros((3, 1)), 0, 100.0), 0, 0.0, 0)])
    told = Read(chunk_of(0), 0, 0.0, 0, [{"kind": "gap"}])
    bomb = struct.pack("<II", MOST, 50) + zlib.compress(bytes(10**7))[:50]
    for payload, said in (
        (b"", "cannot read: 0 bytes are no reads"),
        (good[:-1], "there are no 7 samples of 2 channels"),
        (good + b"x", "1 bytes are too many"),
        (good[:4] + b"\xff\xff\xff\x7f" + good[8:], "it says that it holds 1 reads"),
        (good[:8] + b"y" + good[9:], "incorrect header check"),
        (bomb, "it holds no 16384 reads"),
        (pack([told]), "these bytes are no events"),
        (far, "GB as one recording, this machine has"),
        (other, "holds 3 channels where 2 are expected"),
    ):
        folder = tmp_path / str(zlib.crc32(payload))
        write(folder, 0, end=None)
        with (folder / "part-000001.log").open("ab") as file:
            file.write(frame(READ, 1, payload))
        with pytest.raises(RecordingError, match=re.escape(said)) as error:
            recording.load(folder)
        assert "\n" not in str(error.value)
    head = json.dumps({"format": 2, "take": 1, "unix": 0, "monotonic_ns": 0, "boot": ""}).encode()
    (folder / "part-000001.log").write_bytes(frame(HEAD, 0, head))
    with pytest.raises(RecordingError, match="is of format 2, this bioxedge reads 1: update it"):
        LogReplay(folder)


def test_the_command_line_says_in_one_line_what_cannot_be_replayed(tested, tmp_path):
    write(tmp_path / "s" / "source")
    write(tmp_path / "s" / "target")
    for source, said in (
        (f"replay:{tmp_path / 's'}", "(ECG a, b at 100 Hz); target (ECG a, b at 100 Hz); say"),
        (f"replay:{tmp_path / 's'},stream=sauce", "has no stream 'sauce': it has source, target"),
        (f"replay:{tmp_path / 's'},stream=source", "s/source is ECG, the bundle takes PPG: name"),
        (f"replay:{tmp_path / 's'},stream=source,take=0", "takes a whole number from 1 on as take"),
        (f"replay:{tmp_path}", "holds no recording"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "bioxedge", "run", str(tested.path), "--source", source],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ") and said in line


def test_whoever_is_killed_while_recording_loses_a_moment(tmp_path):
    # Its own process: it forks, and what it forks has no threads to lose.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "kills_record.py"), str(tmp_path), "30", "7"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["random"]["kills"] == 30 and found["random"]["longest_lost"] <= 1
    assert found["every"]["kills"] > 40
