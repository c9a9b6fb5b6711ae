"""Sphinx's settings: `make docs` builds these pages into out/docs, offline, warnings as errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

project = "bioxedge"
author = "The bioxedge developers"
copyright = "the bioxedge developers; Apache-2.0"
version = release = re.findall(
    r'^__version__ = "(.+)"', (ROOT / "bioxedge/__init__.py").read_text(), re.MULTILINE
)[0]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["pictures", "import"]

# A page's headings are what other pages link to, as on a forge.
myst_heading_anchors = 4

# Docstrings: numpy style; types are prose ("ndarray of float32, shape [channels, n]").
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_use_param = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
# What the docs' environment does without: the docstrings are there all the same.
autodoc_mock_imports = [
    "torch", "transformers", "onnx", "onnxscript", "sklearn", "safetensors", "matplotlib",
    "brainflow", "pylsl", "paho", "openvino", "edfio", "wfdb", "openecg",
]  # fmt: skip
autodoc_preserve_defaults = True

# Every link of a page, and every role in a docstring, leads to something that is there. Types in
# docstrings are prose, which makes no links, and nothing outside is asked for names of its own.
nitpicky = True
nitpick_ignore_regex = [(r"py:(class|exc|obj)", r"(?!bioxedge\.).*")]

html_theme = "furo"
html_title = f"bioxedge {release}"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
# Fonts are the reader's own: nothing is loaded from elsewhere.
html_theme_options = {"navigation_with_keys": True}


def setup(app: Any) -> None:
    """Connect what Sphinx has no setting for."""
    app.connect("source-read", _files_of_the_house)
    app.connect("autodoc-process-docstring", _plain, priority=400)
    app.connect("missing-reference", _of_the_house)
    app.connect("autodoc-skip-member", _alias)


def _files_of_the_house(app: Any, docname: str, source: list[str]) -> None:
    """Let links to files above this folder give the file; on a forge they work as they are."""
    docs = ROOT / "docs"
    folder = (docs / docname).parent

    def given(link: re.Match[str]) -> str:
        target = (folder / link[1].partition("#")[0]).resolve()
        return link[0] if target.is_relative_to(docs) else f"](path:{link[1].partition('#')[0]})"

    source[0] = re.sub(r"\]\((\.\./[^)]+)\)", given, source[0])


def _plain(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep a property's first line from being taken for a type, up to its colon."""
    if what in ("property", "attribute", "data"):
        lines.insert(0, "")


def _alias(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out names for types with bounds: their patterns are no prose."""
    return True if hasattr(obj, "__metadata__") else None


def _of_the_house(app: Any, env: Any, node: Any, text: Any) -> Any:
    """Let a docstring name what no page documents, as long as the code has it."""
    if node.get("refdomain") != "py":
        return None
    target, module = node["reftarget"].lstrip("~."), node.get("py:module") or ""
    if _there(target) or _there(f"{module}.{target}"):
        return text
    # What a package shows of one of its modules is documented as the package's own.
    package = ROOT.joinpath(*module.split("."))
    short = target.rpartition(".")[2]
    return text if any(_named(short, file) for file in package.glob("**/*.py")) else None


def _there(name: str) -> bool:
    """Whether a dotted name is a module of ours, or something that one defines or imports."""
    path, parts = ROOT, name.split(".")
    while parts and (path / parts[0]).is_dir():
        path = path / parts.pop(0)
    file = path / "__init__.py"
    if parts and (path / f"{parts[0]}.py").is_file():
        file = path / f"{parts.pop(0)}.py"
    if path == ROOT or not file.is_file():
        return False
    return all(_named(part, file) for part in parts)


def _named(name: str, file: Path) -> bool:
    """Whether a file defines or imports a name."""
    return re.search(rf"\b{re.escape(name)}\b", file.read_text()) is not None
