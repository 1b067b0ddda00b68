"""Reads a generator prompt into a `Scene`: what is there, how many, in which colours, where, and what is written.

    "Two red cups stand left of a vase on a wooden table." →
        things: cup x2 (red), vase, table (wood); links: cup left_of vase, vase on table

It understands plain descriptive prose and leaves alone what it does not: nothing is drawn on a guess. What
`require` says comes afterwards and is stronger (see `meaning`).
"""

from __future__ import annotations

import re
from dataclasses import replace

from genevolve.interpreter.renderers.storyboard import lexicon as lex
from genevolve.interpreter.renderers.storyboard.nouns import (
    CONTAINERS,
    MAX_THINGS,
    PASSIVE,
    SURFACES,
    Clause,
    Nouns,
)
from genevolve.interpreter.renderers.storyboard.pen import Colour
from genevolve.interpreter.renderers.storyboard.phrases import (
    MAX_CHARS,
    Adjectives,
    Noun,
    Phrase,
    Quoted,
    RefMention,
    Rel,
    Token,
    Where,
    Word,
    phrases,
    sentences,
)
from genevolve.interpreter.renderers.storyboard.scene import Lettering, Link, Place, Scene, Thing

MAX_TEXTS = 24
_COMMENTARY = re.compile(r"^[A-Z][^\n.:\"“]{2,60}:\s+(?=[^\s\-\"“])")


def read(prompt: str, depicted: frozenset[str] = frozenset()) -> Scene:
    """The scene that a prompt describes. Never raises; the work is linear in the prompt's length.

    `depicted` are nouns that a reference picture shows: "the saucer" is then part of it and not drawn again.
    """
    scene = Scene(depicted=set(depicted))
    prompt, left_out = _without_commentary(prompt)
    if left_out:
        scene.note("The last paragraph explains; the storyboard does not draw it.")
    if len(prompt) > MAX_CHARS:
        scene.note(f"Only the first {MAX_CHARS} characters of the prompt were read.")
    reader = _Reader(scene)
    for tokens in sentences(prompt):
        reader.sentence(tokens)
    reader.finish()
    _read_light(scene, prompt[:MAX_CHARS].lower())
    return scene


def _without_commentary(prompt: str) -> tuple[str, bool]:
    """Cut a last paragraph of the form "From the guide: …": it is there for the model's knowledge."""
    paragraphs = re.split(r"\n\s*\n", prompt.strip())
    if len(paragraphs) > 1 and _COMMENTARY.match(paragraphs[-1].strip()):
        return "\n\n".join(paragraphs[:-1]), True
    return prompt, False


