"""BrainFlow's boards: names, presets, channels, errors; and the real library's synthetic board."""

from __future__ import annotations

import builtins
import time

import numpy as np
import pytest
from fixtures_bundle import make_bundle
from test_runtime_stream import Keep

from bioxedge import MissingExtraError, SourceError
from bioxedge.runtime import BrainFlowSource, Stream, channel_names, loop
from bioxedge.runtime.sources import boards

pytest.importorskip("brainflow")


def test_the_naming_rule():
    assert channel_names("muse_2", "ancillary") == {
        "optical_1": 1, "optical_2": 2, "optical_3": 3, "ppg_1": 1, "ppg_2": 2, "ppg_3": 3
    }  # fmt: skip
    eeg = channel_names("Muse-2")
    assert eeg["TP9"] == eeg["eeg_1"] == eeg["exg_1"] == 1 and eeg["TP10"] == 4
    synthetic = channel_names("SYNTHETIC_BOARD")
    assert synthetic["ecg_16"] == 16 and synthetic["accel_3"] == 19 and synthetic["eda_1"] == 23


@pytest.mark.parametrize("name", ["muse_2", "MUSE_2", "Muse_2_Board", " muse-2 "])
def test_a_board_is_found_in_any_spelling(name):
    assert boards.find_board(name) == ("muse_2", 38)


def test_every_board_has_a_layout():
    for board in boards.board_names():
        for layout in boards.layouts(board).values():
            assert layout.rate > 0 and layout.channels
            assert max(layout.channels.values()) < layout.width


def test_a_preset_is_found_by_the_channels():
    assert boards.layout("muse_2", None, ("ppg_2",)).preset == "ancillary"
    assert boards.layout("muse_2", None, ("TP9",)).preset == "default"
    found = {(one.board, one.preset) for one in boards.fitting(("ppg_2",), 64.0)}
    assert {("muse_2", "ancillary"), ("muse_s", "ancillary")} <= found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"board": "muse2"}, r"no board 'muse2' .* did you mean muse_2,"),
        ({"board": "qqqqqqqq"}, "bioxedge boards lists"),
        ({"board": "streaming"}, "no sensor of its own"),
        ({"preset": "aux"}, "no preset 'aux': it has default, auxiliary, ancillary"),
        ({"preset": "default"}, r"no channel ppg_2: it has TP9.*; its ancillary preset has ppg"),
        ({"channels": ("ppg_9",)}, r"no channel ppg_9: it has .*; its ancillary preset has ppg"),
        ({"channels": ("ppg_9",), "preset": "ancillary"}, "it has optical_1–3, ppg_1–3$"),
        ({"rate": 125.0}, r"runs at 64 Hz, 125 Hz are wanted: use a board"),
        ({"params": {"mac": "x"}}, r"no parameter 'mac': it has serial_port"),
        ({"params": {"timeout": "soon"}}, "timeout is a whole number, got 'soon'"),
    ],
)
def test_what_does_not_fit_is_one_line_before_anything_starts(options, says):
    wanted = {"board": "muse_2", "channels": ("ppg_2",), "rate": 64.0, **options}
    with pytest.raises(SourceError, match=says) as caught:
        BrainFlowSource(wanted.pop("board"), **wanted)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("board", "options", "sent"),
    [
        ("muse_2", {}, "p50"),
        ("muse_s", {}, "p61"),
        ("muse_2", {"params": {"other_info": "p51"}}, "p51"),
        ("muse_2", {"config": ("p50",)}, ""),
        ("muse_2", {"channels": ("TP9",), "rate": 256.0}, ""),
    ],
)
def test_a_muse_is_told_to_send_its_ppg(board, options, sent):
    source = BrainFlowSource(board, **{"channels": ("ppg_2",), "rate": 64.0, **options})
    assert source._params.other_info == sent


