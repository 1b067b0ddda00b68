"""Reads a generator prompt into a `Scene`: what is there, how many, in which colours, where, and what is written.

    "Two red cups stand left of a vase on a wooden table." →
        things: cup x2 (red), vase, table (wood); links: cup left_of vase, vase on table

It understands plain descriptive prose and leaves alone what it does not: nothing is drawn on a guess. What
`require` says comes afterwards and is stronger (see `meaning`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from genevolve.interpreter.renderers.storyboard import lexicon as lex
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

MAX_THINGS = 24
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


@dataclass
class _Clause:
    """What the reader remembers inside one sentence."""

    recent: list[Thing | Lettering] = field(default_factory=list)
    place: Place | None = None
    relation: Rel | None = None
    verb: str = ""
    before: Phrase | None = None
    draft: Lettering | None = None
    carrier: Thing | None = None
    negated: bool = False
    skip_next: bool = False
    understood: bool = False
    target: Thing | None = None  # the second side of the last relation, and that relation's kind
    target_kind: str = ""
    style_of: bool = False  # "the surface of …" came just before


class _Reader:
    """Goes through the phrases of each sentence and builds the scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.last_subject: Thing | None = None
        self.unread: list[str] = []
        self.too_many = 0
        self.texts_left_out = 0

    def sentence(self, tokens: list[Token]) -> None:
        """Read one sentence."""
        clause = _Clause()
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
        if rows and self.last_subject is not None:
            n = lex.NUMBERS.get(rows[1]) or (int(rows[1]) if rows[1].isdecimal() and len(rows[1]) < 3 else 0)
            self.last_subject.rows = n if 0 < n <= self.last_subject.count else 0
        if not clause.understood and len(words) > 2:
            self.unread.append(" ".join(t.raw for t in tokens)[:80])

    def finish(self) -> None:
        """Say what was left out, and drop what is not to be drawn."""
        scene = self.scene
        _split_members(scene)
        for sentence in self.unread[:4]:
            scene.note(f"Not drawn: “{sentence}”.")
        if len(self.unread) > 4:
            scene.note(f"{len(self.unread) - 4} more sentences say nothing that the storyboard draws.")
        if self.too_many:
            scene.note(f"{self.too_many} more kinds of things are named than the storyboard lays out ({MAX_THINGS}).")
        if self.texts_left_out:
            scene.note(f"{self.texts_left_out} more texts are quoted than the storyboard sets ({MAX_TEXTS}).")

    def _phrase(self, phrase: Phrase, c: _Clause, words: list[str]) -> None:
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
                    self._element(self._reference(n, "", c), c)
            case Adjectives(colours, material):
                self._qualities(colours, material, c)
            case Noun():
                self._noun(phrase, c, words)
            case Word(value, punct):
                self._word(value, punct, c)

    def _word(self, value: str, punct: bool, c: _Clause) -> None:
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
            if isinstance(c.before, Word) and c.before.punct and self.last_subject is not None:
                members = [t for t in c.recent if isinstance(t, Thing) and t.role == "member"]
                c.recent = [self.last_subject] if members else c.recent
            c.negated = c.negated and value in lex.COPULAS
            if c.draft is None:
                c.carrier = _carrier(c.recent) if value in lex.READING_VERBS else c.carrier
        elif value in lex.PRONOUNS and c.relation is not None:
            c.relation = None
        elif value in lex.PRONOUNS and self.last_subject is not None and not c.recent:
            c.recent = [self.last_subject]

    def _arranged(self, c: _Clause) -> None:
        """A reference named after a bare "in" or "of" lends its look: "as narrow as those in …"."""
        if c.relation is not None and c.relation.word == "in" and not isinstance(c.before, Noun):
            c.before, c.relation = Word("of"), None

    def _where(self, place: Place, c: _Clause) -> None:
        c.understood = True
        c.relation = None
        if c.recent:
            for item in c.recent:
                item.place = place.merged(item.place) if item.place else place
        else:
            c.place = place

    def _qualities(self, colours: object, material: str, c: _Clause) -> None:
        if isinstance(c.before, Word) and (c.before.value in lex.COPULAS or c.before.value == "and"):
            for item in c.recent[-1:]:
                if isinstance(item, Thing):
                    item.colours = item.colours or list(colours)  # type: ignore[call-overload]  # a tuple of colours
                    item.material = item.material or material
                    c.understood = True

    def _noun(self, noun: Noun, c: _Clause, words: list[str]) -> None:
        head = noun.head
        if noun.determiner == "no" or c.negated:
            c.negated = c.negated and noun.determiner != "no"
            c.understood = True
            return
        if head in lex.FRAME_NOUNS and not self.scene.things and not c.recent and c.relation is None and not noun.counted:
            c.understood = True
            return
        if c.skip_next and not noun.refs:
            c.skip_next = False
            return
        if head in ("one", "other") and noun.named is None and not noun.refs:
            self._members(noun, c)
            return
        if (head in lex.LETTER_WORDS or noun.nouns[-1] in lex.LETTER_WORDS) and not noun.refs and noun.named is None:
            self._letter_noun(noun, c)
            return
        if noun.refs:
            for n in noun.refs:
                self._element(self._linked_reference(n, noun, c), c)
            if noun.count > 1 and noun.counted and noun.named:
                self._element(self._thing(noun, c), c)
            return
        if head in lex.CLOTHES and self._clothes(noun, c):
            return
        if noun.named is None and (setting := self._setting(noun, c)):
            c.understood = True
            self.scene.setting = self.scene.setting or setting
            if noun.colours and self.scene.setting == setting and self.scene.setting_colour is None:
                self.scene.setting_colour = noun.colours[0][1]
            c.relation = None
            if not c.recent:
                c.recent = [_ghost()]
            return
        if self._part_of_picture(noun, c):
            c.relation = None
            return
        if head in lex.ABSTRACT:
            if c.verb and c.recent and c.relation is None:
                c.recent = [_ghost()]  # "throws a shadow to the right": the place is the shadow's
            self._members(noun, c)
            if noun.colours and head in ("background", "backdrop"):
                self.scene.setting_colour = noun.colours[0][1]
                self.scene.setting = self.scene.setting or "plain"
                c.understood = True
            c.relation = None
            return
        self._element(self._thing(noun, c), c)

    def _part_of_picture(self, noun: Noun, c: _Clause) -> bool:
        """Nouns that name no new thing: the sheet itself, daylight, the viewer's camera, what a reference shows."""
        head, before = noun.head, c.before.value if isinstance(c.before, Word) else ""
        known = any(_same_kind(t, noun) for t in self.scene.things)
        if known:
            return False
        if head == "paper" and noun.determiner in ("", "the") and not noun.counted:
            self.scene.setting = self.scene.setting or "paper"
            if noun.colours and self.scene.setting_colour is None:
                self.scene.setting_colour = noun.colours[0][1]
            c.understood = True
            return True
        if head in lex.FRAME_NOUNS and noun.determiner == "the":
            return True
        if head == "sun" and noun.determiner == "":
            return True
        if head == "camera" and noun.determiner == "the" and (before in _LOOKING or (c.relation and c.relation.word == "into")):
            return True
        if noun.determiner in ("the", "its", "his", "her", "their") and (head in self.scene.depicted):
            return True
        shown = next((t for t in c.recent if isinstance(t, Thing)), None)
        if c.verb in _SHOWING and shown is not None and shown.icon in ("panel", "board", "paper", "computer", "phone"):
            shown.colours = shown.colours or list(noun.colours)
            return True
        if head in ("brick", "stone", "tile", "pebble") and not noun.counted and noun.determiner == "":
            return True  # what something is made of
        if before == "with" and noun.named is None:
            return not noun.counted
        return bool(c.relation and c.relation.word == "into" and noun.named not in _CONTAINERS)

    def _setting(self, noun: Noun, c: _Clause) -> str | None:
        if noun.head in ("space", "air"):
            return lex.SETTINGS[noun.head] if c.relation is not None and c.relation.word in ("in", "into") else None
        return lex.SETTINGS.get(noun.phrase) or lex.SETTINGS.get(noun.head) or lex.SETTINGS.get(noun.nouns[-1])

    def _members(self, noun: Noun, c: _Clause) -> None:
        """"one … in a red jacket and the other …": the colours of single items of the last group."""
        group = self.last_subject
        if noun.head in ("one", "other") and group is not None and group.count > 1:
            if len(group.members) < group.count:
                member = Thing(group.noun, group.icon, role="member", place=c.place)
                group.members.append(member)
                c.recent, c.place = [member], None
                c.understood = True
            return
        if not c.recent and c.relation is None:
            c.recent = [_ghost()]

    def _clothes(self, noun: Noun, c: _Clause) -> bool:
        """Clothes colour who wears them; a hat on its own is a thing."""
        head = noun.head
        wearer = next((t for t in reversed(c.recent) if isinstance(t, Thing)), None)
        if wearer is not None and wearer.role == "member":
            if noun.colours and wearer.icon in lex.LIVING and head not in _ACCESSORIES:
                wearer.colours = wearer.colours or noun.colours[:1]
            else:
                self.scene.note(f"“{' '.join([c_[0] for c_ in noun.colours] + [head])}” is worn, not drawn.")
            c.understood, c.relation = True, None
            return True
        if wearer is None and noun.determiner in ("his", "her", "their") and self.last_subject is not None:
            wearer = self.last_subject
        worn = noun.named is None or c.verb in lex.WEARING_WORDS or (c.relation is not None and c.relation.word == "in")
        worn = worn or noun.determiner in ("his", "her", "their") or (isinstance(c.before, Word) and c.before.value == "with")
        if wearer is not None and (wearer.icon in lex.LIVING or wearer.ref is not None) and worn:
            if noun.colours and head not in _ACCESSORIES:
                wearer.colours = wearer.colours or noun.colours[:1]
                c.understood = True
            c.relation = None
            return True
        return noun.named is None

    def _thing(self, noun: Noun, c: _Clause) -> Thing | None:
        """The thing of a noun phrase: one that is known already, a member of a group, or a new one."""
        same = [t for t in self.scene.things if _same_kind(t, noun)]
        alike = [t for t in same if not noun.colours or not t.colours or t.colours[0][0] == noun.colours[0][0]]
        back = noun.determiner in ("all", "the", "this", "that", "these", "those", "each", "every", "both", "its", "their", "his", "her")
        if alike and (back or not noun.counted) and (back or noun.determiner == ""):
            return _enriched(alike[0], noun)
        group = next((t for t in same if t.count >= noun.count and t.counted and not t.colours and t.ref is None), None)
        if group is not None and noun.determiner in ("a", "an", "one") and noun.colours:
            return self._split(group, noun)
        if any(t.ref is not None for t in alike) and not noun.counted and not noun.colours:
            return alike[0]
        if not noun.named and not (noun.counted or noun.colours or noun.material):
            if self._unclear(noun, c):
                return None
        return self._add(_new_thing(noun))

    def _split(self, group: Thing, noun: Noun) -> Thing | None:
        """"two vases … a white vase": the white one is one of the two."""
        member = self._add(_new_thing(noun))
        if member is None:
            return None
        group.count -= noun.count
        links = self.scene.links
        links += [replace(k, a=member) for k in links if k.a is group]
        if group.count <= 0:
            self.scene.things = [t for t in self.scene.things if t is not group]
            self.scene.links = [k for k in links if group not in (k.a, k.b, k.c)]
        return member

    def _unclear(self, noun: Noun, c: _Clause) -> bool:
        """An unknown noun without any quality: drawn only if it is indefinite and stands somewhere."""
        placed = c.place is not None or (c.relation is not None and bool(c.recent))
        if noun.determiner in ("a", "an") and placed and c.relation is not None and c.relation.word not in ("in", "by", "over"):
            return False
        return not (noun.determiner in ("a", "an") and c.place is not None)

    def _add(self, thing: Thing) -> Thing | None:
        if len(self.scene.things) >= MAX_THINGS:
            self.too_many += 1
            return None
        self.scene.things.append(thing)
        return thing

    def _reference(self, ordinal: int, noun: str, c: _Clause) -> Thing:
        known = self.scene.reference(ordinal)
        if known is None:
            known = Thing(noun, None, ref=ordinal, sure=True)
            self.scene.things.append(known)
        if isinstance(c.before, Word) and c.before.value in ("of", "from") and not noun:
            known.role = known.role if known.noun else "style"
        return known

    def _linked_reference(self, ordinal: int, noun: Noun, c: _Clause) -> Thing:
        """"the tower from the first reference image": the reference shows the tower."""
        style = c.style_of or noun.head in lex.STYLE_NOUNS or noun.nouns[-1] in lex.STYLE_NOUNS or noun.head in lex.ABSTRACT
        known = self._reference(ordinal, "" if style else noun.phrase, c)
        if style:
            known.role = "style" if not known.noun else known.role
            return known
        existing = next((t for t in self.scene.things if t.ref is None and _same_kind(t, noun) and t.count == 1), None)
        if existing is not None and known.icon is None:
            existing.ref, existing.sure = ordinal, True
            self.scene.things = [t for t in self.scene.things if t is not known]
            self._relink(known, existing)
            return existing
        known.noun, known.icon = noun.phrase, noun.named
        known.role = "subject"
        known.colours = known.colours or noun.colours
        return known

    def _relink(self, old: Thing, new: Thing) -> None:
        self.scene.links = [
            replace(k, a=new if k.a is old else k.a, b=new if k.b is old else k.b) for k in self.scene.links
        ]

    def _element(self, thing: Thing | None, c: _Clause) -> None:
        """A thing enters the clause: as the second side of a relation, in a list, or as a new subject."""
        if thing is None:
            c.relation = None
            return
        c.understood = True
        owners = [t for t in c.recent if isinstance(t, Thing) and t is not thing and t.role not in _PASSIVE]
        before = c.before.value if isinstance(c.before, Word) else ""
        if c.relation is not None and c.recent:
            self._relate(owners, thing, c)
            return
        if c.relation is not None and c.relation.word in ("on", "inside", "in") and c.draft is None:
            c.carrier = thing if thing.icon in _WRITTEN_ON else c.carrier
            self._await(thing, c)
        elif c.verb in lex.HOLDING_VERBS and owners and owners[-1].icon in _CONTAINERS:
            self._link(thing, "inside", owners[-1])
        elif before == "with" and owners and owners[-1].ref is not None:
            self.scene.depicted.add(thing.noun)
            if not thing.counted and not thing.colours and thing.ref is None:
                self._drop(thing)
            return
        elif before in (",", "and", "&") and c.recent and not c.verb:
            c.recent.append(thing)
        else:
            c.recent = [thing]
        if c.place is not None and thing.place is None:
            thing.place = c.place
        self.last_subject = thing

    def _await(self, thing: Thing, c: _Clause) -> None:
        """"On the table stands a vase": the relation's first side comes later in the sentence."""
        c.recent = [thing]
        c.relation = None

    def _relate(self, owners: list[Thing], thing: Thing, c: _Clause) -> None:
        relation = c.relation
        c.relation = None
        if relation is None:
            return
        if relation.kind == "between":
            c.relation = relation if not self._between(owners, thing) else None
            return
        if relation.kind == "inside" and thing.icon not in _CONTAINERS:
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
            if isinstance(item, Lettering) and relation.word in ("on", "inside", "in", "across") and thing.ref is None:
                item.carrier = thing
            elif isinstance(item, Lettering) and relation.kind == "below":
                item.below = True

    def _between(self, owners: list[Thing], thing: Thing) -> bool:
        """Whether a "between" is complete with this thing."""
        for owner in owners:
            half = next((k for k in self.scene.links if k.a is owner and k.kind == "between" and k.c is None), None)
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

    def _letter_noun(self, noun: Noun, c: _Clause) -> None:
        """"the title", "large cream capitals", "bold serif letters"."""
        word = noun.nouns[-1] if noun.nouns[-1] in lex.LETTER_WORDS else noun.head
        role = lex.LETTER_WORDS[word]
        last = c.recent[-1] if c.recent else None
        target = last if isinstance(last, Lettering) else c.draft
        if target is None:
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

    def _quoted(self, value: str, c: _Clause, words: list[str]) -> None:
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
        if c.carrier is None and isinstance(c.before, Word) and c.before.value in lex.READING_VERBS | {"with"}:
            c.carrier = _carrier(c.recent)
        draft.carrier = draft.carrier or c.carrier
        _styled(draft, words)
        self.scene.texts.append(draft)
        c.recent = [draft]
        c.draft = None
        c.relation = None


