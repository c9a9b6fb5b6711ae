"""NumPy files: shapes, what stands beside them, and nothing that is unpickled."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioxedge import readers
from bioxedge.errors import RecordingError

UNHURRIED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIGNAL = np.arange(600.0).reshape(2, 300)


def npy(folder, samples=SIGNAL, about=None):
    np.save(folder / "a.npy", samples)
    if about is not None:
        (folder / "a.json").write_text(about if isinstance(about, str) else json.dumps(about))
    return folder / "a.npy"


@pytest.mark.parametrize("turned", [False, True])
def test_an_array_lies_either_way_and_its_rate_is_told(tmp_path, turned):
    path = npy(tmp_path, SIGNAL.T if turned else SIGNAL)
    found = readers.find(path, rate=100, modality="ecg", units={"channel_1": "mV"})
    (stream,) = found.streams
    assert (stream.rate, stream.modality, stream.samples, stream.dated) == (100, "ecg", 300, False)
    assert [one.unit for one in stream.channels] == ["mV", "a.u."]
    assert stream.read().tolist() == SIGNAL.tolist()
    assert ("is taken as [samples, channels]" in found.remarks) is turned


def test_what_stands_beside_an_array_is_taken(tmp_path):
    about = {"rate": 250, "names": ["ECG I", "ECG II"], "units": ["mV", "uV"], "t0": 1.7e9,
             "person": "p07"}  # fmt: skip
    found = readers.find(npy(tmp_path, SIGNAL.astype(np.int16), about))
    (stream,) = found.streams
    assert (stream.rate, stream.modality, stream.t0, stream.dated) == (250, "ecg", 1.7e9, True)
    assert [(one.name, one.unit) for one in stream.channels] == [("I", "mV"), ("II", "uV")]
    assert found.person == "p07" and {path.name for path in found.files} == {"a.npy", "a.json"}
    assert stream.read().dtype == np.float64 and stream.read().tolist() == SIGNAL.tolist()


def test_several_arrays_say_what_they_are(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, samples=SIGNAL, rate=64.0, channels=["ppg [nA]", "ppg"], t0=5.0)
    (stream,) = readers.find(path).streams
    assert (stream.rate, stream.modality, stream.t0, stream.dated) == (64, "ppg", 5.0, False)
    assert [(one.name, one.unit) for one in stream.channels] == [("ppg", "nA"), ("ppg_2", "a.u.")]
    np.savez_compressed(path, x=SIGNAL[0], rate=64, names="bvp")
    (stream,) = readers.find(path).streams
    assert stream.channels[0].name == "bvp" and stream.read().tolist() == [SIGNAL[0].tolist()]


class Bomb:
    """What must never be called."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize(
    ("samples", "about", "said"),
    [
        (SIGNAL, None, r"does not say its rate: give it in Hz with --rate, or write it to a\.json"),
        (SIGNAL, {"rate": 0}, "says its rate is 0.0 Hz"),
        (SIGNAL, {"rate": "fast"}, "its rate is no number"),
        (SIGNAL, [250], "does not hold names and values"),
        (SIGNAL, "{rate: 250}", "cannot be read"),
        (SIGNAL.reshape(2, 3, 100), {"rate": 250}, "has 3 dimensions"),
        (np.zeros((0, 9)), {"rate": 250}, "holds no samples"),
        (np.zeros(()), {"rate": 250}, "has 0 dimensions"),
        (np.array(["a", "b"]), {"rate": 250}, "no numbers"),
        (SIGNAL.astype(complex), {"rate": 250}, "no numbers"),
        (np.array([Bomb()], object), {"rate": 250}, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(tmp_path, samples, about, said):
    path = npy(tmp_path, samples, about)
    with pytest.raises(RecordingError, match=said) as caught:
        readers.find(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) - 2 * len(str(tmp_path)) < 300


def test_objects_beside_samples_are_not_unpickled_either(tmp_path):
    np.savez(tmp_path / "a.npz", samples=SIGNAL, rate=64, names=np.array([Bomb()], object))
    with pytest.raises(RecordingError, match="cannot be read"):
        readers.find(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", ecg=SIGNAL, rate=64)
    with pytest.raises(RecordingError, match="holds ecg, rate: the signal must be called samples"):
        readers.find(tmp_path / "a.npz")


def test_names_that_do_not_fit_are_said(tmp_path):
    found = readers.find(npy(tmp_path, SIGNAL, {"rate": 5, "names": 7, "units": "uV"}))
    assert [one.name for one in found.streams[0].channels] == ["channel_1", "channel_2"]
    assert "names 1 channels and has 2: they are numbered" in found.remarks


@UNHURRIED
@given(st.data(), st.sampled_from(["npy", "npz", "packed"]))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, data, kind):
    path = tmp_path / ("a.npy" if kind == "npy" else "a.npz")
    if kind == "npy":
        np.save(path, SIGNAL)
    else:
        save = np.savez if kind == "npz" else np.savez_compressed
        save(path, samples=SIGNAL, rate=64.0, names=["a", "b"])
    content = bytearray(path.read_bytes())
    content = content[: data.draw(st.integers(8, len(content)))]
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(6, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        found = readers.find(path, rate=64.0)
        shapes = [(one.read().shape, (len(one.channels), one.samples)) for one in found.streams]
    except RecordingError as error:
        assert "\n" not in str(error) and len(str(error)) - 2 * len(str(tmp_path)) < 300
    else:
        assert all(have == said for have, said in shapes)
