"""The installer of a device, run as a user runs it: real pip, real environments, no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import fixtures_bundle
import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "device/install.sh"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("bash") is None, reason="a device runs Linux"
)


def wheel(folder: Path, version: str) -> Path:
    """Pack the package as it stands, under another version: pip takes it as any wheel."""
    files = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in sorted((ROOT / "bioxedge").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = f"bioxedge-{version}.dist-info"
    files[f"{about}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: bioxedge\nVersion: {version}\n".encode()
    )
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/entry_points.txt"] = b"[console_scripts]\nbioxedge = bioxedge.cli:main\n"
    listed = [
        f"{name},sha256={urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b'=').decode()},{len(raw)}"
        for name, raw in files.items()
    ]
    files[f"{about}/RECORD"] = "\n".join([*listed, f"{about}/RECORD,,", ""]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bioxedge-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return path


PACKAGES = next(path for path in sys.path if path.endswith("site-packages"))
# What bioxedge needs besides itself comes from this environment, and nothing from a network.
ALONE = os.environ | {"PYTHONPATH": PACKAGES, "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}


def install(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does."""
    command = ["bash", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=ALONE | environ)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder / "one", "9.0.1")
    wheel(folder / "two", "9.0.2")
    return folder


@pytest.fixture(scope="module")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("device") / "app"
    done = install("--wheels", wheels / "one", "--prefix", prefix, "--python", sys.executable)
    assert done.returncode == 0, done.stderr
    return prefix


def current(prefix: Path) -> str:
    return (prefix / "current").resolve().name.split("-")[0]


def test_what_is_installed_runs_and_the_same_again_changes_nothing(
    installed: Path, wheels: Path
) -> None:
    helped = subprocess.run([installed / "bin/bioxedge", "--help"], capture_output=True, env=ALONE)
    assert helped.returncode == 0
    before = sorted(installed.rglob("*"))
    again = install("--wheels", wheels / "one", "--prefix", installed, "--python", sys.executable)
    assert again.returncode == 0 and "installed already" in again.stderr
    assert [p for p in sorted(installed.rglob("*")) if "__pycache__" not in p.parts] == [
        p for p in before if "__pycache__" not in p.parts
    ]


def test_an_upgrade_can_be_gone_back_on_and_one_that_was_stopped_is_begun_again(
    wheels: Path, installed: Path
) -> None:
    ask = ("--wheels", wheels / "two", "--prefix", installed, "--python", sys.executable)
    stopped = install(*ask, PIP_PYTHON="/nowhere/python")  # pip fails halfway
    assert stopped.returncode == 2
    assert "what ran before still runs" in stopped.stderr.splitlines()[-1]
    assert current(installed) == "9.0.1"
    assert "(incomplete)" in install("--list", "--prefix", installed).stdout
    done = install(*ask)
    assert done.returncode == 0, done.stderr
    assert current(installed) == "9.0.2"
    listed = install("--list", "--prefix", installed).stdout
    assert "(current)" in listed and "(previous)" in listed and "(incomplete)" not in listed
    assert install("--back", "--prefix", installed).returncode == 0
    assert current(installed) == "9.0.1"
    assert install("--back", "--prefix", installed).returncode == 0
    assert current(installed) == "9.0.2"


