"""How advice is worded: its length, its mood, and what of the request it may not repeat.

The imperative check is sound rather than complete: what passes begins with a verb of the closed list below, in its
base form and not as the noun it may also be; good advice that begins with an unlisted verb is refused and can be
worded again. Names are found by their capitals, which is all that a text shows without a language model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _set("""
    abandon accept act activate adapt add address adjust adopt align allow anchor apply arrange ask assemble
    assess assign attach avoid balance base begin bind blend block break bring build call carry cast center
    centre change check choose cite clarify close collect combine commit compare compose confirm connect
    consult contrast convert copy correct count cover crop cross-check cue cut decide declare deduplicate
    defer define delay delete demand demote deploy describe design discard distinguish distribute divide do
    draft draw drop edit eliminate embed emphasise emphasize enforce ensure enumerate establish estimate
    examine exclude expand explain express extend extract favor favour fetch fill filter find finish fit fix
    focus follow frame gather generate give ground group guard handle hold identify ignore imply include
    increase indicate insert insist inspect instruct invoke isolate join keep label lay lead leave let light
    limit link list load locate lock look lower maintain make map mark match mention merge mind mirror mix
    move name narrow note number obtain offset omit open order pair paraphrase pass perform phrase pick place
    plan point position prefer prepare preserve prevent prioritise prioritize probe promote propose protect
    prove provide prune pull put query quote raise rank read rebuild recheck reconcile record reduce refer
    refine refuse reject rely remove render repeat rephrase replace request require rerun reserve resist
    resolve respect restate restrict retain retrieve retry return reuse review revise rewrite rotate route
    rule run sample save say scan schedule search secure seek select send separate set settle shorten show
    simplify sketch skip sort specify spell split spread stage start state stay stick stop strengthen strip
    structure study substitute summarise summarize support surround switch take target tell test tie trace
    track translate treat trigger trim trust try tune turn twist unify update use validate vary verify wait
    watch weigh widen withhold word wrap write
    """)
_LEADS = _set("always never first then next finally only instead also please explicitly")
_CLAUSES = _set(
    "when whenever if unless before after while once where wherever for in with without until from"
)
_AUXILIARIES = _set("is are was were has have had should must can could will would may might does did")
_FINITE = _set("shows helps makes means gives works matters needs")
_SUBORDINATORS = _set(
    "that which what whether how where if when whenever because so whose who why until unless before after while "
    "as than every all and"
)
_FUNCTION_WORDS = _set(
    "a about above after all also an and any are around as at be been before behind below beneath between both but by "
    "can each every for from has have her his how if in inside into is it its left like many more most must near next "
    "no not of off on one onto or other our out over per right same several should show showing shown so some such "
    "than that the their them then there these they this those three through to top two under up use using very was "
    "we what when where which while who with without you your"
)
_OPENERS = _set(
    "create draw generate design make paint render illustrate photograph produce compose imagine picture show give "
    "please image photo photograph poster illustration painting portrait scene view close-up cover logo banner "
    "infographic diagram sketch cartoon comic wallpaper collage realistic cinematic detailed vintage modern minimalist "
    "i"
)
_WORD = re.compile(r"[^\W_](?:[^\W_]|['’\-](?=[^\W_]))*")
_QUOTED = re.compile(r"[\"“”«»„]([^\"“”«»„\n]{1,80})[\"“”«»„]")
_SENTENCE_END = re.compile(r"[.!?:]\s*[\"”»)]*\s*$|^\s*$|\n\s*$")

MIN_WORDS, MAX_WORDS = 12, 22
RUN = 6
"""A bullet restates the prompt when it shares so many words in a row with it …"""
SHARE = 0.75
"""… or when this share of its content words (at least six) stand in the request."""


def words(text: str) -> list[str]:
    """The words of a text, as written. A word has a letter or a digit; hyphens and apostrophes join."""
    return _WORD.findall(text)


def length_of(text: str) -> int:
    """How many words a text has."""
    return len(words(text))


def is_imperative(text: str) -> bool:
    """Whether a text tells somebody to do something: see the note at the top of this module.

    A clause may come first ("When a title is asked for, quote it …"), and so may adverbs and "do not".
    """
    found = [w.lower().replace("’", "'") for w in words(text)]
    if not found:
        return False
    if found[0] in _CLAUSES:
        _, comma, rest = text.partition(",")
        return bool(comma) and is_imperative(rest)
    while found and found[0] in _LEADS:
        found = found[1:]
    if found[:2] == ["do", "not"]:
        found = found[2:]
    elif found[:1] == ["don't"]:
        found = found[1:]
    if not found or found[0] not in VERBS:
        return False
    return not _is_subject(found)


def _is_subject(found: Sequence[str]) -> bool:
    """Whether the verb is a noun here: a finite verb follows soon, with no word that begins a clause before it."""
    for place, word in enumerate(found[1:5]):
        if word in _SUBORDINATORS:
            return False
        # "Search results are …", "Search works …"; but not "Search for other works …"
        if word in _AUXILIARIES or (word in _FINITE and (place == 0 or found[1] not in _FUNCTION_WORDS)):
            return True
    return False


@dataclass(frozen=True)
class Names:
    """The proper nouns of some texts.

    Attributes:
        phrases: Of several words, and single ones that are surely names: found in any letter case (casefolded).
        capitalised: Words found only where they are written with a capital (casefolded).
    """

    phrases: frozenset[str]
    capitalised: frozenset[str]

    def within(self, text: str) -> str | None:
        """The first of the names that a text uses, or None. The text's first word has its capital anyway."""
        plain = f" {' '.join(fold(w) for w in words(text))} "
        for phrase in sorted(self.phrases):
            if f" {phrase} " in plain or f" {phrase}'s " in plain:
                return phrase
        for word in words(text)[1:]:
            bare = re.sub(r"['’]s$", "", word)
            if bare[:1].isupper() and fold(bare) in self.capitalised:
                return bare
        return None


