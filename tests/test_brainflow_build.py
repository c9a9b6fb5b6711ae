"""The script that builds BrainFlow for a board, run as a user runs it; CMake alone is played."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import platform
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from fixtures_disk import small_disk

SCRIPT = Path(__file__).parent.parent / "device/brainflow/build.py"
FILES = {
    "CMakeLists.txt": b"project (brainflow)\n",
    "LICENSE": b"MIT License\n",
    "python_package/brainflow/__init__.py": b"",
    "python_package/brainflow/board_shim.py": b"NAME = 'BoardShim'\n",
    "src/board.cpp": b"int board;\n",
    "third_party/SimpleBLE/LICENSE.md": b"BUSL-1.1\n",
}
# Configures nothing and compiles nothing, but leaves what a compiler for the board would leave.
CMAKE = """#!{python}
import sys, time
from pathlib import Path
with Path({log!r}).open("a") as log:
    print(*sys.argv[1:], file=log)
if sys.argv[1] == "--build":
    print("[1/2] Building", flush=True)
    while Path({hold!r}).exists():
        time.sleep(0.01)
    if (complaint := Path({complaint!r})).exists():
        print(complaint.read_text())
        sys.exit(1)
    made = Path(sys.argv[2]).parent / "source" / "compiled"
    made.mkdir(exist_ok=True)
    for name in {names!r}:
        machine = ({machine}).to_bytes(2, "little")
        head = b"\\x7fELF\\x02\\x01".ljust(18, b"\\0") + machine
        asks = b"GLIBC_2.17", b"GLIBC_2.9", b"GLIBC_2.34", b"GLIBCXX_3.4.29"
        (made / name).write_bytes(b"\\0".join([head, *asks, name.encode(), b""]))
    print("[2/2] Linking", flush=True)
"""
LIBRARIES = [
    f"lib{name}.so"
    for name in (
        "BoardController", "DataHandler", "MLModule", "GanglionLib", "MuseLib", "BrainBitLib",
        "simpleble-c",
    )
]  # fmt: skip


class Desktop:
    """A folder with an archive of the source, and the tools that a desktop has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.log, self.hold, self.complaint = (folder / n for n in ("log", "hold", "complaint"))
        self.bin.mkdir()
        for name in ("ninja", "pkg-config", "aarch64-linux-gnu-g++"):
            self.tool(name, "#!/bin/sh\n")
        self.compiles_for(183)
        self.archive = folder / "brainflow.tar.gz"
        self.pack(FILES)

    def tool(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def compiles_for(self, machine: int) -> None:
        paths = {k: str(getattr(self, k)) for k in ("log", "hold", "complaint")}
        text = CMAKE.format(python=sys.executable, names=LIBRARIES, machine=machine, **paths)
        self.tool("cmake", text)

    def pack(self, files: dict[str, bytes]) -> None:
        with tarfile.open(self.archive, "w:gz") as tar:
            for name, data in files.items():
                about = tarfile.TarInfo(f"brainflow-1234/{name}")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))

    def command(self, *more: object, known: bool = False) -> list[str]:
        digest = hashlib.sha256(self.archive.read_bytes()).hexdigest()
        given = ["--cross", "--source", self.archive, *([] if known else ["--sha256", digest])]
        given += ["--out", self.folder / "wheels", "--work", self.folder / "work", *more]
        return [sys.executable, "-B", str(SCRIPT), *map(str, given)]

    def start(self, *more: object, known: bool = False) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*more, known=known), text=True, env=os.environ | {"PATH": str(self.bin)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def build(self, *more: object, known: bool = False) -> tuple[int, str, str]:
        process = self.start(*more, known=known)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def refused(self, *more: object, known: bool = False) -> str:
        code, _, err = self.build(*more, known=known)
        assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, err
        assert not list((self.folder / "wheels").glob("*"))
        return err

    def wheel(self) -> Path:
        (wheel,) = (self.folder / "wheels").iterdir()
        return wheel

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def desktop(tmp_path):
    return Desktop(tmp_path)


def until(condition, process):
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)