def test_a_service_gets_a_copy_of_a_bundle_that_holds_here(installed: Path, tmp_path: Path) -> None:
    bundle = fixtures_bundle.make_bundle(tmp_path / "bundle").path
    image = tmp_path / "image"
    ask = ("--prefix", installed, "--service", "wrist", "--source", "brainflow:muse_2")
    done = install(*ask, "--bundle", bundle, "--options", "--threads 2", DESTDIR=str(image))
    assert done.returncode == 0, done.stderr
    told = (image / "etc/bioxedge/wrist.env").read_text()
    run = f"RUN={installed}/bundles/wrist --source brainflow:muse_2 --sink jsonl:/var/lib/bioxedge/"
    assert told.startswith(f"{run}wrist/labels.jsonl --rotate day\n")
    assert told.endswith("\nOPTIONS=--threads 2\n")
    unit = (image / "etc/systemd/system/bioxedge@.service").read_text()
    assert f"ExecStart={installed}/current/bin/bioxedge run $RUN $OPTIONS" in unit
    assert not (image / "etc/systemd/system/bioxedge@wrist.service.d").exists()
    copy = Path(f"{image}{installed}/bundles/wrist")
    assert (copy / "model.onnx").read_bytes() == (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(b"damaged")
    refused = install(*ask, "--bundle", bundle, DESTDIR=str(image))
    assert refused.returncode == 2 and "no service was changed" in refused.stderr
    assert (copy / "model.onnx").stat().st_size > 100


def test_a_service_may_be_a_site_and_listens_only_where_it_has_to(
    installed: Path, tmp_path: Path
) -> None:
    bundle = fixtures_bundle.make_bundle(tmp_path / "bundle").path
    image, site = tmp_path / "image", tmp_path / "site.toml"
    site.write_text('[sources.wrist]\nsource = "synthetic:ppg"\n[page]\nport = 8765\n')
    ask = ("--prefix", installed, "--service", "room")
    done = install(*ask, "--config", site, DESTDIR=str(image))
    assert done.returncode == 0, done.stderr
    told = (image / "etc/bioxedge/room.env").read_text()
    assert told == f"RUN=--config {site}\nOPTIONS=\n"
    own = image / "etc/systemd/system/bioxedge@room.service.d/listens.conf"
    assert own.read_text() == "[Service]\nSocketBindDeny=\n" and "may listen" in done.stderr
    for source, options, listens in (
        ("synthetic:ppg", "--threads 1", False), ("synthetic:ppg", "--sink lsl:stress", True),
        ("synthetic:ppg", "", False), ("lsl:wrist", "", True),
    ):  # fmt: skip
        run = ("--bundle", bundle, "--source", source, *(("--options", options) if options else ()))
        done = install(*ask, *run, DESTDIR=str(image))
        assert done.returncode == 0, done.stderr
        assert own.exists() == listens
    refused = install(*ask, "--config", site, "--bundle", bundle, DESTDIR=str(image))
    assert refused.returncode == 2 and "--config says what runs" in refused.stderr
    refused = install(*ask, "--config", tmp_path / "no.toml", DESTDIR=str(image))
    assert refused.returncode == 2 and "cannot be read" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--wheels", "/nowhere"), "no directory /nowhere"),
        (("--frobnicate",), "no option --frobnicate"),
        (("--wheels",), "--wheels wants a value"),
        (("--python", "python2.1"), "no python2.1"),
        (("--back",), "no version before this one"),
        (("--service", "a b", "--bundle", "x", "--source", "y"), "no name for a service"),
        (("--service", "wrist", "--bundle", "x", "--source", "y'$(id)"), "no quotes"),
        (("--service", "wrist", "--bundle", "x"), "--source SOURCE as well, or --config"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = install("--prefix", tmp_path / "app", *arguments, DESTDIR=str(tmp_path / "image"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and said in line
    assert not (tmp_path / "image/etc").exists()


def test_two_installers_do_not_meet(tmp_path: Path, wheels: Path) -> None:
    if shutil.which("flock") is None:
        pytest.skip("flock (util-linux) is not here")
    (tmp_path / "app").mkdir()
    with subprocess.Popen(
        ["flock", tmp_path / "app/.lock", "sh", "-c", "echo held; read line"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        done = install("--prefix", tmp_path / "app", "--wheels", wheels / "one")
        other.communicate("\n")
    assert done.returncode == 2 and "another installer" in done.stderr


def test_the_unit_is_one_that_systemd_takes() -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd-analyze is not here: Debian's package systemd has it")
    unit = ROOT / "device/bioxedge@.service"
    done = subprocess.run([analyse, "verify", str(unit)], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert not said
