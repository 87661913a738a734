"""Training options from files: what they may hold, what overrides them, what a run records."""

import subprocess
from pathlib import Path

import pytest

from twnet_ros.cli import parser
from twnet_ros.learn.training.recipe import record_recipe

ROOT = Path(__file__).parents[3]
RECIPES = sorted((ROOT / "config" / "train").glob("*.yaml"))
CARDS = {
    name: ROOT / "twnet_ros" / "models" / f"{card}-layer1.md"
    for name, card in {
        "camvid": "camvid-mobilenetv1",
        "ddrnet": "camvid-ddrnet23slim",
        "streets": "streets-mobilenetv1",
    }.items()
}


@pytest.fixture
def parsed(tmp_path):
    """Parse a training's command line with a file of this text; return the options by name."""
    path = tmp_path / "recipe.yaml"

    def parse(text, *arguments, step="key"):
        path.write_text(text, encoding="utf-8")
        return parser().parse_args(["train", step, "--config", str(path), *arguments])

    return parse


def settings(options):
    return {k: v for k, v in vars(options).items() if k != "config"}


def test_a_file_is_as_the_command_line(parsed):
    text = """
        # a comment
        data: stills
        out: runs/a       # another
        clip-size: 96x64
        hold-out: [b, "0007", 0016E5:40]
        rate: 3e-3
        scale: [0.5, 2]
        seed: 010
    """
    line = "--data stills --out runs/a --clip-size 96x64 --hold-out b 0007 0016E5:40 --rate 3e-3"
    line += " --scale 0.5 2 --seed 010"
    expected = parser().parse_args(["train", "key", *line.split()])
    assert settings(parsed(text)) == settings(expected)
    assert parsed("hold-out: town", "--data", "a", "--out", "b").hold_out == ["town"]
    assert parsed("hold-out: []", "--data", "a", "--out", "b").hold_out == []


@pytest.mark.parametrize("before", [True, False])
def test_the_command_line_overrides_the_file(tmp_path, before):
    path = tmp_path / "recipe.yaml"
    path.write_text("data: a\nout: b\nrate: 1\ncrop: 64x64\nhold-out: [a, b]")
    config, given = ["--config", str(path)], ["--rate", "2", "--hold-out", "c"]
    order = config + given if before else given + config
    options = parser().parse_args(["train", "key", *order])
    assert (options.rate, options.hold_out, options.crop) == (2.0, ["c"], (64, 64))


def test_what_is_required_may_come_from_either(parsed, capsys):
    options = parsed("model: a\ndata: b", "--out", "c", step="nonkey")
    assert (options.model, options.data, options.out) == ("a", "b", Path("c"))
    with pytest.raises(SystemExit):
        parsed("data: b", step="nonkey")
    assert "required: --out, --model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, expected",
    [
        ("rat: 3", "expected data, .*rate, .* found 'rat'"),
        ("help: 1", "found 'help'"),
        ("config: other.yaml", "found 'config'"),
        ("clip_size: 96x64", "clip-size, .* found 'clip_size'"),
        ("model: a", "found 'model'"),  # of the other step
        ("rate: fast", "rate: expected a number from 0 on, got 'fast'"),
        ("rate:", "rate: expected a value or a list of values, found none"),
        ("rate: [1, 2]", r"rate: expected one value, found the list \['1', '2'\]"),
        ("rate: {a: 1}", "rate: expected a value or a list of values, found none"),
        ("seed: 1.5", "seed: expected a whole number of 0 or more, got '1.5'"),
        ("seed: true", "seed: expected a whole number of 0 or more, got 'true'"),
        ("batch: 0", "batch: expected a whole number of 1 or more, got '0'"),
        ("crop: [352, 288]", "crop: expected one value"),
        ("crop: 352", "crop: expected WIDTHxHEIGHT, as in 1024x512, got '352'"),
        ("layer: 4", "layer: expected one of 1, 2, 3, found '4'"),
        ("layer: one", "layer: expected a whole number, found 'one'"),
        ("scale: 0.5", r"scale: expected 2 values, found \['0.5'\]"),
        ("scale: [0.5, wide]", "scale: expected a number from 0.1 to 10, got 'wide'"),
        ("? [rate]\n: 1", "found 'a sequence'"),
        ("rate: 1\nrate: 2", "rate: expected one line, found two"),
        ("- rate", "expected 'option: value' on each line"),
        ("", "expected 'option: value' on each line"),
        ("rate: [1", "expected YAML"),
        ("rate: " + "[" * 10_000, "expected YAML"),
    ],
)
def test_what_is_wrong_is_named(parsed, tmp_path, text, expected):
    with pytest.raises(ValueError, match=expected) as error:
        parsed(text, "--data", "a", "--out", "b")
    assert str(error.value).startswith(f"{tmp_path / 'recipe.yaml'}: ")
    assert "\n" not in str(error.value)


