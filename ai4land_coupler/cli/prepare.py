"""``ai4land prepare``."""

from __future__ import annotations

from pathlib import Path

import click

from ai4land_coupler.cli.options import config_argument, one_configuration, part_option, set_option
from ai4land_coupler.cli.terminal import out, progress_bar, rank, size, world


@click.command(short_help="Read and check the inputs once, for faster runs.")
@config_argument
@set_option
@click.option("-o", "--output", "store", type=click.Path(path_type=Path), required=True, help="Zarr store to write.")
@click.option("--maps", nargs=2, type=int, metavar="FIRST LAST", help="Also store the maps of these years.")
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Number of processes. Default: one for each available processor."
)
@part_option
@click.option("--overwrite", is_flag=True, help="Replace a prepared store that was made from other inputs.")
def prepare(
    config: Path,
    overrides: tuple[str, ...],
    store: Path,
    maps: tuple[int, int] | None,
    jobs: int | None,
    part: str | None,
    overwrite: bool,
) -> None:
    """Read the inputs of a run once, check them, and write them to one Zarr store.

    Also writes STORE.run.yaml: the same configuration, but with inputs from the store. If the command is interrupted,
    call it again: it continues. Under `mpiexec -n N`, rank 0 plans and the other ranks do the work.
    """
    from ai4land_coupler.experiments.prepare import inspect_prepared
    from ai4land_coupler.experiments.prepare import prepare as make

    comm = world()
    settings = one_configuration(config, overrides, part)
    with progress_bar() as bar:
        task = bar.add_task("planning", total=None, visible=rank() == 0)
        done = make(
            settings,
            store,
            maps=range(maps[0], maps[1] + 1) if maps else (),
            jobs=jobs,
            overwrite=overwrite,
            comm=comm,
            progress=lambda n, total, what: bar.update(task, completed=n, total=total, description=what or "preparing"),
        )
    if rank() != 0:
        return
    facts = inspect_prepared(done.store)
    out.print(f"{done.made} of {done.pieces} pieces made, {size(facts['bytes'])} in {done.store}", soft_wrap=True)
    for fault, count in sorted(done.mended.items()):
        out.print(f"mended while reading: {fault}: {count}", markup=False)
    out.print(f"ai4land run {done.configuration} reads it", markup=False, soft_wrap=True)
