"""What a device measures of a kit, and what it refuses to measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fixtures_bundle import make_bundle, onnx_model
from fixtures_kit import PARTS, graph, make_kit
from hypothesis import given
from hypothesis import strategies as st

from bioxedge import cli, kit, profilefile
from bioxedge.errors import BundleError
from bioxedge.kit import CALL, Kit
from bioxedge.manifest import digest
from bioxedge.measuring.profile import profile
from bioxedge.profilefile import Timing


@pytest.fixture
def made(tmp_path: Path) -> Kit:
    return make_kit(tmp_path / "kit")


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process; give its exit code, output and errors."""

    def run(*arguments: str | Path):
        monkeypatch.setattr(sys, "argv", ["bioxedge", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


def one_line(code: int, err: str) -> str:
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
    return err


# -- the kit ----------------------------------------------------------------------------------


def test_a_kit_is_read_as_it_was_written(made: Kit, tmp_path: Path) -> None:
    again = Kit.open(tmp_path / "kit")
    assert again.manifest == made.manifest and again.manifest.parts == PARTS
    shape, raw = graph(1, 16)
    first = sorted(again.manifest.files)[0]
    assert again.model(first) == raw and again.manifest.files[first].input == shape
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kit"]  # nothing is left beside


def test_a_kit_takes_the_place_of_a_kit_and_of_nothing_else(made: Kit, tmp_path: Path) -> None:
    assert make_kit(made.path).manifest == made.manifest
    make_bundle(tmp_path / "bundle")
    with pytest.raises(BundleError, match="holds other things than a kit"):
        make_kit(tmp_path / "bundle")


def damaged(path: Path, how: str) -> None:
    """Spoil one thing of a kit."""
    part, about = path / "head.onnx", path / "kit.json"
    if how == "missing":
        part.unlink()
    elif how == "flipped":
        raw = bytearray(part.read_bytes())
        raw[-3] ^= 1
        part.write_bytes(raw)
    elif how == "truncated":
        part.write_bytes(part.read_bytes()[:-1])
    elif how == "linked":
        part.rename(path.parent / "elsewhere.onnx")
        part.symlink_to(path.parent / "elsewhere.onnx")
    elif how == "no file":
        part.unlink()
        os.mkfifo(part)
    elif how == "edited":
        about.write_text(about.read_text().replace('"rank": 2', '"rank": 3'))
    elif how == "no json":
        about.write_text("{")
    else:
        tree = json.loads(about.read_text())
        if how == "escape":
            tree["files"]["head"]["file"] = "../head.onnx"
        elif how == "newer":
            tree["format"] = 2
        elif how == "unnamed":
            tree["parts"]["head"] = "feet"
        elif how == "short":
            tree["parts"]["pools"] = ["pool-00"]
        elif how == "parameters":
            tree["files"]["head"]["parameters"] += 1
        with suppress(msgspec.ValidationError):  # refused before the digest is looked at
            tree["digest"] = digest(msgspec.convert(tree, kit.KitManifest))
        about.write_text(json.dumps(tree))


DAMAGES = {
    "missing": "lacks head.onnx",
    "flipped": "does not match its sha256",
    "truncated": "truncated or swapped",
    "linked": "it is a link",
    "no file": "not a regular file",
    "edited": "does not match its digest",
    "no json": "cannot be read",
    "escape": "files",
    "newer": "format",
    "unnamed": "feet, head",
    "short": "do not fit",
    "parameters": "parameters",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_kit_is_one_line(made: Kit, how: str, call, tmp_path: Path) -> None:
    damaged(made.path, how)
    code, _, err = call("profile", made.path, "--out", tmp_path / "p.json")
    assert DAMAGES[how] in one_line(code, err)
    assert not (tmp_path / "p.json").exists()


def test_weights_outside_the_file_are_refused(tmp_path: Path) -> None:
    raw = onnx_model(np.ones((16, 2), np.float32), np.zeros(2, np.float32), 1, 16)
    # TensorProto's data_location (field 14) set to EXTERNAL, in the place of its last bytes.
    outside = raw.replace(b"\x42\x07weights", b"\x70\x01\x42\x05weigh")
    assert outside != raw
    graphs = {name: graph(1, 16) for name in PARTS.names | {CALL}}
    graphs["head"] = ((1, 1, 16), outside)
    with pytest.raises(BundleError, match="outside its file"):
        kit.write(tmp_path / "kit", make_kit(tmp_path / "other").manifest.plan, PARTS, graphs, "0")
    assert not (tmp_path / "kit").exists()


def test_no_kit_at_all_says_where_one_comes_from(call, tmp_path: Path) -> None:
    assert "bioxedge positions RECIPE --kit" in one_line(*call("profile", tmp_path / "no")[::2])


# -- the device -------------------------------------------------------------------------------


def test_every_part_is_timed_under_every_setting(made: Kit, call, tmp_path: Path) -> None:
    threads = "1,2" if len(os.sched_getaffinity(0)) > 1 else "1"
    out = tmp_path / "pi.json"
    code, said, err = call("profile", made.path, "--threads", threads, "--repeats", "3",
                           "--out", out)  # fmt: skip
    assert code == 0, err
    found = profilefile.read(out)
    assert [f"{run.setting.threads}" for run in found.runs] == threads.split(",")
    for run in found.runs:
        assert set(run.times) == PARTS.names | {CALL}
        for timing in run.times.values():
            assert 0 < timing.low <= timing.median <= timing.high and timing.repeats == 3
    assert found.plan == made.manifest.plan and found.kit == made.manifest.digest
    assert found.memory.process > 0
    assert found.memory.weights["head"] == 4 * made.manifest.files["head"].parameters
    assert "cpu, 1 thread" in said and str(out) in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kit", "pi.json"]


def test_the_profile_is_small_and_the_same_for_programs(made: Kit, call, tmp_path: Path) -> None:
    out = tmp_path / "pi.json"
    _, said, _ = call("profile", made.path, "--repeats", "3", "--out", out, "--json")
    assert json.loads(said) == json.loads(out.read_text())
    assert out.stat().st_size < 20_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--threads", "999"), "999 threads were asked for, this process may use"),
        (("--threads", "two"), "--threads takes whole numbers"),
        (("--threads", "0"), "--threads takes whole numbers"),
        (("--provider", "abacus"), "provider abacus is not on this machine"),
        (("--repeats", "1"), "1 is not in the range"),
        (("--out", "no/such/folder/p.json"), "no/such/folder"),
    ],
)
def test_what_cannot_be_measured_is_one_line(made: Kit, call, words, message) -> None:
    assert message in one_line(*call("profile", made.path, *words)[::2])


def test_a_part_that_the_engine_refuses_is_named(tmp_path: Path, call) -> None:
    graphs = {name: graph(1, 16) for name in PARTS.names | {CALL}}
    bad = graphs["head"][1].replace(b"Softmax", b"Softmix")
    graphs["head"] = ((1, 1, 16), bad)
    plan = make_kit(tmp_path / "other").manifest.plan
    kit.write(tmp_path / "kit", plan, PARTS, graphs, "0")
    assert "head.onnx" in one_line(*call("profile", tmp_path / "kit")[::2])


def test_a_device_measures_without_torch(made: Kit, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'onnx', 'sklearn', 'matplotlib'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from bioxedge.cli import main\n"
        "main()\n"
    )
    words = ["profile", str(made.path), "--repeats", "3", "--out", str(tmp_path / "p.json")]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert profilefile.read(tmp_path / "p.json").parts == PARTS


# -- the file ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> profilefile.Profile:
    return profile(make_kit(tmp_path_factory.mktemp("kit") / "kit"), repeats=3)


def test_a_profile_is_read_as_it_was_written(measured, tmp_path: Path) -> None:
    profilefile.write(tmp_path / "p.json", measured)
    assert profilefile.read(tmp_path / "p.json") == measured


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format"),
        ({"surprise": 1}, "surprise"),
        ({"runs": []}, "runs"),
        ({"parts": None}, "parts"),
        ({"plan": {}}, "plan"),
    ],
)
def test_a_profile_that_is_none_is_refused(measured, change, message, tmp_path: Path) -> None:
    tree = {**measured.to_dict(), **change}
    (tmp_path / "p.json").write_text(json.dumps(tree))
    with pytest.raises(BundleError, match=message):
        profilefile.read(tmp_path / "p.json")


