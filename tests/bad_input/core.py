"""Bad input to the core: `utils/*.py`."""

import torch

from utils import stats

NAN = torch.tensor([0.0, float("nan"), 1.0])

ROWS = [
    (
        "auc of one label",
        lambda: stats.auc(torch.ones(3), torch.ones(3, dtype=torch.long)),
        "give rows of both",
    ),
]
