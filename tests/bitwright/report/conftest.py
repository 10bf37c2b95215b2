"""A headless Chromium that is driven through its own protocol, and says what its pages complain about."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--no-first-run", "--disable-extensions", "--disable-background-networking", "--remote-debugging-pipe")


class Browser:
    """A page in the browser.

    Attributes
    ----------
    complaints : list of str
        Exceptions of scripts, and what the console logs as an error: refused policies, failed requests.
    requested : list of str
        Addresses that the page has asked for.
    """

    def __init__(self, sent: int, received: int) -> None:
        self._sent, self._received, self._held, self._number, self._session = sent, received, b"", 0, ""
        self.complaints: list[str] = []
        self.requested: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._sent, json.dumps(message).encode() + b"\0")
        while True:
            got = self._message()
            if got.get("id") == self._number:
                assert "error" not in got, got["error"]
                result: dict[str, Any] = got["result"]
                return result

    def open(self, page: Path) -> None:
        """Open a page and wait until it is loaded."""
        self.call("Page.navigate", url=page.as_uri())
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def value(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript on the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settle(self) -> None:
        """Wait until what has been scrolled is drawn and told."""
        self.call("Runtime.evaluate", awaitPromise=True, expression="new Promise(done => requestAnimationFrame(() => "
                  "requestAnimationFrame(() => setTimeout(done, 100))))")

    def press(self, key: str) -> None:
        """Press a key."""
        code = {"Tab": 9, "Enter": 13}.get(key, 0)
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code,
                  text="\r" if key == "Enter" else "")
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def point_at(self, x: float, y: float) -> None:
        """Move the pointer."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def size(self, width: int, media: str = "screen") -> None:
        """Give the window a width, and show the page as on a screen or on paper."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media=media)

    def picture(self) -> bytes:
        """Return a picture of the whole page, PNG."""
        return b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            piece = os.read(self._received, 1 << 16)
            assert piece, "the browser has ended"
            self._held += piece
        whole, _, self._held = self._held.partition(b"\0")
        message: dict[str, Any] = json.loads(whole)
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))
            case "Log.entryAdded" if message["params"]["entry"]["level"] in ("error", "warning"):
                self.complaints.append(message["params"]["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
        return message


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser with a new profile."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    read, written = os.pipe(), os.pipe()
    line = f'exec "$@" 3<&{read[0]} 4>&{written[1]}'
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    process = subprocess.Popen(["bash", "-c", line, "bash", CHROMIUM, *FLAGS, profile],
                               pass_fds=(read[0], written[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(read[0])
    os.close(written[1])
    try:
        yield Browser(read[1], written[0])
    finally:
        process.kill()
        process.wait()
        os.close(read[1])
        os.close(written[0])
