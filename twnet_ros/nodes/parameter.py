"""Parameters of a node, declared from a table; some of them change while the node works."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

# Takes every parameter's value as it is to be, and the names of those that change; returns what
# makes the change. An exception refuses it, with its text as the reason.
Prepare = Callable[[dict[str, Any], set[str]], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of a node's table; the default's type is the parameter's."""

    name: str
    default: bool | int | float | str | list[int] | list[str]
    description: str
    range: tuple[float, float] | None = None  # of a number, both ends included
    choices: tuple[str, ...] = ()  # of a text
    check: Callable[[Any], object] | None = None  # ValueError for a value that will not do
    live: bool = False  # changes while the node works

    def descriptor(self) -> ParameterDescriptor:
        """Return what ``ros2 param describe`` shows."""
        descriptor = ParameterDescriptor(description=self.description)
        if self.choices:
            descriptor.additional_constraints = f"one of {', '.join(self.choices)}"
        if self.range and isinstance(self.default, int):
            first, last = map(int, self.range)
            descriptor.integer_range = [IntegerRange(from_value=first, to_value=last, step=0)]
        elif self.range:
            low, high = self.range
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        return descriptor

    def bound(self, value: Any) -> Any:
        """Return a number within its range; rclpy takes those that rounding has put outside."""
        if self.range is None or not isinstance(value, float):
            return value
        low, high = self.range
        return min(max(value, low), high)

    def refuse(self, value: Any) -> str:
        """Return why a value will not do, '' where it will; its type and range are checked."""
        if self.choices and value not in self.choices:
            return f"expected {self.name} to be one of {', '.join(self.choices)}, got {value!r}"
        if isinstance(value, float) and not math.isfinite(value):  # no range excludes NaN
            return f"expected {self.name} to be a finite number, got {value}"
        try:
            if self.check:
                self.check(value)
        except ValueError as error:
            return str(error)
        return ""


class Parameters:
    """A node's table of parameters, and what may change of them.

    While ``working`` is false all may. While it is true those that are ``live`` may, and every
    set of them is made whole or refused whole: ``prepare`` is asked first, and what it returned
    is called when the values are set. A value that is the present one is no change.
    """

    def __init__(
        self, node: Node, table: Sequence[Parameter], prepare: Prepare | None = None
    ) -> None:
        self._node = node
        self._table = {row.name: row for row in table}
        self._prepare = prepare
        self._change: Callable[[], None] | None = None  # accepted, but not made yet
        self.working = False
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._make)
        for row in table:
            declared = node.declare_parameter(row.name, row.default, row.descriptor())
            if declared.type_ == RosParameter.Type.NOT_SET:  # as rcl reads an empty list
                reason = "expected at least one element, got an empty list"
                raise InvalidParameterValueException(row.name, [], reason)

    def values(self) -> dict[str, Any]:
        """Return every parameter's value by name."""
        return {
            name: row.bound(_plain(self._node.get_parameter(name).value))
            for name, row in self._table.items()
        }

    def _check(self, parameters: list[RosParameter]) -> SetParametersResult:
        known = [p for p in parameters if p.name in self._table]  # use_sim_time is not
        if not known:
            return SetParametersResult(successful=True)
        self._change = None
        reason = next(filter(None, map(self._refuse, known)), "")
        if self.working and not reason:
            present = self.values()
            wanted = {p.name: self._table[p.name].bound(_plain(p.value)) for p in known}
            changed = {name: value for name, value in wanted.items() if value != present[name]}
            if fixed := [name for name in changed if not self._table[name].live]:
                reason = (
                    f"{fixed[0]} is read-only after configuration: "
                    "restart the node, or clean it up where it has a lifecycle, to change it"
                )
            elif changed and self._prepare:
                try:
                    self._change = self._prepare(present | changed, set(changed))
                except ValueError as error:
                    reason = str(error)
                except Exception as error:  # whatever a model's file or a device comes up with
                    reason = f"{type(error).__name__}: {error}"
        return SetParametersResult(successful=not reason, reason=reason)

    def _refuse(self, parameter: RosParameter) -> str:
        return self._table[parameter.name].refuse(parameter.value)

    def _make(self, parameters: list[RosParameter]) -> None:
        change, self._change = self._change, None
        if change:
            try:
                change()
            except Exception as error:  # it would end the process; the node stays up
                self._node.get_logger().error(
                    "parameters are set, but the change that they ask for failed: "
                    f"{type(error).__name__}: {error}"
                )


def _plain(value: Any) -> Any:
    """Return an array as a list, which compares by its elements, whatever rclpy holds it as."""
    return value if isinstance(value, str) or not hasattr(value, "__len__") else list(value)
