#!/usr/bin/env python3
"""Labels a folder of frames, or a video file, without ROS: class ids as PNG files.

    python3 docs/examples/offline_folder.py frames/ labels/
    python3 docs/examples/offline_folder.py drive.mp4 labels/ --model model.safetensors

``twnet segment`` does this for files, and more; here is how the engine is used from Python. The
packets of a video are decoded as they are. Frames are encoded first, in memory: the encoder finds
the motion that the network works with.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from twnet_ros.codec import ClipEncoder, CodecError, CodedFrame, StreamDecoder, read_packets
from twnet_ros.segment import Segmenter
from twnet_ros.segment.picture import find_pictures, read_rgb, write_png


def frames_of_video(path: Path) -> Iterator[CodedFrame]:
    """Decode a video file of any codec that the node takes."""
    info, packets = read_packets(path)
    decoder = StreamDecoder(info.codec)
    for packet in packets:
        try:
            yield from decoder.decode(packet.data, packet.pts_ns)
        except CodecError as error:  # none is labelled then up to the next key frame
            print(f"a packet was left out: {error}", file=sys.stderr)
    try:
        rest = decoder.flush()
    except CodecError as error:
        print(f"at the end: {error}", file=sys.stderr)
        rest = decoder.flush()  # what came before that
    yield from rest


def frames_of_folder(folder: Path) -> Iterator[CodedFrame]:
    """Encode PNG and JPEG frames, in the order of their names, and decode them with vectors."""
    paths = find_pictures(folder)
    height, width = read_rgb(paths[0]).shape[:2]
    encoder, decoder = ClipEncoder("h264", width, height, gop=12, crf=18), StreamDecoder("h264")
    for path in paths:
        for packet in encoder.encode(read_rgb(path)):  # at once: there are no B-frames
            yield from decoder.decode(packet.data, packet.pts_ns)
    for packet in encoder.flush():
        yield from decoder.decode(packet.data, packet.pts_ns)
    yield from decoder.flush()


def label(frames: Iterator[CodedFrame], segmenter: Segmenter, out: Path) -> int:
    """Write the labels of every frame as 00000.png, …; return how many there were."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for frame in frames:
        # Nothing while the chain of references is broken, or a B-frame waits; then several.
        for result in segmenter.step(frame):
            write_png(out / f"{result.index:05d}.png", result.labels)
            count += 1
    for result in segmenter.flush():
        write_png(out / f"{result.index:05d}.png", result.labels)
        count += 1
    return count


def main() -> int:
    """Label what the command line names."""
    parser = argparse.ArgumentParser(description="Label a folder of frames, or a video file.")
    parser.add_argument("source", type=Path, help="folder of .png or .jpg frames, or a video file")
    parser.add_argument("out", type=Path, help="folder for 00000.png, …")
    parser.add_argument("--model", default="camvid-mobilenetv1-layer1", help="name or file")
    options = parser.parse_args()
    source = options.source
    if any(options.out.glob("*.png")):
        sys.exit(f"{options.out}: expected a folder without *.png, which may be the frames")
    frames = frames_of_folder(source) if source.is_dir() else frames_of_video(source)
    segmenter = Segmenter.load(options.model)
    print(f"{label(frames, segmenter, options.out)} frames labelled: {segmenter.classes}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:  # what pictures, streams and models are wrong in
        sys.exit(str(error))
