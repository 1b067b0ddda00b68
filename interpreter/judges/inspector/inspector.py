"""The inspector: judges a picture by its pixels alone, without any model but one that reads letters."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from genevolve.interpreter.judges.formulas import Formula, kscore
from genevolve.interpreter.judges.inspector.comparison import compare, wanted_texts
from genevolve.interpreter.judges.inspector.ocr import check_installed
from genevolve.interpreter.judges.inspector.reading import read
from genevolve.interpreter.judges.inspector.seen import Seen
from genevolve.interpreter.judges.protocol import Case, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = "2"
_KEPT = 512


class Inspector:
    """Compares what a picture shows with what the ground truth shows and the constraints ask for.

    Args:
        read_text: Whether lettering that is not letter for letter the wanted one is read by OCR, so that small slips
            count as small. Without, it counts as wrong.
        formula: How the dimensions become one score.

    Raises:
        ConfigurationError: the packages that read letters are not installed.
    """

    name = "inspector"

    def __init__(self, *, read_text: bool = True, formula: Formula = "paper") -> None:
        if read_text:
            check_installed()
        self.read_text = read_text
        self.formula: Formula = formula
        self._truths: OrderedDict[tuple[str, tuple[str, ...]], Seen] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """The rules, whether letters are read, and the formula."""
        return f"{VERSION}:{'ocr' if self.read_text else 'no-ocr'}:{self.formula}"

    def score(self, case: Case) -> Verdict:
        """Judge it; unscored only without a picture or a ground truth."""
        label = f"{self.name} {self.version}"
        if case.image is None or case.ground_truth is None:
            missing = "picture" if case.image is None else "ground truth"
            return Verdict(None, unscored=f"there is no {missing} to look at", judge=label)
        wanted = wanted_texts(case.constraints)
        truth = self._truth(case.ground_truth, wanted)
        # Lines of the ground truth are looked for too: it may carry more than the constraints name.
        texts = tuple(dict.fromkeys((*wanted, *(t.text for t in truth.texts))))
        seen = read(case.image, texts, truth, with_ocr=self.read_text)
        result = compare(truth, seen, case.constraints)
        failures = result.failures
        told = f"Not met: {'; '.join(failures[:6])}." if failures else "Every check is met."
        return Verdict(
            kscore(result.dimensions, self.formula), dict(result.dimensions), result.parts, told, judge=label
        )

    def _truth(self, image: Image, wanted: tuple[str, ...]) -> Seen:
        """The reading of a ground truth; the last ones are kept, many pictures are judged against each."""
        digest = hashlib.sha256(f"{image.size}{image.mode}".encode() + image.tobytes()).hexdigest()
        key = (digest, wanted)
        with self._lock:
            if key in self._truths:
                self._truths.move_to_end(key)
                return self._truths[key]
        seen = read(image, wanted, with_ocr=self.read_text)
        with self._lock:
            self._truths[key] = seen
            while len(self._truths) > _KEPT:
                self._truths.popitem(last=False)
        return seen
