"""Parameters of a node, declared from a table and read-only while the node works with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of a node's table; the default's type is the parameter's."""

    name: str
    default: bool | int | float | str | list[int] | list[str]
    description: str
    range: tuple[float, float] | None = None  # of a number, both ends included
    choices: tuple[str, ...] = ()  # of a text
    check: Callable[[Any], object] | None = None  # ValueError for a value that will not do

    def descriptor(self) -> ParameterDescriptor:
        """Return what `ros2 param describe` shows."""
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


class Parameters:
    """A node's table of parameters, and whether they may change."""

    def __init__(self, node: Node, table: Sequence[Parameter]) -> None:
        self._node = node
        self._table = {row.name: row for row in table}
        self.frozen = False
        node.add_on_set_parameters_callback(self._check)
        for row in table:
            node.declare_parameter(row.name, row.default, row.descriptor())

    def values(self) -> dict[str, Any]:
        """Return every parameter's value by name."""
        return {name: self._node.get_parameter(name).value for name in self._table}

    def _check(self, parameters: list[RosParameter]) -> SetParametersResult:
        for parameter in parameters:
            row = self._table.get(parameter.name)
            if row is None:  # use_sim_time and the like
                continue
            if self.frozen:
                return SetParametersResult(
                    successful=False,
                    reason=f"{row.name} is read-only after configuration: "
                    "clean the node up or restart it to change it",
                )
            if row.choices and parameter.value not in row.choices:
                return SetParametersResult(
                    successful=False,
                    reason=f"expected {row.name} to be one of {', '.join(row.choices)}, "
                    f"got {parameter.value!r}",
                )
            try:
                if row.check:
                    row.check(parameter.value)
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)
