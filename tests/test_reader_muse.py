"""CSV of a Muse: muse-lsl and Mind Monitor, their stamps, gaps and events."""

from __future__ import annotations

import numpy as np
import pytest

from bioxedge import readers
from bioxedge.errors import RecordingError

LSL = "timestamps,TP9,AF7,AF8,TP10,Right AUX\n"
MIND = (
    "TimeStamp,Delta_TP9,Alpha_TP9,RAW_TP9,RAW_AF7,RAW_AF8,RAW_TP10,Accelerometer_X,"
    "Accelerometer_Y,Accelerometer_Z,Gyro_X,Gyro_Y,Gyro_Z,HeadBandOn,Elements\n"
)


def written(folder, text):
    path = folder / "muse.csv"
    path.write_text(text)
    return path


def lsl(places, rate=256.0, start=1.7e9):
    return "".join(f"{start + k / rate:.3f},{k},0.5,0,0,0\n" for k in places)


def mind(places, size=12, events=()):
    """Rows stamped as the burst that they came in ended."""
    text = ""
    for k in places:
        late = (k // size + 1) * size / 256
        clock = f"2023-11-14 22:{13 + int(late // 60):02d}:{late % 60:06.3f}"
        if k in events:
            text += f"{clock}{',' * 14}/muse/event/blink\n"
        text += f"{clock},0.1,0.2,{k},801.5,802,803,0.01,0.02,0.98,1,2,3,1,\n"
    return text


def test_the_real_file_of_muse_lsl_has_its_samples_and_markers(shared):
    (path,) = (shared / "data/examples/muse_lsl").iterdir()
    found = readers.find(path)
    (eeg,) = found.streams
    lines = [line.split(",") for line in path.read_text().splitlines()]
    assert (found.kind, eeg.modality, eeg.rate, eeg.t0) == ("muse-lsl", "eeg", 256, 1485534104.914)
    assert [one.name for one in eeg.channels] == ["TP9", "AF7", "AF8", "TP10", "Right AUX"]
    assert {one.unit for one in eeg.channels} == {"uV"}
    assert eeg.read()[3].tolist() == [float(line[4]) for line in lines[1 : eeg.samples + 1]]
    assert eeg.facts["real_rate"] == pytest.approx(256.025, abs=1e-3)
    pressed = [line for line in lines[1:] if len(line) == 7 and line[6] not in ("0", "")]
    assert [(m.start, m.text) for m in found.marks] == [(float(p[0]), p[6]) for p in pressed]


def test_lost_packets_of_muse_lsl_are_missing_at_their_length(tmp_path):
    places = [k for k in range(2000) if not 600 <= k < 672 and not 900 <= k < 912]
    (eeg,) = readers.find(written(tmp_path, LSL + lsl(places))).streams
    gone = np.flatnonzero(np.isnan(eeg.read()[0])).tolist()
    assert gone == [*range(600, 672), *range(900, 912)]


def test_ppg_and_motion_of_muse_lsl_are_told_apart(tmp_path):
    text = "timestamps,PPG1,PPG2,PPG3\n" + "".join(f"{9 + k / 64:.3f},{k},2,3\n" for k in range(99))
    (ppg,) = readers.find(written(tmp_path, text)).streams
    assert (ppg.modality, ppg.rate, ppg.dated) == ("ppg", 64, False)
    text = "timestamps,X,Y,Z\n" + "".join(f"{9 + k / 52:.3f},{k},2,3\n" for k in range(99))
    found = readers.find(written(tmp_path, text))
    assert (found.streams[0].modality, found.streams[0].rate) == ("acceleration", 52)
    assert any("acceleration (g) or rotation" in one for one in found.remarks)
    told = readers.find(written(tmp_path, text), modality="rotation")
    assert (told.streams[0].name, told.streams[0].modality) == ("rotation", "rotation")
    assert not told.remarks


def test_bursts_of_mind_monitor_are_no_gaps_and_events_are_marks(tmp_path):
    found = readers.find(written(tmp_path, MIND + mind(range(4000), events=(1200,))))
    streams = {one.name: one for one in found.streams}
    assert {one.modality for one in found.streams} == {"eeg", "acceleration", "rotation"}
    eeg = streams["eeg"]
    assert (eeg.rate, eeg.channels[0].name, eeg.dated) == (256, "TP9", True)
    assert eeg.read()[0].tolist() == list(range(4000))
    (mark,) = found.marks
    assert mark.text == "/muse/event/blink"
    assert mark.start == pytest.approx(1699999980 + 1212 / 256, abs=2e-3)
    assert "2 columns of band powers are computed by the app: left out" in found.remarks


def test_a_headband_out_of_reach_is_missing_in_mind_monitor(tmp_path):
    places = [k for k in range(6000) if not 2400 <= k < 3600]
    found = readers.find(written(tmp_path, MIND + mind(places)))
    eeg = next(one for one in found.streams if one.name == "eeg")
    row = eeg.read()[0]
    gone = np.flatnonzero(np.isnan(row))
    assert np.all(np.diff(gone) == 1) and gone[0] == 2400 and abs(len(gone) - 1200) <= 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LSL, "no rows below a header"),
        (LSL + lsl([0, 1, 2, 9, 5]), "go back"),
        (LSL + lsl(range(40)) + "soon,1,1,1,1,1\n", "timestamps holds what is no time"),
        (LSL + lsl(range(40)) + "1700000009,x,1,1,1,1\n", "TP9 holds what is no number"),
        (LSL + lsl(range(40)).replace("0.5", "0,5"), "commas stand for decimals"),
        (MIND + mind(range(40)).replace("2023-11-14 22", "25:99"), "TimeStamp holds what is no"),
        (MIND + "2023-11-14 22:13:00.000" + "," * 14 + "\n", "no column of raw samples"),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(tmp_path, text, said):
    with pytest.raises(RecordingError, match=said) as caught:
        readers.find(written(tmp_path, text))
    assert "\n" not in str(caught.value) and len(str(caught.value)) - len(str(tmp_path)) < 300
