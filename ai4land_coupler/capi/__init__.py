"""The C interface: ``a4l.h``, the library that embeds Python in a host, and its build.

``python -m ai4land_coupler.capi build`` compiles ``liba4l.so`` for this Python; the library calls ``bridge``.
"""
