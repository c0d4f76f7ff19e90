# SPDX-License-Identifier: GPL-2.0-only
r"""A small cache of decoded images, on volatile ranges: cache.c once more, in Python.

An image on the screen is the program's own. A hidden one the kernel may take when memory is
short; when it is shown again it is whole, or it is decoded again.

    printf 'show 1\nhide 1\npeek 1\nshow 1\n' | python3 cache.py volatile

The recipe is ``Memory`` and ``VolatileImage``; the other classes are the same cache with what else
there is, to compare. Python cannot go on after a SIGBUS: a volatile image must not be touched by
the interpreter (no ``pixels[0]``, no ``bytes(pixels)``). Who wants to read it all the same has
the kernel read it, and gets an error in place of a signal: ``VolatileImage.peek``.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
import time
import zlib

# Neither libc nor the mmap module knows them yet.
MADV_FREE = 8
MADV_VOLATILE = 26
MADV_NONVOLATILE = 27
MAP_DROPPABLE = 0x08  # Linux 6.11

PAGE = 4096
PAGES = 64  # of an image: 256 x 256 pixels, 256 KiB
BYTES = PAGES * PAGE
OPAQUE = 255  # the last byte of each pixel

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def encoded(number: int) -> bytes:
    """The image as it came from the network: compressed. No byte of its pixels is 0."""
    row = bytes(1 + (number + x) % 254 for x in range(255)) + bytes([OPAQUE])
    pages = (row[page:-1] + row[:page] + row[-1:] for page in range(PAGES))
    return zlib.compress(b"".join(page * (PAGE // len(page)) for page in pages))


class Memory:
    """Anonymous memory with an address, which ``madvise`` wants."""

    def __init__(self, flags: int = mmap.MAP_PRIVATE) -> None:
        self.bytes = mmap.mmap(-1, BYTES, flags | mmap.MAP_ANONYMOUS)
        # It must be let go before the mapping can be closed.
        self._first = ctypes.c_char.from_buffer(self.bytes)

    def advise(self, advice: int) -> int:
        """What madvise() returns, 0 or 1; OSError where it fails.

        Not ``mmap.madvise()``: that takes the 1 of MADV_NONVOLATILE for an error.
        """
        result: int = _libc.madvise(ctypes.addressof(self._first), BYTES, advice)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def close(self) -> None:
        """munmap."""
        del self._first
        self.bytes.close()


class Image:
    """An image that is kept, come what may; others say how they differ."""

    flags = mmap.MAP_PRIVATE

    def __init__(self, number: int) -> None:
        self.source = encoded(number)
        self.sum = zlib.crc32(zlib.decompress(self.source))  # to see that no pixel is wrong
        self.memory: Memory | None = None

    def decode(self) -> None:
        """Makes the pixels, in new memory where there is none."""
        if self.memory is None:
            self.memory = Memory(self.flags)
        self.memory.bytes[:] = zlib.decompress(self.source)

    def show(self) -> bool:
        """Makes it the program's own. False: it was not whole, and is decoded again."""
        if self.memory is not None and self.take_back(self.memory):
            return True
        self.decode()
        return False

    def take_back(self, memory: Memory) -> bool:
        """From here on nobody takes it. Is it whole?"""
        return True

    def hide(self) -> None:
        """It is not on the screen any more."""

    def shown(self) -> mmap.mmap | bytes:
        """The pixels for the screen."""
        assert self.memory is not None
        return self.memory.bytes

    def peek(self) -> bool:
        """Looks at it while it is hidden, as for a thumbnail. Is it whole?"""
        return self.memory is not None and zlib.crc32(self.memory.bytes) == self.sum


# --- The recipe -------------------------------------------------------------------------------


