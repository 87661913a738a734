"""The ``twnet`` command."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twnet_ros.codec import CodecError
from twnet_ros.learn.recipe import RecipeParser, record_recipe

Command = Callable[[argparse.Namespace], None]


def size(text: str) -> tuple[int, int]:
    """Parse ``WIDTHxHEIGHT``."""
    width, x, height = text.lower().partition("x")
    if not (x and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, as in 1024x512, got {text!r}")
    return int(width), int(height)


def bitrate(text: str) -> int:
    """Parse bits per second, ``6M``, ``800k`` or a plain number."""
    scale = {"k": 1e3, "M": 1e6}.get(text[-1:], 1)
    try:
        rate = float(text[:-1] if scale > 1 else text) * scale
    except ValueError:
        rate = 0.0
    if not 1 <= rate <= 1e12:
        raise argparse.ArgumentTypeError(f"expected a bitrate, as in 6M or 800k, got {text!r}")
    return int(rate)


def count(text: str) -> int:
    """Parse a whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def number(text: str) -> int:
    """Parse a whole number of 0 or more."""
    return 0 if text == "0" else count(text)


def probability(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a probability from 0 to 1, got {text!r}")
    return value


def encode(options: argparse.Namespace) -> None:
    """Encode a folder of pictures."""
    from tqdm import tqdm

    from twnet_ros.codec import write_clip
    from twnet_ros.segment.picture import read_rgb

    suffixes = {".png", ".jpg", ".jpeg"}
    folder = options.frames
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in suffixes)
    if not paths:
        raise CodecError(f"{folder}: expected a folder of PNG or JPEG frames, found none")

    def frames() -> Iterator[NDArray[np.uint8]]:
        for path in tqdm(paths, unit="frame"):
            yield read_rgb(path)

    rate = {"bitrate": options.bitrate, "crf": options.crf}
    write_clip(
        options.out, frames(), codec=options.codec, gop=options.gop, fps=options.fps, **rate
    )


def inspect(options: argparse.Namespace) -> None:
    """Show what the codec knows about each frame."""
    from tqdm import tqdm

    from twnet_ros.segment.inspection import inspect as inspections

    if options.dump:
        options.dump.mkdir(parents=True, exist_ok=True)
    rows = []
    for found in tqdm(inspections(options.clip), unit="frame", delay=2):
        row = found.summary()
        rows.append(row)
        if not options.json:
            if len(rows) == 1:
                tqdm.write("  ".join(row))
            tqdm.write("  ".join(str(value).rjust(len(name)) for name, value in row.items()))
        if options.dump:
            target = options.dump / f"frame_{found.frame.index:05d}.npz"
            temporary = target.with_suffix(".part")
            try:
                with temporary.open("wb") as file:
                    np.savez_compressed(
                        file,
                        type=found.frame.kind.value,
                        motion=found.motion,
                        coded=found.coded,
                        residual=found.residual,
                    )
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
    if options.json:
        print(json.dumps(rows))


def segment(options: argparse.Namespace) -> None:
    """Label every frame of a clip."""
    from tqdm import tqdm

    from twnet_ros.segment import Segmenter, key_policy
    from twnet_ros.segment.recording import record

    segmenter = Segmenter.load(
        options.model,
        options.device,
        options.precision,
        options.input_size,
        options.per_frame,
        key_policy(
            options.key_policy, options.key_interval, options.key_intra, options.key_residual
        ),
        options.motion,
    )
    summary = record(
        options.clip,
        segmenter,
        overlay=options.output,
        labels=options.labels,
        progress=lambda frames, total: tqdm(frames, total=total, unit="frame"),
    )
    print(json.dumps(summary))


def chaos(options: argparse.Namespace) -> None:
    """Damage a clip's packets at random and tell what is noticed and what is published."""
    from twnet_ros.segment.chaos import FAULTS, run

    summary = run(
        options.clip,
        {name: getattr(options, name) for name in FAULTS},
        options.seed,
        labels=options.labels,
        model=options.model,
        device=options.device,
        precision=options.precision,
        input_size=options.input_size,
    )
    print(json.dumps(summary))


