"""Plugins that a test installs for itself."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, name: str, code: str) -> None:
    """A distribution with one plugin, as pip would leave it."""
    module = name.replace("-", "_")
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ai4land]\n{module} = {module}\n")
