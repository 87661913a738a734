"""The stages in front of the network, each timed on its own."""

import time
from collections.abc import Sequence

import av
import torch
from av.video.frame import PictureType

from twnet_ros.codec import Packet, StreamDecoder
from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.context import open_context
from twnet_ros.codec.limit import NO_FURTHER_LIMIT
from twnet_ros.codec.motion import read_motion
from twnet_ros.net import TWNet
from twnet_ros.segment.compensation import compensate
from twnet_ros.segment.device import PRECISIONS
from twnet_ros.segment.input import Geometry, InputPass
from twnet_ros.segment.moment import Moment


class FrontStages:
    """Times FFmpeg's decoding alone, then what the engine does before its step."""

    def __init__(
        self,
        codec: CodecName,
        video: tuple[int, int],
        input_size: tuple[int, int],
        network: TWNet,
        device: str,
        precision: str,
    ) -> None:
        """Prepare for a video of a size (width, height) and an engine of these settings."""
        self._codec, self._device = codec, torch.device(device)
        geometry = Geometry.of(video, input_size)
        self._source = InputPass(geometry, network.config, self._device, PRECISIONS[precision])
        self._stride = network.keyframe.stride
        self.threads = 0  # FFmpeg's
        self.forget()

    def forget(self) -> None:
        """Drop what was timed so far."""
        self.decode_fps: list[float] = []  # of FFmpeg alone, vectors exported, by round
        self.times_ms: dict[str, list[float]] = {
            "ffmpeg": [],  # a packet through FFmpeg's decoder, vectors exported
            "vectors": [],  # those onto the grid of blocks
            "preprocess": [],  # planes to the network's input
            "residual": [],  # blocks to motion and residual on the context's grid
        }

    def run(self, packets: Sequence[Packet]) -> None:
        """Take a round of packets that begins with a key frame."""
        self._run_ffmpeg(packets)
        self._run_input(packets)

    def _run_ffmpeg(self, packets: Sequence[Packet]) -> None:
        context = open_context(self._codec, NO_FURTHER_LIMIT)
        self.threads = context.thread_count
        pictures, seconds = 0, 0.0
        for one in packets:
            packet = av.Packet(len(one.data))  # with the padding that FFmpeg reads into
            packet.update(one.data)
            start = time.perf_counter()
            decoded = context.decode(packet)
            end = time.perf_counter()
            seconds += end - start
            self.times_ms["ffmpeg"].append(1e3 * (end - start))
            pictures += len(decoded)
            for picture in decoded:
                if picture.pict_type != PictureType.I:
                    start = time.perf_counter()
                    read_motion(picture, self._codec)
                    self.times_ms["vectors"].append(1e3 * (time.perf_counter() - start))
        start = time.perf_counter()
        pictures += len(context.decode(None))  # what it still holds
        seconds += time.perf_counter() - start
        self.decode_fps.append(pictures / seconds)

    @torch.inference_mode()
    def _run_input(self, packets: Sequence[Packet]) -> None:
        decoder, source, last = StreamDecoder(self._codec), self._source, None
        for packet in packets:
            for frame in decoder.decode(packet.data):
                start = Moment.of(self._device)
                picture, _ = source.convert(frame)
                prepared = Moment.of(self._device)
                self.times_ms["preprocess"].append(start.ms_to(prepared))
                if last is not None and frame.motion is not None:
                    compensate(picture, last, source.motion(frame.motion), self._stride)
                    done = Moment.of(self._device)
                    self.times_ms["residual"].append(prepared.ms_to(done))
                last = picture
