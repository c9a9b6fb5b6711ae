"""The pages of docs/: links, the messages that they quote, the commands that they show.

``make docs`` builds the site and checks more; here is what needs no generator.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from functools import cache
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import numpy as np
import pytest

from bioxedge import cli
from bioxedge.runtime.faults import KINDS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NAMES = [str(page.relative_to(DOCS)) for page in PAGES]


def prose(page: Path) -> str:
    """Give a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Give what a page's headings are linked by, as forges make it."""
    found = re.findall(r"^#+ (.+)$", prose(page), flags=re.M)
    plain = (re.sub(r"[`*]", "", one).strip().lower() for one in found)
    return {re.sub(r"[^\w\- ]", "", one).replace(" ", "-") for one in plain}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}"


def test_every_page_is_listed() -> None:
    """A page that no table of contents names is one that nobody finds."""
    listed = set()
    for page in PAGES:
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in filter(None, block.splitlines()):
                if not line.startswith(":"):
                    listed |= set(page.parent.glob(f"{line}.md"))
    assert {page for page in PAGES if page != DOCS / "index.md"} == listed


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_and_commands_that_a_page_names_are_there(page: Path) -> None:
    """Scripts and tests by their paths; each verb, and what options are written behind it."""
    text = page.read_text().replace("\\\n", " ")
    for path in re.findall(r"\b(?:tests|benchmarks|device|export)/[\w/.*-]+\.(?:py|md|sh)\b", text):
        assert list(ROOT.glob(path)), f"{page.name} names {path}"
    for line in re.findall(r"\bbioxedge ([a-z]+ [^`\n]*|[a-z]+(?=`))", text):
        verb, _, rest = line.partition(" ")
        known = cli.cli.get_command(click.Context(cli.cli), verb)
        if known is None:
            continue  # prose about bioxedge, not a command
        every = (known, *getattr(known, "commands", {}).values())  # bench has two below it
        params = [one for command in every for one in command.params]
        own = {option for one in params for option in (*one.opts, *one.secondary_opts)}
        asked = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest.split(" | ")[0].split("#")[0]))
        assert asked <= own | {"--help"}, f"{page.name}: bioxedge {line}"


# -- troubleshooting ----------------------------------------------------------------------


def words(node: ast.AST) -> str | None:
    """Give a literal's fixed words, … for what is filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(words(part) or "…" for part in node.values)
    return None


@cache
def said() -> str:
    """Find every text in the code: one string, zeros between."""
    return "\0".join(
        text
        for path in sorted((ROOT / "bioxedge").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (text := words(node))
    )


def quoted() -> list[str]:
    """Give the messages that the page quotes: the first column of its tables."""
    page = (DOCS / "troubleshooting.md").read_text()
    return re.findall(r"^\| `([^`]+)` \|", page, flags=re.M)


ELSEWHERE = {"Object contains unknown field"}  # msgspec's words, which are passed on


@pytest.mark.parametrize("message", quoted())
def test_the_code_can_still_say_it(message: str) -> None:
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
    assert message in ELSEWHERE or re.search(r"[^\0]*?".join(parts), said())


def test_every_row_says_what_to_do() -> None:
    rows = re.findall(r"^\| `.+\|$", (DOCS / "troubleshooting.md").read_text(), flags=re.M)
    assert len(rows) == len(quoted())
    assert all(row.strip("| ").rsplit("|", 1)[1].strip() for row in rows)


# -- recipes ------------------------------------------------------------------------------


def test_every_key_of_a_recipe_stands_on_a_page() -> None:
    recipes = pytest.importorskip("bioxedge.recipes")
    text = (DOCS / "recipes.md").read_text() + (DOCS / "format.md").read_text()
    found = set(
        re.findall(r"`([a-z][a-z0-9_]*)`|\b([a-z][a-z0-9_]*) = |\[(?:[a-z]+\.)*([a-z]+)\]", text)
    )
    found = {word for words in found for word in words}
    assert {
        f"{kind.__name__}.{key}" for kind, key in keys(recipes.Recipe) if key not in found
    } == set()


def keys(kind: Any) -> set[tuple[Any, str]]:
    """Give every key of a struct and of those in it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        own = msgspec.structs.fields(kind)
        below = [keys(field.type) for field in own]
        return {(kind, field.encode_name) for field in own}.union(*below)
    return set().union(*map(keys, get_args(kind)))


def test_every_fault_that_can_be_asked_for_stands_on_a_page() -> None:
    text = (ROOT / "device" / "README.md").read_text()
    assert {kind for kind in KINDS if f"`{kind}`" not in text} == set()


# -- the formats' commands ----------------------------------------------------------------

FORMATS = [page for page in PAGES if page.parent.name == "formats" and page.stem != "index"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """Lay out the files that the pages' commands name: small public ones, or made."""
    from bioxedge.recording import save
    from bioxedge.signals import Channel, Recording

    folder, data = tmp_path_factory.mktemp("files"), shared / "data"
    for name, origin in {
        "night/S01.edf": "examples/edf/discontinuous_made.edf",
        "alarms/a103l.hea": "challenge2015/a103l.hea",
        "alarms/a103l.mat": "challenge2015/a103l.mat",
        "lab.xdf": "examples/xdf/minimal.xdf",
        "cyton.txt": "examples/openbci_txt/OpenBCI-RAW-2016-07-21_17-49-31.txt",
        "muse.csv": "examples/muse_lsl/data_2017-01-27-16.21.42.csv",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / origin, folder / name)
    shutil.copytree(data / "examples/empatica_e4", folder / "wrist/S02")
    shutil.copytree(data / "examples/polar", folder / "polar")
    (folder / "alarms/ALARMS").write_text("a103l,Asystole,0\n")
    wave = np.sin(np.arange(6400) / 9)
    np.save(folder / "ecg.npy", 0.8 * wave[None])
    rows = [f"{k / 64:.6f},{v:.4f},{'calm' if k < 3000 else 'tense'}" for k, v in enumerate(wave)]
    (folder / "walk.csv").write_text("\n".join(["time [s],ppg [a.u.],phase", *rows]) + "\n")
    channels = (Channel("ppg_2", "a.u."),)
    save(Recording(1e3 * wave[None], 64.0, channels, "ppg", "anna"), folder / "anna/ppg")
    return folder


@pytest.mark.shared
@pytest.mark.parametrize("page", FORMATS, ids=[page.stem for page in FORMATS])
def test_what_a_formats_page_shows(page: Path, files: Path, call, monkeypatch) -> None:
    """Its commands, typed; every line that it shows comes out of the last one."""
    if page.stem == "wfdb":
        pytest.importorskip("wfdb")
    if page.stem == "brainflow":
        pytest.importorskip("brainflow")
    monkeypatch.chdir(files)
    monkeypatch.setenv("COLUMNS", "96")
    text = page.read_text()
    for command in re.findall(r"^bioxedge (.+)$", text, flags=re.M):
        code, out, err = call(*shlex.split(command))
        assert code == 0, err
    shown = re.findall(r"^```text\n(.*?)^```", text, re.M | re.S)[-1].splitlines()
    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert [line for line in shown if " ".join(line.split()) not in lines] == []


def test_a_page_for_every_reader() -> None:
    from bioxedge.readers import READERS

    named = {"arrays": "numpy", "table": "csv", "session": None}
    pages = {page.stem for page in FORMATS}
    assert {named.get(reader, reader) for reader in READERS} - {None} == pages
