"""Copies a file of a web server (http, https) to this machine with the standard library.

fsspec needs the package ``aiohttp`` for this. It is not installed with the component.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import urllib.request
from functools import cache
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

#: A server that is silent for so long (s) is given up.
TIMEOUT = 60


def download(url: str) -> Path:
    """Path of a local copy of the file of a URL.

    The copy is in the folder of ``FSSPEC_SIMPLECACHE_CACHE_STORAGE``, where later runs find it, or in a temporary
    folder that this process removes at its end.

    Raises
    ------
    OSError
        The server cannot be reached, does not have the file, or sent a part of it only.
    """
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{PurePosixPath(urlsplit(url).path).name}"
    target = _folder() / name
    if target.is_file():
        return target
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f"{name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            shutil.copyfileobj(answer, file, 1 << 20)
            expected = answer.headers.get("Content-Length")
            received = file.tell()
        if expected is not None and received != int(expected):
            raise OSError(f"the server sent {received} of {expected} bytes")
        Path(partial).replace(target)
    except HTTPException as error:
        raise OSError(f"the server broke off: {type(error).__name__} {error}") from error
    finally:
        Path(partial).unlink(missing_ok=True)
    return target


@cache
def _folder() -> Path:
    kept = os.environ.get("FSSPEC_SIMPLECACHE_CACHE_STORAGE")
    if kept:
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    made = tempfile.mkdtemp(prefix="ai4land-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
