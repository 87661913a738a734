#!/usr/bin/env python3
"""The segment node: a topic of compressed video in, label images out."""

import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack
from typing import Any, TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from twnet_ros.codec import Limit
from twnet_ros.nodes.camera_info import CameraInfoIntake, Size
from twnet_ros.nodes.context import is_up, spin, wait_until_down
from twnet_ros.nodes.conversion import status_message
from twnet_ros.nodes.debug_time import DebugTimes
from twnet_ros.nodes.diagnostic import Diagnostics, Reports, latency_bound_ms
from twnet_ros.nodes.health import DeviceState, Level, Status
from twnet_ros.nodes.intake import TOPIC, Intake, accepted_types
from twnet_ros.nodes.output import LOOK, Look, Outputs
from twnet_ros.nodes.parameter import Parameters
from twnet_ros.nodes.pipeline import Pipeline
from twnet_ros.nodes.setting import ENGINE, TABLE, load_segmenter, policy
from twnet_ros.nodes.ticket import Fate, Ticket
from twnet_ros.nodes.topic import check_topic
from twnet_ros.segment import Segmenter, Wish
from twnet_ros.segment.device import free_memory, memory_bytes

NAME = "segment"
NAMES = {row.name for row in TABLE}  # of the parameters
THROTTLE_S = 5.0
TAKE_S = 0.005  # between looks for video while the executor waits for something else

_Result = TypeVar("_Result")