def test_brainflow_itself_takes_the_start_up_strings():
    shim = boards.library()
    for board, given, code in (("muse_2", "p50", 2), ("muse_s", "p61", 2), ("muse_2", "p99", 13)):
        params = shim.BrainFlowInputParams()
        params.other_info, params.timeout = given, 1
        board = shim.BoardShim(boards.find_board(board)[1], params)
        try:
            board.prepare_session()
        except shim.BrainFlowError as error:
            if error.exit_code in (6, 7, 17):
                pytest.skip("a Bluetooth adapter answers here")
            assert error.exit_code == code  # 13 is refused; 2 came as far as the radio
        else:
            board.release_session()
            pytest.skip("a Muse answers here")


def test_without_brainflow_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name.partition(".")[0] == "brainflow":
            raise ModuleNotFoundError("No module named 'brainflow'", name="brainflow")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'bioxedge\[brainflow\]'"):
        boards.library()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError("libBoardController.so: cannot open"), "Linux ARM64"),
        (ModuleNotFoundError("No module", name="pkg_resources"), "setuptools<82"),
    ],
)
def test_a_library_that_cannot_be_loaded_names_the_cure(monkeypatch, error, says):
    from brainflow.board_shim import BoardControllerDLL

    def fail(cls):
        raise error

    monkeypatch.setattr(BoardControllerDLL, "get_instance", classmethod(fail))
    with pytest.raises(SourceError, match=says):
        boards.library()


# -- the real library, with its synthetic board ---------------------------------------------


@pytest.fixture
def tested(tmp_path):
    return make_bundle(
        tmp_path / "b", channels=("Fz", "ecg_2"), rate=250.0, stages=(), length=50, hop=25
    )


def test_the_synthetic_board_streams(tested):
    source = BrainFlowSource("synthetic", channels=("Fz", "ecg_2"), rate=250.0)
    before, sink = time.time(), Keep()
    tally = loop.run(source, Stream(tested), [sink], seconds=0.6)
    assert tally.samples == 150 and tally.windows == 5
    assert tally.loss == 0 and tally.gaps == {"filled": 0, "lost": 0, "restarts": 0}
    # Each ended a moment before it was answered, by this machine's clock.
    assert all(0 <= p.t0 + p.t_end - before < 5 and -0.05 < p.age < 2 for p in sink.predictions)
    # Released: the same board can be prepared again, and a third time after that.
    for _ in range(2):
        with source:
            assert source.read().samples.shape[0] == 2


def test_a_board_is_released_when_something_fails(tested):
    source = BrainFlowSource("synthetic", channels=("Fz",), rate=250.0)
    with pytest.raises(RuntimeError), source:
        raise RuntimeError
    with source:
        pass


def test_what_the_library_says_is_one_line():
    source = BrainFlowSource("cyton", channels=("ecg_1",), rate=250.0)
    with pytest.raises(SourceError, match=r"cyton .*INVALID_ARGUMENTS_ERROR.* --param\?"), source:
        pass


def test_a_stalled_board_is_an_error():
    source = BrainFlowSource("synthetic", channels=("Fz",), rate=250.0, stall=0.05)
    with source:
        source._shared.session.stop_stream()
        time.sleep(0.01)
        with pytest.raises(SourceError, match=r"gave nothing for 0\.05 s"):
            for _ in range(100):
                source.read()
                time.sleep(0.01)


def test_rows_are_in_order_of_the_names():
    with BrainFlowSource("synthetic", channels=("accel_1", "eeg_1"), rate=250.0) as source:
        chunks = []
        while sum(c.samples.shape[1] for c in chunks) < 60:
            time.sleep(0.02)
            chunks.append(source.read())
    samples = np.concatenate([c.samples for c in chunks], axis=1)
    assert np.abs(samples[0]).max() <= 2 < np.abs(samples[1]).max()  # g, then microvolts
    ends = [c.end for c in chunks if c.samples.shape[1]]
    assert ends == sorted(ends) and ends[-1] == samples.shape[1]
