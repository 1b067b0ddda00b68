"""What a noun phrase names: a thing that is new or known, a member of a group, clothes, a setting, or nothing drawn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from genevolve.interpreter.renderers.storyboard import lexicon as lex
from genevolve.interpreter.renderers.storyboard.phrases import Noun, Phrase, Rel, Word
from genevolve.interpreter.renderers.storyboard.scene import Lettering, Place, Scene, Thing

MAX_THINGS = 24
_ACCESSORIES = ("hat", "cap", "helmet", "scarf", "backpack", "rucksack", "collar")
_LOOKING = ("at", "into", "toward", "towards", "face", "faces", "facing")
_SHOWING = ("show", "shows", "showing", "depicts", "depict", "contains", "displays")
PASSIVE = ("member", "ghost")
SURFACES = {"table", "bed", "bench", "cake", "plate", "armchair", "cube", "paper"}
CONTAINERS = {"vase", "bowl", "cube", "cup", "bag", "boat", "glass", "plate", "ship", "bus", "car"}


@dataclass
class Clause:
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
    commas: list[Thing | Lettering] = field(default_factory=list)
    awaiting: tuple[str, Thing] | None = None  # "on the table stands …": what comes stands on it
    showing: bool = False
    style_of: bool = False  # "the surface of …" came just before


class Nouns:
    """Resolves noun phrases against the scene as it is known so far."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.last: Thing | None = None
        self.too_many = 0

    def resolve(self, noun: Noun, c: Clause) -> list[Thing | None]:
        """The things that enter the clause; empty when the phrase is used up or names nothing to draw."""
        if noun.refs:
            found: list[Thing | None] = [self._linked_reference(n, noun, c) for n in noun.refs]
            if noun.count > 1 and noun.counted and noun.named:
                found.append(self._thing(noun, c))
            return found
        for rule in (
            self._ignored,
            self._is_member,
            self._worn,
            self._is_setting,
            self._part_of_picture,
            self._abstract,
        ):
            if rule(noun, c):
                return []
        return [self._thing(noun, c)]

    def _ignored(self, noun: Noun, c: Clause) -> bool:
        """What is denied ("no dogs"), compared with ("like a fan"), or the picture itself ("A poster, …")."""
        if noun.determiner == "no" or c.negated:
            c.negated = c.negated and noun.determiner != "no"
            c.understood = True
            return True
        opening = not self.scene.things and not c.recent and c.relation is None and not noun.counted
        if noun.head in lex.FRAME_NOUNS and opening:
            c.understood = True
            return True
        skipped, c.skip_next = c.skip_next, False
        return skipped

    def _is_member(self, noun: Noun, c: Clause) -> bool:
        if noun.head not in ("one", "other") or noun.named is not None:
            return False
        self._members(noun, c)
        return True

    def _worn(self, noun: Noun, c: Clause) -> bool:
        return noun.head in lex.CLOTHES and self._clothes(noun, c)

    def _is_setting(self, noun: Noun, c: Clause) -> bool:
        setting = None if noun.named is not None else self._setting(noun, c)
        if not setting:
            return False
        c.understood = True
        self.scene.setting = self.scene.setting or setting
        if noun.colours and self.scene.setting == setting and self.scene.setting_colour is None:
            self.scene.setting_colour = noun.colours[0][1]
        c.relation = None
        if not c.recent:
            c.recent = [ghost("setting")]
        return True

    def _abstract(self, noun: Noun, c: Clause) -> bool:
        if noun.head not in lex.ABSTRACT or (len(noun.nouns) > 1 and noun.phrase in lex.NOUNS):
            return False
        if c.verb and c.recent and c.relation is None:
            c.recent = [ghost()]  # "throws a shadow to the right": the place is the shadow's
        self._members(noun, c)
        if noun.head in ("background", "backdrop") and not noun.colours and len(c.recent) == 1:
            c.recent = (
                [ghost("setting")]
                if isinstance(c.recent[0], Thing) and c.recent[0].role == "ghost"
                else c.recent
            )
        if noun.colours and noun.head in ("background", "backdrop"):
            self.scene.setting_colour = noun.colours[0][1]
            self.scene.setting = self.scene.setting or "plain"
            c.understood = True
        c.relation = None
        return True

    def _part_of_picture(self, noun: Noun, c: Clause) -> bool:
        """Nouns that name no new thing: the sheet itself, daylight, the viewer's camera, what a reference shows."""
        head, before = noun.head, c.before.value if isinstance(c.before, Word) else ""
        if c.showing:
            return True
        known = any(same_kind(t, noun) for t in self.scene.things)
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
        if (
            head == "camera"
            and noun.determiner == "the"
            and (before in _LOOKING or (c.relation and c.relation.word == "into"))
        ):
            return True
        if noun.determiner in ("the", "its", "his", "her", "their") and (head in self.scene.depicted):
            return True
        shown = next((t for t in c.recent if isinstance(t, Thing)), None)
        if (
            c.verb in _SHOWING
            and shown is not None
            and shown.icon in ("panel", "board", "paper", "computer", "phone")
        ):
            shown.colours = shown.colours or list(noun.colours)
            c.showing, c.recent = True, [ghost()]  # what a board shows, and where on it, is not laid out
            return True
        if head in ("brick", "stone", "tile", "pebble") and not noun.counted and noun.determiner == "":
            return True  # what something is made of
        if before == "with" and noun.named is None and head not in lex.ABSTRACT:
            return not noun.counted
        return bool(c.relation and c.relation.word == "into" and noun.named not in CONTAINERS)

    def _setting(self, noun: Noun, c: Clause) -> str | None:
        if noun.head in ("space", "air"):
            return (
                lex.SETTINGS[noun.head]
                if c.relation is not None and c.relation.word in ("in", "into")
                else None
            )
        return (
            lex.SETTINGS.get(noun.phrase) or lex.SETTINGS.get(noun.head) or lex.SETTINGS.get(noun.nouns[-1])
        )

    def _members(self, noun: Noun, c: Clause) -> None:
        """Read "one … in a red jacket and the other …": the colours of single items of the last group."""
        group = self.last
        if noun.head in ("one", "other") and group is not None and group.count > 1:
            if len(group.members) < group.count:
                member = Thing(group.noun, group.icon, role="member", place=c.place)
                group.members.append(member)
                c.recent, c.place = [member], None
                c.understood = True
            return
        if not c.recent and c.relation is None:
            c.recent = [ghost()]

    def _clothes(self, noun: Noun, c: Clause) -> bool:
        """Clothes colour who wears them; a hat on its own is a thing."""
        head = noun.head
        wearer = next((t for t in reversed(c.recent) if isinstance(t, Thing) and t.role != "ghost"), None)
        if wearer is not None and wearer.role == "member":
            if noun.colours and wearer.icon in lex.LIVING and head not in _ACCESSORIES:
                wearer.colours = wearer.colours or noun.colours[:1]
            else:
                self.scene.note(f"“{' '.join([c_[0] for c_ in noun.colours] + [head])}” is worn, not drawn.")
            c.understood, c.relation = True, None
            return True
        if wearer is None and noun.determiner in ("his", "her", "their") and self.last is not None:
            wearer = self.last
        worn = (
            noun.named is None
            or c.verb in lex.WEARING_WORDS
            or (c.relation is not None and c.relation.word == "in")
        )
        worn = (
            worn
            or noun.determiner in ("his", "her", "their")
            or (isinstance(c.before, Word) and c.before.value == "with")
        )
        if wearer is not None and (wearer.icon in lex.LIVING or wearer.ref is not None) and worn:
            if noun.colours and head not in _ACCESSORIES:
                wearer.colours = wearer.colours or noun.colours[:1]
                c.understood = True
            c.relation = None
            return True
        return noun.named is None

    def _thing(self, noun: Noun, c: Clause) -> Thing | None:
        """The thing of a noun phrase: one that is known already, a member of a group, or a new one."""
        same = [t for t in self.scene.things if same_kind(t, noun)]
        alike = [
            t for t in same if not noun.colours or not t.colours or t.colours[0][0] == noun.colours[0][0]
        ]
        back = noun.determiner in (
            "all",
            "the",
            "this",
            "that",
            "these",
            "those",
            "each",
            "every",
            "both",
            "its",
            "their",
            "his",
            "her",
        )
        if alike and (back or not noun.counted) and (back or noun.determiner == ""):
            return _enriched(alike[0], noun)
        group = next(
            (t for t in same if t.count >= noun.count and t.counted and not t.colours and t.ref is None), None
        )
        if group is not None and noun.determiner in ("a", "an", "one") and noun.colours:
            return self._split(group, noun)
        if any(t.ref is not None for t in alike) and not noun.counted and not noun.colours:
            return alike[0]
        plain = not (noun.named or noun.counted or noun.colours or noun.material)
        if plain and self._unclear(noun, c):
            return None
        return self._add(_new_thing(noun))

    def _split(self, group: Thing, noun: Noun) -> Thing | None:
        """Read "two vases … a white vase": the white one is one of the two."""
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

    def _unclear(self, noun: Noun, c: Clause) -> bool:
        """An unknown noun without any quality: drawn only if it is indefinite and stands somewhere."""
        placed = c.place is not None or (c.relation is not None and bool(c.recent))
        if (
            noun.determiner in ("a", "an")
            and placed
            and c.relation is not None
            and c.relation.word not in ("in", "by", "over")
        ):
            return False
        return not (noun.determiner in ("a", "an") and c.place is not None)

    def _add(self, thing: Thing) -> Thing | None:
        if len(self.scene.things) >= MAX_THINGS:
            self.too_many += 1
            return None
        self.scene.things.append(thing)
        return thing

    def reference(self, ordinal: int, noun: str, c: Clause) -> Thing:
        """The thing that a reference picture shows; `noun` is "" where the picture is named on its own."""
        known = self.scene.reference(ordinal)
        if known is None:
            known = Thing(noun, None, ref=ordinal, sure=True)
            self.scene.things.append(known)
        if isinstance(c.before, Word) and c.before.value in ("of", "from") and not noun:
            known.role = known.role if known.noun else "style"
        return known

    def _linked_reference(self, ordinal: int, noun: Noun, c: Clause) -> Thing:
        """Read "the tower from the first reference image": the reference shows the tower."""
        style = (
            c.style_of
            or noun.head in lex.STYLE_NOUNS
            or noun.nouns[-1] in lex.STYLE_NOUNS
            or noun.head in lex.ABSTRACT
        )
        known = self.reference(ordinal, "" if style else noun.phrase, c)
        if style:
            known.role = "style" if not known.noun else known.role
            return known
        existing = next(
            (t for t in self.scene.things if t.ref is None and same_kind(t, noun) and t.count == 1), None
        )
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


def ghost(noun: str = "") -> Thing:
    """Stands for a subject that is not drawn, so that its places and relations go to nobody else."""
    return Thing(noun, None, role="ghost")


def same_kind(thing: Thing, noun: Noun) -> bool:
    """Whether a noun phrase may mean this thing."""
    head = noun.head
    return thing.noun == noun.phrase or thing.noun == head or thing.noun.endswith(" " + head)


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
