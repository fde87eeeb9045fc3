"""A headless Chromium, controlled by the W3C WebDriver protocol (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import io
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import needs
import numpy as np
from numpy.typing import NDArray

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"right": "\ue014", "left": "\ue012", "up": "\ue013", "down": "\ue015", "tab": "\ue004", "end": "\ue010"}
KEYS |= {"home": "\ue011", "enter": "\ue007", "space": " "}


def programs() -> tuple[str, str]:
    """Paths of Chromium and its driver. Skips the test if one is missing."""
    return needs.program("chromium", "chromium-browser", "google-chrome"), needs.program("chromedriver")


class Browser:
    """One window; ``close`` ends it and its driver."""

    def __init__(self, profile: Path, width: int = 1200, height: int = 1000) -> None:
        found = programs()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._driver = subprocess.Popen([found[1], f"--port={port}"], **quiet)
        self._base = f"http://127.0.0.1:{port}"
        # the driver is on this machine: no proxy of the environment is to be asked
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        try:
            self._wait_for_driver()
            chrome = {
                "binary": found[0],
                "args": [*OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}"],
            }
            always = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
            session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": always}})
            self._base += f"/session/{session['sessionId']}"
        except BaseException:
            self._stop()
            raise

    def _wait_for_driver(self) -> None:
        for _ in range(600):
            try:
                if self._ask("GET", "/status")["ready"]:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError("chromedriver did not start")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self._open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]) from error

    def open(self, page: Path) -> None:
        """Open a file and wait until its script has drawn it."""
        for kind in ("browser", "performance"):
            self.log(kind)
        self._ask("POST", "/url", {"url": page.as_uri()})
        for _ in range(600):
            if self.run("return document.body.dataset.ready === 'yes' || !document.getElementById('failure').hidden"):
                return
            time.sleep(0.05)
        raise AssertionError(f"the page did not become ready: {self.log('browser')}")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function body in the page."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def frame(self) -> None:
        """Wait until the page is drawn."""
        script = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        self._ask("POST", "/execute/async", {"script": script, "args": []})

    def find(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def click(self, selector: str) -> None:
        self._ask("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector: str, *keys: str) -> None:
        """Focus an element and press keys on it."""
        text = "".join(KEYS.get(key, key) for key in keys)
        self._ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys: str) -> None:
        """Press keys on the element that has the focus."""
        strokes = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def pointer(self, *actions: dict[str, Any]) -> None:
        """Move and press the mouse: WebDriver pointer actions."""
        self._ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": list(actions)}]})

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools Protocol."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self) -> NDArray[np.uint8]:
        """Screenshot of the window: uint8 (rows, cols, 3)."""
        from PIL import Image

        png = base64.b64decode(self._ask("GET", "/screenshot"))
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Messages since the last call: ``browser`` for the console, ``performance`` for DevTools events."""
        return list(self._ask("POST", "/se/log", {"type": kind}))

    def requests(self) -> list[str]:
        """URLs that the page requested since it was opened."""
        messages = (json.loads(entry["message"])["message"] for entry in self.log("performance"))
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def close(self) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._stop()

    def _stop(self) -> None:
        self._driver.terminate()
        self._driver.wait(timeout=20)
