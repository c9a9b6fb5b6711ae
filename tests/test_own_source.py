"""docs/own-source.md, typed as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from fixtures_bundle import make_bundle
from test_push import frame

PAGE = Path(__file__).resolve().parent.parent / "docs" / "own-source.md"


def test_the_page_works_when_it_is_typed(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 6
    make_bundle(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    said = []
    for block in blocks:
        exec(compile(block, "own-source.md", "exec"), session)
        said.append(capsys.readouterr().out)
    assert len(said[0].splitlines()) > 40 and "None" not in said[0]
    assert said[1] and "counting: holds" in said[5] and "a count: holds" in said[5]

    strap, notified = session["strap"], session["notified"]
    with strap:
        notified(None, frame([5, -5], 8e17))
        notified(None, bytearray([2]) + bytearray(15))
        strap.end()
        chunks = [chunk for chunk in iter(strap.read, None) if chunk.samples.shape[1]]
    assert [chunk.samples.tolist() for chunk in chunks] == [[[5.0, -5.0]]]
