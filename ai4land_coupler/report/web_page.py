"""Writes one self-contained HTML file that shows a run. The page loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources
from pathlib import Path

from ai4land_coupler.errors import ConfigError, RunError
from ai4land_coupler.files.durable import write_durably
from ai4land_coupler.report.content import PageContent, collect_content
from ai4land_coupler.version import __version__

#: The scripts of the page. Each uses only scripts before it.
SCRIPTS = ("data.js", "dom.js", "map.js", "charts.js", "series.js", "change.js", "page.js")
SLOT = re.compile(r"<!--@(\w+)-->")


def write_page(store: str | Path, target: str | Path) -> Path:
    """Write the page of a store. An existing file is replaced when the new one is complete.

    Raises
    ------
    ConfigError
        If ``target`` is a folder.
    DataError
        If there is no store, files of it are missing, or it has no committed year.
    RunError
        If writing to disk fails.
    """
    target = Path(target)
    if target.is_dir():
        raise ConfigError(
            "the page is one file", expected="a file's name", found="a folder", where=target, remedy="give -o page.html"
        )
    text = render(collect_content(store))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_durably(target, text.encode())
    except OSError as error:
        raise RunError(
            "the page could not be written", found=error, where=target, remedy="choose another file with -o"
        ) from error
    return target


def render(content: PageContent) -> str:
    """The page as text.

    Everything from the store is inserted as JSON or base64, or escaped. The Content-Security-Policy allows only the
    page's own script and style, by their digests, and no connections. So a store cannot insert code into the page.
    """
    style = page_part("page.css")
    script = "".join(page_part(name) for name in SCRIPTS)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{source_of(script)}'",
            f"style-src '{source_of(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    parts = {
        "policy": policy,
        "title": html.escape(content.facts["title"]),
        "style": style,
        "script": script,
        "version": html.escape(__version__),
        "facts": _json_in_html(content.facts),
        **{name: base64.b64encode(part).decode() for name, part in content.maps.items()},
    }
    return SLOT.sub(lambda slot: parts[slot[1]], page_part("page.html"))


def page_part(name: str) -> str:
    return (resources.files("ai4land_coupler.report") / "page" / name).read_text("utf-8")


def source_of(text: str) -> str:
    """The source expression of an inline script or style (Content Security Policy Level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json_in_html(value: object) -> str:
    """JSON in which an HTML parser finds no markup, such as ``</script>``."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
