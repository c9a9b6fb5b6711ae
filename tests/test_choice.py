"""What a bench chose is what ``bioxedge run`` runs, where it can; else fp32 on one thread."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest
from fixtures_bundle import make_bundle, onnx_model, pulse, weights_of, with_bf16
from fixtures_signal import recorded

from bioxedge import bundle, cli, recording
from bioxedge.bundle import Bundle
from bioxedge.runtime import choice, session
from bioxedge.runtime.session import cores

PLAIN = "fp32 on cpu, 1 thread\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, and a bundle with variants: one near fp32, a broken and a wrong one."""
    here = tmp_path_factory.mktemp("choice")
    recording.save(recorded(pulse(1, 64 * 20, 64.0)), here / "rec")
    plain = make_bundle(here / "plain")
    weights, bias = weights_of(2, 256, 0)
    whole = plain.model()
    files = {
        "model.onnx": whole,
        "near.onnx": onnx_model(np.round(weights * 512) / 512, bias, 1, 256),
        "broken.onnx": whole.replace(b"Softmax", b"Softmix"),
        "wrong.onnx": onnx_model(-weights, -bias, 1, 256),
        "golden.npz": (here / "plain/golden.npz").read_bytes(),
    }
    fp32 = plain.manifest.model["fp32"]
    model = {"fp32": fp32}
    for name in ("near", "broken", "wrong"):
        model[name] = msgspec.structs.replace(
            fp32, file=f"{name}.onnx", precision="int8", tolerance=0.05, agreement=0.9
        )
    about = msgspec.structs.replace(plain.manifest, model=model)
    bundle.write(here / "b", bundle.with_files(about, files), files)
    return here


@dataclass
class Here:
    """A user with a cache directory of their own."""

    folder: Path
    cache: Path
    call: Callable[..., tuple[int, str, str]]

    @property
    def opened(self) -> Bundle:
        return Bundle.open(self.folder / "b")

    def choose(self, **changes: object) -> Path:
        """Save a choice of the variant that is near fp32."""
        made = choice.Choice(
            variant="near", threads=1, provider="cpu", milliseconds=0.123456,
            onnxruntime=onnxruntime.__version__, machine=choice.identity(), made="2026-11-25",
        )  # fmt: skip
        return choice.save(self.opened.manifest, msgspec.structs.replace(made, **changes))

    def run(self, *options: str) -> tuple[int, str, str]:
        """``bioxedge run`` over the recording."""
        return self.call("run", "b", "--source", "replay:rec", "--speed", "max", *options)


@pytest.fixture
def here(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Here:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bioxedge", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return Here(folder, tmp_path / "cache", call)


def test_run_takes_what_was_chosen_and_says_so(here: Here) -> None:
    here.choose()
    code, out, err = here.run()
    assert (code, err) == (0, "")
    assert out.splitlines()[0].endswith(
        "; near on cpu, 1 thread, the fastest of bioxedge bench on this machine "
        "(0.123 ms on 2026-11-25)"
    )


def test_the_record_says_what_ran(here: Here) -> None:
    here.choose()
    code, out, _ = here.run("--json")
    assert code == 0 and json.loads(out.splitlines()[0])["engine"] == {
        "variant": "near", "provider": "cpu", "threads": 1,
        "runtime": f"ONNX Runtime {onnxruntime.__version__}",
    }  # fmt: skip


def test_without_a_choice_fp32_runs(here: Here) -> None:
    code, out, err = here.run()
    assert (code, err) == (0, "") and out.splitlines(keepends=True)[0].endswith(PLAIN)


@pytest.mark.parametrize(
    "options", [("--variant", "fp32"), ("--threads", "1"), ("--provider", "cpu")]
)
def test_any_option_sets_the_choice_aside(here: Here, options: tuple[str, str]) -> None:
    here.choose()
    code, out, err = here.run(*options)
    assert (code, err) == (0, "") and out.splitlines(keepends=True)[0].endswith(PLAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": "aarch64, another board, 4 cores"},
        {"onnxruntime": "1.23.2.of.another"},
        {"variant": "of-an-older-bundle"},
    ],
)
def test_a_choice_for_something_else_is_none(here: Here, changes: dict[str, str]) -> None:
    here.choose(**changes)
    code, out, err = here.run()
    assert (code, err) == (0, "") and out.splitlines(keepends=True)[0].endswith(PLAIN)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: bytes(reversed(range(256))),
        lambda raw: b"[" * 100_000,
        lambda raw: raw.replace(b'"threads":1', b'"threads":0'),
        lambda raw: raw.replace(b'"threads":1', b'"threads":"1"'),
        lambda raw: raw.replace(b'{"variant"', b'{"odd":1,"variant"'),
        lambda raw: raw.replace(b"near", b"ne\xffr"),
    ],
)
def test_a_damaged_choice_is_none(here: Here, damage: Callable[[bytes], bytes]) -> None:
    path = here.choose()
    path.write_bytes(damage(path.read_bytes()))
    code, out, err = here.run()
    assert (code, err) == (0, "") and out.splitlines(keepends=True)[0].endswith(PLAIN)


