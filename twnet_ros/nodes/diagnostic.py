"""Publishing how a node does on /diagnostics, by the conventions of diagnostic_updater."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.health import (
    DeviceState,
    Limits,
    Status,
    judge_device,
    judge_load,
    judge_stream,
)
from twnet_ros.nodes.parameter import Parameter
from twnet_ros.nodes.ticket import Ticket
from twnet_ros.nodes.watch import Watch

WINDOW_S = 5.0  # that rates, counts and percentiles are taken over, if that is long enough

TABLE = (
    Parameter(
        "diagnostic_period",
        1.0,
        "Seconds from one message on /diagnostics to the next; diagnostic_aggregator calls what "
        "is older than 5 seconds stale.",
        range=(0.1, 60.0),
        live=True,
    ),
    Parameter(
        "diagnostic_stale_s",
        2.0,
        "Seconds without a packet after which the stream is STALE, and without labels, where "
        "somebody wants them, after which it is an ERROR.",
        range=(0.1, 60.0),
        live=True,
    ),
    Parameter(
        "diagnostic_min_rate_hz",
        5.0,
        "Packets a second below which the stream is a WARN, and labelled frames a second below "
        "which the load is.",
        range=(0.0, 1000.0),
        live=True,
    ),
    Parameter(
        "diagnostic_latency_warn_ms",
        300.0,
        "Time from packet to labels, in milliseconds, above whose 95th percentile the load is a "
        "WARN.",
        range=(0.0, 60_000.0),
        live=True,
    ),
    Parameter(
        "diagnostic_latency_error_ms",
        1000.0,
        "Time from packet to labels, in milliseconds, above whose 95th percentile the load is an "
        "ERROR.",
        range=(0.0, 60_000.0),
        live=True,
    ),
    Parameter(
        "diagnostic_lost_share",
        0.1,
        "Share of the packets that were dropped or damaged, or waited for a key frame after a "
        "loss, above which that is an ERROR; any is a WARN.",
        range=(0.0, 1.0),
        live=True,
    ),
)


class Reports:
    """Publishes statuses once a period, if anybody listens, until it is closed.

    ``topic`` is that of the video, and the hardware's id: a camera's is not known.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        judge: Callable[[], tuple[Status, ...]],
        period_s: float,
    ) -> None:
        self._node, self._topic, self._judge = node, topic, judge
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        # Not on the node's clock, which stands still without /clock.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(period_s, self._publish, clock=clock)

    def use(self, period_s: float) -> None:
        """Go on with another period."""
        if self._timer.timer_period_ns != int(period_s * 1e9):
            self._timer.timer_period_ns = int(period_s * 1e9)
            self._timer.reset()  # it would wait for the end of the period before

    def catch_up(self) -> None:
        """Publish if it is time to: for who keeps the executor from it."""
        if self._timer.is_ready():
            self._timer.reset()
            self._publish()

    def close(self) -> None:
        """Publish no more, and take timer and publisher back."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _publish(self) -> None:
        try:
            if self._publisher.get_subscription_count():
                name = self._node.get_fully_qualified_name()
                message = diagnostic_message(self._judge(), name, self._topic)
                message.header.stamp = self._node.get_clock().now().to_msg()
                self._publisher.publish(message)
        except rclpy_implementation.RCLError:
            if self._node.context.ok():
                raise  # else the process is on its way out


class Diagnostics:
    """Reports a node's health until it is closed.

    ``values`` holds the parameters of TABLE, and ``skip`` and ``max_latency_ms``. ``device`` says
    where the network runs; what it raises is reported, too. ``topic`` is that of the video.
    """

    def __init__(
        self, node: Node, topic: str, device: Callable[[], DeviceState], values: dict[str, Any]
    ) -> None:
        self._node, self._topic, self._device = node, topic, device
        self._watch = Watch(WINDOW_S, time.monotonic())
        self._reports = Reports(node, topic, self._judge, values["diagnostic_period"])
        self.use(values)

    def use(self, values: dict[str, Any]) -> None:
        """Go on with these parameters."""
        period_s, stale_s = values["diagnostic_period"], values["diagnostic_stale_s"]
        self._latency_bound_ms = latency_bound_ms(values)
        self._limits = Limits(
            stale_s=stale_s,
            min_rate_hz=values["diagnostic_min_rate_hz"],
            latency_warn_ms=values["diagnostic_latency_warn_ms"],
            latency_error_ms=values["diagnostic_latency_error_ms"],
            lost_share=values["diagnostic_lost_share"],
        )
        # So that no message misses anything, and that a silence which is none is in the rates.
        self._watch.window_s = max(WINDOW_S, period_s, 2 * stale_s)
        self._reports.use(period_s)

    def arrive(self) -> None:
        """Note that a packet has come."""
        self._watch.arrive(time.monotonic())

    def take(self, ticket: Ticket, status: FrameStatus) -> None:
        """Note what became of a packet: its ticket, and the status that was made of it now."""
        self._watch.take(ticket, status, time.monotonic())

    def catch_up(self) -> None:
        """Report if it is time to: for who keeps the executor from it."""
        self._reports.catch_up()

    def close(self) -> None:
        """Report no more."""
        self._reports.close()

    def _judge(self) -> tuple[Status, ...]:
        seen = self._watch.snapshot(time.monotonic())
        try:
            device = self._device()
        except Exception as error:  # the node stays up: this is what diagnostics are for
            fault = f"the device does not answer: {type(error).__name__}: {error}"
            device = DeviceState("", "", "", fault=fault)
        publishers = self._node.count_publishers(self._topic)
        return (
            judge_stream(seen, self._limits, self._topic, publishers),
            judge_load(seen, self._limits, self._latency_bound_ms),
            judge_device(seen, device, resident_bytes()),
        )


def diagnostic_message(
    statuses: tuple[Status, ...], node_name: str, hardware_id: str
) -> DiagnosticArray:
    """Return statuses as diagnostic_updater would publish them, without a stamp.

    A status is named after the node and the task. The node's name has its namespace: nodes of
    several cameras differ by nothing else, and diagnostic_aggregator tells statuses apart by name.
    As diagnostic_updater had it when names were global, there is no slash in front.
    """
    return DiagnosticArray(
        status=[
            DiagnosticStatus(
                level=bytes([status.level]),
                name=f"{node_name.removeprefix('/')}: {status.task}",
                message=status.message,
                hardware_id=hardware_id,
                values=[KeyValue(key=key, value=value) for key, value in status.values.items()],
            )
            for status in statuses
        ]
    )


def resident_bytes() -> int:
    """Return how much memory this process has in RAM, as proc(5) has it in statm."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def latency_bound_ms(values: dict[str, Any]) -> float | None:
    """Return the time within which frames are labelled or skipped; None: none is skipped."""
    bound: float = values["max_latency_ms"]
    return bound if values["skip"] else None
