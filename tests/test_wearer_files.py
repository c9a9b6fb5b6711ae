"""What is kept of a wearer: whole after a crash, for one run at a time, and one line if not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures_bundle import pulse
from fixtures_disk import small_disk
from fixtures_format import make_features_bundle
from fixtures_signal import recorded
from test_cli import MAIN, python
from test_wearer_run import HOP, LENGTH, call  # noqa: F401 - a fixture

from bioxedge import Bundle, recording, spec
from bioxedge.errors import StorageError
from bioxedge.runtime import wearers
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.wearers import Wearer
from bioxedge.wearer import Baseline


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wearers")
    make_features_bundle(
        folder / "b", quality=spec.QualitySpec(), stages=(), then=(), hop=HOP, length=LENGTH
    )
    recording.save(recorded(pulse(1, 64 * 20, 64.0)), folder / "rec")
    return folder


@pytest.fixture
def about(here, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return Bundle.open(here / "b").manifest


REPLAY = ("run", "b", "--source", "replay:rec", "--speed", "max", "--wearer", "anna")


def learnt(about, windows):
    baseline = Baseline(about.features.baseline, about.features.count)
    for number in range(windows):
        baseline.push(np.full(about.features.count, float(number)))
    return baseline


def kept(about, windows=7, name="anna"):
    """Write a file as a run does; give where."""
    with Wearer(name, about) as wearer:
        wearer.saw(learnt(about, windows))
    (path,) = (wearers.folder() / name).glob("*.json")
    return path


def fails(call, *words):  # noqa: F811
    code, _, err = call(*words)
    assert code == 2 and err.count("\n") == 1 and err.startswith("error: "), err
    return err


# -- what is kept ---------------------------------------------------------------------------


def test_a_file_holds_figures_alone_and_is_for_its_owner(about):
    path = kept(about)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    whole = json.loads(path.read_text())
    assert set(whole) == {"format", "bundle", "name", "baseline"}
    assert set(whole["baseline"]) == {"windows", "count", "mean", "square"}
    assert len(path.read_bytes()) < 2000
    with Wearer("anna", about) as again:
        assert again.known == learnt(about, 7).known()


def test_it_is_written_once_a_minute_and_at_the_end(about):
    clock = SimulatedClock()
    wearer = Wearer("anna", about, clock=clock)
    baseline = learnt(about, 0)
    (lock,) = wearers.folder().glob("anna/*")
    path = lock.with_suffix(".json")
    told = []
    for number in range(200):
        clock.sleep(1.0)
        baseline.push(np.full(about.features.count, float(number)))
        wearer.saw(baseline)
        if wearer._writing is not None:
            wearer._writing.join()
        told.append(json.loads(path.read_text())["baseline"]["windows"] if path.exists() else 0)
    # A power cut at any moment loses a minute at most.
    assert all(number + 1 - seen <= 60 for number, seen in enumerate(told))
    assert len(set(told)) == 4  # nothing, then three times
    assert wearer.known.windows == 200
    wearer.close()
    assert json.loads(path.read_text())["baseline"]["windows"] == 200


def test_a_run_without_a_window_leaves_what_was_known(about):
    before = kept(about).read_bytes()
    with Wearer("anna", about):
        pass
    assert next(wearers.folder().glob("anna/*.json")).read_bytes() == before
    with Wearer("anna", about, anew=True) as wearer:
        assert wearer.known is None
        assert not [*wearers.folder().glob("anna/*.json")]  # at once


def test_wearers_and_bundles_are_kept_apart(about, here, tmp_path):
    kept(about, 3, "anna")
    kept(about, 5, "Anna.2_b-c")
    other = make_features_bundle(
        tmp_path / "other", quality=spec.QualitySpec(), hop=HOP, length=LENGTH
    ).manifest
    with Wearer("anna", other) as wearer:
        assert wearer.known is None
        wearer.saw(learnt(other, 9))
    assert sorted((one.wearer, one.windows) for one in wearers.listed()) == [
        ("Anna.2_b-c", 5),
        ("anna", 3),
        ("anna", 9),
    ]
    assert wearers.forget("anna") == 2
    assert [one.wearer for one in wearers.listed()] == ["Anna.2_b-c"]


def test_a_service_keeps_them_where_systemd_says(about, tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'service'}:{tmp_path / 'more'}")
    assert kept(about).is_relative_to(tmp_path / "service" / "bioxedge" / "wearers")


# -- one run at a time ----------------------------------------------------------------------


def test_one_run_learns_of_a_wearer_at_a_time(about, call):  # noqa: F811
    with Wearer("anna", about) as wearer:
        wearer.saw(learnt(about, 7))
        assert "another run of test bundle learns of anna now" in fails(call, *REPLAY)
        assert "learns of anna now" in fails(call, *REPLAY, "--anew")
        assert "a run learns of anna now: stop it before" in fails(
            call, "wearers", "--forget", "anna"
        )
    code, out, err = call(*REPLAY)
    assert code == 0 and "7 windows of anna are known" in out, err


# -- what goes wrong ------------------------------------------------------------------------

DAMAGE = {
    "cut off": (lambda raw: raw[: len(raw) // 2], "is damaged"),
    "empty": (lambda raw: b"", "is damaged"),
    "no text": (lambda raw: bytes(range(256)), "is damaged"),
    "another format": (lambda raw: raw.replace(b'"format":1', b'"format":2'), "of format 2"),
    "more keys": (lambda raw: raw.replace(b"{", b'{"x":1,', 1), "is damaged"),
    "other features": (lambda raw: raw.replace(b'"mean":[', b'"mean":[1.0,'), "is damaged"),
    "no number": (lambda raw: raw.replace(b'"mean":[', b'"mean":[NaN,'), "is damaged"),
    "a huge number": (lambda raw: raw.replace(b'"square":[', b'"square":[1e99,'), "is damaged"),
    "too many counts": (lambda raw: raw.replace(b'"windows":7', b'"windows":6'), "is damaged"),
    "huge": (lambda raw: b" " * (16 * 2**20 + 1), "too large"),
}


@pytest.mark.parametrize(("change", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_one_line_and_stays(about, call, change, message):  # noqa: F811
    path = kept(about)
    path.write_bytes(change(path.read_bytes()))
    before = path.read_bytes()
    err = fails(call, *REPLAY)
    assert message in err and str(path) in err and "bioxedge wearers --forget anna" in err
    assert path.read_bytes() == before
    assert call("wearers")[0] == 0
    # Another run is not locked out, and the cure that is told cures it.
    assert message in fails(call, *REPLAY)
    code, out, _ = call("wearers", "--forget", "anna")
    assert code == 0 and out == "forgot anna: 1 bundle\n"
    assert call(*REPLAY)[0] == 0
    path = kept(about, 5)
    path.write_bytes(before)
    assert call(*REPLAY, "--anew")[0] == 0


def test_where_nothing_can_be_written_is_one_line(call, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    err = fails(call, *REPLAY)
    assert "cannot be written" in err and "set XDG_STATE_HOME" in err
    code, out, _ = call("wearers")
    assert code == 0 and "nobody is known" in out


def test_a_full_disk_ends_no_run_and_spoils_nothing(about, call, tmp_path, monkeypatch):  # noqa: F811
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk):
        monkeypatch.setenv("XDG_STATE_HOME", str(disk))
        path = kept(about)
        before = path.read_bytes()
        with (disk / "full").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        labels = tmp_path / "labels"
        code, _, err = call(*REPLAY, "--sink", f"jsonl:{labels}")
        assert code == 2 and "cannot be kept in" in err and "No space left" in err
        assert err.count("\n") == 1 and len(labels.read_text().splitlines()) > 20
        assert path.read_bytes() == before
        assert {one.suffix for one in path.parent.iterdir()} == {".json", ".lock"}
        (disk / "full").unlink()
        assert call(*REPLAY)[0] == 0


def test_a_run_that_is_killed_leaves_a_whole_file(here, about, call, tmp_path):  # noqa: F811
    """The first writing is a minute in; here it is made to come with each window."""
    code = "import bioxedge.runtime.wearers as w; w.EVERY = 0.0\n" + MAIN
    words = ("run", "b", "--source", "replay:rec", "--speed", "40", "--wearer", "anna")
    process = python(here, code, *words)
    limit = time.monotonic() + 30
    place = Path(os.environ["XDG_STATE_HOME"])
    while not [*place.rglob("*.json")] and time.monotonic() < limit:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    (one,) = wearers.listed()
    assert one.wearer == "anna" and one.windows >= 1 and not one.damaged
    status, out, err = call(*REPLAY)
    assert status == 0, err
    assert "of anna" in out or "anna is learnt first" in out
    (after,) = wearers.listed()
    assert after.windows > one.windows


def test_a_run_that_fails_tells_why_and_keeps_what_it_learnt(about):
    with pytest.raises(RuntimeError, match="first"), Wearer("anna", about) as wearer:
        wearer.saw(learnt(about, 7))
        raise RuntimeError("the first error")
    assert wearers.listed()[0].windows == 7


def test_no_home_is_one_line(about, monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME")

    def none():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(StorageError, match="set XDG_STATE_HOME"):
        Wearer("anna", about)