_ACCESSORIES = ("hat", "cap", "helmet", "scarf", "backpack", "rucksack", "collar")
_LOOKING = ("at", "into", "toward", "towards", "face", "faces", "facing")
_SHOWING = ("show", "shows", "showing", "depicts", "depict", "contains", "displays")
_PASSIVE = ("member", "ghost")
_CONTAINERS = {"vase", "bowl", "cube", "cup", "bag", "boat", "glass", "plate", "ship", "bus", "car"}
_WRITTEN_ON = {"sign", "board", "banner", "paper", "book", "flag"}


def _ghost() -> Thing:
    """Stands for a subject that is not drawn, so that its places and relations go to nobody else."""
    return Thing("", None, role="ghost")


def _carrier(recent: list[Thing | Lettering]) -> Thing | None:
    thing = next((t for t in reversed(recent) if isinstance(t, Thing)), None)
    if thing is None or thing.ref is not None or thing.icon in lex.LIVING or thing.role in _PASSIVE:
        return None
    return thing


def _split_members(scene: Scene) -> None:
    """A group whose members stand in places of their own becomes several things."""
    for group in list(scene.things):
        placed = [m for m in group.members if m.place is not None]
        if not placed:
            continue
        for member in placed:
            single = replace(group, count=1, members=[], place=member.place, colours=member.colours or group.colours)
            scene.things.insert(scene.things.index(group), single)
            scene.links += [replace(k, a=single) for k in scene.links if k.a is group]
        group.members = [m for m in group.members if m.place is None]
        group.count -= len(placed)
        if group.count <= 0:
            scene.things = [t for t in scene.things if t is not group]
            scene.links = [k for k in scene.links if group not in (k.a, k.b, k.c)]


