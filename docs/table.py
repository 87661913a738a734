"""Writes the tables of parameters and topics in README.md from the code: ``make tables``."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from twnet_ros.nodes import debug_time, intake, label_info, setting, video_publisher
from twnet_ros.nodes.output import TOPICS
from twnet_ros.nodes.parameter import Parameter

README = Path(__file__).parents[1] / "README.md"

IN = {
    "video": "The compressed video. `format` or `encoding` names the codec: `h264`, `libx264`, "
    "`h264_nvenc`, `h264;yuv420p;bgr8;bgr8`, `mpeg4`, `hevc`, `vp9`, `av1`, …",
    "camera_info": "The camera's calibration. Default topic: `camera_info` beside the image's "
    "(`/camera/image/compressed` has `/camera/camera_info`); the parameter of that name, "
    "or a remapping, takes another.",
}
OUT = {
    "~/labels": "`mono8`, a class id a pixel; 255 is unlabelled.",
    "~/confidence": "`mono8`, 255 times the softmax probability of the pixel's class.",
    "~/masks": "Run lengths of each class of `mask_classes` that is in the picture; "
    "`twnet_ros.nodes.conversion.decode_mask` makes an array of one.",
    "~/masks/<class>": "`mono8`, 0 or 255, one topic for each of `mask_classes`; `traffic light` "
    "is `~/masks/traffic_light`.",
    "~/label_info": "The class of every id; latched.",
    "~/color_labels": "`rgb8`, the classes' colours.",
    "~/overlay/compressed": "JPEG, the colours over the picture.",
    "~/motion": "`rgb8`, where the network's pixels came from: hue is direction, saturation "
    "length, white no motion; at the network's size.",
    "~/residual": "`mono8`, four times the luma that motion does not explain, around grey, at the "
    "network's size.",
    "~/camera_info": "The calibration of `~/labels`, and of `~/confidence`, `~/masks`, "
    "`~/color_labels` and `~/overlay/compressed`, which are of its size.",
    "~/status": "One a packet, labelled or not: frame type, path, what is waited for and why, "
    "times, counts; the last 30 are latched.",
    "/diagnostics": "Stream, load and device once a `diagnostic_period`.",
    "~/debug/…": "Milliseconds of each labelled frame, as Autoware names them: "
    + ", ".join(f"`{name}`" for name in debug_time.TIMES)
    + ".",
}


def type_name(kind: type) -> str:
    """Return a message class as package/Message."""
    package = kind.__module__.partition(".")[0]
    return f"{package}/{kind.__name__}"


def types() -> dict[str, list[str]]:
    """Return the message types of every topic of the segment node."""
    pictures = {topic: [type_name(kind)] for topic, kind in TOPICS.items()}
    return {
        "video": [f"{kind.package}/{kind.message}" for kind in intake.INPUT_TYPES],
        "camera_info": pictures["~/camera_info"],
        "~/masks/<class>": pictures["~/labels"],
        "~/label_info": [f"{label_info.PACKAGE}/LabelInfo"],
        "~/status": ["twnet_ros/FrameStatus"],
        "/diagnostics": ["diagnostic_msgs/DiagnosticArray"],
        "~/debug/…": [f"{debug_time.PACKAGE}/Float64Stamped"],
        **pictures,
    }


def topic_table() -> list[str]:
    """Return the topics of the segment node, what comes in first."""
    by_topic = types()
    if strange := by_topic.keys() ^ {*IN, *OUT}:
        raise ValueError(f"expected a description of every topic, got {sorted(strange)}")
    rows = [
        (
            f"`{topic}`" + " (in)" * (topic in IN),
            ", ".join(f"`{t}`" for t in by_topic[topic]),
            text,
        )
        for topic, text in (IN | OUT).items()
    ]
    return table(("topic", "type", ""), rows)


def parameter_table(parameters: Sequence[Parameter]) -> list[str]:
    """Return parameters as rows; those that change while the node runs are marked, if any do."""
    live = any(one.live for one in parameters)
    # Topics, and names that are no words of English.
    code = "|".join([r"(?<!\w)~?/[\w/<>]+", *(one.name for one in parameters if "_" in one.name)])
    rows = [
        (
            f"`{one.name}`" + " ●" * one.live,
            f"`{shown(one.default)}`",
            bounds(one),
            re.sub(code, r"`\g<0>`", one.description),
        )
        for one in parameters
    ]
    return table(("parameter" + " (● live)" * live, "default", "values", ""), rows)


def shown(value: object) -> str:
    """Return a value as a configuration file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return '""' if value == "" else str(value)


def bounds(parameter: Parameter) -> str:
    """Return what values a parameter takes."""
    if parameter.choices:
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    if not parameter.range:
        return ""
    low, high = parameter.range
    return f"{low:.10g} to {high:.10g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown, a line each row."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


TABLES: dict[str, Callable[[], list[str]]] = {
    "topics": topic_table,
    "segment": partial(parameter_table, setting.TABLE),
    "video_publisher": partial(parameter_table, video_publisher.TABLE),
}


def with_tables(text: str) -> str:
    """Return a text with every table written anew between its two comments.

    ValueError if it has not just one place for each.
    """
    for name, make in TABLES.items():
        begin, end = f"<!-- table: {name} -->\n", "<!-- end -->\n"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not ended or begin in after:
            raise ValueError(f"expected one table between {begin.strip()} and {end.strip()}")
        text = "".join((before, found, *(f"{row}\n" for row in make()), ended, after))
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