def test_the_wheel_is_what_pip_installs_on_the_board(desktop, tmp_path):
    code, out, err = desktop.build()
    assert (code, err) == (0, "") and "GLIBC 2.34, GLIBCXX 3.4.29" in out
    wheel = desktop.wheel()
    assert wheel.name == "brainflow-5.23.0-py3-none-manylinux_2_34_aarch64.whl"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    board = ["--only-binary=:all:", "--platform", "manylinux_2_34_aarch64", "--target"]
    subprocess.run([*pip, *board, str(tmp_path / "board"), str(wheel)], check=True)
    there = {path.name for path in (tmp_path / "board/brainflow/lib").iterdir()}
    assert there == set(LIBRARIES)
    assert (tmp_path / "board/brainflow/board_shim.py").read_text() == "NAME = 'BoardShim'\n"
    assert subprocess.run([*pip, str(wheel)], capture_output=True, check=False).returncode or (
        platform.machine() == "aarch64"
    )


def test_every_file_of_the_wheel_is_recorded(desktop):
    desktop.build()
    with zipfile.ZipFile(desktop.wheel()) as wheel:
        info = "brainflow-5.23.0.dist-info"
        record = [line.split(",") for line in wheel.read(f"{info}/RECORD").decode().splitlines()]
        assert sorted(name for name, _, _ in record) == sorted(wheel.namelist())
        for name, digest, size in record:
            if name.endswith("RECORD"):
                assert digest == size == ""
                continue
            data = wheel.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
            assert digest == "sha256=" + expected.rstrip("=") and int(size) == len(data)
        assert {f"{info}/LICENSE.txt", f"{info}/LICENSE-SimpleBLE.md"} <= set(wheel.namelist())


def test_bluetooth_can_be_left_out(desktop):
    (desktop.bin / "pkg-config").unlink()
    assert "libdbus-1-dev:arm64" in desktop.refused()
    code, _, err = desktop.build("--no-bluetooth")
    assert (code, err) == (0, "")
    assert any("-DBUILD_BLE=OFF" in call for call in desktop.calls())
    with zipfile.ZipFile(desktop.wheel()) as wheel:
        assert not [name for name in wheel.namelist() if "simpleble" in name.lower()]


def test_what_is_done_is_not_done_again(desktop):
    desktop.build()
    wheel, calls = desktop.wheel().read_bytes(), desktop.calls()
    code, out, _ = desktop.build()
    assert code == 0 and out.count("done before") == 3
    assert desktop.wheel().read_bytes() == wheel and desktop.calls() == calls
    desktop.wheel().unlink()
    desktop.build()
    assert desktop.wheel().read_bytes() == wheel and desktop.calls() == calls
    library = next((desktop.folder / "work").glob("*/source/compiled/libMuseLib.so"))
    library.write_bytes(b"")  # a disk that lost it
    desktop.build()
    assert desktop.wheel().read_bytes() == wheel and len(desktop.calls()) == 2 * len(calls)


