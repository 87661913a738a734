"""The training loop that both steps share."""

import dataclasses
import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from twnet_ros.learn.training import parallel
from twnet_ros.net import Config, TWNet, save_checkpoint
from twnet_ros.net.config import BACKBONES
from twnet_ros.segment.device import by_turns, has_bf16, round_nothing
from twnet_ros.segment.file import whole
from twnet_ros.segment.memory import keep_memory

STATE = "state.pt"  # in the folder of a run: what it goes on from
PARTS = {"settings", "reached", "model", "optimiser", "rate"}  # of it
Group = tuple[float, list[nn.Parameter]]  # share of the schedule's rate, what it is for
Losses = dict[str, Tensor]  # "loss" is what is minimised, the others are logged beside it
Scores = dict[str, float]  # mIoU on held-out data; the best "score" is kept; empty without data


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    iterations: int
    batch: int  # samples an iteration
    rate: float  # peak learning rate of the one-cycle schedule
    weight_decay: float = 0.01
    clip: float = 5.0  # norm that gradients are clipped to
    validate_every: int = 500  # iterations
    seed: int = 0
    precision: str = "fp32"  # or bf16


def mixed_precision(device: str, precision: str) -> torch.autocast:
    """Return a context that computes in a precision, ``fp32`` or ``bf16``."""
    enabled = precision == "bf16"
    # Its cache would keep weights that were cast without gradient for a step that has one (PyTorch
    # issue 65766).
    place = torch.device(device).type
    return torch.autocast(place, torch.bfloat16, enabled=enabled, cache_enabled=False)


def choose_precision(wanted: str, config: Config, device: str, run: Path) -> str:
    """Resolve ``auto``: that of the run so far, else what the device trains a network faster in.

    Of a CPU that is measured. Processors that run bfloat16 faster may train in it slower: of two
    with AVX-512's instructions for it one took half as long, the other 1.4 times as long as in
    float32. Several processes go by the mean of what they measure. From here on a GPU rounds no
    float32 to TF32.
    """
    round_nothing(torch.device(device))  # as where the network runs, and is scored
    if wanted != "auto":
        return wanted
    if resumes(run):
        settings = _load(run / STATE)["settings"]
        return str(settings.get("precision"))  # none in runs of old: they are refused
    place = torch.device(device)
    if not has_bf16(place):
        return "fp32"
    if place.type == "cuda":
        return "bf16"
    gain = torch.tensor(_gain(config.backbone, config.layer))
    return "bf16" if parallel.mean(gain) > 1 else "fp32"


@torch.inference_mode(False)
@torch.enable_grad()
def _gain(backbone: str, layer: int) -> float:
    """Return how many times as fast as in float32 a CPU trains a backbone in bfloat16."""
    with torch.random.fork_rng(devices=[]):
        network = BACKBONES[backbone](2, layer).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.zeros(2, 3, 128, 192).contiguous(memory_format=torch.channels_last)

    def step(half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            head = network.head(image)
            logits = network.tail(network.context(head), head)
        logits.float().mean().backward()

    single, half = by_turns(lambda: step(False), lambda: step(True))
    return single / half


def optimise(
    model: TWNet,
    groups: Sequence[Group],
    schedule: Schedule,
    batches: Callable[[int], Iterator[object]],
    losses: Callable[[object], Losses],
    validate: Callable[[], Scores],
    run: Path,
) -> None:
    """Train with AdamW and a one-cycle rate; resume where ``run`` was left.

    Each of ``groups`` has its share of the schedule's rate. ``batches(start)`` iterates from
    iteration ``start`` on. The folder ``run`` receives ``model.safetensors``, the model that
    scored best so far or the newest where nothing is held out, ``last.safetensors``, the newest,
    ``state.pt`` (to resume) and TensorBoard logs. What training begins with is scored, too. Of
    several processes the first one alone writes, and ``batches`` are each one's own share.
    """
    from torch.utils.tensorboard import SummaryWriter  # scoring a model does without

    keep_memory()
    run.mkdir(parents=True, exist_ok=True)
    weights = [p for _, parameters in groups for p in parameters]
    optimiser = torch.optim.AdamW(
        [{"params": parameters} for _, parameters in groups], weight_decay=schedule.weight_decay
    )
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [share * schedule.rate for share, _ in groups],
        total_steps=max(1, schedule.iterations),
        pct_start=0.1 if schedule.iterations >= 20 else 0.3,  # the rise must have steps
    )
    start, best = _resume(run / STATE, schedule, model, optimiser, rate)
    parallel.start_alike(model)  # and no process writes before all have read
    first = parallel.is_first()
    progress = tqdm(
        total=schedule.iterations, initial=start, unit="it", mininterval=5, disable=not first
    )
    # What was logged after the state was stored comes again.
    log_on = partial(SummaryWriter, str(run), purge_step=start + 1) if first else nullcontext
    with log_on() as log, progress:

        def keep(step: int) -> None:
            nonlocal best
            if log is None:
                return
            model.eval()
            with torch.inference_mode():
                scores = validate()
            for name, value in scores.items():
                log.add_scalar(f"held_out/{name}", value, step)
            tqdm.write(f"{step}: " + ", ".join(f"{k} {v:.2f}" for k, v in scores.items()))
            save_checkpoint(run / "last.safetensors", model)
            found = scores.get("score", math.inf)
            if math.isnan(found):
                raise ValueError("expected labels of the classes in what is held out, found none")
            if found >= best:
                save_checkpoint(run / "model.safetensors", model)
                best = found
            _store(run / STATE, schedule, (step, best), model, optimiser, rate)

        if not start:
            keep(0)
        for step, batch in enumerate(batches(start), start + 1):
            values = losses(batch)
            optimiser.zero_grad()
            values["loss"].backward()  # type: ignore[no-untyped-call]
            parallel.average_gradients(weights)
            norm = nn.utils.clip_grad_norm_(weights, schedule.clip)
            if not norm.isfinite():
                raise ValueError(
                    f"iteration {step}: expected a finite gradient, got a norm of {float(norm)}: "
                    f"training diverges; {run / 'model.safetensors'} is the best so far"
                )
            optimiser.step()
            rate.step()
            progress.update()
            if step % 20 == 0:
                shown = {k: float(parallel.mean(v.detach())) for k, v in values.items()}
                progress.set_postfix({k: f"{v:.3f}" for k, v in shown.items()})
                if log is not None:
                    for name, value in {**shown, "gradient_norm": float(norm)}.items():
                        log.add_scalar(f"train/{name}", value, step)
            if step % schedule.validate_every == 0 or step == schedule.iterations:
                keep(step)


