"""A whole simulated year without a network: `persistence` predicts, the allocation follows the scenario.

    python benchmarks/no_network.py [--small]

The step should cost what reading, allocating and writing cost. The program prints land cells a second, and the time
and share of each phase.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from runner import Report, arguments
from twin_run import add_arguments, configuration, report_phases, timed_years

#: Phases that any run without a network has to pay for.
NEEDED = ("read forcing", "allocate", "write output", "write restart")


def main() -> None:
    parser = arguments(__doc__)
    add_arguments(parser)
    options = parser.parse_args()
    report = Report("no_network.py --small" if options.small else "no_network.py", options, options.threads)
    with tempfile.TemporaryDirectory() as name:
        predictor = {"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}
        config, land = configuration(options, Path(name), predictor)
        report.note(f"{land} land cells")
        found = timed_years(config)
    report_phases(report, found, land)
    whole = sum(spent[0] for spent in found.years) / len(found.years)
    needed = sum(found.phases.get(phase, 0.0) for phase in NEEDED)
    report.value("share of reading, allocating and writing", needed / whole)
    report.end()


if __name__ == "__main__":
    main()
