"""The pictures of a report, drawn and referred to."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np

from twnet_ros.learn.evaluation.evaluate import Score
from twnet_ros.learn.evaluation.plot import plot_confusion, plot_distance, plot_speed, plot_strips
from twnet_ros.learn.evaluation.result import Result
from twnet_ros.learn.evaluation.trial import Trial
from twnet_ros.segment.palette import ClassSet
from twnet_ros.segment.picture import Picture
from twnet_ros.segment.render import render_labels, to_rgb


def hang(
    results: Sequence[Result],
    scores: dict[str, dict[str, Score]],
    trial: Trial,
    classes: ClassSet,
    folder: Path,
) -> str:
    """Write the plots of a report into a folder; return the Markdown that shows them."""
    plot_distance(results, folder / "distance.png")
    plot_speed(results, folder / "speed.png")
    titles = {
        "distance.png": "Error accumulation: mIoU against the distance to the key frame",
        "speed.png": "Accuracy against speed",
    }
    for model, found in scores.items():
        if "twnet" in found:
            name = f"confusion_{model.replace('/', '_')}_twnet.png"
            titles[name] = f"Confusion of {model}, twnet"
            counts = found["twnet"].total().counts
            plot_confusion(counts, classes.names, f"{model}, twnet", folder / name)
    _strips(scores, trial, classes, folder / "strips.png")
    titles["strips.png"] = "Pictures, their truth, and what became of it"
    return "\n\n".join(f"## {title}\n\n![{title}]({name})" for name, title in titles.items())


def _strips(
    scores: dict[str, dict[str, Score]], trial: Trial, classes: ClassSet, path: Path
) -> None:
    colors = np.array(classes.colors, np.uint8)
    pictures, truths = zip(*(_frame(trial, *place) for place in trial.shown), strict=True)
    labels = {"ground truth": list(truths)}
    for model, found in scores.items():
        for method, score in found.items():
            name = method.replace("_", " ")
            name = "\n".join([*wrap(model, 20), name]) if len(scores) > 1 else name
            labels[name] = [score.tally.shown[place] for place in trial.shown]
    rows: list[tuple[str, list[Picture]]] = [("picture", list(pictures))]
    rows += [(name, [render_labels(one, colors) for one in row]) for name, row in labels.items()]
    present = np.unique([one for row in labels.values() for one in row])
    legend = [(classes.names[i], classes.colors[i]) for i in present if i < len(colors)]
    if len(legend) < len(present):
        legend.append(("unlabelled", (0, 0, 0)))
    columns = [f"distance {trial.distances[number]}" for _, number in trial.shown]
    plot_strips(rows, columns, legend, path)


def _frame(trial: Trial, clip: int, number: int) -> tuple[Picture, Picture]:
    """Return a frame's picture (RGB) and its truth."""
    for index, (frame, truth) in enumerate(trial.clips[clip]):
        if index == number:
            return to_rgb(frame), truth
    raise ValueError(f"expected a clip of more than {number} frames, got {len(trial.clips[clip])}")
