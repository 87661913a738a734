#!/usr/bin/env python3
"""Publishes the video of a network camera, its packets as they come.

Run it beside a segment node, in a shell that has the workspace sourced:

    python3 docs/examples/network_camera.py --ros-args -p url:=rtsp://192.168.0.10/stream \
        -r video:=/camera/image/compressed

A stamp is the time at which its packet came: the camera's own clock is not known here. Where the
camera ends or is lost, so does this process, with exit code 1; ``respawn`` in a launch file starts
it again.
"""

import sys

import av
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

OPTIONS = {"rtsp_transport": "tcp"}  # by UDP what is lost would be missing without a word
TIMEOUT_S = 10


class NetworkCamera(Node):
    """Publishes ``url`` on ``video``."""

    def __init__(self) -> None:
        super().__init__("network_camera")
        self.declare_parameter("url", "")
        self.declare_parameter("frame_id", "camera")
        self._publisher = self.create_publisher(CompressedImage, "video", 30)

    def play(self) -> str:
        """Publish until asked to end, and return '', or until the camera ends, and say why."""
        url, frame_id = (self.get_parameter(name).value for name in ("url", "frame_id"))
        try:
            self._play(url, frame_id)
        except (av.FFmpegError, ValueError) as error:
            return f"expected a camera's stream: {error}"
        return "the camera ended its stream" if self.context.ok() else ""

    def _play(self, url: str, frame_id: str) -> None:
        with av.open(url, options=OPTIONS, timeout=TIMEOUT_S) as camera:
            stream = camera.streams.best("video")
            if stream is None:
                raise ValueError(f"no video in {url}")
            codec = stream.codec_context.codec.canonical_name
            # RTSP tells the headers (SPS, PPS) beforehand, and cameras may not send them again.
            headers = bytes(stream.codec_context.extradata or b"")
            for packet in camera.demux(stream):
                if not self.context.ok():
                    return
                if not packet.size:
                    continue
                message = CompressedImage(format=codec)
                message.header.stamp = self.get_clock().now().to_msg()
                message.header.frame_id = frame_id
                message.data.frombytes((headers if packet.is_keyframe else b"") + bytes(packet))
                self._publisher.publish(message)


def main() -> int:
    """Publish until interrupted."""
    rclpy.init()
    node = NetworkCamera()
    fault = ""
    try:
        if fault := node.play():
            node.get_logger().fatal(fault)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
