"""Text of Polar Sensor Logger: sensors' stamps, markers, rates, and what is wrong with a file."""

from __future__ import annotations

import numpy as np
import pytest

from bioxedge import readers
from bioxedge.errors import RecordingError

ECG = "Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]\n"
ACC = "Phone timestamp;sensor timestamp [ns];X [mg];Y [mg];Z [mg]\n"
SINCE_2000 = 704201975160879838  # ns


def written(folder, text, name="a.txt"):
    path = folder / name
    path.write_text(text)
    return path


def ecg(places, rate=130.0):
    """Rows that the phone stamps in packets of 73, the sensor one by one."""
    return "".join(
        f"2023-11-14T22:13:{(k // 73) * 73 / 130:06.3f};{SINCE_2000 + round(k * 1e9 / rate)};"
        f"{k * 1000 / rate:.4f};{k}\n"
        for k in places
    )


def test_the_real_file_of_ppg_has_its_rows_and_dates(shared):
    path = shared / "data/examples/polar/Polar_Sense_PPG.txt"
    (ppg,) = readers.find(path).streams
    lines = [line.split(";") for line in path.read_text().splitlines()[1:]]
    assert (ppg.modality, ppg.rate, ppg.dated) == ("ppg", 55, True)
    assert [one.name for one in ppg.channels] == ["ppg_1", "ppg_2", "ppg_3", "ambient"]
    assert ppg.t0 == 1650886776.029  # 2022-04-25T11:39:36.029
    whole = [line for line in lines if len(line) == 7]
    assert ppg.read()[2].tolist() == [float(line[4]) for line in whole]
    # (8686 - 1) rows in 704202133794315022 - 704201975160879838 ns
    assert ppg.facts["real_rate"] == pytest.approx(8685 / 158.633435184, rel=1e-5)


def test_real_markers_are_marks_and_computed_rates_are_rates(shared):
    folder = shared / "data/examples/polar"
    found = readers.find(folder / "MARKER.txt")
    assert [(m.text, m.start) for m in found.marks] == [
        ("MARKER_START", 1650886802.383), ("MARKER_STOP", 1650887283.398),
    ]  # fmt: skip
    assert found.streams == ()
    hr = readers.find(folder / "Polar_Sense_HR.txt")
    (stream,) = hr.streams
    assert (stream.modality, stream.channels[0].unit, stream.t0) == ("rate", "bpm", 1650886742)
    assert stream.read()[0, :3].tolist() == [66, 66, 66] and stream.read()[0, -1] == 57
    assert any("computed in the sensor" in one for one in hr.remarks)
    (ppi,) = readers.find(folder / "Polar_Sense_PPI.txt").streams
    assert (ppi.channels[0].unit, ppi.read()[0, 0]) == ("ms", 1117)


@pytest.mark.parametrize("rate", [130.0, 129.4, 130.1])
def test_lost_packets_are_missing_by_the_sensors_stamps(tmp_path, rate):
    places = [k for k in range(2000) if not 730 <= k < 803 and k != 1500]
    found = readers.find(written(tmp_path, ECG + ecg(places, rate)))
    (stream,) = found.streams
    assert (stream.rate, stream.channels[0].unit) == (130, "uV")
    assert np.flatnonzero(np.isnan(stream.read()[0])).tolist() == [*range(730, 803), 1500]
    assert stream.facts["real_rate"] == pytest.approx(rate, rel=1e-6)
    assert "74 samples are missing, by the sensor's stamps" in found.remarks


def test_acceleration_in_mg_comes_in_g(tmp_path):
    rows = "".join(
        f"2023-11-14T22:13:00.000;{SINCE_2000 + k * 20_000_000};1;-2;998\n" for k in range(40)
    )
    (stream,) = readers.find(written(tmp_path, ACC + rows)).streams
    assert (stream.modality, stream.rate, stream.channels[0].unit) == ("acceleration", 50, "g")
    np.testing.assert_allclose(stream.read()[:, 0], [0.001, -0.002, 0.998])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ECG, "no rows below a header"),
        (ECG + ecg([*range(30), 7]), "go back"),
        (ECG + ecg(range(30)).replace("2023-11-14", "tomorrow "), "holds what is no date"),
        (ECG + ecg(range(30)).replace("704201", "x"), "sensor stamp is no whole number"),
        (ECG + ecg(range(30)).replace(";7\n", ";seven\n"), "no number"),
        (ECG + ecg(range(30)).replace(";7\n", "\n"), "row 9 has 3 fields, the header has 4"),
        (ECG.replace("ecg [uV]", "q") + ecg(range(30)), "none of Polar Sensor Logger's"),
        (ECG.replace("sensor ", "") + ecg(range(30)), "no column of the sensor's stamps"),
        ("Phone timestamp;HR [bpm]\n2022-04-25T11:40:02;60\n2023-04-25T11:40:02;60\n", "month"),
        (ECG + "1.5;" * 600_000, "characters"),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(tmp_path, text, said):
    with pytest.raises(RecordingError, match=said) as caught:
        readers.find(written(tmp_path, text))
    assert "\n" not in str(caught.value) and len(str(caught.value)) - len(str(tmp_path)) < 300
