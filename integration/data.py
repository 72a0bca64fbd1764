"""Files that know where each of their bytes belongs.

Every aligned 8 bytes hold the file's number and their own position (in units of 8 bytes), so that
a wrong byte on the wire tells where it came from: another offset, another file, or nowhere. The
word is scrambled, reversibly, so that two places differ in nearly every byte and the share of wrong
bytes means something.
"""

import hashlib
import os

import numpy

WORD = 8
_POSITION_BITS = 40  # of 8-byte words: 8 TiB
_PIECE = 8 << 20     # bytes made at a time


# An odd multiplier (the golden ratio's) and a fold of the high half into the low: both can be undone.
_MULTIPLIER = 0x9E3779B97F4A7C15
_INVERSE = pow(_MULTIPLIER, -1, 1 << 64)


def _scramble(words):
    words = words * numpy.uint64(_MULTIPLIER)
    return words ^ (words >> numpy.uint64(32))


def _unscramble(word):
    return ((word ^ (word >> 32)) * _INVERSE) % (1 << 64)


def pattern(file_id, offset, length):
    """`length` bytes of file `file_id`, from `offset`."""
    first, last = offset // WORD, (offset + length + WORD - 1) // WORD
    base = file_id << _POSITION_BITS
    words = _scramble(numpy.arange(base + first, base + last, dtype="<u8"))
    skip = offset - first * WORD
    return words.tobytes()[skip:skip + length]


class PatternFile:
    """One file of the pattern on disk. `file_id` is at least 1, so that zeros belong nowhere."""

    def __init__(self, path, file_id, size):
        assert 1 <= file_id < 1 << 24
        self.path = os.fspath(path)
        self.name = os.path.basename(self.path)
        self.file_id = file_id
        self.size = size
        self._digest = None
        with open(self.path, "wb", buffering=0) as file:
            for offset in range(0, size, _PIECE):
                file.write(pattern(file_id, offset, min(_PIECE, size - offset)))

    def bytes(self, offset, length):
        return pattern(self.file_id, offset, length)

    def sha256(self, offset=0, length=None):
        """Of the contents as they were made, not as they are on disk."""
        if length is None:
            length = self.size - offset
        if (offset, length) == (0, self.size) and self._digest:
            return self._digest
        digest = hashlib.sha256()
        for at in range(offset, offset + length, _PIECE):
            digest.update(self.bytes(at, min(_PIECE, offset + length - at)))
        if (offset, length) == (0, self.size):
            self._digest = digest.hexdigest()
        return digest.hexdigest()

    def check(self, received, offset=0):
        """Raises WrongBytes with an explanation unless `received` is what lies at `offset`."""
        explain_difference(received, self.bytes(offset, len(received)), self.file_id, offset)


class Files:
    """A folder of PatternFiles, made when first asked for."""

    def __init__(self, root):
        self.root = root
        self._next_id = 1
        self._known = {}

    def new(self, size, name=None):
        file_id, self._next_id = self._next_id, self._next_id + 1
        return PatternFile(os.path.join(self.root, name or f"f{file_id}-{size}"), file_id, size)

    def get(self, size, copy=0):
        """The copy-th file of that size: the same one each time. Not to be changed."""
        if (size, copy) not in self._known:
            self._known[size, copy] = self.new(size)
        return self._known[size, copy]

    def known(self):
        """All that get() has made."""
        return list(self._known.values())


class WrongBytes(AssertionError):
    pass


def first_difference(left, right):
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return None if len(left) == len(right) else high
    while high - low > 1:  # the first half that differs holds the first difference
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


def describe(received, index, expected=None):
    """Where the bytes around `index` of the buffer come from; `expected` is the (file, position)
    they should be. Any alignment is tried: a shifted answer keeps the pattern, not its place."""
    starts = [*range(index, max(-1, index - WORD), -1), *range(index + 1, index + WORD)]
    for start in starts:
        if start + 2 * WORD > len(received):
            continue
        word, following = (_unscramble(int.from_bytes(received[at:at + WORD], "little"))
                           for at in (start, start + WORD))
        source = (word & ((1 << _POSITION_BITS) - 1)) * WORD + (index - start)
        file_id = word >> _POSITION_BITS
        # Past the wrong byte the pattern may be right again: that explains nothing.
        if file_id and following == word + 1 and (file_id, source) != expected:
            return f"byte {source} of file {file_id}"
    sample = bytes(received[index:index + 16])
    if not any(sample):
        run = len(received) - index - len(received[index:].lstrip(b"\0"))
        return f"{run} zeros"
    return f"no file's pattern: {sample.hex(' ')}"


def explain_difference(received, expected, file_id, offset):
    index = first_difference(received, expected)
    if index is None:
        return
    both = min(len(received), len(expected))
    wrong = numpy.count_nonzero(numpy.frombuffer(received, "u1", both)
                                != numpy.frombuffer(expected, "u1", both))
    share = f"; {wrong} of {len(received)} bytes are wrong"
    raise WrongBytes(f"offset {offset + index} of file {file_id} holds "
                     f"{describe(received, index, (file_id, offset + index))}{share}")


class Checker:
    """Takes a body as it arrives; finds the first wrong byte; ends with the SHA-256."""

    def __init__(self, file, offset=0, length=None):
        self.file = file
        self.offset = offset
        self.length = file.size - offset if length is None else length
        self.received = 0
        self._digest = hashlib.sha256()
        self._piece = b""
        self._piece_at = 0

    def update(self, data):
        data = memoryview(data)
        if self.received + len(data) > self.length:
            raise WrongBytes(f"{self.received + len(data)} bytes received of {self.length}")
        self._digest.update(data)
        while len(data):
            at = self.received
            if not self._piece_at <= at < self._piece_at + len(self._piece):
                self._piece_at = at
                self._piece = self.file.bytes(self.offset + at, min(1 << 20, self.length - at))
            inside = at - self._piece_at
            expected = self._piece[inside:inside + len(data)]
            part = bytes(data[:len(expected)])
            if part != expected:
                explain_difference(part, expected, self.file.file_id, self.offset + at)
            self.received += len(part)
            data = data[len(part):]

    def finish(self):
        if self.received != self.length:
            raise WrongBytes(f"the body ended after {self.received} of {self.length} bytes")
        digest = self._digest.hexdigest()
        expected = self.file.sha256(self.offset, self.length)
        if digest != expected:
            raise WrongBytes(f"SHA-256 {digest}, expected {expected}")
        return digest


class EitherChecker:
    """A Checker for a body that is one of several files of the same size: the first bytes say
    which."""

    def __init__(self, files):
        self._files = files
        self._first = b""
        self._checker = None
        self.length = files[0].size

    @property
    def received(self):
        return self._checker.received if self._checker else len(self._first)

    def update(self, data):
        if self._checker is None:
            self._first += bytes(data)
            if len(self._first) < 2 * WORD:
                return
            known = [file for file in self._files
                     if file.bytes(0, 2 * WORD) == self._first[:2 * WORD]]
            self._checker = Checker(known[0] if known else self._files[0])
            data = self._first
        self._checker.update(data)

    def finish(self):
        return self._checker.finish()
