"""What the house says of itself agrees: lint by hand and before a commit, version, citation."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import bioxedge

if find_spec("tomllib"):
    import tomllib
else:
    import tomli as tomllib

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def made(target: str) -> list[str]:
    """Give the commands of a target of the Makefile, its variables filled in."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    known = dict(re.findall(r"^([A-Z]+) \??:?= *(.*)$", text, re.M))
    lines = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.M)
    assert lines is not None
    return [
        re.sub(r"\$\((\w+)\)", lambda name: known[name[1]], " ".join(line.split()))
        for line in lines[1].splitlines()
    ]


def test_before_a_commit_the_same_is_run_as_by_make_lint() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == made("lint")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)
    assert [repo["repo"] for repo in config["repos"]] == ["local"], "nothing is fetched"


def test_every_module_is_checked_strictly_and_users_get_the_types(project: dict[str, Any]) -> None:
    mypy = project["tool"]["mypy"]
    assert mypy["strict"] is True and mypy["files"] == ["bioxedge"]
    assert not any("ignore_errors" in one for one in mypy.get("overrides", ()))
    assert (Path(bioxedge.__file__).parent / "py.typed").is_file()


def test_a_citation_is_of_this_version_under_this_licence(project: dict[str, Any]) -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    about = project["project"]
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()  # what the format demands
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert cited["version"] == bioxedge.__version__
    assert (cited["title"], cited["license"]) == (about["name"], about["license"])
    assert [one["name"] for one in cited["authors"]] == [one["name"] for one in about["authors"]]
    assert cited["keywords"] == about["keywords"]
    for one in cited["references"]:
        assert {"type", "title", "authors"} <= one.keys()
        arxiv = [name["value"].removeprefix("arXiv:") for name in one["identifiers"]]
        assert any(number in (ROOT / "README.md").read_text() for number in arxiv)


def test_tests_have_a_limit_and_no_order(
    project: dict[str, Any], pytestconfig: pytest.Config
) -> None:
    told = project["tool"]["pytest"]["ini_options"]
    assert told["timeout"] <= 300
    for plugin in told["required_plugins"]:
        assert pytestconfig.pluginmanager.hasplugin(plugin.removeprefix("pytest-"))
    assert not re.search(r"randomly-dont|no:randomly|-p\s*no:", (ROOT / "Makefile").read_text())


def test_security_says_what_the_code_holds_to() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for promise in ("never unpickled", "127.0.0.1", "telemetry", "sha256"):
        assert promise in text
