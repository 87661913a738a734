"""Recipes: the options of a training as a YAML file.

A key is an option's name without the dashes before it; the value is what stands behind it on the
command line, a list where there are several. So every value is text, and the option's own type and
choices say what is right.
"""

import argparse
from pathlib import Path
from typing import Any

FREE = {"data", "device", "out", "workers"}  # may have changed when a run is resumed
HEADER = (
    "# Everything that is in force in this run: `twnet train {} --config FILE` goes on with it.\n"
)


class RecipeParser(argparse.ArgumentParser):
    """Takes options from the file of ``--config``, too; the command line's override them."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse with the file's values as defaults; ValueError where the file is wrong."""
        if {"-h", "--help"} & {*(args or ())}:
            return super().parse_known_args(args, namespace)
        required = [action for action in self._actions if action.required]
        for action in required:
            action.required = False
        given, _ = super().parse_known_args(args)
        values = read_recipe(self, given.config) if given.config else {}
        for action in required:
            action.required = action.dest not in values
        self.set_defaults(**values)
        return super().parse_known_args(args, namespace)


def read_recipe(parser: argparse.ArgumentParser, path: Path) -> dict[str, Any]:
    """Return the values in a file by their names in the parser's result.

    ValueError names the file, the key, what was expected and what was found.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ImportError("--config: expected PyYAML: pip install PyYAML") from error

    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected YAML ({' '.join(str(error).split())})") from error
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{path}: expected 'option: value' on each line")
    options = {
        option[2:]: action
        for action in parser._actions
        for option in action.option_strings
        if option not in ("-h", "--help", "--config")
    }
    values: dict[str, Any] = {}
    for key, node in root.value:
        name = key.value if key.id == "scalar" else f"a {key.id}"
        if name not in options:
            raise ValueError(f"{path}: expected {', '.join(options)}, found {name!r}")
        action = options[name]
        if action.dest in values:
            raise ValueError(f"{path}: {name}: expected one line, found two")
        try:
            values[action.dest] = _value(action, node)
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise ValueError(f"{path}: {name}: {error}") from error
    return values


def record_recipe(options: argparse.Namespace, resumed: bool) -> None:
    """Write ``config.yaml`` into the run folder; ValueError where a resumed run had another."""
    import yaml

    from twnet_ros.segment.file import whole

    path = options.out / "config.yaml"
    values = {
        name.replace("_", "-"): _plain(value)
        for name, value in vars(options).items()
        if name not in ("command", "step", "function", "config") and value is not None
    }
    if resumed:
        if not path.is_file():
            return  # of a version that did not write it
        try:
            stored = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
            stored = None
        if not isinstance(stored, dict):
            raise ValueError(f"{path}: expected the options of the run, found something else")
        if ("model" in stored) != ("model" in values):
            raise ValueError(
                f"{options.out}: expected the folder of a run of 'train {options.step}', got that "
                "of the other step; choose another run folder"
            )
        for name in sorted((stored.keys() | values) - FREE):
            if stored.get(name) != values.get(name):
                raise ValueError(
                    f"{path}: expected {name} {stored.get(name)} to resume the run, "
                    f"got {values.get(name)}; choose another run folder"
                )
    options.out.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    with whole(path) as file:
        file.write_text(HEADER.format(options.step) + text, encoding="utf-8")


def _value(action: argparse.Action, node: Any) -> Any:
    """Return what the option makes of a value."""
    items = node.value if node.id == "sequence" else [node]
    if not all(item.id == "scalar" and item.value for item in items):
        raise ValueError("expected a value or a list of values, found none")
    texts = [item.value for item in items]
    if action.nargs is None:
        if node.id == "sequence":
            raise ValueError(f"expected one value, found the list {texts}")
        return _parse(action, texts[0])
    if isinstance(action.nargs, int) and len(texts) != action.nargs:
        raise ValueError(f"expected {action.nargs} values, found {texts}")
    return [_parse(action, text) for text in texts]


def _parse(action: argparse.Action, text: str) -> Any:
    kind: Any = action.type or str
    try:
        value = kind(text)
    except ValueError as error:
        raise ValueError(f"expected a whole number, found {text!r}") from error
    if action.choices is not None and value not in action.choices:
        raise ValueError(f"expected one of {', '.join(map(str, action.choices))}, found {text!r}")
    return value


def _plain(value: Any) -> Any:
    """Return a value as the file has it: a size as text."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value) if isinstance(value, Path) else value
