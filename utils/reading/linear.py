"""Affine maps of least squared error, and what they explain: around scikit-learn, in torch."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from utils.guards import as_long_as, axes, filled, finite, guarded, number, shaped_as


class Affine(NamedTuple):
    """An affine map, `x @ weights + bias`, in double precision."""

    weights: Float[Tensor, "feature target"]
    bias: Float[Tensor, " target"]

    def __call__(self, x: Float[Tensor, "n feature"]) -> Float[Tensor, "n target"]:
        return x.to(self.weights) @ self.weights + self.bias


@guarded(x=(axes(2), filled, finite), y=(axes(2), as_long_as("x"), finite), penalty=number(low=0))
def ridge(
    x: Float[Tensor, "n feature"], y: Float[Tensor, "n target"], *, penalty: float = 0.0
) -> Affine:
    """The affine map from `x` to `y` of least squared error, by scikit-learn.

    Args:
        penalty: times the sum of squared weights, without the bias, is added to the sum of squared
            errors.

    Returns:
        The map, in double precision, on the CPU.
    """
    from sklearn.linear_model import LinearRegression, Ridge

    model = Ridge(alpha=penalty) if penalty else LinearRegression()
    fitted = model.fit(x.detach().cpu().double().numpy(), y.detach().cpu().double().numpy())
    weights = torch.from_numpy(fitted.coef_).reshape(y.shape[1], -1).T  # Ridge flattens one target
    return Affine(weights, torch.from_numpy(fitted.intercept_))


@guarded(predicted=finite, y=(shaped_as("predicted"), finite))
def r_squared(predicted: Float[Tensor, "n target"], y: Float[Tensor, "n target"]) -> float:
    """Share of the variance of `y` that a prediction explains, over all targets together.

    1 is perfect, 0 is as good as predicting the mean, and below 0 is worse than that.

    Raises:
        ValueError: `y` does not vary, shapes differ, or a number is not finite.
    """
    from sklearn.metrics import r2_score

    if bool((y == y[:1]).all()):
        raise ValueError("All rows of `y` are equal: there is no variance to explain.")
    y, predicted = (each.detach().cpu().double().numpy() for each in (y, predicted))
    return float(r2_score(y, predicted, multioutput="variance_weighted"))
