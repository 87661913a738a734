"""What H.264 headers say about pictures (ITU-T H.264 clauses 7.3.3 and D.1.8)."""

from __future__ import annotations

from dataclasses import dataclass, field

from twnet_ros.codec.bit import BitReader
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.frame import FrameKind
from twnet_ros.codec.h264_parameter import PictureParameterSet, SequenceParameterSet, unescape

SLICES = frozenset({1, 2, 5})  # nal_unit_type: non-IDR, data partition A, IDR
PARTITION = 2
IDR = 5
SEI = 6
SPS = 7
PPS = 8
SLICE_HEADER_BYTES = 1024  # more than any has up to its marking, with weights for all
SEI_BYTES = 4096
# slice_type modulo 5; the other two, SP and SI, are for switching between streams.
_KINDS = {0: FrameKind.P, 1: FrameKind.B, 2: FrameKind.I}
_RECOVERY_POINT = 6  # payloadType
_SUBTRACTED, _ADDED, _LAST = 0, 1, 3  # modification_of_pic_nums_idc
# memory_management_control_operation (table 7-9): a short-term picture or a long-term one is
# dropped, a short-term one becomes a long-term one, those from an index on are dropped, this
# picture becomes a long-term one.
DROP, DROP_LONG, MAKE_LONG, TRUNCATE, THIS_LONG = 1, 2, 3, 4, 6
_OPERANDS = {DROP: 1, DROP_LONG: 1, MAKE_LONG: 2, TRUNCATE: 1, 5: 0, THIS_LONG: 1}
_MOST_NAMES, _MOST_OPERATIONS = 32, 66  # of a list (7.4.3.1); one for all fields, and some more


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, by the header of one of its slices (7.4.3)."""

    # What all its slices have in common and tells it from others (7.4.1.2.4):
    reference: bool  # nal_ref_idc is not 0: other pictures may be predicted from it
    idr: bool
    parameters: int  # pic_parameter_set_id
    frame_num: int
    is_field: bool
    bottom: bool
    idr_id: int  # idr_pic_id, 0 unless IDR
    order: int  # pic_order_cnt_lsb, 0 unless the order's type is 0
    # Of this slice, and different in others of the picture:
    kind: FrameKind = field(compare=False)
    # Reference pictures in use, of the list that has more; at least 2 of B slices that name them.
    active: int = field(compare=False)
    # frame_num of the first reference picture of a P slice that names it, -1 for a long-term one.
    named: int | None = field(compare=False)
    weighted: bool = field(compare=False)  # some prediction has weights of its own
    # memory_management_control_operations with their operands.
    marking: tuple[tuple[int, ...], ...] = field(compare=False)

    def is_shown_before(self, other: Picture, sequence: SequenceParameterSet) -> bool:
        """Compare the order counts of pictures that are near each other; of type 0 only."""
        values = 1 << sequence.order_bits
        return (self.order - other.order) % values >= values // 2


def read_recovery(unit: bytes) -> int | None:
    """Return recovery_frame_cnt of an SEI unit's recovery point (D.1.8), None without one.

    ``unit`` begins after the NAL unit header; what lies behind its end is not read.
    """
    data = unescape(unit)
    offset = 0
    while offset + 2 < len(data):
        sizes = []
        for _ in range(2):  # payloadType, payloadSize
            size = 0
            while offset < len(data) and data[offset] == 0xFF:
                size, offset = size + 0xFF, offset + 1
            if offset == len(data):
                return None
            sizes.append(size + data[offset])
            offset += 1
        kind, length = sizes
        if kind == _RECOVERY_POINT:
            return BitReader(data[offset : offset + length]).unsigned()
        offset += length
    return None


def read_parameters_id(unit: bytes) -> int:
    """Read which picture parameter set a slice refers to; ``unit`` as for ``read_slice``."""
    bits = BitReader(unescape(unit[1:]))
    bits.unsigned(), bits.unsigned()  # first_mb_in_slice, slice_type
    return bits.unsigned()


def read_slice(
    unit: bytes, sequence: SequenceParameterSet, parameters: PictureParameterSet
) -> Picture:
    """Read a slice header (7.3.3) up to its marking of references; ``unit`` is the whole NAL unit.

    CodecError for a slice that FFmpeg would decode wrongly: SP and SI ones.
    """
    bits = BitReader(unescape(unit[1:]))
    bits.unsigned()  # first_mb_in_slice
    slice_type = bits.unsigned()
    kind = _KINDS.get(slice_type % 5)
    if kind is None:
        raise CodecError(f"expected I, P and B slices, got slice_type {slice_type} (SP or SI)")
    bits.unsigned()  # pic_parameter_set_id
    if sequence.separate_planes:
        bits.read(2)
    frame_num = bits.read(sequence.frame_num_bits)
    is_field = bottom = False
    if not sequence.frames_only:
        is_field = bits.flag()
        bottom = is_field and bits.flag()
    idr = unit[0] & 0x1F == IDR
    idr_id = bits.unsigned() if idr else 0
    order = bits.read(sequence.order_bits)
    deltas = parameters.frame_deltas and not is_field
    if (sequence.order_type == 0 and deltas) or sequence.order_deltas:
        bits.signed()
    if sequence.order_deltas and deltas:
        bits.signed()
    if parameters.redundant:
        bits.unsigned()
    active, named, weighted = 0, None, False
    if kind is not FrameKind.I:
        two = kind is FrameKind.B
        counts = _read_counts(bits, two, parameters)
        names = [_read_names(bits) for _ in counts]
        active = max(counts)
        if two and any(names):
            active = max(active, 2)
        elif names[0]:
            named = _frame_num_of(names[0][0], frame_num, sequence)
        if parameters.weighted[two]:
            weighted = _read_weighted(bits, counts, sequence)
    reference = bool(unit[0] & 0x60)
    return Picture(
        reference=reference,
        idr=idr,
        parameters=parameters.id,
        frame_num=frame_num,
        is_field=is_field,
        bottom=bottom,
        idr_id=idr_id,
        order=order,
        kind=kind,
        active=active,
        named=named,
        weighted=weighted,
        marking=_read_marking(bits, idr) if reference else (),
    )


def _read_counts(bits: BitReader, two: bool, parameters: PictureParameterSet) -> list[int]:
    """Read on from direct_spatial_mv_pred_flag; return the active references of each list."""
    if two:
        bits.flag()
    counts = list(parameters.active[: 1 + two])
    return [bits.unsigned() + 1 for _ in counts] if bits.flag() else counts


def _read_names(bits: BitReader) -> list[tuple[int, int]]:
    """Read a list's ref_pic_list_modification (7.3.3.1)."""
    names: list[tuple[int, int]] = []
    if bits.flag():
        while (command := bits.unsigned()) != _LAST:
            if len(names) == _MOST_NAMES:
                raise CodecError(f"expected at most {_MOST_NAMES} names of references, got more")
            names.append((command, bits.unsigned()))
    return names


