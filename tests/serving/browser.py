"""A headless Chromium that is driven with real keys over its DevTools protocol, for tests."""

import json
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 20  # seconds
CODES = {"1": "Digit1", "2": "Digit2", "Enter": "Enter", "ArrowLeft": "ArrowLeft", "ArrowRight": "ArrowRight"}


class Page:
    """One tab."""

    def __init__(self, socket):
        self.socket, self.number, self.loaded = socket, 0, []
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """What the browser answers to a command; requests that it reports meanwhile are kept in `loaded`."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE))
            if message.get("method") == "Network.requestWillBeSent":
                self.loaded.append(message["params"]["request"]["url"])
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]

    def ask(self, expression):
        """The value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression):
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.ask(expression):
            assert time.monotonic() < end, f"never true: {expression}; the page: {self.ask('document.body.innerText')}"

    def open(self, address):
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def press(self, key, *, code=None):
        """Press and release a key, as a keyboard does."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        number = {"Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}.get(key, ord(key[0].upper()))
        event = {"key": key, "code": code or CODES.get(key, f"Key{key.upper()}"), "windowsVirtualKeyCode": number}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def write(self, text):
        """Write text where the cursor is, as an input method does."""
        self.call("Input.insertText", text=text)

    def text(self, selector):
        """What a reader sees of an element."""
        return self.ask(f"document.querySelector({json.dumps(selector)}).innerText")


def command():
    """The browser of this machine; a test without one is skipped."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    return found


@contextmanager
def browser(folder, *options):
    """A function that opens a new tab."""
    client = pytest.importorskip("websockets.sync.client")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", *options]
    words = [command(), *flags, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = folder / "DevToolsActivePort"
        end = time.monotonic() + 2 * PATIENCE
        while not port.exists() or len(port.read_text().splitlines()) < 2:
            assert process.poll() is None and time.monotonic() < end, "the browser did not start"
        number, path = port.read_text().splitlines()
        with client.connect(f"ws://127.0.0.1:{number}{path}", max_size=None) as main:
            opened = []

            def tab():
                main.send(
                    json.dumps({"id": len(opened) + 1, "method": "Target.createTarget", "params": {"url": "about:blank"}})
                )
                target = json.loads(main.recv(timeout=PATIENCE))["result"]["targetId"]
                opened.append(client.connect(f"ws://127.0.0.1:{number}/devtools/page/{target}", max_size=None))
                return Page(opened[-1])

            yield tab
            for socket in opened:
                socket.close()
    finally:
        process.terminate()
        process.wait()