def test_an_interrupted_build_goes_on(desktop):
    desktop.hold.touch()
    process = desktop.start()
    until(lambda: len(desktop.calls()) == 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "goes on from here" in err and "Traceback" not in err
    desktop.hold.unlink()
    code, out, _ = desktop.build()
    assert code == 0 and out.count("done before") == 1 and desktop.wheel()  # the source


def test_a_killed_script_leaves_its_compilers_the_folder(desktop):
    desktop.hold.touch()
    process = desktop.start()
    until(lambda: len(desktop.calls()) == 2, process)
    try:
        assert "another build works" in desktop.refused()
        process.kill()
        process.wait(timeout=30)
        assert "another build works" in desktop.refused()
    finally:
        desktop.hold.unlink()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while desktop.build()[0] and time.monotonic() < deadline:
        pass
    assert desktop.wheel()


@pytest.mark.parametrize(
    ("complaint", "cure"),
    [
        ("fatal error: error writing to /tmp/x.s: No space left on device", "make room"),
        ("g++: fatal error: Killed signal terminated program cc1plus", "--jobs 1"),
        ("board.cpp:1:1: error: 'integer' does not name a type", "build.log"),
    ],
)
def test_a_failing_compiler_is_one_line(desktop, complaint, cure):
    desktop.complaint.write_text(complaint)
    line = desktop.refused()
    assert complaint in line and cure in line
    desktop.complaint.unlink()
    assert desktop.build()[0] == 0


def test_libraries_of_this_desktop_are_refused(desktop):
    desktop.compiles_for(62)  # x86-64: a toolchain file that was not read
    assert "is not for 64-bit Arm" in desktop.refused()


def test_no_compiler(desktop):
    for tool in desktop.bin.iterdir():
        tool.unlink()
    line = desktop.refused()
    assert "no crossbuild-essential-arm64" in line
    assert "dpkg --add-architecture arm64" in line and "libdbus-1-dev:arm64" in line


@pytest.mark.skipif(platform.machine() == "aarch64", reason="this is a board")
def test_a_desktop_must_say_that_it_is_one(desktop):
    command = [word for word in desktop.command() if word != "--cross"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and "add --cross" in ran.stderr


def test_a_full_disk_is_told_before_it_is_written(desktop, tmp_path):
    (tmp_path / "small").mkdir()
    with small_disk(tmp_path / "small") as disk:
        line = desktop.refused("--work", disk)
        assert "0 MB free" in line and "--work" in line
        assert desktop.refused("--out", disk / "none", "--work", disk)


def test_no_network(desktop):
    command = desktop.command()
    at = command.index("--source")
    del command[at : at + 2]
    env = os.environ | {"PATH": str(desktop.bin)}
    nobody = "https://127.0.0.1:1/brainflow.tar.gz"
    ran = subprocess.run(
        [*command, "--url", nobody], capture_output=True, text=True, check=False, env=env
    )
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert nobody in ran.stderr and "--source FILE" in ran.stderr
    plain = ["--url", "http://127.0.0.1:1/"]
    ran = subprocess.run([*command, *plain], capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 2 and "only https://" in ran.stderr


def test_another_archive_is_refused(desktop):
    wrong = desktop.refused("--sha256", "0" * 64)
    assert "not " + "0" * 64 in wrong
    assert hashlib.sha256(desktop.archive.read_bytes()).hexdigest() in wrong
    assert "its files have sha256" in desktop.refused(known=True)
    assert not list((desktop.folder / "work").glob("*/source"))


@pytest.mark.parametrize("left", [0, 10, -60])
def test_a_damaged_archive_is_refused(desktop, left):
    desktop.archive.write_bytes(desktop.archive.read_bytes()[:left])
    assert "error" in desktop.refused()
    assert not list((desktop.folder / "work").glob("*/source"))


def test_an_archive_cannot_leave_its_folder(desktop):
    desktop.pack(FILES | {"src/../../../../escaped": b""})
    assert "is not BrainFlow's source" in desktop.refused()
    assert not list(desktop.folder.rglob("escaped"))


def test_ready_made_libraries_are_not_taken(desktop):
    desktop.pack(FILES | {"third_party/unicorn/lib/libunicorn.so": b"made elsewhere"})
    desktop.build()
    (there,) = (desktop.folder / "work").glob("*/source/third_party/unicorn/lib/libunicorn.so")
    assert there.read_bytes() == b""


@pytest.mark.parametrize("bad", [("--jobs", "0"), ("--sha256", "12"), ("--source", "/none")])
def test_bad_options_are_told(desktop, bad):
    assert bad[1] in desktop.refused(*bad)


@pytest.mark.shared
def test_the_known_source_is_known(desktop, shared):
    archive = shared / "data/brainflow/brainflow-src.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive} is missing")
    desktop.archive.unlink()
    with contextlib.suppress(OSError):
        desktop.archive.symlink_to(archive)
    code, _, err = desktop.build(known=True)
    assert (code, err) == (0, "")
    with zipfile.ZipFile(desktop.wheel()) as wheel:
        assert "brainflow/data_filter.py" in wheel.namelist()
