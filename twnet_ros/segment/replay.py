"""Running the engine over a recorded file."""

import logging
import os
from collections.abc import Iterator

from twnet_ros.codec import CodecError, CodedFrame, OpenVideo, StreamDecoder, read_packets
from twnet_ros.segment.segmentation import Segmentation
from twnet_ros.segment.segmenter import Segmenter

logger = logging.getLogger(__name__)


def decode(path: str | os.PathLike[str], read: OpenVideo = read_packets) -> Iterator[CodedFrame]:
    """Yield the coded frames of a video file, or of what ``read`` opens, in display order.

    A broken packet is logged and left out. Frames from there to the next key frame, which may
    refer to it, come marked as not intact or not at all. Where packets are missing, or none can be
    decoded until a key frame, that is logged, and what of the stream is approximate, too. Frames
    are numbered (``index``) without those that do not come. CodecError where there is none at all.
    """
    info, packets = read(path)
    decoder = StreamDecoder(info.codec)
    caveat, fault, broken = "", "", False
    frames = packets_read = 0
    if info.pixel_aspect != 1:
        logger.warning(
            "%s: expected square pixels, got some %.4g times as wide as high: what they show is "
            "labelled as if it were of another shape",
            path,
            info.pixel_aspect,
        )
    for packet in packets:
        try:
            for frame in decoder.decode(packet.data, packet.pts_ns):
                yield frame
                frames += 1
            reason = decoder.notice
        except CodecError as error:
            reason = str(error)
        before, fault = fault, "" if decoder.recovers else decoder.fault
        if reason or fault not in ("", before):
            logger.warning("%s: packet %d: %s", path, packets_read, reason or fault)
            broken = True
        packets_read += 1
        if decoder.caveat not in ("", caveat):
            caveat = decoder.caveat
            logger.warning("%s: %s", path, caveat)
    try:
        rest = decoder.flush()
    except CodecError as error:
        logger.warning("%s: at its end: %s", path, error)
        rest = decoder.flush()  # what came before that
    yield from rest
    frames += len(rest)
    if not frames:
        raise CodecError(f"{path}: expected a key frame, found none")
    if broken and frames < packets_read:
        logger.warning(
            "%s: %d of %d packets gave no frame; frames are numbered without them",
            path,
            packets_read - frames,
            packets_read,
        )


def replay(
    path: str | os.PathLike[str], segmenter: Segmenter, read: OpenVideo = read_packets
) -> Iterator[tuple[CodedFrame, Segmentation]]:
    """Yield each labelled frame of a video file with its labels."""
    frames: dict[int, CodedFrame] = {}
    for frame in decode(path, read):
        frames[frame.index] = frame
        for result in segmenter.step(frame):
            yield frames.pop(result.index), result
        if segmenter.waiting:
            frames.clear()
    for result in segmenter.flush():
        yield frames.pop(result.index), result
