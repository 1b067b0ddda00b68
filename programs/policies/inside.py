"""Where a statement that is being written stands: outside of texts, in a string, in a comment."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from enum import Enum, auto

from genevolve.grammar.constrain_spelled import START, automaton


class In(Enum):
    """What surrounds the next byte."""

    CODE = auto()
    COMMENT = auto()
    OPENING = auto()  # after the first quote: one more means three
    STRING = auto()
    TRIPLE = auto()


@dataclass
class Cursor:
    """Follows a statement byte by byte.

    Attributes:
        place: What surrounds the next byte.
        length: How many bytes the string or comment has so far.
        spelled: Whether the string is one that may not spell references.
        state: Of the automaton of `grammar.constrain_spelled`, in such a string.
        in_prompt: Whether the string is the prompt.
        settled: Whether the string could close right here: no half of an escape, brace or character.
    """

    place: In = In.CODE
    length: int = 0
    spelled: bool = False
    in_prompt: bool = False
    state: int = START
    settled: bool = True
    _code: bytes = b""
    _tail: bytes = b""
    _escaped: bool = False

    @property
    def in_text(self) -> bool:
        """Whether the next byte belongs to a string or a comment."""
        return self.place is not In.CODE

    def copy(self) -> Cursor:
        """One that can go on by itself."""
        return copy(self)

    def feed(self, text: bytes) -> None:
        """Go on over some bytes."""
        for byte in text:
            self._step(byte)

    def _step(self, byte: int) -> None:
        match self.place:
            case In.CODE:
                self._in_code(byte)
            case In.COMMENT:
                self.length += 1
                self.settled = byte < 0x80 or not _continues(self._tail, byte)
                self._tail = (self._tail + bytes((byte,)))[-4:]
                if byte == 0x0A:
                    self._leave(code=b"")
            case In.OPENING if byte == 0x22:
                # Strings are never empty, so this is the second of three quotes.
                self.place, self._tail = In.TRIPLE, b'""'
            case In.OPENING | In.STRING:
                self.place = In.STRING
                self._in_string(byte)
            case In.TRIPLE:
                self._in_triple(byte)

    def _in_code(self, byte: int) -> None:
        if byte == 0x22:
            head = self._code
            self.in_prompt = head.startswith(b"prompt ")
            self.spelled = head.startswith((b"prompt ", b"avoid ")) or (
                head.startswith(b"ref ") and head.endswith(b"for ")
            )
            self.place, self.length, self.state = In.OPENING, 0, START
            self._escaped, self._tail, self.settled = False, b"", True
        elif byte == 0x23:
            self.place, self.length, self._tail, self.settled = In.COMMENT, 0, b"", True
        self._code += bytes((byte,))

    def _leave(self, code: bytes | None = None) -> None:
        self.place, self.spelled, self.in_prompt, self.settled = In.CODE, False, False, True
        if code is not None:
            self._code = code

    def _in_string(self, byte: int) -> None:
        if byte == 0x22 and not self._escaped:
            self._leave()
            return
        self._in_body(byte)

    def _in_triple(self, byte: int) -> None:
        if len(self._tail) < 4 and not self.length:
            # The rest of the opening: a quote and a line break.
            self._tail += bytes((byte,))
            if byte == 0x0A:
                self.length, self._tail = 1, b""
            return
        self._in_body(byte)
        if self._tail.endswith(b'\n"""'):
            self._leave()

    def _in_body(self, byte: int) -> None:
        self.length += 1
        self._escaped = byte == 0x5C and not self._escaped
        if self.spelled:
            self.state = automaton().table[256 * self.state + byte]
        self._tail = (self._tail + bytes((byte,)))[-4:]
        self.settled = byte not in b'\\{}"' and (byte < 0x80 or not _continues(self._tail[:-1], byte))


def _continues(before: bytes, byte: int) -> bool:
    """Whether a character beyond ASCII is not complete after this byte."""
    text = before + bytes((byte,))
    for length in (1, 2, 3, 4):
        first = text[-length] if length <= len(text) else 0
        if first >= 0xC0:
            wanted = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return length < wanted
    return True
