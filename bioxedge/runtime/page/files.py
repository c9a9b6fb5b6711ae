"""The page's own files, read once: no request ever reaches the file system."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

# Every path that is served, the file behind it and what it is.
_SERVED = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/panels.js": ("panels.js", "text/javascript; charset=utf-8"),
    "/plots.js": ("plots.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


@cache
def served() -> dict[str, tuple[bytes, str, str]]:
    """Give for each path its bytes, their type, and a tag that changes with them."""
    folder = files("bioxedge") / "data" / "page"
    found = {}
    for path, (name, kind) in _SERVED.items():
        raw = (folder / name).read_bytes()
        found[path] = (raw, kind, f'"{hashlib.sha256(raw).hexdigest()[:16]}"')
    return found