class _Reader:
    """Goes through the phrases of each sentence and builds the scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.nouns = Nouns(scene)
        self.unread: list[str] = []
        self.texts_left_out = 0

    def sentence(self, tokens: list[Token]) -> None:
        """Read one sentence."""
        clause = Clause()
        words = [t.value for t in tokens if t.kind == "word"]
        if "side by side" in " ".join(words):
            self.scene.side_by_side = True
            clause.understood = True
        for phrase in phrases(tokens):
            self._phrase(phrase, clause, words)
            clause.before = phrase
            if isinstance(phrase, Noun):
                clause.style_of = phrase.nouns[-1] in lex.STYLE_NOUNS and not phrase.refs
        rows = re.search(r"(?<!\w)(\w+) rows(?: of (\w+))?(?!\w)", " ".join(words))
        if rows and self.nouns.last is not None:
            n = lex.NUMBERS.get(rows[1]) or (int(rows[1]) if rows[1].isdecimal() and len(rows[1]) < 3 else 0)
            self.nouns.last.rows = n if 0 < n <= self.nouns.last.count else 0
        if not clause.understood and len(words) > 2:
            said = " ".join(t.raw for t in tokens)
            self.unread.append(re.sub(r" ([,:)])", r"\1", said)[:80])

    def finish(self) -> None:
        """Say what was left out, and drop what is not to be drawn."""
        scene = self.scene
        _split_members(scene)
        for sentence in self.unread[:4]:
            scene.note(f"Not drawn: “{sentence}”.")
        if len(self.unread) > 4:
            scene.note(f"{len(self.unread) - 4} more sentences say nothing that the storyboard draws.")
        if self.nouns.too_many:
            scene.note(
                f"{self.nouns.too_many} more kinds of things are named than the storyboard lays out ({MAX_THINGS})."
            )
        if self.texts_left_out:
            scene.note(f"{self.texts_left_out} more texts are quoted than the storyboard sets ({MAX_TEXTS}).")

    def _phrase(self, phrase: Phrase, c: Clause, words: list[str]) -> None:
        match phrase:
            case Quoted(value):
                self._quoted(value, c, words)
            case Where(place):
                self._where(place, c)
            case Rel():
                c.relation = phrase
            case RefMention(ordinals):
                self._arranged(c)
                for n in ordinals:
                    self._element(self.nouns.reference(n, "", c), c)
            case Adjectives(colours, material):
                self._qualities(colours, material, c)
            case Noun():
                self._noun(phrase, c)
            case Word(value, punct):
                self._word(value, punct, c)

    def _word(self, value: str, punct: bool, c: Clause) -> None:
        if punct:
            if value in ",:":
                c.relation = None
                c.skip_next = False
            return
        if value in ("no", "without", "not", "nor", "neither", "never"):
            c.negated = True
        elif value in ("like", "resembling"):
            c.skip_next = True
        elif value in lex.VERBS or value in lex.COPULAS:
            c.verb = value
            if isinstance(c.before, Word) and c.before.punct and self.nouns.last is not None:
                members = [t for t in c.recent if isinstance(t, Thing) and t.role == "member"]
                c.recent = [self.nouns.last] if members else c.recent
            c.negated = c.negated and value in lex.COPULAS
            if c.draft is None:
                c.carrier = _carrier(c.recent) if value in lex.READING_VERBS else c.carrier
        elif value in lex.PRONOUNS and c.relation is not None:
            c.relation = None
        elif value in lex.PRONOUNS and self.nouns.last is not None and not c.recent:
            c.recent = [self.nouns.last]

    def _arranged(self, c: Clause) -> None:
        """A reference named after a bare "in" or "of" lends its look: "as narrow as those in …"."""
        if c.relation is not None and c.relation.word == "in" and not isinstance(c.before, Noun):
            c.before, c.relation = Word("of"), None

    def _where(self, place: Place, c: Clause) -> None:
        c.understood = True
        c.relation = None
        if c.recent:
            for item in [r for r in c.recent if not any(r is k for k in c.commas) or len(c.recent) == 1]:
                target = item.carrier if isinstance(item, Lettering) and item.carrier is not None else item
                target.place = place.merged(target.place) if target.place else place
        else:
            c.place = place

    def _qualities(self, colours: tuple[tuple[str, Colour], ...], material: str, c: Clause) -> None:
        if isinstance(c.before, Word) and (c.before.value in lex.COPULAS or c.before.value == "and"):
            for item in c.recent[-1:]:
                if isinstance(item, Thing) and item.role == "ghost":
                    if item.noun == "setting" and colours and self.scene.setting_colour is None:
                        self.scene.setting_colour = colours[0][1]
                        self.scene.setting = self.scene.setting or "plain"
                elif isinstance(item, Thing):
                    item.colours = item.colours or list(colours)
                    item.material = item.material or material
                    c.understood = True

    def _noun(self, noun: Noun, c: Clause) -> None:
        lettering = noun.head in lex.LETTER_WORDS or noun.nouns[-1] in lex.LETTER_WORDS
        if lettering and not noun.refs and noun.named is None and not c.negated and noun.determiner != "no":
            self._letter_noun(noun, c)
            return
        for thing in self.nouns.resolve(noun, c):
            self._element(thing, c)

    def _element(self, thing: Thing | None, c: Clause) -> None:
        """A thing enters the clause: as the second side of a relation, in a list, or as a new subject."""
        if thing is None:
            c.relation = None
            return
        c.understood = True
        owners = [t for t in c.recent if isinstance(t, Thing) and t is not thing and t.role not in PASSIVE]
        before = c.before.value if isinstance(c.before, Word) else ""
        if c.relation is not None and c.recent:
            self._relate(owners, thing, c)
            return
        if c.relation is not None and c.draft is None and c.relation.kind != "between":
            self._await(thing, c.relation, c)
            return
        if c.verb in lex.HOLDING_VERBS and owners and owners[-1].icon in CONTAINERS:
            self._link(thing, "inside", owners[-1])
        elif before == "with" and owners and owners[-1].ref is not None:
            self.scene.depicted.add(thing.noun)
            if not thing.counted and not thing.colours and thing.ref is None:
                self._drop(thing)
            return
        elif before == "with" and owners:
            owner = owners[-1]
            vessel = owner.icon in CONTAINERS and owner.icon != "plate"
            self._link(thing, "inside" if vessel else "on" if owner.icon in SURFACES else "next_to", owner)
            c.understood = True
            return
        elif before in (",", "and", "&") and c.recent and not c.verb:
            # "a cat, a dog on the left": the place is the dog's; "a cat and a dog on the left": of both
            c.commas = [*c.commas, *c.recent] if before == "," else []
            c.recent.append(thing)
        else:
            c.recent = [thing]
        if c.awaiting is not None and c.awaiting[1] is not thing:
            self._link(thing, *c.awaiting)
        if c.place is not None and thing.place is None:
            thing.place = c.place
        self.nouns.last = thing

    def _await(self, thing: Thing, relation: Rel, c: Clause) -> None:
        """Read "On the table stands a vase": the relation's first side comes later in the sentence."""
        if thing.icon in _WRITTEN_ON and relation.word in ("on", "in", "across"):
            c.carrier = thing
        if relation.kind != "inside" or thing.icon in CONTAINERS:
            c.awaiting = (relation.kind, thing)
        c.relation = None
        self.nouns.last = thing

    def _relate(self, owners: list[Thing], thing: Thing, c: Clause) -> None:
        relation = c.relation
        c.relation = None
        if relation is None:
            return
        if relation.kind == "between":
            c.relation = relation if not self._between(owners, thing) else None
            return
        if relation.kind == "inside" and thing.icon not in CONTAINERS:
            if thing.ref is None:
                return
            relation = Rel("next_to", relation.word)
        if relation.kind == "on" and c.target is not None and c.target is not thing:
            # "a cup left of a vase on a table": both stand on it; "a cat on a chair on a rug": the chair does
            owners = [c.target] if c.target_kind == "on" else [*owners, c.target]
        for owner in owners:
            self._link(owner, relation.kind, thing)
        c.target, c.target_kind = thing, relation.kind
        for item in c.recent:
            if isinstance(item, Lettering) and item.carrier is not None:
                self._link(item.carrier, relation.kind, thing)
            elif (
                isinstance(item, Lettering)
                and relation.word in ("on", "inside", "in", "across")
                and thing.ref is None
            ):
                item.carrier = thing
            elif isinstance(item, Lettering) and relation.kind == "below":
                item.below = True

    def _between(self, owners: list[Thing], thing: Thing) -> bool:
        """Whether a "between" is complete with this thing."""
        for owner in owners:
            half = next(
                (k for k in self.scene.links if k.a is owner and k.kind == "between" and k.c is None), None
            )
            if half is not None and half.b is not thing:
                self.scene.links.remove(half)
                self.scene.links.append(replace(half, c=thing))
                return True
            if half is None:
                self._link(owner, "between", thing)
        return thing.count >= 2

    def _link(self, a: Thing, kind: str, b: Thing) -> None:
        if a is not b and not any(k.a is a and k.b is b and k.kind == kind for k in self.scene.links):
            self.scene.links.append(Link(a, kind, b))

    def _drop(self, thing: Thing) -> None:
        if not any(thing in (k.a, k.b, k.c) for k in self.scene.links):
            self.scene.things = [t for t in self.scene.things if t is not thing]

    def _letter_noun(self, noun: Noun, c: Clause) -> None:
        """Read "the title", "large cream capitals", "bold serif letters"."""
        word = noun.nouns[-1] if noun.nouns[-1] in lex.LETTER_WORDS else noun.head
        role = lex.LETTER_WORDS[word]
        last = c.recent[-1] if c.recent else None
        target = last if isinstance(last, Lettering) else c.draft
        if target is not None and target.value and role != "text":
            target = None  # "the title … at the top, the subtitle …": another text
        if target is None:
            c.place = None if isinstance(last, Lettering) else c.place
            target = c.draft = Lettering("", role=role, place=c.place)
            c.recent = [target]
        elif role != "text" and target.role == "text":
            target.role = role
        c.relation = None
        _styled(target, [*noun.other, *noun.nouns, word])
        if noun.colours:
            target.colour = noun.colours[0][1]
        if noun.size != 1.0:
            target.scale = noun.size

    def _quoted(self, value: str, c: Clause, words: list[str]) -> None:
        value = " ".join(value.split())
        if not value:
            return
        c.understood = True
        if len(self.scene.texts) >= MAX_TEXTS:
            self.texts_left_out += 1
            return
        last = next((t for t in reversed(c.recent) if isinstance(t, Lettering)), None)
        draft = c.draft
        if draft is None:
            draft = Lettering(value, place=c.place)
            if last is not None and last.value:
                draft = replace(last, value=value)
            if "titled" in words or "title" in words:
                draft.role = "title" if not self.scene.texts else draft.role
        draft.value = value
        if (
            c.carrier is None
            and isinstance(c.before, Word)
            and c.before.value in lex.READING_VERBS | {"with"}
        ):
            c.carrier = _carrier(c.recent)
        draft.carrier = draft.carrier or c.carrier
        _styled(draft, words)
        self.scene.texts.append(draft)
        c.recent = [draft]
        c.draft = None
        c.relation = None