class VolatileImage(Image):
    """A hidden image is volatile; what is lost of it is told when it is shown."""

    def hide(self) -> None:
        """One call, however many pages. It is an offer only: if it fails, the image stays."""
        assert self.memory is not None
        with contextlib.suppress(OSError):
            self.memory.advise(MADV_VOLATILE)

    def take_back(self, memory: Memory) -> bool:
        """First the call, then the look.

        After 0 each byte is as it was written, and stays. After 1 at least one page is gone and
        reads as zeros now; an image is decoded again then.
        """
        return memory.advise(MADV_NONVOLATILE) == 0

    def peek(self) -> bool:
        """Has the kernel copy it into a file in memory: what is gone is an error, and no SIGBUS.

        To a socket it works the same way: an image can be served from where it lies.
        """
        if self.memory is None:
            return False
        copy = os.memfd_create("peek")
        try:
            # EFAULT where the first page is gone, a short count where a later one is.
            if os.write(copy, self.memory.bytes) < BYTES:
                return False
            pixels = os.pread(copy, BYTES, 0)
        except OSError:
            return False
        finally:
            os.close(copy)
        assert zlib.crc32(pixels) == self.sum, "a wrong pixel, and no error"
        return True


# --- The same cache with what else there is, to compare ---------------------------------------


class FreeImage(Image):
    """A hidden image is given to MADV_FREE. A page may go until it is written to."""

    def hide(self) -> None:
        """It takes time for each page."""
        assert self.memory is not None
        self.memory.advise(MADV_FREE)

    def take_back(self, memory: Memory) -> bool:
        """Writes to each page what its last byte is for certain; then its first byte tells."""
        memory.bytes[PAGE - 1 :: PAGE] = bytes([OPAQUE]) * PAGES
        return 0 not in memory.bytes[::PAGE]


class DroppableImage(Image):
    """Nothing keeps a droppable page, shown or hidden: what is on the screen has to be a copy."""

    flags = MAP_DROPPABLE
    copy = b""

    def decode(self) -> None:
        """Into the copy, too."""
        self.copy = zlib.decompress(self.source)
        if self.memory is None:
            self.memory = Memory(self.flags)
        self.memory.bytes[:] = self.copy

    def take_back(self, memory: Memory) -> bool:
        """Copies, and looks at the copy."""
        self.copy = memory.bytes[:]
        return 0 not in self.copy[::PAGE] + self.copy[PAGE - 1 :: PAGE]

    def hide(self) -> None:
        """The copy goes."""
        self.copy = b""

    def shown(self) -> bytes:
        """The copy."""
        return self.copy


class UnmappedImage(Image):
    """A hidden image is dropped."""

    def hide(self) -> None:
        """munmap."""
        assert self.memory is not None
        self.memory.close()
        self.memory = None


WAYS: dict[str, type[Image]] = {
    "volatile": VolatileImage,
    "madv-free": FreeImage,
    "droppable": DroppableImage,
    "unmap": UnmappedImage,
    "keep": Image,
}


def show(image: Image) -> str:
    """Whether it was whole, and after how many ns its first and its last byte could be used."""
    start = time.monotonic_ns()
    whole = image.show()
    pixels = image.shown()
    _ = pixels[0]
    first = time.monotonic_ns() - start
    assert zlib.crc32(pixels) == image.sum, "a wrong pixel was shown"
    return f"{'hit' if whole else 'miss'} {first} {time.monotonic_ns() - start}"


def main() -> None:
    """Does what standard input says, a line at a time."""
    if len(sys.argv) != 2 or sys.argv[1] not in WAYS:
        sys.exit(f"usage: cache.py {'|'.join(WAYS)}")
    way = WAYS[sys.argv[1]]
    if way is VolatileImage and _libc.madvise(None, 0, MADV_VOLATILE):
        sys.exit("this kernel has no volatile ranges")
    images: dict[int, Image] = {}
    for line in sys.stdin:
        verb, number = line.split()
        if int(number) not in images:
            images[int(number)] = way(int(number))
        image = images[int(number)]
        if verb == "show":
            print(show(image), flush=True)
        elif verb == "hide":
            start = time.monotonic_ns()
            image.hide()
            print(f"hidden {time.monotonic_ns() - start}", flush=True)
        else:  # peek
            print("there" if image.peek() else "gone", flush=True)


if __name__ == "__main__":
    main()
