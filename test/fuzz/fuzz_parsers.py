"""Fuzz what reads headers in Python, guided by the code that is reached.

    pip install atheris
    python test/fuzz/fuzz_parsers.py build/fuzz/parsers -max_total_time=600

The folder gathers inputs that reach something new; the other arguments are libFuzzer's. Anything
but CodecError ends the run, with the input in a file.
"""

import random
import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("expected the package atheris (Linux, Python 3.11 to 3.13): pip install atheris")

from mutation import Mutator
from sample import CODECS, CORPUS, SEEDS, SOUND, codec_of, load, read_steps, write_steps

with atheris.instrument_imports(include=["twnet_ros.codec"]):
    from twnet_ros.codec import CodecError, codec_of_format
    from twnet_ros.codec.bitstream import headers_of, inspect_packet, stream_headers
    from twnet_ros.codec.payload import Assembler, annexb_payload
    from twnet_ros.codec.sequence import sequence_of

LONGEST_BYTES = 1 << 14


def take_in(data: bytes) -> None:
    """Have every parser read the packets of an input."""
    packets = [packet for _, packet in read_steps(data)]
    for codec in CODECS:
        sequence, assembler = sequence_of(codec), Assembler(codec)
        units = []
        for number, packet in enumerate(packets):
            _read(codec, packet, sequence)
            units += assembler.push(packet, number)
        units += assembler.flush()
        if b"".join(unit for unit, _ in units) != b"".join(packets):
            raise RuntimeError("expected access units of the same bytes as their chunks")


def _read(codec: str, packet: bytes, sequence: object) -> None:
    whole = annexb_payload(codec, packet)
    for read in (
        lambda: headers_of(codec, whole),
        lambda: sequence.follow(whole),
        lambda: inspect_packet(codec, whole),
        lambda: stream_headers(codec, packet),
        lambda: codec_of_format(packet.decode("latin-1")),
    ):
        try:
            read()
        except CodecError:
            continue


def mutator(data: bytes, most: int, seed: int) -> bytes:
    """Change an input by its structure, or as libFuzzer would."""
    draw = random.Random(seed)
    steps = read_steps(data)
    if not steps or draw.random() < 0.3:
        return atheris.Mutate(data, len(data))[:most]
    changing = Mutator(draw.choice(CODECS), draw, DONORS)
    changing.learn([packet for _, packet in steps if len(packet) < LONGEST_BYTES])
    at = draw.randrange(len(steps))
    steps[at] = (steps[at][0], changing.mutate(steps[at][1]))
    return write_steps(steps)[:most]


DONORS = {
    codec: [
        packet
        for name in SEEDS
        if codec_of(path := CORPUS / f"{name}.steps") == codec
        for _, packet in load(path)
    ]
    for codec in CODECS
}


def main() -> None:
    """Run libFuzzer."""
    arguments = list(sys.argv)
    if len(arguments) > 1 and not arguments[1].startswith("-"):
        folder = Path(arguments[1])
        folder.mkdir(parents=True, exist_ok=True)
        for seed in CORPUS.glob("*.steps"):
            steps = [step for step in load(seed) if step[0] != SOUND]
            (folder / seed.name).write_bytes(write_steps(steps))
    atheris.Setup([*arguments, f"-max_len={LONGEST_BYTES}"], take_in, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
