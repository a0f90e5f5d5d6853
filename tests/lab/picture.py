# SPDX-License-Identifier: LGPL-2.1-or-later
"""A picture: width, height and RGB bytes. Reads and writes PPM, writes PNG, compares."""
import struct
import zlib


class Picture:
    def __init__(self, width, height, rgb):
        if len(rgb) != width * height * 3:
            raise ValueError("wrong number of bytes for the size")
        self.width, self.height, self.rgb = width, height, bytes(rgb)

    def __eq__(self, other):
        return (self.width, self.height, self.rgb) == (other.width, other.height, other.rgb)

    def differing_pixels(self, other):
        """Number of pixels that differ, or None when the sizes do."""
        if (self.width, self.height) != (other.width, other.height):
            return None
        return sum(self.rgb[i:i + 3] != other.rgb[i:i + 3] for i in range(0, len(self.rgb), 3))

    def is_blank(self):
        return len(set(self.rgb)) <= 1

    def describe(self):
        return f"{self.width}x{self.height}"

    def write_ppm(self, path):
        with open(path, "wb") as out:
            out.write(b"P6\n%d %d\n255\n" % (self.width, self.height) + self.rgb)

    def write_png(self, path):
        row = self.width * 3
        rows = b"".join(b"\0" + self.rgb[i:i + row] for i in range(0, len(self.rgb), row))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        with open(path, "wb") as out:
            out.write(b"\x89PNG\r\n\x1a\n")
            for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
                checksum = zlib.crc32(kind + data)
                out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum))


def read_ppm(path):
    with open(path, "rb") as source:
        data = source.read()
    magic, width, height, depth, rgb = _ppm_parts(data)
    if magic != b"P6" or int(depth) != 255:
        raise ValueError("not an 8-bit P6 picture")
    return Picture(int(width), int(height), rgb)


def _ppm_parts(data):
    """Header fields stand between white space; exactly one such byte precedes the pixels."""
    fields, at = [], 0
    while len(fields) < 4:
        end = at
        while data[end:end + 1] not in (b" ", b"\n", b"\t", b"\r"):
            end += 1
        fields.append(data[at:end])
        at = end + 1
    return (*fields, data[at:])
