"""The rules of the allocation, written as loops over cells: slow, and without any of the package's sorting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ai4land_coupler.allocation import MapMaker
from ai4land_coupler.allocation.demand import whole_cells
from ai4land_coupler.core.rng import KeyedRng, philox4x32


def place(
    z: np.ndarray, classes: np.ndarray, group: np.ndarray, allowed: np.ndarray, need: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Net change of one forcing cell: the new classes and the need that is left."""
    classes, need, hopeless = classes.copy(), need.copy(), set()
    while True:
        wanted = [0 if g in hopeless else int(need[g]) for g in range(need.size)]
        most, lacking = int(np.argmax(wanted)), max(wanted)
        if lacking <= 0:
            return classes, need
        candidates = []
        for i, now in enumerate(classes):
            if need[group[now]] >= 0:
                continue
            gains = [(z[k, i] - z[now, i], -k) for k in range(group.size) if group[k] == most and allowed[now, k]]
            if gains and np.isfinite(max(gains)[0]):
                gain, k = max(gains)
                candidates.append((-gain, i, -k))
        may_give = np.maximum(-need, 0)
        taken = 0
        for _, i, k in sorted(candidates):
            source = group[classes[i]]
            if taken < lacking and may_give[source] > 0:
                may_give[source] -= 1
                classes[i] = k
                need[source] += 1
                need[most] -= 1
                taken += 1
        if taken < lacking:
            hopeless.add(most)


def swap(
    z: np.ndarray, classes: np.ndarray, group: np.ndarray, allowed: np.ndarray, free: np.ndarray, amount: int
) -> tuple[np.ndarray, int]:
    """Gross change of one forcing cell: the new classes and the cells without a partner."""
    classes, free = classes.copy(), free.copy()
    for choices in range(1, group.size):
        contested = True
        while contested and amount > 1 and free.any():
            lists: dict[tuple[int, int], list[tuple[np.float32, int]]] = {}
            for i in np.flatnonzero(free):
                now = int(classes[i])
                open_to = [k for k in range(group.size) if k != now and group[k] >= 0 and allowed[now, k]]
                for k in sorted(open_to, key=lambda k: -z[k, i])[:choices]:
                    lists.setdefault((now, k), []).append((z[k, i] - z[now, i], int(i)))
            pairs = []
            for low in range(group.size):
                for high in range(low + 1, group.size):
                    there, back = (
                        sorted(lists.get(way, []), key=lambda offer: (-offer[0], offer[1]))
                        for way in ((low, high), (high, low))
                    )
                    pairs += [(a + b, i, j) for (a, i), (b, j) in zip(there, back, strict=False)]
            pairs.sort(key=lambda pair: -pair[0])
            best: dict[int, int] = {}
            for at, (_, i, j) in enumerate(pairs):
                best.setdefault(i, at)
                best.setdefault(j, at)
            clear = [(i, j) for at, (_, i, j) in enumerate(pairs) if best[i] == best[j] == at]
            contested = len(clear) < len(pairs)
            for i, j in clear[: amount // 2]:
                classes[i], classes[j] = classes[j], classes[i]
                free[i] = free[j] = False
                amount -= 2
    return classes, amount


def uniform(rng: KeyedRng, cell: np.ndarray) -> np.ndarray:
    """Random numbers of some cells, from the published function."""
    words = np.zeros((4, cell.size), np.uint64)
    words[0], words[1] = cell & 0xFFFFFFFF, cell >> 32
    words[2], words[3] = rng.year & 0xFFFFFFFF, rng.stream
    high, low, _, _ = philox4x32(words, (rng.seed, rng.member)).astype(np.uint64)
    return ((high >> np.uint64(5)) * 67108864.0 + (low >> np.uint64(6))) / 9007199254740992.0


def step(maker: MapMaker, step: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """``MapMaker.step``, forcing cell by forcing cell: the map, the memory and the sums of its diagnostics."""
    plan, block, options, legend = maker.plan, step["block"], maker.options, maker.legend
    cover, memory, group = step["cover"], step["memory"], maker.group_of_class
    view, core, count = legend.to_view(cover), block.core, len(legend.view)
    logits = step["logits"]
    rows, cols = np.mgrid[core.row0 : core.row1, core.col0 : core.col1]
    ids = rows * plan.fine.nlon + cols
    noise = np.zeros_like(logits)
    for k in np.flatnonzero(group >= 0):
        number = uniform(step["rng"].at(stream=100 + int(k)), ids.reshape(-1))
        noise[k] = -np.log(-np.log(number + 2.0**-54)).reshape(ids.shape)
    z, z_gross = (
        logits + np.float32(t) * noise if t > 0 else logits for t in (options.temperature, options.gross_temperature)
    )
    new = view.copy()
    carry, unmet, unpaired = memory["gross_carry"].copy(), np.zeros_like(memory["unmet"]), 0.0
    home = (plan.forcing_row[rows] - block.forcing.row0) * block.forcing.shape[1] + (
        plan.forcing_col[cols] - block.forcing.col0
    )
    for h in range(block.forcing.size):
        at = np.divmod(h, block.forcing.shape[1])
        cells = np.nonzero((home == h) & (view >= 0) & (group[view] >= 0))
        classes, area = view[cells], plan.fine.row_area[rows[cells]]
        of_class = {"group": group, "allowed": maker.allowed}
        mean = sum(area.tolist()) / area.size if area.size else 1.0
        base = memory["base_area"][:, *at]
        change = np.nan_to_num(step["shares"][:, *at] - memory["base_share"][:, *at])
        target = base + change * base.sum()
        now, left = classes, np.zeros(base.size, np.int64)
        for _ in range(3):
            there = [sum(area[group[now] == g].tolist()) for g in range(base.size)]
            left = whole_cells(((target - there) / mean)[None])[0]
            if not left.any():
                break
            now, left = place(z[:, *cells], now, need=left, **of_class)
        moved = now != classes
        leaving = sum(maker.rates[classes].tolist())
        wanted = leaving + carry[at] - moved.sum()
        amount = 2 * int(np.floor(max(wanted, 0) / 2))
        now, alone = swap(z_gross[:, *cells], now, free=~moved, amount=amount, **of_class)
        unpaired += alone
        carry[at] = max(wanted - amount, -leaving)
        unmet[:, *at] = left * mean
        new[cells] = now
    changed = new != view
    codes = np.where(changed, legend.new_codes[new], cover)
    transition_area = np.zeros(count**2)
    for r, row in enumerate(rows[:, 0]):
        for before, after in zip(view[r], new[r], strict=True):
            if before >= 0 and group[before] >= 0:
                transition_area[before * count + after] += plan.fine.row_area[row]
    kept = dict(memory) | {"gross_carry": carry, "unmet": unmet}
    sums = {"changed_cells": np.array([changed.sum()]), "unpaired_cells": np.array([unpaired])}
    return codes, kept, sums | {"transition_area": transition_area}
