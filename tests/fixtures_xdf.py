"""XDF files, written chunk by chunk as the format's specification says."""

from __future__ import annotations

import struct
from pathlib import Path

BOUNDARY = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
FORMS = {"float32": "f", "double64": "d", "int16": "h", "int32": "i"}


def chunk(tag: int, content: bytes) -> bytes:
    length = len(content) + 2
    return b"\x04" + struct.pack("<IH", length, tag) + content


def header(
    number: int, name: str, kind: str, rate: float, channels: list[tuple[str, str]],
    form: str = "float32", types: tuple[str, ...] = (),
) -> bytes:  # fmt: skip
    described = "".join(
        f"<channel><label>{label}</label><unit>{unit}</unit>"
        + (f"<type>{types[k]}</type>" if types else "") + "</channel>"
        for k, (label, unit) in enumerate(channels)
    )  # fmt: skip
    text = (
        f"<info><name>{name}</name><type>{kind}</type><channel_count>{len(channels)}"
        f"</channel_count><nominal_srate>{rate}</nominal_srate><channel_format>{form}"
        f"</channel_format><desc><channels>{described}</channels></desc></info>"
    )
    return chunk(2, struct.pack("<I", number) + text.encode())


def samples(number: int, stamps: list[float | None], rows: list, form: str = "float32") -> bytes:
    content = struct.pack("<IBI", number, 4, len(stamps))
    for stamp, row in zip(stamps, rows, strict=True):
        content += b"\0" if stamp is None else b"\x08" + struct.pack("<d", stamp)
        for value in row:
            if form == "string":
                content += b"\x01" + bytes([len(value.encode())]) + value.encode()
            else:
                content += struct.pack("<" + FORMS[form], value)
    return chunk(3, content)


def offset(number: int, at: float, value: float) -> bytes:
    return chunk(4, struct.pack("<Idd", number, at, value))


def footer(number: int) -> bytes:
    return chunk(
        6, struct.pack("<I", number) + b"<info><first_timestamp>0</first_timestamp></info>"
    )


def xdf(path: Path, *chunks: bytes, date: str = "") -> Path:
    about = f"<info><version>1.0</version>{date and f'<datetime>{date}</datetime>'}</info>"
    path.write_bytes(b"XDF:" + chunk(1, about.encode()) + b"".join(chunks))
    return path


def steady(number: int, first: float, count: int, rate: float, value: float = 0.0) -> bytes:
    rows = [[value + k] for k in range(count)]
    return samples(number, [first + k / rate for k in range(count)], rows)
