"""Every diagnostic code, its severity and its title. Codes are stable: one is never reused for another fault.

The page of a code is `grammar/explain/<code>.md`; `genevolve explain <code>` prints it.
"""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

from genevolve.grammar.diagnostics import Severity


class Code(NamedTuple):
    """What a code stands for. `runtime` codes come from running a program, the others from checking it."""

    severity: Severity
    title: str
    runtime: bool = False


_E, _W, _H = Severity.ERROR, Severity.WARNING, Severity.HINT

CODES: dict[str, Code] = {
    # ---- syntax ----
    "GP101": Code(_E, "something else was expected here"),
    "GP102": Code(_E, "a character that the language does not use"),
    "GP103": Code(_E, "a string that is not closed"),
    "GP104": Code(_E, "a triple-quoted string that is not closed"),
    "GP105": Code(_E, "an escape that the language does not know"),
    "GP106": Code(_E, "an interpolation that is not closed"),
    "GP107": Code(_E, "a single closing brace in a string"),
    "GP108": Code(_E, "an interpolation that is not a name"),
    "GP109": Code(_E, "a file that is not UTF-8"),
    "GP110": Code(_E, "a program without statements"),
    "GP111": Code(_E, "a program that is too large"),
    "GP112": Code(_E, "brackets nested too deeply"),
    "GP113": Code(_E, "a bracket that is not closed"),
    "GP114": Code(_E, "a malformed number"),
    "GP115": Code(_E, "a malformed size"),
    "GP116": Code(_E, "an invisible or direction-changing character"),
    "GP117": Code(_E, "a line that does not start a statement"),
    "GP118": Code(_E, "a file that is not text"),
    "GP119": Code(_E, "a positional argument after a named one"),
    "GP120": Code(_E, "'=' where a named argument takes ':'"),
    "GP121": Code(_E, "a string in single quotes"),
    "GP122": Code(_E, "a reserved word used as a name"),
    # ---- names ----
    "GP201": Code(_E, "an unknown name"),
    "GP202": Code(_E, "an unknown tool or predicate"),
    "GP203": Code(_E, "a name that is defined twice"),
    "GP204": Code(_E, "a name that belongs to a tool"),
    "GP205": Code(_E, "an unknown skill"),
    "GP206": Code(_W, "a skill that is used twice"),
    "GP207": Code(_E, "an unknown named argument"),
    "GP208": Code(_E, "an unknown render setting"),
    "GP209": Code(_E, "an unknown type"),
    "GP210": Code(_W, "a name that is never used"),
    "GP211": Code(_E, "a name that is used before it is defined"),
    "GP212": Code(_E, "an argument or setting that is given twice"),
    "GP213": Code(_W, "a parameter that is never used"),
    # ---- types ----
    "GP301": Code(_E, "an argument of the wrong type"),
    "GP302": Code(_E, "a missing argument"),
    "GP303": Code(_E, "too many arguments"),
    "GP304": Code(_E, "only a list of images can be indexed"),
    "GP305": Code(_E, "an index that is not a whole number from 0"),
    "GP306": Code(_E, "an index beyond what the search returns"),
    "GP307": Code(_E, "a value that cannot stand inside a string"),
    "GP308": Code(_E, "only count(...) can be compared"),
    "GP309": Code(_E, "require needs a predicate"),
    "GP310": Code(_E, "text is needed here"),
    "GP311": Code(_E, "a default that does not fit its parameter"),
    "GP312": Code(_E, "an argument outside its range"),
    "GP313": Code(_E, "a render setting of the wrong type"),
    "GP314": Code(_E, "a render setting outside its range"),
    "GP315": Code(_E, "a word that is not one of the choices"),
    "GP316": Code(_E, "a predicate outside require"),
    "GP317": Code(_E, "a parameter without a value", runtime=True),
    "GP318": Code(_E, "a parameter value of the wrong type", runtime=True),
    "GP319": Code(_E, "a value for a parameter that does not exist", runtime=True),
    "GP320": Code(_E, "count(...) that is not compared"),
    # ---- references ----
    "GP401": Code(_E, "a reference image named by a written ordinal"),
    "GP402": Code(_E, "a reference that the prompt never mentions"),
    "GP403": Code(_E, "too many reference images"),
    "GP404": Code(_E, "an image id inside a prompt"),
    "GP405": Code(_E, "a URL inside a prompt"),
    "GP406": Code(_E, "ref needs an image"),
    "GP407": Code(_E, "an image in a prompt that no ref binds"),
    "GP408": Code(_W, "a reference that does not say what to copy"),
    "GP409": Code(_E, "a reference outside the prompt"),
    "GP410": Code(_E, "resembles needs a reference"),
    "GP411": Code(_W, "one image bound twice"),
    "GP412": Code(_E, "an image file outside the allowed folders", runtime=True),
    "GP413": Code(_E, "an image file that does not exist", runtime=True),
    "GP414": Code(_E, "a file that is not a readable image", runtime=True),
    "GP415": Code(_E, "an image that is too large", runtime=True),
    # ---- protocol and budgets ----
    "GP501": Code(_E, "too many tool calls"),
    "GP502": Code(_E, "a program without a request"),
    "GP503": Code(_E, "more than one request"),
    "GP504": Code(_E, "a program without a prompt"),
    "GP505": Code(_E, "more than one prompt"),
    "GP506": Code(_E, "more than one render"),
    "GP507": Code(_E, "a program header that is not the first statement"),
    "GP508": Code(_E, "a statement after render"),
    "GP509": Code(_E, "a prompt that is too long"),
    "GP510": Code(_H, "a skill whose constraint is not required"),
    "GP511": Code(_W, "a required text that the prompt does not contain"),
    "GP512": Code(_W, "one call written twice"),
    "GP513": Code(_E, "constraints that contradict each other"),
    "GP514": Code(_E, "a request after other statements"),
    "GP520": Code(_E, "a tool failed", runtime=True),
    "GP521": Code(_E, "a tool took too long", runtime=True),
    "GP522": Code(_E, "fewer images than the program indexes", runtime=True),
    "GP523": Code(_E, "the run's budget is used up", runtime=True),
    "GP524": Code(_E, "the renderer cannot honour the program", runtime=True),
    "GP525": Code(_E, "a search without results", runtime=True),
    "GP526": Code(_E, "a tool returned a value of the wrong type", runtime=True),
    "GP527": Code(_E, "the renderer failed", runtime=True),
    # ---- holes ----
    "GP601": Code(_E, "a hole that nothing fills", runtime=True),
    "GP602": Code(_E, "a hole where none can stand"),
    "GP603": Code(_E, "a hole whose type cannot be known"),
    "GP604": Code(_E, "a statement hole where no statement can stand"),
}


def explain(code: str) -> str:
    """The page of a code, as Markdown. Raises `KeyError` for a code that does not exist."""
    code = code.upper()
    if code not in CODES:
        raise KeyError(code)
    page = resources.files("genevolve.grammar") / "explain" / f"{code}.md"
    return page.read_text(encoding="utf-8")
