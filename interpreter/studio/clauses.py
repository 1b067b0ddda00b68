"""Reads one sentence at a time: noun phrases, places, numbers, texts, light, style, each bound to its thing."""

from __future__ import annotations

from collections.abc import Sequence

from genevolve.interpreter.studio import lexicon as lex
from genevolve.interpreter.studio.moods import take_mood
from genevolve.interpreter.studio.reading import Pending, Reading, ReadText, ReadThing
from genevolve.interpreter.studio.scene import CREATURES, FIGURES, LOOK_NOUNS, MAX_TEXT

_MOST_THINGS = 24
_MOST_TEXTS = 8
ANYTHING = ""
"""The noun of a thing that is only called "what the first reference image shows"."""


class SentenceReader:
    """Adds to a reading what sentence after sentence says."""

    def __init__(self, reading: Reading, quotes: Sequence[str]) -> None:
        self._reading = reading
        self._quotes = quotes
        self._current: ReadThing | None = None

    def read(self, index: int, words: list[str], raw: str) -> None:
        """Read one sentence, given as tokens; `raw` is as it was written."""
        self._index = index
        self._words = words
        self._set = frozenset(words)
        self._pending = Pending()
        self._clause_thing: ReadThing | None = None
        self._mentioned: list[ReadThing] = []
        self._coloured: list[ReadThing] = []
        self._trailing: list[str] = []
        self._text: ReadText | None = None
        self._texts: list[ReadText] = []
        self._spot: dict[str, str] = {}
        self._open_spot = ""
        self._stood: ReadThing | None = None
        self._relation = ""
        self._orphans: list[int] = []
        self._waiting_skin = ""
        self._surface, self._ground, self._letter_colour = "", "", ""
        self._lettered = any(w[0] == "\x01" for w in words) or bool(
            self._set & (lex.READS | lex.LETTER_WORDS)
        )
        self._lit = bool(self._set & lex.LIGHT_HEADS)
        i = 0
        while i < len(words):
            i += self._token(i)
        self._end_clause()
        self._whole_sentence(raw)

    # ---- tokens ----

    def _token(self, i: int) -> int:
        """Take the token at `i`; how many tokens were used."""
        word = self._words[i]
        if word in (",", ":", "(", ")"):
            self._end_clause()
        elif word[0] == "\x01":
            self._quote(int(word[1:]))
        elif word.startswith("ref_"):
            self._refer(lex.ORDINALS.get(word[4:], 1))
        elif word in lex.LEG_WORDS:
            self._legs()
        elif word in lex.SKINS and self._is_skin(i):
            self._skin(i, lex.SKINS[word])
        elif lex.singular(word)[0] and not self._is_other(i, word):
            self._noun(i, word)
        elif word in lex.SURFACES and self._lettered:
            self._carrier(word)
        else:
            return self._modifier(i, word)
        return 1

    def _modifier(self, i: int, word: str) -> int:
        if word in lex.EXACT:
            self._pending.exact = True
        elif word in lex.NUMBERS:
            self._number(i, word)
        elif word in lex.COLOURS or word in lex.PALE:
            self._colour(i, word)
        elif word in lex.MATERIALS:
            self._material(i, lex.MATERIALS[word])
        elif word in lex.SIZES:
            self._pending.size = lex.SIZES[word]
        elif word in lex.ARRANGEMENTS:
            self._arrange(i, word)
        elif word in lex.PLACE_V or word in lex.PLACE_H or word in lex.PLACE_C:
            self._place(i, word)
        elif word in lex.RELATIONS:
            self._relation = lex.RELATIONS[word]
        elif word in lex.ARTICLES:
            self._pending = Pending(
                definite=word in lex.DEFINITE, exact=self._pending.exact, colours=self._kept_colours(i)
            )
            self._pending.split = bool(self._pending.colours)
        elif word == "and" and not self._next_is_colour(i):
            self._end_clause(soft=True)
        return 1

    def _kept_colours(self, i: int) -> list[str]:
        """Colours before an article: kept in "a red and a blue cup", where the noun comes later."""
        return self._pending.colours if i and self._words[i - 1] == "and" else []

    def _next_is_colour(self, i: int) -> bool:
        after = [w for w in self._words[i + 1 : i + 3] if w not in lex.ARTICLES]
        return bool(after) and after[0] in lex.COLOURS and bool(self._pending.colours)

    def _head(self, i: int) -> tuple[str, str]:
        """What the adjective at `i` belongs to: ("noun" | "surface" | "letters" | "ground" | "", word)."""
        unknown = 0
        for word in self._words[i + 1 : i + 8]:
            if word == "and" and unknown == 0:
                continue
            if lex.singular(word)[0]:
                return "noun", word
            if word in lex.SURFACES and self._lettered:
                return "surface", word
            if word in lex.LETTER_WORDS:
                return "letters", word
            if word in lex.GROUND_HEADS or (word in lex.GROUNDS and word not in lex.MATERIALS):
                return "ground", word
            if word in lex.LIGHT_HEADS and word not in lex.STOPS:
                return "light", word
            if word in lex.COLOURS or word in lex.PALE or word in lex.MATERIALS or word in lex.SIZES:
                continue
            if word in ("a", "an") and unknown == 0:
                continue
            if word in lex.STOPS or word[0] == "\x01":
                return "", ""
            unknown += 1
            if unknown > 2:
                return "", ""
        return "", ""

    # ---- modifiers ----

    def _number(self, i: int, word: str) -> None:
        number = lex.NUMBERS[word]
        after = self._words[i + 1] if i + 1 < len(self._words) else ""
        before = self._words[i - 1] if i else ""
        if after in ("third", "thirds", "quarter", "quarters", "half", "tenth", "times", "colours", "tones"):
            return
        if before == "of" and i > 1 and self._words[i - 2] in ("rows", "columns"):
            return  # "two rows of three": the number of things is said elsewhere
        exact = self._pending.exact or before in lex.EXACT
        if after in lex.ARRANGEMENTS:
            return
        target = self._clause_thing or (self._mentioned[-1] if self._mentioned else None)
        if after in ("", ",", "in", "on", "at") and target is not None:
            if number > 1 or exact:
                self._count(target, number, exact)
            return
        if (
            after == "of"
            and self._words[i + 2 : i + 3] in (["them"], ["these"])
            and self._current is not None
        ):
            self._count(self._current, number, exact)
            return
        self._pending.count, self._pending.exact = number, exact

    def _count(self, thing: ReadThing, number: int, exact: bool) -> None:
        if number > 1 or exact or thing.count is None:
            thing.counts.add(number)
            thing.count = number
            thing.exact = thing.exact or exact
            thing.plural = thing.plural or number > 1

    def _colour(self, i: int, word: str) -> None:
        kind, head = self._head(i)
        pale = word in lex.PALE
        name = lex.PALE[word] if pale else lex.COLOURS[word]
        if kind == "surface":
            self._ground = name or self._ground
        elif kind == "letters":
            self._letter_colour = name or self._letter_colour
            if self._text is not None and not self._text.colour:
                self._text.colour = name
        elif kind in ("ground", "light"):
            return
        elif kind == "noun" and not self._is_figure(head):
            if pale:
                self._pending.pale = name
            elif len(self._pending.colours) < 4:
                self._pending.colours.append(name)
        elif self._lettered and (self._text is not None or self._surface):
            self._paint_text(name)
        elif not pale and len(self._trailing) < 12:
            self._trailing.append(name)
        elif pale and self._clause_thing is not None:
            self._clause_thing.pale = name

    def _paint_text(self, name: str) -> None:
        target = self._text or (self._texts[-1] if self._texts else None)
        if target is None:
            self._ground = self._ground or name
        elif not target.colour:
            target.colour = name

    def _material(self, i: int, name: str) -> None:
        kind, _ = self._head(i)
        if kind == "noun":
            self._pending.material = name
        elif kind in ("surface", "letters", "ground"):
            return
        elif self._clause_thing is not None or self._mentioned:
            thing = self._clause_thing or self._mentioned[-1]
            if not (name == "stone" and i and self._words[i - 1] in ("on", "the")):
                thing.material = thing.material or name
                self._shares(thing)
        elif self._current is not None and self._set & {"it", "its", "is", "are", "they"}:
            self._current.material = self._current.material or name

    def _arrange(self, i: int, word: str) -> None:
        name = lex.ARRANGEMENTS[word]
        target = self._clause_thing or (self._mentioned[-1] if self._mentioned else None)
        of = self._words[i + 1 : i + 2] == ["of"] and any(
            lex.singular(w)[0] for w in self._words[i + 2 : i + 6] if w not in (",",)
        )
        if target is not None and not of:
            target.arranged = target.arranged or name
        elif of or not self._mentioned:
            kept = self._pending.count if not of else None
            self._pending.arranged = name
            self._pending.count = kept
            if not of and self._current is not None and not self._coming(i):
                self._current.arranged = self._current.arranged or name

    def _coming(self, i: int) -> bool:
        """Whether a noun follows in this sentence."""
        return any(lex.singular(w)[0] for w in self._words[i + 1 :])

    # ---- places ----

    def _place(self, i: int, word: str) -> None:
        around = self._words[max(0, i - 3) : i]
        after = self._words[i + 1 : i + 2]
        if (after and after[0] in lex.BODY_PARTS) or set(around) & lex.NOT_A_PLACE:
            return
        if "from" in around[-2:] and self._lit:
            if word in lex.PLACE_H:
                self._reading.light_from = self._reading.light_from or lex.PLACE_H[word]
            return
        if self._lit and not self._mentioned and not self._coming(i) and not self._lettered:
            return
        if word in lex.PLACE_V:
            self._spot.setdefault("v", lex.PLACE_V[word])
        elif word in lex.PLACE_H:
            self._spot.setdefault("h", lex.PLACE_H[word])
        else:
            self._spot.setdefault("c", "centre")

    def _taken_spot(self) -> str:
        if not self._spot:
            return ""
        place = lex.CELLS[(self._spot.get("v", ""), self._spot.get("h", ""))]
        self._spot = {}
        return together(self._open_spot, place)

    def _end_clause(self, soft: bool = False) -> None:
        """A comma, or an "and": places said so far belong to what was named in this clause, or to what comes next."""
        place = self._taken_spot() or self._open_spot
        self._open_spot = ""
        if place:
            if self._text is not None:
                self._text.place = self._text.place or place
            elif self._clause_thing is not None:
                self._stand(self._clause_thing, place)
            elif self._mentioned and not self._lettered:
                self._stand(self._mentioned[-1], place)
            elif self._lettered and self._texts and not self._texts[-1].place:
                self._texts[-1].place = place
            else:
                self._open_spot = place
        if not soft:
            self._pending = Pending(colours=[])
        self._relation = "" if self._clause_thing is not None or not soft else self._relation
        if not soft or self._clause_thing is not None or self._text is not None:
            self._clause_thing = None
            self._text = None

    def _stand(self, thing: ReadThing, place: str) -> None:
        if self._stood is thing and not thing.plural:  # "in the lower quarter, on the right"
            whole = together(thing.places[-1], place)
            if whole != place:
                thing.places[-1] = whole
                return
        self._stood = thing
        if place not in thing.places and len(thing.places) < 12:
            thing.places.append(place)

    # ---- nouns ----

    def _is_other(self, i: int, word: str) -> bool:
        """A noun that is no thing here: a figure on a badge, a lamp that lights, a surface."""
        noun, _ = lex.singular(word)
        if self._is_figure(word):
            look = self._look_thing()
            if look is not None:
                look.figure = noun
            return True
        before = self._words[i - 1] if i else ""
        return (noun == "moon" and before in ("full", "new") and self._lit) or (
            before in lex.NEGATIONS and noun != "emblem"
        )

    def _is_figure(self, word: str) -> bool:
        noun, _ = lex.singular(word)
        return noun in FIGURES and bool(self._set & lex.FIGURE_CUES) and self._look_thing() is not None

    def _look_thing(self) -> ReadThing | None:
        for thing in (self._clause_thing, *reversed(self._mentioned), self._current):
            if thing is not None and thing.noun in LOOK_NOUNS:
                return thing
        return None

    def _noun(self, i: int, word: str) -> None:
        noun, plural = lex.singular(word)
        pending, self._pending = self._pending, Pending()
        relation, self._relation = self._relation, ""
        target_of = self._clause_thing or (self._mentioned[-1] if self._mentioned else self._current)
        if relation and target_of is not None and target_of.noun != noun:
            target_of.relations.append((relation, noun))
            if relation == "next_to":
                target_of.together = True
        before_place = "" if relation else (self._taken_spot() or self._open_spot)
        self._open_spot = "" if before_place else self._open_spot
        divided, plural = self._split(pending, plural)
        for colours in divided:
            thing = self._thing(noun, colours, pending, plural, before_place, bool(relation))
            if thing is None:
                return
            self._dress(thing, colours, pending)
            if not relation or pending.count or colours:
                self._clause_thing = thing
                if thing not in self._mentioned:
                    self._mentioned.append(thing)
            if before_place:
                self._stand(thing, before_place)

    def _split(self, pending: Pending, plural: bool) -> tuple[list[list[str]], bool]:
        """Colours before one noun: "a red and a blue cup" and "red and blue cups" are two things."""
        if len(pending.colours) > 1 and (
            pending.split or (plural and pending.count in (None, len(pending.colours)))
        ):
            pending.count = None
            return [[c] for c in pending.colours], False
        return [pending.colours], plural

    def _thing(
        self, noun: str, colours: list[str], pending: Pending, plural: bool, place: str, related: bool
    ) -> ReadThing | None:
        same = [t for t in self._reading.things if t.noun == noun]
        definite = pending.definite or related
        for thing in reversed(same):
            # "one lantern on the left, one lantern in the middle" lists the copies of a group.
            listing = thing.plural and pending.count == 1
            if listing or thing.matches(colours, definite, place):
                if pending.count and not listing:
                    self._count(thing, pending.count, pending.exact)
                return thing
        if len(self._reading.things) >= _MOST_THINGS:
            self._reading.note("The prompt names more things than fit into a picture.")
            return None
        thing = ReadThing(noun, sentence=self._index, plural=plural)
        if pending.count:
            self._count(thing, pending.count, pending.exact)
        self._reading.things.append(thing)
        return thing

    def _dress(self, thing: ReadThing, colours: list[str], pending: Pending) -> None:
        for colour in colours:
            if colour not in thing.colours:
                thing.colours.append(colour)
        if colours or pending.material:
            self._shares(thing)
        thing.material = thing.material or pending.material
        thing.size = pending.size or thing.size
        thing.arranged = thing.arranged or pending.arranged
        thing.pale = thing.pale or pending.pale

    def _shares(self, thing: ReadThing) -> None:
        if thing not in self._coloured:
            self._coloured.append(thing)

    # ---- references, legs, skins, texts ----

    def _refer(self, ordinal: int) -> None:
        thing = self._clause_thing or (self._mentioned[-1] if self._mentioned else None)
        if thing is None:
            self._orphans.append(ordinal)
        elif ordinal not in thing.references:
            thing.references.append(ordinal)

    def _adopt(self) -> None:
        """What was named before its noun ("from the first reference image, copy the emblem"), or without one."""
        if self._waiting_skin and self._mentioned and not self._mentioned[0].skin:
            self._mentioned[0].skin = self._waiting_skin
            self._mentioned[0].seams |= self._set & lex.SEAM_CUES
        if not self._orphans:
            return
        looks = [t for t in self._mentioned if t.noun in LOOK_NOUNS] or self._mentioned[:1]
        if (
            not looks
            and self._current is not None
            and (self._current.references or self._set & {"it", "its"})
        ):
            looks = [self._current]
        if not looks:
            thing = ReadThing(ANYTHING, sentence=self._index)
            self._reading.things.append(thing)
            looks, self._current = [thing], thing
        thing = looks[0]
        thing.references.extend(o for o in self._orphans if o not in thing.references)
        self._cues(thing)
        if self._open_spot:
            self._stand(thing, self._open_spot)

    def _legs(self) -> None:
        target = next(
            (
                t
                for t in (self._clause_thing, *reversed(self._mentioned), self._current)
                if t and CREATURES.get(t.noun)
            ),
            None,
        )
        number, self._pending.count = self._pending.count, None
        if target is not None:
            if number is not None and 1 <= number <= 10:
                if target.legs is not None and target.legs != number:
                    self._reading.contradict("legs")
                target.legs = number
            target.leg_cues |= self._set & lex.ANATOMY_CUES
            target.leg_cues.add("legs")

    def _is_skin(self, i: int) -> bool:
        cues = self._set & lex.SKIN_CUES
        if self._words[i] not in ("leaf", "leaves"):
            return bool(cues) or not lex.singular(self._words[i])[0]
        near = set(self._words[max(0, i - 6) : i + 3])
        return bool(near & lex.SKIN_CUES)

    def _skin(self, i: int, name: str) -> None:
        thing = self._clause_thing or (self._mentioned[-1] if self._mentioned else None)
        if thing is None and self._coming(i):
            self._waiting_skin = name  # "a mix of bricks and a boat"
            return
        if thing is None and self._set & lex.SKIN_CUES:
            thing = self._current
        if thing is None or not (
            self._set & lex.SKIN_CUES or self._words[i - 1 : i] in (["with"], ["of"], ["in"])
        ):
            return
        if self._set & lex.FIGURE_CUES and thing.noun == "emblem":
            return
        if thing.skin and thing.skin != name:
            self._reading.contradict("skin")
        thing.skin = thing.skin or name
        thing.seams |= self._set & lex.SEAM_CUES

    def _carrier(self, word: str) -> None:
        self._surface = lex.SURFACES[word]
        if self._text is None and self._texts and not self._texts[-1].surface:
            self._texts[-1].surface = self._surface
        elif self._text is not None:
            self._text.surface = self._text.surface or self._surface
        self._pending = Pending()

    def _quote(self, number: int) -> None:
        if number >= len(self._quotes) or len(self._reading.texts) >= _MOST_TEXTS:
            self._reading.note("The prompt quotes more texts than fit into a picture.")
            return
        place = self._taken_spot() or self._open_spot
        self._open_spot = ""
        text = ReadText(self._quotes[number][:MAX_TEXT].strip() or "?")
        text.place, text.surface = place, self._surface
        text.ground, text.colour = self._ground, self._letter_colour
        self._surface = self._ground = self._letter_colour = ""
        self._reading.texts.append(text)
        self._texts.append(text)
        self._text = text
        self._clause_thing = None

    # ---- the sentence as a whole ----

    def _whole_sentence(self, raw: str) -> None:
        reading = self._reading
        for text in self._texts:
            text.crowded = len(self._texts) > 1
            text.ground = text.ground or self._ground
            text.colour = text.colour or self._letter_colour
            text.place = text.place or self._open_spot
        self._late_facts()
        going_on = self._continued()
        if (
            going_on is not None
            and self._open_spot
            and not (self._mentioned or self._lettered or self._orphans)
        ):
            self._stand(going_on, self._open_spot)
        self._hand_out_colours()
        take_mood(reading, self._words, self._lettered)
        if lex.CLOSED.search(raw.lower()):
            reading.closed = True
        reading.praise += len(self._set & lex.PRAISE)
        self._company()
        about = self._mentioned or (
            [self._current] if self._current is not None and not self._lettered else []
        )
        for thing in about:
            self._cues(thing)
        if self._set & {"shadow", "shadows"} and self._set & lex.SHADOW_CUES:
            self._shadow(about)
        self._adopt()
        if self._mentioned:
            self._current = self._mentioned[-1]

    def _company(self) -> None:
        """Whether things were coloured or named together in this sentence."""
        if len(self._coloured) > 1:
            for thing in self._coloured:
                thing.sharing = self._index
        elif self._coloured:
            self._coloured[0].bound = True
        if self._set & lex.TOGETHER and len(self._mentioned) > 1:
            for thing in self._mentioned:
                thing.together = True

    def _late_facts(self) -> None:
        """Place and surface of a text that was not quoted."""
        unquoted = [t for t in self._reading.texts if not t.quoted]
        if self._lettered and not self._texts and unquoted:
            text = unquoted[-1]
            text.place = text.place or self._open_spot or self._taken_spot()
            text.surface = text.surface or self._surface

    def _hand_out_colours(self) -> None:
        bare = [t for t in self._mentioned if not t.colours and not t.references]
        if not self._trailing:
            return
        if len(self._trailing) == 1:
            thing = self._mentioned[-1] if self._mentioned else self._continued()
            many = len(bare) > 1 and self._set & {"both", "all", "every", "each", "everything"}
            for owner in bare if many else [thing] if thing is not None else []:
                if self._trailing[0] not in owner.colours:
                    owner.colours.append(self._trailing[0])
                self._shares(owner)
            return
        if len(bare) >= 2:
            for thing, colour in zip(bare, self._trailing, strict=False):
                thing.colours.append(colour)
                self._shares(thing)
        else:
            target = bare[0] if bare else (self._mentioned[-1] if self._mentioned else self._current)
            if target is not None:
                target.colours.extend(c for c in self._trailing if c not in target.colours)

    def _continued(self) -> ReadThing | None:
        """The last thing, when a sentence without a noun goes on about it."""
        return self._current if self._set & {"it", "its", "they", "is", "are", "all", "each"} else None

    def _cues(self, thing: ReadThing) -> None:
        if thing.material:
            thing.matter |= self._set & lex.MATTER[thing.material]
        if self._set & lex.HOST_CUES:
            thing.host = True
        if thing.skin:
            thing.seams |= self._set & lex.SEAM_CUES
        if thing.references:
            thing.copying = thing.copying or bool(self._set & lex.COPY_WORDS)
            for word in self._words:
                thing.copied.update(lex.ASPECTS.get(word, ()))
        if CREATURES.get(thing.noun) and thing.leg_cues:
            thing.leg_cues |= self._set & lex.ANATOMY_CUES
        if thing.noun in LOOK_NOUNS:
            for word in self._words:
                thing.pattern = thing.pattern or lex.PATTERN_WORDS.get(word, "")
                if thing.noun == "emblem":
                    thing.outline = thing.outline or lex.OUTLINE_WORDS.get(word, "")

    def _shadow(self, about: list[ReadThing]) -> None:
        if self._set & (lex.NEGATIONS - {"not"}):
            return
        if self._set & lex.ALL_THINGS or not about:
            self._reading.shadows = True
        for thing in about:
            thing.shadow = True


def together(first: str, second: str) -> str:
    """Two places of one thing as one, when one says the height and the other the side; otherwise the second."""
    for upright, side in ((first, second), (second, first)):
        if upright in ("top", "bottom") and side in ("left", "right"):
            return f"{'upper' if upright == 'top' else 'lower'} {side}"
    return second
