"""The Lab Streaming Layer: is pylsl there, and does it find a liblsl?"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from bioxedge.measuring.doctor import child
from bioxedge.measuring.doctor.finding import Finding, Host

PATIENCE = 20.0
_LOAD = """
from bioxedge.errors import BioxedgeError
from bioxedge.runtime import lsl
try:
    version = lsl.load().library_version()
    from pylsl.lib import lib
    print(json.dumps([version, str(lib._name)]))
except BioxedgeError as error:
    print(json.dumps([0, str(error)]))
"""


def check(host: Host) -> Iterator[Finding]:
    """Load liblsl in another process, as a run would."""
    if importlib.util.find_spec("pylsl") is None:
        seen = "not installed: pip install 'bioxedge[lsl]' where it is wanted"
        yield Finding(check="lsl", state="ok", seen=seen)
        return
    tried = child.python(_LOAD, patience=PATIENCE)
    version, said = tried.answer if tried.answer is not None else (0, tried.said)
    if version:
        seen = f"liblsl {version // 100}.{version % 100}, {said}"
        yield Finding(check="lsl", state="ok", seen=seen)
        return
    why, _, cure = said.partition(": ")
    yield Finding(check="lsl", state="problem", seen=why, wanted="a liblsl", cure=cure)
