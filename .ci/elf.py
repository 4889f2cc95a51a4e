"""Looks at a firmware: where its memory lies, and whether a panic can be reached.

    .ci/elf.py FILE.elf

Prints the sizes and exits with 1 when something is not as core promises.
"""

import struct
import sys

# The example's storage: its parts are larger than this, and must be counted in .bss alone.
STORAGE = 7 * 1024
# What start-up code, vector table and tables of HPACK may take of RAM that is filled from flash.
LARGEST_DATA = 64
# Every panic ends in one of these; so does what only a panic needs (formatting).
PANICS = ("panicking", "rust_begin_unwind", "panic_fmt", "panic_bounds_check", "unwrap_failed", "expect_failed",
          "core3fmt", "4core3fmt")


def text(table, at):
    return table[at:table.index(b"\0", at)].decode()


def read(path):
    """Sections (name -> (type, address, size)) and symbol names of a 32-bit little-endian ELF file."""
    data = open(path, "rb").read()
    if data[:6] != b"\x7fELF\x01\x01":
        sys.exit(f"{path} is not a 32-bit little-endian ELF file")
    (offset,) = struct.unpack_from("<I", data, 32)
    size, count, names_at = struct.unpack_from("<HHH", data, 46)
    headers = [struct.unpack_from("<10I", data, offset + i * size) for i in range(count)]

    def content(header):
        return data[header[4]:header[4] + header[5]]

    names = content(headers[names_at])
    sections = {text(names, h[0]): (h[1], h[3], h[5]) for h in headers}
    symbols = []
    for header in headers:
        if header[1] == 2:  # SHT_SYMTAB; its names are in the section that sh_link says
            table, strings = content(header), content(headers[header[6]])
            symbols += [text(strings, struct.unpack_from("<I", table, at)[0]) for at in range(0, len(table), 16)]
    return sections, symbols


def main(path):
    sections, symbols = read(path)
    sizes = {name: sections.get(name, (0, 0, 0))[2] for name in (".text", ".rodata", ".data", ".bss")}
    print("note    " + ", ".join(f"{name} {size}" for name, size in sizes.items()))
    wrong = []
    if len(symbols) < 20:
        wrong.append("the symbols are missing: nothing can be said of panics")
    if sizes[".text"] < 8 * 1024:
        wrong.append("the code is too small: the protocol was optimized away")
    if sizes[".bss"] < STORAGE:
        wrong.append(f".bss has less than the {STORAGE} octets of the storage")
    if sizes[".data"] > LARGEST_DATA:
        wrong.append(f".data has more than {LARGEST_DATA} octets: the storage is not all zero")
    if sections.get(".bss", (8,))[0] != 8:  # SHT_NOBITS
        wrong.append(".bss takes room in the file")
    reached = [name for name in symbols if any(panic in name for panic in PANICS)]
    if reached:
        wrong.append("a panic can be reached: " + ", ".join(reached[:5]))
    for what in wrong:
        print(f"        {path}: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
