"""The C door: ``a4l.h``, the shim that embeds Python in a host, and how to build it.

``python -m ai4land_coupler.capi build`` compiles ``liba4l.so`` for this Python; ``bridge`` is what it calls.
"""