def test_a_damaged_record_of_a_run_is_said_to_be_one(parsed, tmp_path):
    run = ("--out", str(tmp_path / "run"))
    record_recipe(parsed("data: a", *run), resumed=False)
    for text in ("", "- a", "data: [a"):
        (tmp_path / "run" / "config.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"config.yaml: expected the options of the run"):
            record_recipe(parsed("data: a", *run), resumed=True)


def test_a_folder_is_that_of_one_step(parsed, tmp_path):
    run = ("--data", "a", "--out", str(tmp_path / "run"))
    record_recipe(parsed("rate: 1", *run), resumed=False)
    wanted = "run: expected the folder of a run of 'train nonkey', got that of the other step"
    with pytest.raises(ValueError, match=wanted):
        record_recipe(parsed("model: m", *run, step="nonkey"), resumed=True)


def test_help_says_what_is_required(capsys):
    for step, needed in (("key", "--data DATA"), ("nonkey", "--model MODEL")):
        with pytest.raises(SystemExit):
            parser().parse_args(["train", step, "--help"])
        shown = capsys.readouterr().out
        assert f"{needed}" in shown and f"[{needed}]" not in shown


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.yaml"):
        parser().parse_args(["train", "key", "--config", str(tmp_path / "none.yaml")])


def test_a_run_records_everything_that_was_in_force(parsed, tmp_path):
    text = "data: stills\nhold-out: ['0007', b]\nscale: [0.5, 2]\npretrained: w.pth\nrate: 5e-5"
    options = parsed(text, "--out", str(tmp_path / "run"), "--crop", "64x96")
    record_recipe(options, resumed=False)
    path = tmp_path / "run" / "config.yaml"
    again = parser().parse_args(["train", "key", "--config", str(path)])
    assert settings(again) == settings(options)
    assert path.read_text().startswith("# ") and "iterations: 5000" in path.read_text()


def test_a_resumed_run_has_what_was_in_force(parsed, tmp_path):
    run = ("--out", str(tmp_path / "run"))
    record_recipe(parsed("data: a\ncrop: 64x64", *run), resumed=False)
    record_recipe(parsed("data: b\ncrop: 64x64\ndevice: cpu", *run), resumed=True)
    wanted = r"config.yaml: expected crop 64x64 to resume the run, got 96x96; choose another"
    with pytest.raises(ValueError, match=wanted):
        record_recipe(parsed("data: a\ncrop: 96x96", *run), resumed=True)
    with pytest.raises(ValueError, match="expected init None to resume the run, got some"):
        record_recipe(parsed("data: a\ncrop: 64x64\ninit: some", *run), resumed=True)
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "data: b" in text and "device: cpu" in text and "crop: 64x64" in text


def commands(card):
    """Return the options of each training command in a card, as a shell expands them."""
    lines = card.read_text(encoding="utf-8").split("## Recipe")[1].split("\n\n")[1].splitlines()
    script = "\n".join(['twnet() { echo "$*"; }', *(line.strip() for line in lines)])
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    return [parser().parse_args(line.split()) for line in out.splitlines()]


@pytest.mark.parametrize("name", CARDS)
def test_the_shipped_recipes_are_those_of_the_cards(name):
    expected = {options.out.name: settings(options) for options in commands(CARDS[name])}
    found = {}
    for path in RECIPES:
        if path.name.startswith(name):
            step = "nonkey" if "nonkey" in path.name else "key"
            options = parser().parse_args(["train", step, "--config", str(path)])
            assert path.stem == f"{name}_{options.out.name}"
            found[options.out.name] = settings(options)
    assert found == expected


def test_every_shipped_recipe_is_of_a_card():
    assert len(RECIPES) == 13
    assert {path.stem.split("_")[0] for path in RECIPES} == CARDS.keys()