def streets(options: argparse.Namespace) -> None:
    """Render a procedural street drive."""
    from twnet_ros.learn.streets import write_street

    width, height = options.size
    write_street(options.out, options.frames, width, height, options.seed)


def train(options: argparse.Namespace) -> None:
    """Run one of the two training steps."""
    from twnet_ros.learn import parallel

    with parallel.processes(options.device) as device:
        _train(options, device, parallel.is_first())


def _train(options: argparse.Namespace, device: str, first: bool) -> None:
    from twnet_ros.learn.data import open_data
    from twnet_ros.learn.loop import Schedule, resumes
    from twnet_ros.learn.rollout import Rollout
    from twnet_ros.learn.train import step_one, step_two

    data = open_data(options.data, options.classes, options.clip_size, options.hold_out)
    if first:
        record_recipe(options, resumes(options.out))
    schedule = Schedule(
        options.iterations,
        options.batch,
        options.rate,
        validate_every=options.validate_every,
        seed=options.seed,
    )
    if options.step == "key":
        step_one(
            data,
            schedule,
            options.out,
            backbone=options.backbone,
            layer=options.layer,
            input_size=options.input_size or options.clip_size,
            crop=options.crop,
            scale=tuple(options.scale),
            init=options.init,
            pretrained=options.pretrained,
            encoder_rate=options.encoder_rate,
            device=device,
        )
    else:
        rollout = Rollout(consistency=options.consistency)
        step_two(
            data,
            schedule,
            rollout,
            options.out,
            model=options.model,
            layer=options.layer,
            correction=options.correction,
            device=device,
        )


def evaluate(options: argparse.Namespace) -> None:
    """Score models and what they are held against on held-out clips."""
    from twnet_ros.learn.data import open_data
    from twnet_ros.learn.report import report

    data = open_data(options.data, options.classes, options.clip_size, options.hold_out)
    report(
        options.models,
        data,
        split=options.split,
        clips=options.clips,
        frames=options.frames,
        gop=options.gop,
        distances=options.distance,
        cache=options.cache,
        bits_per_pixel=options.bits_per_pixel,
        every=options.every,
        motion=options.motion,
        methods=options.methods,
        device=options.device,
        precision=options.precision,
        out=options.out,
    )


def benchmark(options: argparse.Namespace) -> None:
    """Time each path from packet to labels, and other networks beside them."""
    import tempfile

    from twnet_ros.learn.benchmark import Setting, easy_rate, make_clip, measure, save_network
    from twnet_ros.learn.sheet import markdown, write_json

    o = options
    if o.ros:  # said before minutes of work, like what follows
        from twnet_ros.nodes.overhead import node_overhead
    if o.json and not o.json.parent.is_dir():
        raise ValueError(f"--json: expected an existing folder for {o.json}, got none")
    where = (o.device, o.precision, o.input_size)
    setting = Setting(o.backbone, *where, o.frames, o.threads, o.against)
    with tempfile.TemporaryDirectory() as folder:
        clip = o.clip or make_clip(Path(folder), o.size, o.codec, o.frames)
        report = measure(clip, setting)
        try:
            if o.ros:
                model, rate = save_network(Path(folder), report), easy_rate(report)
                ran = (report["device"], report["precision"])
                report["node_overhead_ms"] = node_overhead(clip, model, rate, *ran)
        finally:  # the rest holds without the node
            print(markdown(report))
            if o.json:
                write_json(o.json, report)


