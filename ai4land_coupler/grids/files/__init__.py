"""Reads grid files of every known layout as meshes."""