class SegmentNode(LifecycleNode):
    """Parameters and wiring; the pipeline does the work on its own threads."""

    def __init__(self, **options: Any) -> None:
        """Take what rclpy's Node takes beside a name."""
        super().__init__(NAME, **options)
        self._unstarted = False  # it was to start itself, and could not
        self._outputs: Outputs | None = None  # while it is configured
        self._pipeline: Pipeline | None = None  # while it is active
        self._intake: Intake | None = None
        self._active = ExitStack()  # what to close when it is not any more
        self._failed = ExitStack()  # what to close when it does again what it could not
        self._topic = self.resolve_topic_name(TOPIC)
        self._caveat = ""  # of the stream, as it was logged last
        self._logged: dict[str, float] = {}  # when each reason was, time.monotonic()
        self.add_post_set_parameters_callback(self._start_again)  # the one added last is first
        self._settings = Parameters(self, TABLE, self._prepare_change)

    def start(self) -> None:
        """Configure and activate, if the parameters say so."""
        if not self._settings.values()["autostart"]:
            return
        self._unstarted = False  # for as long as it is tried
        done = TransitionCallbackReturn.SUCCESS
        configured = self._outputs is not None or self.trigger_configure() == done
        if not (configured and self.trigger_activate() == done):
            self._unstarted = True
            if is_up(self):
                self.get_logger().info("it is tried again as soon as a parameter is set")

    def _start_again(self, parameters: Sequence[RosParameter]) -> None:
        """Try again after a parameter may have been mended."""
        if self._unstarted and any(one.name in NAMES for one in parameters):
            self.start()

    # The lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the publishers."""
        try:
            values = self._settings.values()
            self._accepted = accepted_types(values["input_type"])
            self.get_logger().info(
                f"loading model {values['model']}; the first start of all takes seconds longer, "
                "as loops are compiled"
            )
            segmenter = load_segmenter(values)
            self._outputs = Outputs(self, Look.of(values, segmenter), self._calibrate)
        except Exception as error:  # rclpy would say nothing
            self._fail(
                f"cannot configure, and stays unconfigured: {type(error).__name__}: {error}"
            )
            return TransitionCallbackReturn.FAILURE
        self._failed.close()
        self._segmenter, self._unstarted = segmenter, False
        self._say_model(values["model"])
        self._settings.working = True
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen to the video."""
        try:
            with ExitStack() as parts:
                self._listen(self._settings.values(), parts)
                self._active = parts.pop_all()
        except Exception as error:  # rclpy would say nothing
            self._pipeline = self._intake = None
            self._fail(f"cannot activate: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.FAILURE
        self._failed.close()
        self._unstarted = False
        return super().on_activate(state)

    def _fail(self, reason: str) -> None:
        """Say in the log and on /diagnostics why the node does not work, until it does."""
        if not is_up(self):  # and is not to: the process is on its way out
            return
        self.get_logger().error(reason)
        self._failed.close()
        status = Status("stream", Level.ERROR, reason, {})
        period_s = self._settings.values()["diagnostic_period"]
        self._failed.callback(Reports(self, self._topic, lambda: (status,), period_s).close)

    def _listen(self, values: dict[str, Any], parts: ExitStack) -> None:
        """Make everything that works while the node is active; ``parts`` closes it, last first."""
        self._camera_info = CameraInfoIntake(self, values["camera_info"])
        parts.callback(self._camera_info.stop)
        self._debug_times = DebugTimes(self)
        parts.callback(self._debug_times.close)
        diagnostics = Diagnostics(self, self._topic, self._device_state, values)
        parts.callback(diagnostics.close)
        pipeline = Pipeline(
            self._segmenter,
            self._publish,
            self._wish,
            values["queue_size"],
            latency_bound_ms(values),
            Limit(values["max_pixels"], values["max_packet_bytes"]),
        )
        parts.callback(pipeline.stop)

        def take(data: bytes, format: str, header: Header, stamp_ns: int) -> None:
            diagnostics.arrive()
            pipeline.push(data, format, header, stamp_ns)

        self._diagnostics, self._pipeline = diagnostics, pipeline
        self._intake = Intake(
            self,
            self._accepted,
            values["reliability"],
            values["queue_size"],
            values["parse"],
            take,
            pipeline.interrupt,
            pipeline.lose,
        )
        parts.callback(self._intake.stop)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; what waits is forgotten, and so is what was seen of the stream."""
        self._stop()
        self._segmenter.reset()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model and the publishers back; every parameter may change again."""
        self._unstarted = False
        self._failed.close()
        self._release()
        return super().on_cleanup(state)

    def _release(self) -> None:
        if self._outputs is None:  # and so nothing else: it is not configured
            return
        self._outputs.close()
        self._outputs = None
        del self._segmenter
        self._settings.working = False
        free_memory()

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the threads, and give the model and the publishers back."""
        self._unstarted = False
        self._failed.close()
        self._stop()
        self._release()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """Stop the threads before what they publish on goes."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        self._active.close()
        self._pipeline = self._intake = None  # both hold the model

    # Parameters that change while the node works

    def _prepare_change(self, values: dict[str, Any], changed: set[str]) -> Callable[[], None]:
        """Make ready what a change of parameters needs, beside what is in use.

        A model that does not load, or has not the classes that are asked for, refuses it.
        """
        segmenter = self._load(values) if changed & ENGINE else self._segmenter
        look = Look.of(values, segmenter) if changed & (ENGINE | LOOK) else None
        for topic in look.masks.values() if look else ():
            check_topic(topic, self.get_name(), self.get_namespace())

        def change() -> None:
            if self._pipeline is None:
                self._use(values, segmenter, look)
            else:
                self._await(self._pipeline.change(lambda: self._use(values, segmenter, look)))
            if changed & ENGINE:
                self._say_model(values["model"])
                free_memory()  # of the engine before

        return change

    def _load(self, values: dict[str, Any]) -> Segmenter:
        """Load an engine on another thread: it takes seconds, and video comes meanwhile."""
        with ThreadPoolExecutor(1) as loader:
            return self._await(loader.submit(load_segmenter, values, self._segmenter.video))

    def _await(self, work: "Future[_Result]") -> _Result:
        """Return what comes of it; until then this does what the executor is kept from."""
        while not wait([work], TAKE_S).done:
            if self._intake is not None:
                self._intake.take_waiting()
                self._diagnostics.catch_up()
        return work.result()

    def _use(self, values: dict[str, Any], segmenter: Segmenter, look: Look | None) -> None:
        """Go on with these settings from the next frame on."""
        if self._outputs is not None and look is not None:
            self._outputs.advertise(look)  # what can fail comes first
        if self._pipeline is not None:
            if segmenter is not self._segmenter:
                self._pipeline.use(segmenter)  # frames that wait come out in the look before
            self._pipeline.max_latency_ms = latency_bound_ms(values)
            self._diagnostics.use(values)
        segmenter.policy = policy(values)
        self._segmenter = segmenter
        if self._outputs is not None and look is not None:
            self._outputs.show(look)

    def _say_model(self, model: str) -> None:
        width, height = self._segmenter.input_size
        self.get_logger().info(
            f"model {model} on {self._segmenter.device} in {self._segmenter.precision} "
            f"at {width}x{height}"
        )

    # Tickets out

    def _wish(self) -> Wish | None:
        return self._outputs.wish() if is_up(self) and self._outputs else None

    def _calibrate(self, header: Header, video: Size, picture: Size) -> CameraInfo | None:
        found, news = self._camera_info.find(header, video, picture)
        if news:
            self.get_logger().warning(f"no ~/camera_info: {news}")
        return found

    def _device_state(self) -> DeviceState:
        segmenter, model = self._segmenter, self._settings.values()["model"]
        used, reserved = memory_bytes(segmenter.device) or (None, None)
        return DeviceState(
            segmenter.device,
            segmenter.precision,
            model,
            segmenter.caveat,
            used_bytes=used,
            reserved_bytes=reserved,
        )

    def _publish(self, ticket: Ticket) -> None:
        outputs = self._outputs
        assert outputs is not None  # there are none before it is configured, and no tickets
        if ticket.segmentation is not None and ticket.frame is not None:
            try:
                outputs.publish(ticket.segmentation, ticket.frame, ticket.header)
            except Exception as error:  # its status still comes
                if not is_up(self):
                    return  # the process is on its way out
                ticket.fate = Fate.FAILED
                ticket.reason = f"not all was published: {type(error).__name__}: {error}"
        try:
            now_ns = self.get_clock().now().nanoseconds
            status = status_message(ticket, now_ns, time.monotonic())
            outputs.report(status)
            self._diagnostics.take(ticket, status)
            self._debug_times.publish(ticket, status)
        except (rclpy_implementation.InvalidHandle, rclpy_implementation.RCLError):
            if is_up(self):
                raise
            return  # the process is on its way out
        if ticket.caveat not in ("", self._caveat):
            self._caveat = ticket.caveat
            self.get_logger().warning(f"{self._topic}: {ticket.caveat}")
        warn = ticket.waiting or ticket.fate in (Fate.BROKEN, Fate.SKIPPED)
        if ticket.fault and self._is_news(ticket.reason):
            self.get_logger().error(f"{self._topic}: {ticket.reason}")
        elif warn and self._is_news(ticket.reason):
            self.get_logger().warning(
                f"{self._topic}: {ticket.reason}, {ticket.packets_dropped} packets dropped and "
                f"{ticket.frames_skipped} frames skipped so far"
            )

    def _is_news(self, reason: str) -> bool:
        """Tell whether a reason was not logged lately; numbers in it make no other reason."""
        now, reason = time.monotonic(), re.sub(r"\d+", "", reason)
        self._logged = {r: at for r, at in self._logged.items() if now - at < THROTTLE_S}
        if reason in self._logged:
            return False
        self._logged[reason] = now
        return True


def run(nodes: Sequence[SegmentNode]) -> None:
    """Start nodes, run them until the process is interrupted, and end them.

    Each has an executor of its own: at every message rclpy's goes through all that it waits for,
    so that one for all of them would take as many times longer as there are nodes. They have one
    thread: with rclpy's executor of several, 9.6 instead of 57.5 frames a second of the demo came
    through. An error of one ends them all.
    """
    executors = [SingleThreadedExecutor() for _ in nodes]
    pool, ending = ThreadPoolExecutor(len(nodes)), threading.Event()
    try:
        for executor, node in zip(executors, nodes, strict=True):
            executor.add_node(node)
        for node in nodes:
            if rclpy.ok():  # and not asked to end meanwhile
                node.start()
        for spun in as_completed([pool.submit(spin, executor, ending) for executor in executors]):
            spun.result()
    except KeyboardInterrupt:
        wait_until_down()
    finally:
        # The context last: it would destroy the nodes, which callbacks may be at work on.
        ending.set()
        pool.shutdown()
        for executor in executors:
            executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()


def main() -> int:
    """Run the node until it is interrupted."""
    rclpy.init()
    try:
        node = SegmentNode()
    except ParameterException as error:
        get_logger(NAME).fatal(str(error))
        return 1
    run([node])
    return 0


if __name__ == "__main__":
    sys.exit(main())
