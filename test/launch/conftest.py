"""What a launch file asks for, evaluated with given arguments and without starting anything.

PyPI does not have ROS 2's launch system. Where it is not installed, stand-ins take its place that
accept what upstream's signatures (Jazzy to Rolling) accept and mean the same by it, as far as the
launch files of this package use it.
"""

import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml
from ament_index_python.packages import get_package_share_directory

LAUNCH = Path(__file__).parents[2] / "launch"
UPSTREAM = importlib.util.find_spec("launch_ros") is not None


def text(value, context):
    """Perform a substitution, a text, or a list of both that is one text."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return "".join(text(part, context) for part in value)
    return value.perform(context)


# The stand-ins


class LaunchContext:
    def __init__(self):
        self.launch_configurations, self.environment = {}, dict(os.environ)


class LaunchDescription:
    def __init__(self, initial_entities=None):
        self.entities = list(initial_entities or [])

    def visit(self, context):
        return self.entities


class Action:
    def __init__(self, *, condition=None):
        self.condition = condition

    def visit(self, context):
        if self.condition is None or self.condition.evaluate(context):
            return self.execute(context)
        return None


class DeclareLaunchArgument(Action):
    def __init__(self, name, *, default_value=None, description=None, choices=None, **kwargs):
        super().__init__(**kwargs)
        assert isinstance(name, str) and isinstance(description, str)
        self.name, self.description, self._default = name, description, default_value

    def execute(self, context):
        if self.name not in context.launch_configurations:
            if self._default is None:
                raise RuntimeError(f'Required launch argument "{self.name}" was not provided.')
            context.launch_configurations[self.name] = text(self._default, context)


class OpaqueFunction(Action):
    def __init__(self, *, function, args=None, kwargs=None, **others):
        super().__init__(**others)
        self._call = lambda context: function(context, *(args or ()), **(kwargs or {}))

    def execute(self, context):
        return self._call(context)


class SetLaunchConfiguration(Action):
    def __init__(self, name, value, **kwargs):
        super().__init__(**kwargs)
        self._name, self._value = name, value

    def execute(self, context):
        name = text(self._name, context)
        context.launch_configurations[name] = text(self._value, context)


class IncludeLaunchDescription(Action):
    def __init__(self, launch_description_source, *, launch_arguments=None, **kwargs):
        super().__init__(**kwargs)
        self._source, self._arguments = launch_description_source, list(launch_arguments or ())
        assert all(len(pair) == 2 for pair in self._arguments)

    def execute(self, context):
        given = [SetLaunchConfiguration(name, value) for name, value in self._arguments]
        return [*given, self._source.get_launch_description(context)]


class PythonLaunchDescriptionSource:
    def __init__(self, launch_file_path):
        self._path = launch_file_path

    def get_launch_description(self, context):
        return load(Path(text(self._path, context))).generate_launch_description()


class IfCondition:
    def __init__(self, predicate_expression):
        self._predicate = predicate_expression

    def evaluate(self, context):
        value = text(self._predicate, context).strip().lower()
        if value not in {"true", "1", "false", "0"}:
            raise ValueError(f"expected a boolean, got {value!r}")
        return value in {"true", "1"}


class LaunchConfiguration:
    def __init__(self, variable_name, *, default=None):
        self._name, self._default = variable_name, default

    def perform(self, context):
        name = text(self._name, context)
        if name not in context.launch_configurations and self._default is None:
            raise RuntimeError(f"launch configuration '{name}' does not exist")
        return context.launch_configurations.get(name, self._default)


class PathJoinSubstitution:
    def __init__(self, substitutions):
        assert not isinstance(substitutions, str)
        self._parts = list(substitutions)

    def perform(self, context):
        return os.path.join(*(text(part, context) for part in self._parts))  # noqa: PTH118


class EnvironmentVariable:
    def __init__(self, name, *, default_value=None):
        self._name, self._default = name, default_value

    def perform(self, context):
        name = text(self._name, context)
        if name in context.environment:
            return context.environment[name]
        if self._default is None:
            raise RuntimeError(f"environment variable '{name}' does not exist")
        return text(self._default, context)


class NotEqualsSubstitution:
    def __init__(self, left, right):
        self._left, self._right = left, right

    def perform(self, context):
        return str(text(self._left, context) != text(self._right, context)).lower()


class FindPackageShare:
    def __init__(self, package):
        self._package = package

    def perform(self, context):
        return get_package_share_directory(text(self._package, context))


class ParameterValue:
    def __init__(self, value, *, value_type=None):
        self._value, self._type = value, value_type

    def evaluate(self, context):
        value = text(self._value, context)
        value = value if self._type is str else yaml.safe_load(value)
        if self._type is not None and not isinstance(value, self._type):
            raise ValueError(f"expected {self._type.__name__}, got {value!r}")
        return value


STAND_INS = {
    "launch": (LaunchContext, LaunchDescription),
    "launch.actions": (
        DeclareLaunchArgument,
        IncludeLaunchDescription,
        OpaqueFunction,
        SetLaunchConfiguration,
    ),
    "launch.conditions": (IfCondition,),
    "launch.launch_description_sources": (PythonLaunchDescriptionSource,),
    "launch.substitutions": (
        EnvironmentVariable,
        LaunchConfiguration,
        NotEqualsSubstitution,
        PathJoinSubstitution,
    ),
    "launch_ros": (),
    "launch_ros.actions": (),
    "launch_ros.parameter_descriptions": (ParameterValue,),
    "launch_ros.substitutions": (FindPackageShare,),
}


# Recording what would be started: the signatures are upstream's, as far as they are used


def process(
    *, cmd, name=None, cwd=None, env=None, additional_env=None, output="log",
    emulate_tty=False, condition=None
):  # fmt: skip
    return {"cmd": cmd, "additional_env": additional_env or {}}


def node(
    *, executable, package=None, name=None, namespace=None, exec_name=None, parameters=None,
    remappings=None, ros_arguments=None, arguments=None, additional_env=None, output="log",
    emulate_tty=False, condition=None
):  # fmt: skip
    for listed in (parameters, remappings, ros_arguments, arguments):
        assert listed is None or isinstance(listed, list)
    return {
        "package": package,
        "executable": executable,
        "name": name,
        "namespace": namespace,
        "parameters": parameters or [],
        "remappings": remappings or [],
        "ros_arguments": ros_arguments or [],
        "arguments": arguments or [],
        "additional_env": additional_env or {},
    }


def lifecycle_node(*, name, namespace, autostart=False, **others):
    assert not autostart, "before launch_ros 0.26.7 there is no such argument"
    return node(name=name, namespace=namespace, **others)


def recorder(kind, signature, base):
    """Make an action that is not executed but remembered, if upstream would take its settings."""

    class Recorder(base):
        def __init__(self, **settings):
            super().__init__(condition=settings.get("condition"))
            inspect.signature(signature).bind(**settings)
            self.kind, self.settings = kind, signature(**settings)

    return Recorder


def evaluated(action, context):
    """Return a remembered action's settings as they would be used."""
    found = SimpleNamespace(kind=action.kind, **action.settings)
    found.env = {name: text(value, context) for name, value in found.additional_env.items()}
    if action.kind == "ExecuteProcess":
        found.cmd = [text(part, context) for part in found.cmd]
        return found
    found.namespace = text(found.namespace, context)
    found.parameters = [
        {name: value.evaluate(context) for name, value in one.items()}
        if isinstance(one, dict)
        else text(one, context)
        for one in found.parameters
    ]
    found.remappings = [tuple(text(part, context) for part in pair) for pair in found.remappings]
    found.ros_arguments = [text(part, context) for part in found.ros_arguments]
    found.arguments = [text(part, context) for part in found.arguments]
    return found