def _frame_num_of(name: tuple[int, int], frame_num: int, sequence: SequenceParameterSet) -> int:
    """Return which picture a list's first name means (8.2.4.3.1), -1 for a long-term one."""
    command, value = name
    if command not in (_SUBTRACTED, _ADDED):
        return -1
    step = value + 1 if command == _ADDED else -value - 1
    return (frame_num + step) % (1 << sequence.frame_num_bits)


def _read_weighted(bits: BitReader, counts: list[int], sequence: SequenceParameterSet) -> bool:
    """Read pred_weight_table (7.3.3.2); tell whether any weight is not the default."""
    weighted = False
    bits.unsigned()
    if sequence.colored:
        bits.unsigned()
    for _ in range(sum(counts)):
        for planes in (1, 2) if sequence.colored else (1,):  # luma, chroma
            if bits.flag():
                weighted = True
                for _ in range(planes):
                    bits.signed(), bits.signed()  # weight, offset
    return weighted


def _read_marking(bits: BitReader, idr: bool) -> tuple[tuple[int, ...], ...]:
    """Read dec_ref_pic_marking (7.3.3.3); an IDR picture may become a long-term one."""
    if idr:
        bits.flag()  # no_output_of_prior_pics_flag
        return ((THIS_LONG, 0),) if bits.flag() else ()
    found: list[tuple[int, ...]] = []
    if bits.flag():
        while operation := bits.unsigned():
            if operation not in _OPERANDS:
                raise CodecError(f"expected operations on references up to 6, got {operation}")
            if len(found) == _MOST_OPERATIONS:
                raise CodecError(
                    f"expected at most {_MOST_OPERATIONS} operations on references, got more"
                )
            found.append((operation, *(bits.unsigned() for _ in range(_OPERANDS[operation]))))
    return tuple(found)