def resumes(run: Path) -> bool:
    """Tell whether ``optimise`` would go on in this folder rather than begin."""
    return (run / STATE).is_file()


def _settings(schedule: Schedule, model: TWNet) -> dict[str, object]:
    """Return what a resumed run must have in common with the one it resumes."""
    return {**dataclasses.asdict(schedule), "config": model.config.to_json()}


def _peak_rates(optimiser: dict[str, Any]) -> list[float]:
    """Return the groups' rates as the one-cycle schedule left them in the optimiser's state."""
    return [group["max_lr"] for group in optimiser["param_groups"]]


def _store(
    path: Path,
    schedule: Schedule,
    reached: tuple[int, float],
    model: TWNet,
    optimiser: torch.optim.Optimizer,
    rate: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    state = {
        "settings": _settings(schedule, model),
        "reached": reached,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "rate": rate.state_dict(),
    }
    buffer = io.BytesIO()  # torch says nothing of a full disk, the file system does
    torch.save(state, buffer)
    with whole(path) as file:
        file.write_bytes(buffer.getbuffer())


def _load(path: Path) -> dict[str, Any]:
    """Return what ``_store`` wrote; ValueError where the file is something else."""
    what = f"{path}: expected the state of a run to resume"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # damage makes any step of the parser fail
        kind = type(error).__name__  # its text advises to load the file unchecked
        raise ValueError(f"{what} ({kind}); choose another run folder") from error
    if not isinstance(state, dict) or state.keys() != PARTS:
        keys = [*state] if isinstance(state, dict) else []
        found = f"one of {len(keys)} parts, {keys[0]}, …" if keys else f"a {type(state).__name__}"
        raise ValueError(f"{what}, got {found}; choose another run folder")
    return state


def _resume(
    path: Path,
    schedule: Schedule,
    model: TWNet,
    optimiser: torch.optim.Optimizer,
    rate: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[int, float]:
    """Load what ``_store`` wrote, if there is any; return its iteration and the best score."""
    if not path.is_file():
        return 0, -math.inf
    state = _load(path)
    wanted = _settings(schedule, model) | {"peak rates": _peak_rates(optimiser.state_dict())}
    stored = state["settings"] | {"peak rates": _peak_rates(state["optimiser"])}
    for name, value in wanted.items():
        if stored.get(name) != value:
            raise ValueError(
                f"{path}: expected a run with {name} {value} to resume, "
                f"got {stored.get(name)}; choose another run folder"
            )
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    rate.load_state_dict(state["rate"])
    step, best = state["reached"]
    return int(step), float(best)
