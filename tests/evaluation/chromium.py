"""Opens a page in headless Chromium: pictures of it, and what a script finds in it."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Reads once all is laid out; errors are caught from before the page's own content on.
_PROBE = """<script>
const errors = [];
addEventListener("error", e => errors.push(String(e.message || e.target.outerHTML)), true);
document.addEventListener("securitypolicyviolation", e => errors.push(e.violatedDirective));
addEventListener("load", () => {
  const root = document.documentElement;
  const found = {
    errors,
    width: innerWidth,
    scroll: root.scrollWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    background: getComputedStyle(document.body).backgroundColor,
    requests: performance.getEntriesByType("resource").map(e => e.name.slice(0, 60)),
    pictures: [...document.images].map(i => i.naturalWidth),
    focusable: document.querySelectorAll("a[href],summary,[tabindex='0']").length,
  };
  parent.postMessage(JSON.stringify(found), "*");
});
</script>"""
# A window of a browser is at least 500 pixels wide, a frame in it is not.
_FRAME = """<!DOCTYPE html><pre id="probe"></pre>
<script>addEventListener("message", e => {{ probe.textContent = e.data; }});</script>
<iframe src="probe.html" style="width:{width}px;height:800px;border:0"></iframe>
"""
_NARROWEST = 500
_NARROW = """<!DOCTYPE html><style>body {{ margin: 0 }}</style>
<iframe src="{page}" style="width:{width}px;height:{height}px;border:0"></iframe>
"""
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


class Chromium:
    """A browser that is started anew for each question.

    Args:
      folder: for its profile and for copies of pages.
    """

    def __init__(self, folder: pathlib.Path):
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            pytest.skip(f"no browser on PATH: none of {', '.join(NAMES)}")
        self._folder = folder
        self._command = [
            found,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            # A page that asks for anything outside is told that it is not there.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}",
        ]

    def probe(self, page: pathlib.Path, *, width: int, dark: bool = False) -> dict:
        """Returns what `_PROBE` finds in a copy of the page, whose policy lets one script run."""
        text, dropped = _POLICY.subn("", page.read_text(encoding="utf-8"))
        assert dropped == 1
        copy = self._folder / "probe.html"
        copy.write_text(text.replace("<head>", f"<head>{_PROBE}", 1), encoding="utf-8")
        around = self._folder / "frame.html"
        around.write_text(_FRAME.format(width=width), encoding="utf-8")
        done = self._run(around, "--dump-dom", width=width + 100, height=900, dark=dark)
        return json.loads(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)[1])

    def console(self, page: pathlib.Path) -> list[str]:
        """Returns what the page as it is writes to the console, errors of its policy too."""
        done = self._run(page, "--dump-dom", "--enable-logging=stderr", width=1200, height=800)
        return [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    def picture(
        self, page: pathlib.Path, path: pathlib.Path, *, width: int, height: int, dark: bool = False
    ) -> None:
        """Writes a PNG of the page; one narrower than a window may be, in a frame within it."""
        if width < _NARROWEST:
            around = self._folder / "narrow.html"
            around.write_text(
                _NARROW.format(page=page.as_uri(), width=width, height=height), encoding="utf-8"
            )
            page, width = around, _NARROWEST
        self._run(page, f"--screenshot={path}", width=width, height=height, dark=dark)

    def print(self, page: pathlib.Path, path: pathlib.Path) -> None:
        """Writes a PDF of the page."""
        self._run(page, f"--print-to-pdf={path}", "--no-pdf-header-footer", width=1200, height=800)

    def _run(self, page: pathlib.Path, *options: str, width: int, height: int, dark: bool = False):
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        size = f"--window-size={width},{height}"
        done = subprocess.run(
            [*self._command, scheme, size, "--virtual-time-budget=5000", *options, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done