def test_a_choice_for_another_state_of_the_bundle_is_none(here: Here) -> None:
    path = here.choose()
    changed = msgspec.structs.replace(here.opened.manifest, digest="0" * 64)
    assert choice.load(changed) is None
    other = path.parent.with_name("0" * 64)
    path.parent.rename(other)
    assert choice.load(here.opened.manifest) is None


def test_a_directory_in_the_place_of_a_choice_is_none(here: Here) -> None:
    path = here.choose()
    path.unlink()
    path.mkdir()
    assert choice.load(here.opened.manifest) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"variant": "broken"}, "refuses broken.onnx"),
        ({"variant": "wrong"}, "answers a golden window"),
        ({"threads": cores() + 1}, f"this process may use {cores()} cores"),
        ({"provider": "gone"}, "provider gone is not on this machine"),
    ],
)
def test_what_was_chosen_and_cannot_be_run_gives_way_to_fp32(
    here: Here, changes: dict[str, object], why: str
) -> None:
    here.choose(**changes)
    code, out, err = here.run()
    assert code == 0 and out.splitlines(keepends=True)[0].endswith(PLAIN)
    assert len(err.splitlines()) == 1 and why in err
    assert err.rstrip().endswith("; so fp32 runs on one thread")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--variant", "broken"), "refuses broken.onnx"),
        (("--threads", str(cores() + 1)), f"ask for 1 to {cores()}"),
        (("--provider", "gone"), "provider gone is not on this machine"),
        (("--variant", "gone"), "no variant 'gone': it has broken, fp32, near, wrong"),
    ],
)
def test_what_was_asked_for_and_cannot_be_run_is_an_error(
    here: Here, options: tuple[str, str], why: str
) -> None:
    here.choose()
    code, out, err = here.run(*options)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and why in err and len(err.splitlines()) == 1


def test_a_choice_is_kept_for_its_user_alone_and_whole(here: Here) -> None:
    for threads in (1, 2):
        path = here.choose(threads=threads)
    assert path == here.cache / "bioxedge" / here.opened.manifest.digest / "choice.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["choice.json"]
    kept = choice.load(here.opened.manifest)
    assert kept is not None and (kept.threads, kept.milliseconds) == (2, 0.123456)


def test_a_cache_that_cannot_be_written_is_told_to_who_saves(here: Here) -> None:
    here.cache.write_text("a file")
    with pytest.raises(OSError, match="cache"):
        here.choose()
    assert choice.load(here.opened.manifest) is None


def test_a_cache_directory_must_be_absolute(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(here.cache))
    assert choice.cache() == here.cache / ".cache/bioxedge"


def test_a_variant_in_bf16_takes_the_provider_that_fits(here: Here) -> None:
    if not (here.folder / "half").exists():
        with_bf16(Bundle.open(here.folder / "plain"), here.folder / "half")
    way = ("run", "half", "--source", "replay:rec", "--speed", "max")
    code, out, err = here.call(*way, "--variant", "bf16")
    if "openvino-bf16" not in session.available():
        assert code == 2 and out == "" and err.count("\n") == 1
        assert "pip install 'bioxedge[openvino]'" in err
    elif code:  # a processor without bf16
        assert err.count("\n") == 1 and "with variant fp32" in err
    else:
        assert "bf16 on openvino-bf16, 1 thread\n" in out
    for options in (("--variant", "bf16", "--provider", "cpu"), ("--provider", "openvino-bf16")):
        code, out, err = here.call(*way, *options)
        assert code == 2 and err.count("\n") == 1 and "computes in bf16 and" in err
    assert here.call(*way)[1].splitlines(keepends=True)[0].endswith(PLAIN)
