"""BIDMC: what is read from the real set, and one line for everything that is wrong with a file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bioxedge.datasets import bidmc
from bioxedge.errors import DatasetError

SIGNALS = "Time [s], RESP, PLETH, II\n0,0.1,0.5,-0.25\n0.008,0.2,,0.75\n0.016,0.3,0.7,1.25\n"
NUMERICS = "Time [s], HR, PULSE, RESP, SpO2\n0,93,92,,100\n1,NaN,93,16,100\n"
FIX = "bidmc_01\nAge: 65\nMIMIC II matched wdb ID: s01241\nMIMIC II data segment: 3195\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bidmc_01_Signals.csv").write_text(SIGNALS)
    (tmp_path / "bidmc_01_Numerics.csv").write_text(NUMERICS)
    (tmp_path / "bidmc_01_Fix.txt").write_text(FIX)
    return tmp_path


def compress(folder: Path) -> Path:
    """Replace the signals by their gzipped form, as the shared set has them."""
    plain = folder / "bidmc_01_Signals.csv"
    zipped = plain.with_name(plain.name + ".gz")
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return zipped


# -- the real set ---------------------------------------------------------------------------


@pytest.mark.shared
def test_the_real_set_is_34_recordings_of_30_patients(shared: Path) -> None:
    pairs = bidmc.load(shared / "data" / "bidmc")
    assert len(pairs) == len({pair.name for pair in pairs}) == 34
    assert len({pair.person for pair in pairs}) == 30
    for pair in pairs:
        source, target, reference = pair.source, pair.target, pair.reference
        assert reference is not None
        assert (source.rate, target.rate, reference.rate) == (125.0, 125.0, 1.0)
        assert source.samples.shape == target.samples.shape == (1, 60001)
        assert [(c.name, c.unit) for c in source.channels] == [("PLETH", "a.u.")]
        assert [(c.name, c.unit) for c in target.channels] == [("II", "mV")]
        assert [c.name for c in reference.channels] == ["HR", "PULSE", "RESP", "SpO2"]
        assert reference.samples.shape == (4, 481)
        assert np.isfinite(source.samples).all() and np.isfinite(target.samples).all()
        assert 40 < np.nanmean(reference.samples[0]) < 160


# -- small files ----------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
def test_columns_are_found_by_name_and_empty_fields_are_missing(folder: Path, zipped: bool) -> None:
    if zipped:
        compress(folder)
    (pair,) = bidmc.load(folder)
    assert (pair.name, pair.person) == ("bidmc_01", "s01241")
    np.testing.assert_array_equal(pair.source.samples, [[0.5, np.nan, 0.7]])
    np.testing.assert_array_equal(pair.target.samples, [[-0.25, 0.75, 1.25]])
    assert pair.reference is not None
    np.testing.assert_array_equal(
        pair.reference.samples, [[93, np.nan], [92, 93], [np.nan, 16], [100, 100]]
    )


def test_a_recording_that_lies_there_twice_is_read_once(folder: Path) -> None:
    plain = folder / "bidmc_01_Signals.csv"
    plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert len(bidmc.load(folder)) == 1


def test_a_numeric_that_the_monitor_did_not_give_is_left_out(folder: Path) -> None:
    (folder / "bidmc_01_Numerics.csv").write_text("Time [s], HR\n0,93\n")
    (pair,) = bidmc.load(folder)
    assert pair.reference is not None
    assert [channel.name for channel in pair.reference.channels] == ["HR"]


def test_lines_may_end_as_on_windows(folder: Path) -> None:
    (folder / "bidmc_01_Signals.csv").write_bytes(SIGNALS.replace("\n", "\r\n").encode())
    (pair,) = bidmc.load(folder)
    np.testing.assert_array_equal(pair.target.samples, [[-0.25, 0.75, 1.25]])


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def cut_short(folder: Path) -> None:
    zipped = compress(folder)
    zipped.write_bytes(zipped.read_bytes()[:-12])


def corrupt(folder: Path) -> None:
    zipped = compress(folder)
    raw = bytearray(zipped.read_bytes())
    raw[10] = 0xFF  # a block type that deflate does not have
    zipped.write_bytes(raw)


def no_text(folder: Path) -> None:
    (folder / "bidmc_01_Signals.csv").write_bytes(b"Time [s], PLETH, II\n\xff\xfe,1,2\n")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove("bidmc_01_Signals.csv"), "holds no BIDMC recordings"),
        (remove("bidmc_01_Numerics.csv"), "Numerics.csv is missing"),
        (remove("bidmc_01_Fix.txt"), "Fix.txt is missing"),
        (write("bidmc_01_Fix.txt", "bidmc_01\nAge: 65\n"), "names no patient"),
        (write("bidmc_01_Signals.csv", SIGNALS.replace("PLETH", "ABP")), "has no column PLETH"),
        (write("bidmc_01_Signals.csv", SIGNALS.replace("II", "V")), "has no column II"),
        (write("bidmc_01_Signals.csv", SIGNALS + "0.024,0.1\n"), "Signals.csv cannot be read"),
        (write("bidmc_01_Signals.csv", "Time [s], PLETH, II\n0,1\n1,2\n"), "2 columns, its header"),
        (write("bidmc_01_Signals.csv", SIGNALS.partition("\n")[0] + "\n"), "it has no rows"),
        (write("bidmc_01_Signals.csv", "\n\n"), "it has no rows"),
        (write("bidmc_01_Numerics.csv", "Time [s], CVP\n0,93\n"), "none of the columns HR"),
        (cut_short, "Signals.csv.gz cannot be read"),
        (corrupt, "Signals.csv.gz cannot be read"),
        (no_text, "Signals.csv cannot be read"),
    ],
)
def test_a_damaged_set_is_one_line_that_names_the_file(
    folder: Path, damage: Callable[[Path], object], says: str
) -> None:
    damage(folder)
    with pytest.raises(DatasetError) as error:
        bidmc.load(folder)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_folder_that_is_not_there_holds_no_recordings(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--data"):
        bidmc.load(tmp_path / "nowhere")