def demo(options: argparse.Namespace) -> None:
    """Stream a drive through a real segment node and show what comes of it."""
    from twnet_ros.demo import demonstrate

    print(demonstrate(options.video, options.out))


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    root = argparse.ArgumentParser(prog="twnet", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        function: Command, example: str, within: Any = commands, name: str = ""
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = within.add_parser(
            name or function.__name__,
            help=function.__doc__,
            description=function.__doc__,
            epilog=f"example: twnet {example}",
        )
        made.set_defaults(function=function)
        return made

    add = command(encode, "encode frames/ drive.avi --codec mpeg4 --bitrate 6M").add_argument
    add("frames", type=Path, metavar="FRAMES_DIR", help="folder of PNG or JPEG frames, by name")
    add("out", type=Path, metavar="OUT", help="file to write: .mp4, .avi or .mkv")
    add("--codec", choices=("mpeg4", "h264"), default="mpeg4", help="default: %(default)s")
    add(
        "--gop",
        type=count,
        default=12,
        help="frames from one I-frame to the next, default: %(default)s",
    )
    add("--fps", type=float, default=17.0, help="frames a second, default: %(default)s")
    add("--bitrate", type=bitrate, help="bits a second, as in 6M")
    add("--crf", type=float, help="constant quality, 1 (best) to 51; h264 only")

    add = command(inspect, "inspect drive.avi --dump side_data/").add_argument
    add("clip", type=Path, metavar="CLIP", help="video file")
    add("--json", action="store_true", help="print one JSON list instead of a table")
    add("--dump", type=Path, metavar="DIR", help="write frame_00000.npz … with pixel-wise data")

    made = command(segment, "segment drive.mp4 -o overlay.mp4")
    add = made.add_argument
    add("clip", type=Path, metavar="CLIP", help="video file")
    add("-o", "--output", type=Path, metavar="OVERLAY.mp4", help="write the overlay as a video")
    add("--labels", type=Path, metavar="DIR", help="write train ids as 00000.png …")
    _add_model(made)
    add("--per-frame", action="store_true", help="take the key step for every frame")
    _add_motion(made)
    add(
        "--key-policy",
        choices=("codec", "interval", "adaptive"),
        default="adaptive",
        help="frames that take the key step: I-frames, and others by the bounds below (default)",
    )
    add("--key-interval", type=count, default=24, metavar="FRAMES", help="default: %(default)s")
    text = "share of blocks without a vector, default: %(default)s"
    add("--key-intra", type=probability, default=0.5, metavar="SHARE", help=text)
    text = "mean luma residual, for adaptive, default: %(default)s"
    add("--key-residual", type=float, default=12.0, metavar="LEVELS", help=text)

    made = command(chaos, "chaos drive.mp4 --loss 0.05 --flip 0.01 --seed 1")
    add = made.add_argument
    add("clip", type=Path, metavar="CLIP", help="video file")
    for fault, done in (
        ("loss", "never arrives"),
        ("duplicate", "arrives twice"),
        ("reorder", "changes places with the next"),
        ("truncate", "is cut anywhere"),
        ("flip", "has one bit inverted"),
    ):
        text = f"probability that a packet {done}, default: %(default)s"
        add(f"--{fault}", type=probability, default=0.0, metavar="P", help=text)
    add("--seed", type=int, required=True, metavar="N", help="which packets are hit, and where")
    add("--labels", type=Path, metavar="DIR", help="label what is published: 00000.png … by frame")
    _add_model(made)

    add = command(streets, "streets drive/ --frames 120 --size 1024x512 --seed 7").add_argument
    add("out", type=Path, metavar="OUT_DIR", help="folder to write frames/ and labels/ to")
    add("--frames", type=count, default=120, help="how many, default: %(default)s")
    add("--size", type=size, default=(1024, 512), metavar="WxH", help="default: 1024x512")
    add("--seed", type=int, default=0, help="which street, default: %(default)s")

    steps = command(train, "train key --data streets --out runs/key")
    kinds = steps.add_subparsers(
        dest="step", required=True, metavar="key|nonkey", parser_class=RecipeParser
    )
    key = command(train, "train key --data streets --out runs/key", kinds, "key")
    key.description = "Step 1: train the key-frame CNN on labelled pictures."
    _add_training(key, iterations=5000, batch=8, rate=3e-3)
    key.add_argument(
        "--backbone", default="mobilenetv1", metavar="NAME", help="default: %(default)s"
    )
    key.add_argument("--layer", type=int, choices=(1, 2, 3), default=1, help="context layer")
    key.add_argument("--crop", type=size, default=(352, 288), metavar="WxH", help="training crops")
    key.add_argument(
        "--scale",
        type=float,
        nargs=2,
        default=[0.7, 1.6],
        metavar=("LEAST", "GREATEST"),
        help="factors of the random scaling, default: %(default)s",
    )
    key.add_argument("--input-size", type=size, metavar="WxH", help="default: the clip size")
    start = key.add_mutually_exclusive_group()
    start.add_argument("--init", metavar="MODEL", help="start from this model's fitting tensors")
    text = "ImageNet weights of the encoder, .pth (torchvision's) or .safetensors (timm's)"
    start.add_argument("--pretrained", type=Path, metavar="FILE", help=text)
    text = "share of the rate for the tensors of --pretrained, default: %(default)s"
    key.add_argument("--encoder-rate", type=float, default=0.1, metavar="SHARE", help=text)
    example = "train nonkey --data streets --model runs/key/model.safetensors --out runs/nonkey"
    nonkey = command(train, example, kinds, "nonkey")
    nonkey.description = "Step 2: train the non-key-frame CNN along compressed clips."
    _add_training(nonkey, iterations=1000, batch=4, rate=5e-5)
    nonkey.add_argument("--model", required=True, help="checkpoint of step 1")
    text = "where to cut the key-frame CNN, default: the checkpoint's"
    nonkey.add_argument("--layer", type=int, choices=(1, 2, 3), help=text)
    nonkey.add_argument(
        "--correction",
        choices=("none", "cfr", "rga"),
        help="of the warped context: none, CFR alone, or CFR with RGA; default: the checkpoint's",
    )
    nonkey.add_argument("--consistency", type=float, default=10.0, help="lambda of equation 8")

    scored = command(evaluate, "evaluate streets-mobilenetv1-layer1 --data streets")
    scored.add_argument("models", nargs="+", metavar="MODEL", help="shipped name or file")
    text = "write report.md, report.json and plots to this folder"
    scored.add_argument("--out", type=Path, metavar="DIR", help=text)
    _add_data(scored)
    scored.add_argument("--precision", default="auto", help="auto, fp32, bf16 or (CUDA) fp16")
    scored.add_argument(
        "--split", choices=("val", "test"), default="val", help="default: %(default)s"
    )
    text = "how many, default: 8, or one for every labelled frame of real sequences"
    scored.add_argument("--clips", type=count, help=text)
    text = "of each clip that is made of stills or streets, default: %(default)s"
    scored.add_argument("--frames", type=count, default=36, help=text)
    scored.add_argument(
        "--distance",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="from the key frame to the labelled frames of real sequences; default: at random",
    )
    text = "where clips of real sequences are kept, default: beside the data, in DATA.clips"
    scored.add_argument("--cache", type=Path, metavar="DIR", help=text)
    scored.add_argument(
        "--gop",
        type=count,
        default=12,
        help="frames from I-frame to I-frame, default: %(default)s",
    )
    scored.add_argument(
        "--bits-per-pixel", type=float, default=0.3, help="sets the bitrate, default: %(default)s"
    )

    _add_motion(scored)
    scored.add_argument(
        "--methods",
        nargs="+",
        default=["per_frame", "twnet", "warping", "repeat"],
        metavar="NAME",
        help="also nkfc, prop_mv, dff, interp_mv, adaptive; default: %(default)s",
    )
    scored.add_argument(
        "--every",
        type=count,
        default=1,
        metavar="N",
        help="label one of N frames and skip the others, default: %(default)s",
    )

    made = command(benchmark, "benchmark drive.mp4 --against networks:make --json speed.json")
    add = made.add_argument
    add("clip", type=Path, nargs="?", metavar="CLIP", help="video file; default: a street")
    add("--json", type=Path, metavar="FILE", help="write the report as JSON")
    text = "callable without arguments that returns a torch.nn.Module from a normalised image to "
    text += "logits, timed per frame in the same run; may be given more than once"
    add("--against", action="append", default=[], metavar="MODULE:FACTORY", help=text)
    add("--ros", action="store_true", help="run a segment node, too, and tell what it adds")
    add("--backbone", default="mobilenetv1", metavar="NAME", help="default: %(default)s")
    add("--frames", type=count, default=36, help="of each path, at least, default: %(default)s")
    text = "what the video is scaled to fit, default: its own size"
    add("--input-size", type=size, metavar="WxH", help=text)
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--precision", default="auto", help="auto, fp32, bf16 or (CUDA) fp16")
    add("--threads", type=count, metavar="N", help="of the network on the CPU, default: torch's")
    text = "of the clip that is rendered, default: 2048x1024"
    add("--size", type=size, default=(2048, 1024), metavar="WxH", help=text)
    add("--codec", choices=("mpeg4", "h264"), default="mpeg4", help="of that clip, too")

    add = command(demo, "demo drive.mp4").add_argument
    add("video", type=Path, nargs="?", help="video file; without one, a rendered drive")
    add("--out", type=Path, default=Path("demo"), help="folder to write to, default: demo")
    return root


def _add_model(made: argparse.ArgumentParser) -> None:
    add = made.add_argument
    add(
        "--model",
        default="camvid-mobilenetv1-layer1",
        help="shipped name or file, default: %(default)s",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--precision", default="auto", help="auto, fp32, bf16 or (CUDA) fp16")
    add("--input-size", type=size, metavar="WxH", help="what the video is scaled to fit")


def _add_motion(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--motion",
        choices=("auto", "codec", "flow", "none", "flownet2", "pwcnet"),
        default="auto",
        help="the codec's vectors, and optical flow where it has none (auto, the default); one of "
        "them only; no motion; optical flow by a network of the package ptlflow",
    )


def _add_data(made: argparse.ArgumentParser) -> None:
    add = made.add_argument
    text = "'streets', or the folder of Cityscapes, of CamVid, or with images/ and labels/"
    add("--data", required=True, help=text)
    text = "of a folder: camvid, cityscapes (default), or a JSON file"
    add("--classes", help=text)
    add("--clip-size", type=size, default=(512, 256), metavar="WxH", help="default: 512x256")
    add("--hold-out", nargs="*", default=[], metavar="PREFIX[:N]", help="files to score on only")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def _add_training(
    made: argparse.ArgumentParser, *, iterations: int, batch: int, rate: float
) -> None:
    _add_data(made)
    add = made.add_argument
    text = "YAML file with options as here, which those of the command line override"
    add("--config", type=Path, metavar="FILE", help=text)
    add("--out", type=Path, required=True, metavar="RUN", help="run folder; an old one resumes")
    add("--iterations", type=number, default=iterations, help="default: %(default)s")
    add("--batch", type=count, default=batch, help="default: %(default)s")
    add("--rate", type=float, default=rate, help="peak learning rate, default: %(default)s")
    add(
        "--validate-every",
        type=count,
        default=500,
        metavar="N",
        help="score the model on held-out data every N iterations, default: %(default)s",
    )
    add("--seed", type=int, default=0, help="of data and initialisation")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors of input are one line on standard error and exit status 1."""
    logging.basicConfig(format="twnet: %(message)s")
    try:
        options = parser().parse_args(arguments)
        options.function(options)
    except (ValueError, OSError, ImportError) as error:  # every room's own errors are ValueErrors
        print(f"twnet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("twnet: interrupted; finished files are whole", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
