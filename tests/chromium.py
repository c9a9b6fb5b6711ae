"""A real Chromium without a screen, driven through the pipe of its DevTools protocol.

The pipe is the browser's own alternative to a websocket: JSON with a zero byte behind it, on the
descriptors 3 and 4. Nothing listens, and the browser ends when the pipe does.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MISSING = "needs Chromium: apt-get install chromium"
# Puts two descriptors where the browser looks for them, and becomes the browser.
_BECOME = """
import os, sys
os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
# Seconds that anything may take; nothing waits so long unless the machine is very busy.
PATIENCE = 60.0


def find() -> str | None:
    """Give the browser's path; None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Browser:
    """One page in one browser, in a profile of its own.

    Attributes
    ----------
    problems : list of str
        What was written to the console as an error or warning, thrown, refused or not found.
    requests : list of str
        Every address that was asked for.
    """

    def __init__(self, profile: Path, *, size: tuple[int, int], dark: bool, scale: float) -> None:
        path = find()
        assert path is not None, MISSING
        told, says = os.pipe(), os.pipe()
        ours = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (told[0], says[1])]
        for fd in (told[0], says[1]):
            os.close(fd)
        self._write, self._read = told[1], says[0]
        arguments = [
            path,
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-extensions",
            "--disable-sync",
            "--hide-scrollbars",
            "--mute-audio",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        ]
        if os.geteuid() == 0:  # its sandbox does not work for root
            arguments.append("--no-sandbox")
        with (profile.parent / f"{profile.name}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BECOME, *map(str, ours), *arguments, "about:blank"],
                pass_fds=ours,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "HOME": str(profile.parent), "DBUS_SESSION_BUS_ADDRESS": ""},
            )
        for fd in ours:
            os.close(fd)
        self._number, self._raw, self._session = 0, b"", None
        self._loaded = False
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = next(
            one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"
        )
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.shape(size, dark=dark, scale=scale)

    @property
    def pid(self) -> int:
        """The browser's process, which leads a session of its own."""
        return self._process.pid

    def shape(self, size: tuple[int, int], *, dark: bool = False, scale: float = 1.0) -> None:
        """Be a screen of another size, or by night."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=scale,
            mobile=size[0] < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def go(self, address: str) -> None:
        """Open an address, and wait until everything that it names is there."""
        self._loaded = False
        answer = self.call("Page.navigate", url=address)
        assert "errorText" not in answer, answer["errorText"]
        limit = time.monotonic() + PATIENCE
        while not self._loaded:
            self._note(self._next(limit))

    def ask(self, script: str) -> Any:
        """Evaluate JavaScript in the page; give what it gives."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(
        self, script: str, good: Callable[[Any], bool] = bool, *, patience: float = PATIENCE
    ) -> Any:
        """Ask until the answer is good."""
        limit = time.monotonic() + patience
        while not good(answer := self.ask(script)):
            assert time.monotonic() < limit, f"{script} stayed {answer!r}"
            select.select([self._read], [], [], 0.05)
        return answer

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is shown as a PNG; the whole page where asked for."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and give its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + PATIENCE
        while True:
            answer = self._next(limit)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _next(self, limit: float) -> dict[str, Any]:
        while b"\0" not in self._raw:
            left = limit - time.monotonic()
            assert left > 0 and select.select([self._read], [], [], left)[0], "no word of Chromium"
            more = os.read(self._read, 1 << 16)
            assert more, "Chromium has ended"
            self._raw += more
        raw, _, self._raw = self._raw.partition(b"\0")
        return json.loads(raw)

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(about["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.problems.append(json.dumps(about["args"]))
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])

    def close(self) -> None:
        """End the browser and every process of its own."""
        with contextlib.suppress(AssertionError, OSError):
            self._session = None
            self.call("Browser.close")
        for fd in (self._write, self._read):
            os.close(fd)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def browser(
    profile: Path, *, size: tuple[int, int] = (1280, 900), dark: bool = False, scale: float = 1.0
) -> Iterator[Browser]:
    """Run a browser with a fresh profile at ``profile``."""
    profile.mkdir(parents=True)
    made = Browser(profile, size=size, dark=dark, scale=scale)
    try:
        yield made
    finally:
        made.close()
