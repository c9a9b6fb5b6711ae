"""The README's Python, typed as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from fixtures_bundle import make_bundle

from bioxedge import recording

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_examples_work_when_they_are_typed(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 2
    make_bundle(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), session)
    saved = recording.load(tmp_path / "recordings" / "anna-monday" / "wrist")
    assert saved.person == "anna" and saved.samples.shape == (1, 64 * 60)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 50 and all(line.split()[1] in ("rest", "stress") for line in lines)