_WRITTEN_ON = {"sign", "board", "banner", "paper", "book", "flag"}


def _carrier(recent: list[Thing | Lettering]) -> Thing | None:
    thing = next((t for t in reversed(recent) if isinstance(t, Thing)), None)
    if thing is None or thing.ref is not None or thing.icon in lex.LIVING or thing.role in PASSIVE:
        return None
    return thing


def _split_members(scene: Scene) -> None:
    """A group whose members stand in places of their own becomes several things."""
    for group in list(scene.things):
        placed = [m for m in group.members if m.place is not None]
        if not placed:
            continue
        for member in placed:
            single = replace(
                group, count=1, members=[], place=member.place, colours=member.colours or group.colours
            )
            scene.things.insert(scene.things.index(group), single)
            scene.links += [replace(k, a=single) for k in scene.links if k.a is group]
        group.members = [m for m in group.members if m.place is None]
        group.count -= len(placed)
        if group.count <= 0:
            scene.things = [t for t in scene.things if t is not group]
            scene.links = [k for k in scene.links if group not in (k.a, k.b, k.c)]


def _styled(text: Lettering, words: list[str] | tuple[str, ...]) -> None:
    """Typeface words of the clause."""
    found = set(words)
    if found & {"sans-serif", "sans", "grotesque"}:
        text.serif = False
    elif found & {"serif", "serifs", "engraved", "classical"}:
        text.serif = True
    text.italic = text.italic or bool(
        found & {"italic", "italics", "script", "cursive", "handwritten", "calligraphy"}
    )
    text.capitals = text.capitals or bool(found & {"capitals", "uppercase", "caps"})
    if found & {"thin", "light-weight", "regular"}:
        text.bold = False


def _read_light(scene: Scene, text: str) -> None:
    """Light, mood and style words, wherever they stand."""
    bare = re.sub(r'"[^"]{0,600}"', " ", text)
    for phrase, light in sorted(lex.LIGHTS.items(), key=lambda e: -len(e[0])):
        if (
            light not in scene.lights
            and phrase in bare
            and re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", bare)
        ):
            scene.lights.append(light)
    for style in lex.STYLES_NOT_DRAWN:
        if style in bare and re.search(rf"(?<![\w-]){re.escape(style)}(?![\w-])", bare):
            scene.note(f"The storyboard is a flat illustration: “{style}” is left to the real renderer.")
