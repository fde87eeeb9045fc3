"""A predictor: each cell votes with its eight neighbours."""

import numpy as np

from ai4land_coupler import api


class Options(api.Options):
    legend: str
    own_vote: float = 1.5  # weight of the cell's own class, in neighbours; above 1, a tie changes nothing


class NeighbourVote(api.Predictor):
    def __init__(self, options: Options) -> None:
        self.options = options
        self.classes = len(api.get_legend(options.legend).view)
        self.spec = api.PredictorSpec(
            inputs=(api.FieldSpec("land_cover", "1", source="cover", offsets=(-1,)),),
            outputs=(api.FieldSpec(api.LOGITS, "1", source="output"),),
            legend=options.legend,
            halo=1,
        )

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> dict[str, np.ndarray]:
        cover = batch.fields["land_cover"][:, 0]  # (B, Y, X) int8, -1 outside
        rows, cols = cover.shape[1:]
        own = cover[:, None] == np.arange(self.classes)[:, None, None]  # (B, class, Y, X)
        padded = np.pad(own, ((0, 0), (0, 0), (1, 1), (1, 1))).astype(np.float32)
        votes = sum(padded[:, :, i : i + rows, j : j + cols] for i in range(3) for j in range(3))
        return {api.LOGITS: votes + np.float32(self.options.own_vote - 1) * own}


@api.hookimpl
def ai4land_register(registry: api.Registry) -> None:
    registry.predictor("neighbour-vote", NeighbourVote, Options)
