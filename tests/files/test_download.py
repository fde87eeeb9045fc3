"""Files of a web server are read with what is installed: no aiohttp."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import netCDF4
import numpy as np
import pytest
from adapter_files import write_fields

from ai4land_coupler.errors import DataError
from ai4land_coupler.files import find
from ai4land_coupler.files.download import download
from ai4land_coupler.files.find import find_files


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; ``cut.nc`` is promised longer than it is sent."""

    def log_message(self, *args):
        pass

    def end_headers(self):
        if "cut.nc" in self.path:
            self.send_header("Content-Length", "1000000")
        super().end_headers()

    def send_header(self, keyword, value):
        if not ("cut.nc" in self.path and keyword == "Content-Length" and value != "1000000"):
            super().send_header(keyword, value)


@pytest.fixture
def address(tmp_path):
    (tmp_path / "web").mkdir()
    values = np.arange(6.0).reshape(2, 3)
    for name in ("a.nc", "cut.nc"):
        write_fields(tmp_path / "web" / name, {"height": (values, {})}, np.array([1.0, 2]), np.array([1.0, 2, 3]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "web")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(find_spec("aiohttp") is not None, reason="fsspec reads http itself")
@pytest.mark.parametrize("form", ["{}/a.nc", "simplecache::{}/a.nc", "{}/a.nc?download=1"])
def test_a_file_of_a_web_server_is_read(address, form):
    (file,) = find_files(form.format(address))
    assert (file.name, file.stem) == (form.format(address), "a.nc")
    with netCDF4.Dataset(file.path) as ds:
        np.testing.assert_array_equal(ds["height"][:], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.skipif(find_spec("aiohttp") is not None, reason="fsspec reads http itself")
def test_what_a_server_does_not_have_is_refused(address):
    with pytest.raises(DataError, match="cannot be fetched") as error:
        find_files(f"{address}/b.nc")
    assert "404" in str(error.value)
    assert f"{address}/b.nc" in str(error.value)
    with pytest.raises(DataError, match="cannot be fetched") as error:
        find_files(f"{address}/cut.nc")
    assert "bytes" in str(error.value)
    with pytest.raises(DataError, match="cannot be fetched"):
        find_files("http://127.0.0.1:9/a.nc")  # nobody listens there
    with pytest.raises(DataError, match="cannot be fetched") as error:
        find_files(f"{address}/*.nc")
    assert "aiohttp" in str(error.value)


def test_a_copy_is_kept_where_the_user_says(address, tmp_path, monkeypatch):
    monkeypatch.setenv("FSSPEC_SIMPLECACHE_CACHE_STORAGE", str(tmp_path / "kept"))
    find_folder = download.__globals__["_folder"]
    find_folder.cache_clear()
    find._fetch.cache_clear()
    try:
        path = download(f"{address}/a.nc")
        assert path.parent == tmp_path / "kept"
        (tmp_path / "web" / "a.nc").unlink()
        assert download(f"{address}/a.nc") == path  # not asked for again
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    finally:
        find_folder.cache_clear()
