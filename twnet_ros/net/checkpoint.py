"""Checkpoints: weights as safetensors, the configuration in the same file's metadata."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from twnet_ros.net.config import Config
from twnet_ros.net.twnet import TWNet

FORMAT = "twnet-1"
MAX_BYTES = 1 << 30
STORED = (torch.float16, torch.bfloat16, torch.float32)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is not what was expected."""


def refuse_large(source: Path, size: int) -> None:
    """Raise CheckpointError for a file that would become more bytes than any network has."""
    if size > MAX_BYTES:
        raise CheckpointError(f"{source}: expected at most {MAX_BYTES} bytes, got {size}")


def save_checkpoint(path: str | os.PathLike[str], model: TWNet) -> None:
    """Write a checkpoint: parameters in half precision, batch-norm statistics in single.

    The file appears whole or not at all. The same model gives the same bytes. CheckpointError
    where a number is not finite, or too large for half precision.
    """
    target = Path(path)
    temporary = target.with_name(target.name + ".part")
    half = {name for name, _ in model.named_parameters()}
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if name in half else torch.float32)
        for name, tensor in _tensors(model).items()
    }
    for name, tensor in tensors.items():
        _sound(target, name, tensor)
    metadata = {"format": FORMAT, "config": model.config.to_json()}
    try:
        data = save({k: t.contiguous() for k, t in tensors.items()}, metadata)
        temporary.write_bytes(_ordered(data))
        temporary.replace(target)
    except OSError as error:
        error.filename = error.filename or str(target)  # which that of a full disk does not name
        raise
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike[str]) -> TWNet:
    """Read a checkpoint into a float32 network on the CPU, in evaluation mode.

    Nothing in the file is executed. CheckpointError where the file is missing or too large, is
    no TWNet checkpoint, or does not hold exactly the tensors of its configuration, all finite.
    """
    source = Path(path)
    if not source.is_file():
        raise CheckpointError(f"{source}: expected a checkpoint file, found none")
    refuse_large(source, source.stat().st_size)
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(
                    f"{source}: expected a {FORMAT} checkpoint, "
                    f"its metadata say {metadata.get('format')!r}"
                )
            model = _model_of(source, metadata.get("config", ""))
            expected = {name: tuple(t.shape) for name, t in _tensors(model).items()}
            actual = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _compare(source, expected, actual)
            with torch.no_grad():
                for name, tensor in _tensors(model).items():
                    stored = file.get_tensor(name)
                    if stored.dtype not in STORED:
                        raise CheckpointError(
                            f"{source}: {name}: expected {', '.join(map(str, STORED))}, "
                            f"got {stored.dtype}"
                        )
                    tensor.copy_(_sound(source, name, stored))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{source}: expected a safetensors file ({error})") from error
    return model.eval()


def _ordered(data: bytes) -> bytes:
    """Sort the metadata in a file's header; safetensors leaves their order to chance."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + data[end:]


def _model_of(source: Path, text: str) -> TWNet:
    try:
        return TWNet(Config.from_json(text))
    except (ValueError, RecursionError) as error:  # JSON may be nested as deep as one likes
        raise CheckpointError(f"{source}: its configuration is wrong: {error}") from error


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return everything that is stored: all but the batch norms' counters."""
    state = model.state_dict()
    return {k: t for k, t in state.items() if not k.endswith("num_batches_tracked")}


def _sound(file: Path, name: str, tensor: Tensor) -> Tensor:
    if not tensor.isfinite().all():
        raise CheckpointError(f"{file}: {name}: expected finite numbers, got infinite ones or NaN")
    if name.endswith("running_var") and (tensor < 0).any():
        # Its root is no number, and oneDNN's activations make a number of that again.
        raise CheckpointError(f"{file}: {name}: expected variances, got negative ones")
    return tensor


def _compare(
    source: Path, expected: dict[str, tuple[int, ...]], actual: dict[str, tuple[int, ...]]
) -> None:
    if missing := sorted(set(expected) - set(actual)):
        raise CheckpointError(f"{source}: {len(missing)} tensors are missing, first {missing[0]}")
    if unknown := sorted(set(actual) - set(expected)):
        raise CheckpointError(f"{source}: {len(unknown)} unknown tensors, first {unknown[0]}")
    for name, shape in expected.items():
        if actual[name] != shape:
            raise CheckpointError(f"{source}: {name}: expected {shape}, got {actual[name]}")
