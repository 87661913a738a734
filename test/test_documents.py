"""What the documents say can be done: links lead somewhere, and commands are commands."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from coded import encode
from twnet_ros.cli import COMMANDS, parser
from twnet_ros.codec import StreamDecoder
from twnet_ros.segment import read_remapping
from twnet_ros.segment.palette import CAMVID, CITYSCAPES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
CARDS = sorted(ROOT.glob("twnet_ros/models/*.md"))
LAUNCH = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("launch/*.py")}


def name(document):
    return str(document.relative_to(ROOT))


every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name)


def prose(document):
    """Return a document without its blocks of code."""
    return re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)


def lines(document):
    """Return the lines of a document's shell commands, whole where they go on in the next one."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    indented = re.findall(r"^    (.*\n)", prose(document), re.MULTILINE)
    return "".join([*blocks, *indented]).replace("\\\n", " ").splitlines()


def anchors(document):
    """Return the names of a document's headings, as public forges make them."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_links_lead_to_a_file_and_a_heading(document):
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        found = document.parent / file if file else document
        assert found.is_file(), target
        assert not anchor or anchor in anchors(found), target


def test_the_readme_leads_to_every_document_and_example():
    found = set(re.findall(r"\]\(([^)#]+)", prose(ROOT / "README.md")))
    wanted = {name(path) for path in DOCUMENTS} - {"README.md"}
    wanted |= {name(path) for path in ROOT.glob("docs/examples/*")}
    assert {one for one in wanted if "__pycache__" not in one} <= found


def test_the_readme_lists_every_sub_command():
    listed = re.findall(r"^\| `twnet (\w+)", prose(ROOT / "README.md"), re.MULTILINE)
    assert {command.__name__.rpartition(".")[2] for command in COMMANDS} <= set(listed)


@pytest.mark.parametrize("document", [*DOCUMENTS, *CARDS], ids=name)
def test_twnet_commands_are_understood(document, tmp_path):
    said = [one for one in lines(document) if re.match(r'twnet |[A-Z]+="', one)]
    # As a shell reads them, with the variables that are set in front of them.
    script = 'twnet() { printf "%s\\n" "$@"; echo; }\n' + "\n".join(said)
    shell = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert shell.returncode == 0, shell.stderr
    commands = [one.splitlines() for one in shell.stdout.split("\n\n") if one.strip()]
    assert len(commands) == sum(one.startswith("twnet ") for one in said)
    for command in commands:
        if "--config" in command:  # which is read
            config = command[command.index("--config") + 1]
            if config.startswith("runs/"):
                command.remove("--config")
                command[command.index(config) :] = ["--data", "data", "--out", "runs/mine"]
            else:
                assert (ROOT / config).is_file()
                command[command.index(config)] = str(ROOT / config)
        try:
            parser().parse_args(command)
        except SystemExit:
            pytest.fail(f"not understood: twnet {shlex.join(command)}")


@every_document
def test_launch_files_take_the_arguments_that_are_given(document):
    for file, rest in re.findall(r"ros2 launch twnet_ros (\S+)(.*)", "\n".join(lines(document))):
        taken = LAUNCH[file]
        if "segment.launch.py" in taken:
            taken += LAUNCH["segment.launch.py"]
        for argument in re.findall(r"(\w+):=", rest.partition(" #")[0]):
            assert f'("{argument}", ' in taken, f"{file} {argument}"


def test_the_example_of_a_class_map_takes_every_shipped_model(tmp_path):
    (text,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/CLASSES.md").read_text(), re.DOTALL)
    (tmp_path / "stack.json").write_text(text)
    for classes in (CAMVID, CITYSCAPES):
        read_remapping(str(tmp_path / "stack.json"), classes.names)


def documented(encoder):
    """Return the options of the line that shows how to encode with this encoder."""
    (line,) = (one for one in lines(ROOT / "docs/STREAMS.md") if f"-c:v {encoder} " in one)
    words = shlex.split(line)[3:-1]
    return {key[1:]: value for key, value in zip(words[::2], words[1::2], strict=True)}


@pytest.mark.parametrize(("encoder", "codec"), [("libx264", "h264"), ("mpeg4", "mpeg4")])
def test_the_way_to_encode_is_exact(encoder, codec, pan_over):
    options = documented(encoder)
    gop, count = int(options["g"]), 30
    pictures = pan_over(count, width=128, height=96, square=8, blur=4, dx=2, dy=1)
    packets = encode(options.pop("c:v"), pictures, options, fps=20)
    decoder = StreamDecoder(codec)
    frames = [one for packet in packets for one in decoder.decode(packet)]
    assert len(frames) == count and not decoder.caveat
    for number, frame in enumerate(frames):
        assert frame.key == (number % gop == 0)
        assert frame.key or frame.motion.coded.mean() > 0.5