def _same_kind(thing: Thing, noun: Noun) -> bool:
    head = noun.head
    return thing.noun == noun.phrase or thing.noun.split(" ")[-1:] == [head]


def _new_thing(noun: Noun) -> Thing:
    return Thing(
        noun.phrase,
        noun.named,
        count=noun.count,
        counted=noun.counted,
        colours=list(noun.colours),
        material=noun.material,
        size=noun.size,
        definite=noun.determiner == "the",
        sure=noun.counted or bool(noun.colours) or bool(noun.material) or noun.determiner in ("a", "an"),
        words=noun.other,
    )


def _enriched(thing: Thing, noun: Noun) -> Thing:
    thing.colours = thing.colours or list(noun.colours)
    thing.material = thing.material or noun.material
    if noun.size != 1.0:
        thing.size = noun.size
    if noun.counted and thing.ref is None:
        thing.count, thing.counted = noun.count, True
    return thing


def _styled(text: Lettering, words: list[str] | tuple[str, ...]) -> None:
    """Typeface words of the clause."""
    found = set(words)
    if found & {"sans-serif", "sans", "grotesque"}:
        text.serif = False
    elif found & {"serif", "serifs", "engraved", "classical"}:
        text.serif = True
    text.italic = text.italic or bool(found & {"italic", "italics", "script", "cursive", "handwritten", "calligraphy"})
    text.capitals = text.capitals or bool(found & {"capitals", "uppercase", "caps"})
    if found & {"thin", "light-weight", "regular"}:
        text.bold = False


def _read_light(scene: Scene, text: str) -> None:
    """Light, mood and style words, wherever they stand."""
    bare = re.sub(r'"[^"]{0,600}"', " ", text)
    for phrase, light in sorted(lex.LIGHTS.items(), key=lambda e: -len(e[0])):
        if light not in scene.lights and re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", bare):
            scene.lights.append(light)
    for style in lex.STYLES_NOT_DRAWN:
        if re.search(rf"(?<![\w-]){re.escape(style)}(?![\w-])", bare):
            scene.note(f"The storyboard is a flat illustration: “{style}” is left to the real renderer.")