def names_of(texts: Iterable[str]) -> Names:
    """The proper nouns of texts: words with capitals inside sentences, runs of them, and quoted texts."""
    phrases: set[str] = set()
    capitalised: set[str] = set()
    for text in texts:
        for quoted in _QUOTED.findall(text):
            _add_quoted(quoted, phrases, capitalised)
        for run, initial in _runs(_QUOTED.sub(" ", text)):
            _add_run(run, initial, phrases, capitalised)
    return Names(frozenset(phrases), frozenset(capitalised))


def _add_quoted(quoted: str, phrases: set[str], capitalised: set[str]) -> None:
    found = words(quoted)
    if len(found) > 1 and any(fold(w) not in _FUNCTION_WORDS for w in found):
        phrases.add(" ".join(map(fold, found)))
    capitalised.update(fold(w) for w in found if fold(w) not in _FUNCTION_WORDS)


def _add_run(run: list[str], initial: bool, phrases: set[str], capitalised: set[str]) -> None:
    """A run of capitalised words. At the start of a sentence the first may be any word."""
    kept = list(run)
    while initial and kept and (fold(kept[0]) in _FUNCTION_WORDS or fold(kept[0]) in _OPENERS):
        kept, initial = kept[1:], False
    if not kept:
        return
    capitalised.update(fold(w) for w in kept)
    if len(kept) > 1:
        phrases.add(" ".join(map(fold, kept)))
    elif not initial and not (kept[0].isupper() and len(kept[0]) < 4):
        phrases.add(fold(kept[0]))


def _runs(text: str) -> Iterable[tuple[list[str], bool]]:
    """Runs of neighbouring words with capitals, and whether each begins a sentence."""
    run: list[str] = []
    initial, end = False, 0
    for match in _WORD.finditer(text):
        word = re.sub(r"['’]s$", "", match.group())
        between = text[end : match.start()]
        end = match.end()
        joined = bool(run) and between.strip() == "" and "\n" not in between
        if word[:1].isupper():
            if not joined:
                if run:
                    yield run, initial
                run, initial = [], bool(_SENTENCE_END.search(text[: match.start()][-40:]))
            run.append(word)
        elif run:
            yield run, initial
            run = []
    if run:
        yield run, initial


def restates(bullet: str, request: str, prompts: Iterable[str] = ()) -> bool:
    """Whether a bullet says the request (or a prompt) again instead of giving advice."""
    mine = [fold(w) for w in words(bullet)]
    runs = {tuple(mine[i : i + RUN]) for i in range(len(mine) - RUN + 1)}
    for text in (request, *prompts):
        theirs = [fold(w) for w in words(text)]
        if any(tuple(theirs[i : i + RUN]) in runs for i in range(len(theirs) - RUN + 1)):
            return True
    content = {w for w in mine if w not in _FUNCTION_WORDS}
    asked = {fold(w) for w in words(request)}
    return len(content) >= RUN and len(content & asked) >= SHARE * len(content)


def overlap(a: Iterable[str], b: Iterable[str]) -> float:
    """How alike two sets of texts are: shared words over all words (Jaccard), 0 to 1."""
    first = {fold(w) for text in a for w in words(text)}
    second = {fold(w) for text in b for w in words(text)}
    return len(first & second) / len(first | second) if first or second else 1.0


def fold(word: str) -> str:
    """A word as it is compared: letter case, compatibility forms and kinds of apostrophe do not matter."""
    return unicodedata.normalize("NFKC", word).casefold().replace("’", "'")


_MARKUP = re.compile(
    r"<\|[^>]*\|?>|</?[A-Za-z_][\w:.-]*[^<>]*>|\[/?INST\]|<<|>>|```|\{\{|\}\}|^\s*#{1,6}\s", re.MULTILINE
)


def drives_terminal(text: str, *, lines: bool = False) -> bool:
    """Whether a text has control, direction-changing or invisible characters; `lines` allows tabs and line feeds."""
    if text.isascii() and text.isprintable():
        return False
    allowed = "\n\t" if lines else ""
    return any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        and c not in allowed
        and c not in "\u200c\u200d"
        for c in text
    )


def holds_markup(text: str) -> bool:
    """Whether a text could be taken for a part of a prompt's frame: tags, chat marks, fences, headings."""
    return _MARKUP.search(text) is not None
