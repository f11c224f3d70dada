"""Three recordings of activations, one of a trained model, to be told apart by what can be read."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from data.beliefs.task import beliefs, process, remembered
from utils.guards import axes, count, filled, finite, guarded
from utils.reading.linear import r_squared, ridge


class Recordings:
    """Recordings that can be read a limited number of times.

    Args:
        recorded: name -> activations at the end of the sequences, a row for each.
        tokens: the sequences, no two alike: the first half of them is fitted on.
        T: the process.
        budget: how many readings are allowed.
    """

    @guarded(recorded=filled, tokens=axes(2), T=process, budget=count())
    def __init__(
        self,
        recorded: Mapping[str, Float[Tensor, "sequence _feature"]],
        tokens: Int[Tensor, "sequence pos"],
        T: Float[Tensor, "token state next"],
        *,
        budget: int,
    ):
        self._recorded, self._tokens, self._T = dict(recorded), tokens, T
        self.left = budget

    def read(self, name: str, target: str | int) -> float:
        """R2 of a regression on sequences that it was not fitted to.

        Args:
            name: of the recording.
            target: "belief", or a number: the token so many positions back (0 is the last).

        Raises:
            ValueError: there is no such recording or target, or no reading is left.
        """
        if name not in self._recorded:
            raise ValueError(f"There is no recording {name!r}: take one of {[*self._recorded]}.")
        n = self._tokens.shape[1]
        number = isinstance(target, int) and not isinstance(target, bool) and 0 <= target < n
        if target != "belief" and not number:
            raise ValueError(
                f"`target` is {target!r}: take 'belief', or a number from 0 to {n - 1}."
            )
        if self.left == 0:
            raise ValueError(
                "No reading is left. Run the cell that makes `recordings` to begin anew."
            )
        self.left -= 1
        if target == "belief":
            y = beliefs(self._tokens, self._T)[:, -1]
        else:
            y = self._tokens[:, n - 1 - target, None].double()
        x, half = self._recorded[name].double(), len(y) // 2
        return r_squared(ridge(x[:half], y[:half], penalty=1e-3)(x[half:]), y[half:])


@guarded(T=process, tokens=axes(2), trained=finite, untrained=finite)
def three_recordings(
    trained: Float[Tensor, "sequence d_model"],
    untrained: Float[Tensor, "sequence d_model"],
    tokens: Int[Tensor, "sequence pos"],
    T: Float[Tensor, "token state next"],
    *,
    budget: int = 8,
) -> Recordings:
    """A trained model's activations, an untrained one's, and those of an observer who forgets.

    The last are the belief of an ideal observer of a few last tokens, in random directions with
    some noise. Which recording is which, and how many tokens are remembered, is to be found.
    """
    draw = torch.Generator().manual_seed(24)
    width = trained.shape[1]
    mixed = torch.randn(T.shape[1], width, generator=draw).double()
    noise = 0.02 * torch.randn(len(tokens), width, generator=draw)
    forgetful = remembered(tokens, 9, T) @ mixed + noise
    return Recordings({"A": untrained, "B": forgetful, "C": trained}, tokens, T, budget=budget)
