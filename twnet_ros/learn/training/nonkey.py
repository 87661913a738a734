"""Step 2: training the non-key-frame CNN along compressed clips."""

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from twnet_ros.learn.data.source import Source
from twnet_ros.learn.evaluation.evaluate import Clip, score
from twnet_ros.learn.training import parallel
from twnet_ros.learn.training.key import histogram
from twnet_ros.learn.training.loop import (
    Losses,
    Schedule,
    Scores,
    mixed_precision,
    optimise,
    resumes,
)
from twnet_ros.learn.training.loss import (
    class_weights,
    consistency_loss,
    equation_8,
    segmentation_loss,
)
from twnet_ros.learn.training.rectify import fit_rectification
from twnet_ros.learn.training.rollout import Lanes, Rollout, Stretch, restart
from twnet_ros.net import FeatureState, TWNet

ATTENTION_SHARE = 20.0  # of the rate, for the 28 weights of RGA: inputs and outputs of order one


def train_nonkey(
    model: TWNet,
    source: Source,
    held_out: dict[str, list[Clip]],
    schedule: Schedule,
    rollout: Rollout,
    run: Path,
    device: str = "cpu",
    workers: int = 1,
) -> None:
    """Fine-tune head, tail, CFR and RGA with equation 8; the key-frame CNN stays as it is.

    The consistency term holds the context against the one that the key-frame CNN finds in the
    frame before it was compressed: what is carried along from a better picture is not undone.

    ``schedule.batch`` is the number of lanes, which so many ``workers`` share. After each
    validation they begin with new clips, so that a run which is resumed there goes on as if it had
    not stopped. Batch norms keep the key-frame CNN's statistics: neighbouring frames are no fair
    sample to estimate them from. Training goes on from what the model has, but CFR starts from its
    least-squares solution if the roll-out has a fit. ``held_out`` holds sets of clips by name;
    each is scored over the last quarter of its frames.
    """
    torch.manual_seed(schedule.seed)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = class_weights(histogram(source, len(model.config.classes))).to(device)
    context, own = torch.empty(0), parallel.share(schedule.batch)

    def stretches(seed: int) -> Iterator[Stretch]:
        loaders = []
        for share in np.array_split(own, min(workers, len(own))):
            numbers = (schedule.seed, seed)
            lanes = Lanes(source, model, rollout, len(share), numbers, int(share[0]))
            loaders.append(DataLoader(lanes, None, num_workers=1, prefetch_factor=4))
        return map(Stretch.side_by_side, zip(*loaders, strict=True))

    def batches(start: int) -> Iterator[object]:
        every = schedule.validate_every
        while start < schedule.iterations:
            stop = min(start - start % every + every, schedule.iterations)
            yield from islice(stretches(start + 1), stop - start)
            start = stop

    def losses(batch: object) -> Losses:
        nonlocal context
        if not isinstance(batch, Stretch):
            raise TypeError(f"expected a Stretch, got {type(batch).__name__}")
        model.eval()
        with mixed_precision(device, schedule.precision):
            context = restart(model, batch, context, device)
            total, context = rollout_losses(model, batch, context, weights, device)
        if not model.corrects:
            return total | {"loss": total["segmentation"]}
        both = total["segmentation"], total["consistency"]
        return total | {"loss": equation_8(*both, rollout.consistency)}

    def late(method: str) -> Scores:
        fast = schedule.precision
        scored = {k: score(model, clips, method, device, fast) for k, clips in held_out.items()}
        return {f"{name}_{method}": found.late().miou() for name, found in scored.items()}

    per_frame = cache(lambda: late("per_frame"))  # the key-frame CNN stays as it is

    def validate() -> Scores:
        ours = late("twnet")
        mean = {"score": sum(ours.values()) / len(ours)} if ours else {}
        return ours | per_frame() | mean

    groups = [(1.0, [*model.head.parameters(), *model.tail.parameters()])]
    if model.corrects:
        groups.append((1.0, list(model.cfr.parameters())))
        if rollout.fit and not resumes(run):
            model.eval()
            fit_rectification(model, stretches(0), rollout.fit, device, schedule.precision)
    if model.attends:
        groups.append((ATTENTION_SHARE, list(model.rga.parameters())))
    optimise(model, groups, schedule, batches, losses, validate, run)


def rollout_losses(
    model: TWNet, batch: Stretch, context: Tensor, weights: Tensor, device: str
) -> tuple[Losses, Tensor]:
    """Walk along the stretch; return its losses and the last context, detached.

    Both parts of equation 8 are those of the last frame, and only there head and tail learn: its
    neighbours would tell them little more. CFR's gradient goes back along all contexts.
    """
    state = FeatureState(context, 0)
    last = batch.image.shape[1] - 1
    for t in range(last + 1):
        image, motion, error = batch.frame(t, device)
        with torch.set_grad_enabled(t == last):
            head = model.head(image)
        state = model.carry(head, motion, error, state)
    logits = model.tail(state.context, head)
    losses = {
        "segmentation": segmentation_loss(logits, batch.labels.to(device), weights),
        "context_rms": state.context.detach().square().mean().sqrt(),
    }
    if model.corrects:  # what merely warps has no say in it
        with torch.no_grad():
            target = model.keyframe.context(model.keyframe.head(batch.clean.to(device)))
        losses["consistency"] = consistency_loss(state.context, target)
    return losses, state.context.detach()
