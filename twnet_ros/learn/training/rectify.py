"""A start for the correction: equation 5 solved as the linear regression that it is.

From zero, gradient steps first have to find out what the context lacks, and while they do the
recurrence feeds their errors back: most starts grow without bound. But CFR is linear in its
weights, so the weights that best predict what is missing follow from one set of normal equations.
Two things keep the recurrence bounded. The contexts count as disturbed by noise that the solution
has to take back; without, it sharpens what warping has blurred, which compounds. And the second
round walks along the states that the first round's solution leads to.
"""

from collections.abc import Iterable
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from twnet_ros.learn.training import parallel
from twnet_ros.learn.training.loop import mixed_precision
from twnet_ros.learn.training.rollout import Stretch, restart
from twnet_ros.net import FeatureState, TWNet, warp_cubic
from twnet_ros.net.correction import ResidualGuidedAttention

ROUNDS = 2
DISTURBANCE = 1 / 3  # variance of the noise, in mean squares of the contexts
RIDGE = 1e-3  # of the inputs' mean square, on every weight


class NormalEquations:
    """Least squares for a 3x3 convolution: ``conv([warped, spatial]) = missing``.

    A row's columns are those of ``unfold``, channel by channel with nine taps each, and a one.
    """

    def __init__(self, channels: int, device: str) -> None:
        self.channels = channels
        columns = 2 * channels * 9 + 1
        self.gram = torch.zeros(columns, columns, device=device)
        self.moment = torch.zeros(columns, channels, device=device)

    def add(self, warped: Tensor, spatial: Tensor, missing: Tensor) -> None:
        """Add every pixel of features (N, C, h, w)."""
        rows = F.unfold(torch.cat([warped, spatial], 1), 3, padding=1)
        rows = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)
        rows = rows.transpose(1, 2).flatten(0, 1)
        self.gram += rows.T @ rows
        self.moment += rows.T @ missing.flatten(2).transpose(1, 2).flatten(0, 1)
        # What noise on every element of ``warped`` adds on average.
        added = len(rows) * DISTURBANCE * warped.square().mean()
        taps = torch.arange(self.channels * 9, device=rows.device)
        self.gram[taps, taps] += added
        self.moment[taps[4::9], taps[: self.channels]] -= added

    def solve(self) -> tuple[Tensor, Tensor]:
        """Return weight (C, 2 C, 3, 3) and bias (C,), solved in double precision.

        Of several processes each adds its own pixels, and all get the solution for all of them.
        """
        gram = parallel.total(self.gram.double())
        ridge = RIDGE * gram.diagonal().mean()
        gram += ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        solution = torch.linalg.solve(gram, parallel.total(self.moment.double())).float().T
        weight = solution[:, :-1].reshape(self.channels, 2 * self.channels, 3, 3)
        return weight, solution[:, -1]


@torch.no_grad()
def fit_rectification(
    model: TWNet,
    stretches: Iterable[Stretch],
    count: int,
    device: str = "cpu",
    precision: str = "fp32",
) -> None:
    """Set the weights of CFR to the least-squares solution over ``count`` stretches a round.

    The solution minimises equation 8's consistency term where attention is one, along the states
    that the model leads to with its own attention. A model without attention takes the share of
    it that attention begins with. ``stretches`` go on from round to round; of each the last frame
    counts, as those before are much like it. Head, tail and RGA stay as they are.
    """
    predict = model.cfr.predict
    share = 1.0 if model.attends else float(torch.tensor(ResidualGuidedAttention.START).sigmoid())
    equations = NormalEquations(predict.out_channels, device)
    context = torch.empty(0)
    walk = iter(stretches)
    for number in range(1, ROUNDS + 1):
        title = f"least squares {number}/{ROUNDS}"
        for stretch in tqdm(islice(walk, count), title, count, leave=False):
            with mixed_precision(device, precision):
                context, *row = _walk(model, stretch, context, device)
            equations.add(*(feature.float() for feature in row))
        weight, bias = equations.solve()
        predict.load_state_dict({"weight": share * weight, "bias": share * bias})


def _walk(
    model: TWNet, stretch: Stretch, context: Tensor, device: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the last frame's context, corrected as far as known, and its row of the equations."""
    context = restart(model, stretch, context, device)
    for t in range(stretch.image.shape[1]):
        image, motion, error = stretch.frame(t, device)
        head = model.head(image)
        warped = warp_cubic(context, motion)
        context = model.carry(head, motion, error, FeatureState(context, 0)).context
    target = model.keyframe.context(model.keyframe.head(stretch.clean.to(device)))
    return context, warped, model.spatial(head, warped), target - warped