def load(file):
    spec = importlib.util.spec_from_file_location(file.name.replace(".", "_"), file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def launch(monkeypatch):
    """Evaluate a launch file, of the package unless it is a path: ``launch(name, **arguments)``.

    What it returns has the ``arguments`` that the file declares, by name, their ``values``, and
    the processes that it ``started``.
    """
    base = Action
    if UPSTREAM:
        base = importlib.import_module("launch").Action
    else:
        for name, members in STAND_INS.items():
            module = ModuleType(name)
            for member in members:
                setattr(module, member.__name__, member)
            monkeypatch.setitem(sys.modules, name, module)
    signatures = {
        ("launch.actions", "ExecuteProcess"): process,
        ("launch_ros.actions", "Node"): node,
        ("launch_ros.actions", "LifecycleNode"): lifecycle_node,
    }
    for (module, kind), signature in signatures.items():
        replacement = recorder(kind, signature, base)
        monkeypatch.setattr(importlib.import_module(module), kind, replacement, raising=False)
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)

    def launch(name, **arguments):
        module = load(name if isinstance(name, Path) else LAUNCH / f"{name}.launch.py")
        context = importlib.import_module("launch").LaunchContext()
        context.launch_configurations.update(arguments)
        description = module.generate_launch_description()
        started = []

        def visit(entity):
            if hasattr(entity, "settings"):
                if entity.condition is None or entity.condition.evaluate(context):
                    started.append(evaluated(entity, context))
                return
            for one in entity.visit(context) or []:
                visit(one)

        visit(description)
        declared = {
            entity.name: entity.description
            for entity in description.entities
            if type(entity).__name__ == "DeclareLaunchArgument"
        }
        values = context.launch_configurations
        return SimpleNamespace(arguments=declared, values=values, started=started)

    return launch
