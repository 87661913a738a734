"""The sub-command ``twnet benchmark``."""

import argparse
from pathlib import Path

from twnet_ros.cli.argument import Commands, command, count, require_ros, size


def benchmark(options: argparse.Namespace) -> None:
    """Time each path from packet to labels, and other networks beside them."""
    import tempfile

    from twnet_ros.learn.speed.benchmark import (
        Setting,
        check,
        easy_rate,
        make_clip,
        measure,
        save_network,
    )
    from twnet_ros.learn.speed.sheet import markdown, write_json

    o = options
    if o.ros:  # said before minutes of work, like what follows
        require_ros("--ros")
        from twnet_ros.nodes.overhead import node_overhead
    if o.json and (o.json.is_dir() or not o.json.parent.is_dir()):
        raise ValueError(f"--json: expected a file in an existing folder, got {o.json}")
    if o.clip and (o.size or o.codec):
        raise ValueError("--size and --codec: expected without CLIP, which has its own")
    where = (o.device, o.precision, o.input_size)
    setting = Setting(o.backbone, *where, o.frames, o.threads, o.against)
    check(setting)
    with tempfile.TemporaryDirectory() as folder:
        clip = o.clip or make_clip(
            Path(folder), o.size or (2048, 1024), o.codec or "mpeg4", o.frames
        )
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


def describe(commands: Commands) -> None:
    """Describe the sub-command."""
    made = command(
        commands, benchmark, "benchmark drive.mp4 --against networks:ddrnet --json speed.json"
    )
    add = made.add_argument
    add("clip", type=Path, nargs="?", metavar="FILE", help="video file; default: a street")
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
    add("--size", type=size, metavar="WxH", help=text)
    add("--codec", choices=("mpeg4", "h264"), help="of that clip, too, default: mpeg4")
