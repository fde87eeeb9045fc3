"""Grid files of every known layout, read as meshes."""
