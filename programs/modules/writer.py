"""`ProgramWriter`: a DSPy module that writes a whole program in one call, checked and repaired.

It sees nothing of what its calls find, so its programs bind pictures by rank and leave facts to `{name}`. It costs one
call of the model where `ProgramAgent` costs one for every turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dspy

from genevolve.grammar.errors import InternalError
from genevolve.grammar.report_text import to_text
from genevolve.grammar.tree import Request, String
from genevolve.programs.modules.adapter import REPAIRS, GprogAdapter, findings_of
from genevolve.programs.modules.bridge import shortened, translate
from genevolve.programs.modules.fields import Gprog
from genevolve.programs.modules.state import Saved
from genevolve.programs.policies.language_card import CARDS, Size, skills_section, tools_section
from genevolve.programs.policies.quoting import without_markers
from genevolve.programs.program import Program

if TYPE_CHECKING:
    from genevolve.grammar.types import Environment

WHOLE = """\
Write the whole program at once, in this order: request, let, ref, use skill, prompt, avoid, require, render. The
request statement repeats the request word for word. You do not see what calls find: choose pictures with pick(images,
"…") or by rank, and let the search query say exactly what is needed. There are no holes: write every value.

Example (an invented place)
request "A stamp of the lighthouse of Velm with the word VELM."
let photos = image_search("lighthouse of Velm, whole tower", top_k: 3)
ref tower = pick(photos, "the whole tower in daylight") for "the shape of the tower"
use skill text_rendering
prompt "A postage stamp. The lighthouse from {tower} stands on a cliff. Large capitals at the top read \\"VELM\\"."
avoid "a second tower"
require text("VELM", at: "top")
"""


class WriteProgram(dspy.Signature):  # type: ignore[misc]  # dspy has no types that mypy follows
    """Replaced by the language card."""

    surroundings: str = dspy.InputField(desc="the skills, tools and advice that there are")
    request: str = dspy.InputField(desc="what the picture is to show")
    program: Gprog = dspy.OutputField(desc="the whole program")


class ProgramWriter(Saved, dspy.Module):  # type: ignore[misc]  # dspy has no types that mypy follows
    """See the note at the top of this module.

    Args:
        environment: What programs are checked against; by default what the settings give.
        repairs: How often an answer that does not check is sent back with the checker's report.
        card: Which language card the instructions begin with.
    """

    def __init__(
        self, environment: Environment | None = None, *, repairs: int = 2, card: Size = "full"
    ) -> None:
        from genevolve.programs.session import open_environment

        super().__init__()
        self.card: Size = card
        known = environment if environment is not None else open_environment()
        self.adapter = GprogAdapter(known, repairs=repairs, shared=("surroundings",), validate=_same_request)
        self.write = dspy.Predict(WriteProgram.with_instructions(instructions(card)))

    @property
    def environment(self) -> Environment:
        """What programs are checked against; the adapter holds it, as copies of a module share their adapter."""
        known = self.adapter.environment
        if known is None:
            raise InternalError("a writer's adapter lost its environment")
        return known

    def forward(self, request: str, guide: str | None = None) -> Any:
        """Write a program for a request.

        Returns:
            A `dspy.Prediction` with `program` (text), `ok` (whether it checks and has no holes), `report` (the
            checker's, empty when there is nothing to say) and `repairs` (how often it was sent back).

        Raises:
            ConfigurationError: There is no language model, or it is not set up rightly.
            ServiceError: The language model failed.
        """
        known = self.environment
        told = [skills_section(known, self.card), guide or "", tools_section(known, self.card)]
        try:
            with dspy.context(adapter=self.adapter):
                written = self.write(surroundings="\n".join(t for t in told if t), request=request)
        except dspy.AdapterParseError as error:
            report = shortened(str(error))
            return dspy.Prediction(program=Gprog(""), ok=False, report=report, repairs=self.adapter.repairs)
        except dspy.DSPyError as error:
            raise translate(error) from error
        findings = findings_of(written.program, known)
        wrong = _same_request({"program": written.program}, {"request": request}) if findings.ok else []
        report = to_text([findings], with_summary=False, width=100) + "".join(f"{w}\n" for w in wrong)
        ok = findings.ok and not wrong
        return dspy.Prediction(program=written.program, ok=ok, report=report, repairs=written[REPAIRS])


def instructions(card: Size) -> str:
    """The language card without what it says of turns, and how a whole program is written."""
    return CARDS[card].partition("\nTurns\n")[0].strip("\n") + "\n\n" + WHOLE


def _same_request(values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Sequence[str]:
    """Whether the program answers the request that was made, and not one of its own."""
    statements = Program.parse(str(values["program"])).tree.statements
    made = next((s for s in statements if isinstance(s, Request)), None)
    asked = str(inputs["request"])
    text = made.text if made is not None else None
    said = (text.plain or "") if isinstance(text, String) else ""
    # The request was shown without markers of chat formats.
    if without_markers(" ".join(said.split())) == without_markers(" ".join(asked.split())):
        return ()
    return ("the request statement must repeat the request word for word",)