def test_a_profile_that_lacks_a_part_is_refused(measured, tmp_path: Path) -> None:
    for place in ("runs", "memory"):
        tree = measured.to_dict()
        del (tree["runs"][0]["times"] if place == "runs" else tree["memory"]["weights"])["head"]
        (tmp_path / "p.json").write_text(json.dumps(tree))
        with pytest.raises(BundleError, match="differ in head"):
            profilefile.read(tmp_path / "p.json")


def test_no_profile_and_a_torn_one_are_refused(measured, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="bioxedge profile KIT"):
        profilefile.read(tmp_path / "p.json")
    profilefile.write(tmp_path / "p.json", measured)
    raw = (tmp_path / "p.json").read_bytes()
    (tmp_path / "p.json").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BundleError, match="is no profile"):
        profilefile.read(tmp_path / "p.json")


def test_a_setting_that_was_not_measured_names_those_that_were(measured) -> None:
    assert measured.run(1, "cpu") is measured.run() is measured.runs[0]
    with pytest.raises(BundleError, match="nothing for 7 threads: it has cpu, 1 thread;"):
        measured.run(7)


def test_throttling_is_said(measured) -> None:
    hot = msgspec.structs.replace(measured, throttled=("throttled now",))
    assert "not to be trusted" not in "\n".join(measured.lines())
    assert "not to be trusted: the board said throttled now" in "\n".join(hot.lines())


@given(st.integers(0, 2), st.integers(0, 1))
def test_the_parts_of_a_place_stand_in_the_order_of_a_window(i: int, j: int) -> None:
    names = PARTS.of(i, j)
    assert names[0] == PARTS.stem and names[1 : 1 + i] == PARTS.blocks[:i]
    assert names[1 + i : 3 + i] == (PARTS.pools[i], PARTS.bridges[j])
    assert names[3 + i :] == ((*PARTS.tail[j:], PARTS.head) if j < 1 else ())


def test_timings_have_an_order() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"median": -1, "low": 0, "high": 0, "repeats": 1}, Timing)
