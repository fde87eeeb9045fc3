"""``python -m ai4land_coupler.cli``: the command line without its installed script."""

from ai4land_coupler.cli import main

main()
