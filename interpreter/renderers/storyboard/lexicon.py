"""Words and what they mean to the storyboard: pictograms, colours, materials, sizes, settings, light.

The tables are written as text, one entry a line, because that is how they are read and extended.
"""

from __future__ import annotations

from functools import lru_cache

from genevolve.interpreter.renderers.storyboard.pen import Colour


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


def _table(text: str) -> dict[str, str]:
    """`key: word, word` lines turned round: each word (and the key itself) to its key.

    A line that begins with spaces goes on with the one above it.
    """
    out: dict[str, str] = {}
    for line in text.strip().replace("\n    ", " ").splitlines():
        key, _, words = line.partition(":")
        out[key.strip()] = key.strip()
        for word in words.split(","):
            if word.strip():
                out[word.strip()] = key.strip()
    return out


NOUNS = _table("""
person: man, people, human, figure, traveller, traveler, tourist, visitor, worker, teacher, doctor, farmer,
    soldier, sailor, pilot, runner, musician, dancer, artist, painter, photographer, astronaut, chef, cook,
    barista, student, king, guest, passenger, boy scout, fisherman, knight, wizard, pedestrian, athlete,
    player, monk, pirate, spectator, gentleman, guy, adult, scientist, engineer, nurse, waiter, cyclist,
    climber, skier, commuter
backpacker: hiker, trekker, mountaineer, explorer, wanderer
child: kid, boy, girl, toddler, baby, schoolchild
woman: lady, queen, princess, bride, ballerina, grandmother, mother, witch
cat: kitten, tabby, tiger, lion, leopard, lynx, panther
dog: puppy, wolf, fox, labrador, terrier, beagle, hound, bear
bird: seagull, gull, sparrow, robin, swallow, dove, pigeon, parrot, eagle, crow, raven, owl, swan, duck,
    goose, hen, chicken, flamingo, heron, crane, penguin, hummingbird
fish: goldfish, salmon, trout, shark, whale, dolphin, carp, koi
horse: pony, donkey, zebra, deer, stag, camel, unicorn, moose, reindeer, mule
cow: bull, ox, sheep, goat, lamb, buffalo, pig
rabbit: hare, bunny, mouse, squirrel, hamster
butterfly: moth, bee, dragonfly, insect, ladybird, ladybug
tree: oak, maple, birch, willow, olive tree, apple tree
pine: fir, spruce, conifer, christmas tree, cypress, pine tree, fir tree
palm: palm tree
flower: rose, tulip, daisy, sunflower, dahlia, poppy, lily, orchid, lotus, blossom, carnation, daffodil,
    marigold, peony, violet
leaf: maple leaf, fern
bush: shrub, hedge, plant, cactus, potted plant
robot: android, droid
cup: mug, teacup, coffee cup, coffee, espresso, cappuccino, tea, latte
glass: wine glass, goblet, tumbler, cocktail, drinking glass
bottle: wine bottle, flask, carafe, vial, perfume bottle, jar
bowl: dish, basin, basket, pot, pan, soup
plate: saucer, tray, platter
vase: jug, urn, amphora, pitcher, teapot, kettle
apple: tomato, peach, plum, fruit, pomegranate
orange: lemon, tangerine, grapefruit, lime, pumpkin, melon, apricot, mandarin
pear: avocado, fig, mango
banana: bananas
cherry: strawberry, berry, grape, raspberry, blueberry
cake: cupcake, pie, pastry, birthday cake, dessert, muffin
bread: loaf, bun, baguette, croissant, roll
ball: sphere, football, basketball, marble, bead, orb, circle, dot, pearl, disc
cube: box, crate, block, brick, carton, dice, die, treasure chest, wooden chest, package, parcel, square
balloon: party balloon
gift: present, gift box
star: starfish
heart: valentine
book: notebook, novel, album, diary, magazine, passport
paper: envelope, page, newspaper, document, card, postcard, ticket, map, photograph, photo
quilt: curtain, blanket, towel, carpet, rug, tapestry
chair: stool, throne
armchair: sofa, couch
table: desk, workbench, counter, stand
bench: park bench
bed: cot, cradle
lamp: floor lamp, desk lamp, light bulb, street lamp, lamppost, streetlight
lantern: paper lantern
umbrella: parasol
helmet: space helmet, visor helmet
hat: cap, beret, fedora, straw hat
coin: medal, token
key: keys
clock: watch, alarm clock, wall clock, compass
candle: candlestick, torch
flag: pennant
sign: signpost, shop sign, street sign, road sign, notice, wooden sign, signboard, placard
board: chalkboard, blackboard, whiteboard, billboard, poster, screen, plaque, noticeboard, painting, picture
    frame, menu board, neon sign, marquee, storefront sign, frame
banner: ribbon, scroll
tripod: easel
camera: film camera, tripod camera, video camera, telescope, binoculars
guitar: violin, cello, banjo, ukulele, lute, instrument
phone: smartphone, telephone, mobile phone
computer: laptop, monitor, television, tv
bag: backpack, rucksack, suitcase, handbag, briefcase, purse, satchel, sack
shoe: boot, sneaker, sandal, slipper
crown: tiara
gem: diamond, crystal, jewel, ruby, emerald, sapphire, gemstone
pencil: pen, crayon, brush, paintbrush, marker
mushroom: toadstool, fungus
house: cottage, cabin, hut, barn, farmhouse, home, villa, church, chapel, temple, shop, cafe, café, bakery,
    store, restaurant, school, station
building: skyscraper, apartment block, office, hotel, office block, high-rise
tower: eiffel tower, pagoda, steeple, spire, obelisk, minaret, mast, antenna, monument
lighthouse: beacon
castle: palace, fortress, fort
bridge: viaduct
tent: yurt, tipi
windmill: mill, wind turbine
car: automobile, taxi, cab, truck, van, jeep, lorry, race car, sports car
bus: tram, streetcar, minibus, caravan, camper
train: locomotive, railway, steam train
bicycle: bike, motorcycle, motorbike, scooter, tricycle
boat: sailboat, sailing boat, canoe, rowboat, rowing boat, gondola, yacht, kayak, dinghy, raft
ship: ferry, steamer, cruise ship, submarine, vessel
rocket: spaceship, spacecraft, missile, space shuttle, shuttle, satellite
plane: airplane, aeroplane, aircraft, jet, glider, biplane, helicopter
hotair: hot air balloon, hot-air balloon
moon: full moon
crescent: crescent moon
sun: suns
planet: saturn, mars, jupiter, asteroid
kite: paper kite
pyramid: great pyramid
globe: earth, world globe
cloud: storm cloud
lightning: lightning bolt, thunderbolt
snowflake: snowflakes
mountain: peak, volcano, alp, summit, iceberg
rock: stone, boulder, pebble
fire: campfire, bonfire, flame
panel: tile, rectangle, window, door
""")

IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "leaves": "leaf",
    "wolves": "wolf",
    "loaves": "loaf",
    "shelves": "shelf",
    "knives": "knife",
    "halves": "half",
    "oxen": "ox",
    "dice": "dice",
    "sheep": "sheep",
    "fish": "fish",
    "deer": "deer",
    "fishermen": "fisherman",
    "gentlemen": "gentleman",
    "schoolchildren": "schoolchild",
    "kids": "kid",
    "buses": "bus",
    "glasses": "glass",
    "canvas": "canvas",
    "lens": "lens",
    "series": "series",
    "cactus": "cactus",
    "cacti": "cactus",
    "bus": "bus",
    "chess": "chess",
    "grass": "grass",
    "compass": "compass",
    "brass": "brass",
    "iris": "iris",
    "lotus": "lotus",
    "headphones": "headphones",
    "binoculars": "binoculars",
    "scissors": "scissors",
    "moose": "moose",
    "this": "this",
    "its": "its",
    "his": "his",
    "as": "as",
    "across": "across",
    "is": "is",
    "venus": "venus",
    "mars": "mars",
    "dress": "dress",
    "cross": "cross",
    "canvases": "canvas",
    "shoes": "shoe",
    "canoes": "canoe",
}


@lru_cache(maxsize=8192)
def singular(word: str) -> str:
    """The singular of an English noun, as far as its ending tells."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes", "toes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@lru_cache(maxsize=8192)
def icon_for(words: tuple[str, ...]) -> str | None:
    """The pictogram of a noun phrase's nouns: the longest ending that the vocabulary knows."""
    for start in range(len(words)):
        tail = [*words[start:-1], singular(words[-1])]
        found = NOUNS.get(" ".join(tail)) or NOUNS.get(" ".join(words[start:]))
        if found:
            return found
    return None


_COUNTED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
NUMBERS = {word: n for n, word in enumerate(_COUNTED.split())} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
    "hundred": 100,
    "dozen": 12,
    "couple": 2,
    "pair": 2,
    "trio": 3,
    "quartet": 4,
}
VAGUE_NUMBERS = {"some": 3, "several": 4, "few": 3, "many": 7, "numerous": 7, "both": 2}
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}


def _colours(text: str) -> dict[str, Colour]:
    out = {}
    for entry in text.replace("\n", " ").split(","):
        name, _, value = entry.strip().rpartition(" ")
        out[name] = (int(value[0:2], 16), int(value[2:4], 16), int(value[4:6], 16))
    return out


COLOURS = _colours("""
red d8383a, crimson c41e3a, scarlet e0322c, maroon 7b1e2b, burgundy 7a1f3a, ruby b3194a, brick red a8402f,
rust b5532a, orange f08a24, amber f4b02c, apricot f7b98b, peach f9c3a0, coral f4755e, salmon f28a78,
terracotta c8663f, copper b87333, bronze a77a3d, yellow f5cb2f, gold e3b23c, golden e3b23c, mustard d2a02b,
ochre c98a2b, lemon f6e04b, cream f6ecd2, beige e3d3b4, ivory f7f2e2, tan cfa77a, khaki b8a76a, sand e0c896,
straw e4cf7a, green 3f9b54, lime 9acb3c, olive 7c8a3a, emerald 2a9a6a, jade 3fa07c, mint a6dcc0, sage
a3b899, forest green 2c6b45, turquoise 3cbcb4, teal 1f8a8a, cyan 35c3dc, aqua 5fd0d8, aquamarine 7fe0c8,
blue 2f6fc4, navy 1f2f5c, navy blue 1f2f5c, sky blue 84c3ee, royal blue 2f55c8, cobalt 2450a4, azure 3f9ff0,
indigo 463a94, ultramarine 2a3ca8, steel blue 5a86b0, purple 7d45a8, violet 8a55c8, lavender c3b3ea, lilac
c8a6dc, mauve b88aa8, plum 7a3f70, magenta d02f9a, fuchsia e02fa8, pink f08fb0, rose e0647f, hot pink
f0509a, brown 8a5a3a, chestnut 7f4a30, chocolate 5c3a26, coffee 6b4a34, sienna a0562f, umber 6a5238, auburn
8c3a26, caramel c08040, black 24252d, charcoal 3b3f48, grey 8d939c, gray 8d939c, slate 667284, silver
bcc4ce, white fafafa, pearl f0ece6, snow f8fafc, blonde ead08a, rainbow e0647f, transparent d6e6ee, tabby
c0936a
""")
COLOUR_TONES = {
    "light": 0.38,
    "pale": 0.5,
    "pastel": 0.45,
    "soft": 0.2,
    "bright": 0.0,
    "vivid": 0.0,
    "deep": -0.3,
    "dark": -0.42,
    "dull": -0.15,
    "muted": 0.12,
}

MATERIALS = {
    "wooden": ("wood", "a9744a"),
    "wood": ("wood", "a9744a"),
    "oak": ("wood", "b98850"),
    "timber": ("wood", "a9744a"),
    "bamboo": ("wood", "cdb26a"),
    "metal": ("metal", "9aa5b1"),
    "steel": ("metal", "9aa5b1"),
    "iron": ("metal", "5d646e"),
    "brass": ("metal", "c7a24a"),
    "chrome": ("metal", "c3ccd6"),
    "golden": ("metal", "e3b23c"),
    "gold": ("metal", "e3b23c"),
    "silver": ("metal", "bcc4ce"),
    "copper": ("metal", "b87333"),
    "bronze": ("metal", "a77a3d"),
    "glass": ("glass", "b9dbe6"),
    "crystal": ("glass", "cfe6f0"),
    "stone": ("stone", "a3a098"),
    "marble": ("stone", "e2dfda"),
    "granite": ("stone", "7f8286"),
    "concrete": ("stone", "a9a9a6"),
    "brick": ("brick", "b0533c"),
    "clay": ("plain", "c0704c"),
    "ceramic": ("plain", "e6e0d6"),
    "porcelain": ("plain", "f2f0ea"),
    "leather": ("plain", "8a5636"),
    "paper": ("plain", "f5efdf"),
    "plastic": ("plain", "6fa8d8"),
}

SIZES = {
    "tiny": 0.45,
    "miniature": 0.45,
    "small": 0.65,
    "little": 0.65,
    "short": 0.75,
    "medium": 1.0,
    "large": 1.4,
    "big": 1.4,
    "tall": 1.35,
    "huge": 1.9,
    "giant": 2.0,
    "enormous": 2.0,
    "massive": 1.9,
    "towering": 1.9,
    "oversized": 1.7,
}

SETTINGS = _table("""
land: meadow, field, park, garden, lawn, grass, countryside, farm, hillside, valley, prairie, vineyard,
    landscape, grassland, hill, hills, playground, savanna
forest: wood, woods, woodland, jungle, rainforest
sea: ocean, lake, river, water, pond, harbour, harbor, waves, bay, canal, shore
beach: sand, seaside, coast
city: street, town, square, skyline, downtown, market, plaza, road, alley, village, sidewalk, pavement,
    boulevard, metropolis
desert: dune, dunes, canyon
snow: ice, glacier, winter landscape, ski slope
interior: room, kitchen, studio, wall, floor, shelf, windowsill, interior, living room, bedroom, library,
    classroom, gallery, museum, hall, workshop, cafe interior
tabletop: tabletop, counter top, tablecloth
space: outer space, cosmos, galaxy, universe, nebula, deep space, starfield
underwater: seabed, coral reef, reef, aquarium, ocean floor
sky: air, heavens
paper: sheet, cardboard, parchment, chart
plain: backdrop, ground
""")

LIGHTS = _table("""
goldenhour: golden hour, late sun, evening sun, evening light, low sun, golden light, warm light
sunset: sundown, sunset glow
sunrise: dawn, daybreak, early morning
dusk: twilight, blue hour, nightfall
night: midnight, moonlight, moonlit, starry night, nighttime, starlit
overcast: fog, foggy, mist, misty, cloudy, rainy, rain, grey sky
storm: stormy, thunderstorm
noir: black and white, black-and-white, monochrome, grayscale, greyscale
sepia: sepia toned, old photograph, vintage photograph
neon: cyberpunk, neon light, neon lights
candlelight: candlelit, firelight
blueprint: technical drawing, cyanotype
chalk: chalk drawing
watercolour: watercolor, aquarelle, watercolors, watercolours
pastel: pastel colours, pastel colors
""")

STYLES_NOT_DRAWN = (
    "oil painting",
    "photorealistic",
    "photograph",
    "photographic",
    "watercolour",
    "watercolor",
    "3d render",
    "anime",
    "manga",
    "impressionist",
    "cubist",
    "art deco",
    "art nouveau",
    "woodcut",
    "screen print",
    "pixel art",
    "pencil sketch",
    "charcoal drawing",
    "engraving",
    "stained glass",
    "mosaic",
    "origami",
    "claymation",
    "embroidery",
    "collage",
    "ukiyo-e",
    "bokeh",
    "shallow depth of field",
    "out of focus",
    "film grain",
    "fine grain",
    "chiaroscuro",
    "lens flare",
    "isometric",
    "macro",
    "fisheye",
    "long exposure",
)

LETTER_WORDS = _table("""
title: headline, heading, masthead, name
subtitle: tagline, subheading, slogan, motto, subheadline
caption: footer, footnote, credit, date, price, label, byline, small print, legend
text: words, word, letters, letter, lettering, capitals, type, typeface, font, line, lines, serif, script,
    inscription, message, phrase, writing, quote, characters, sans-serif, uppercase, numerals, numbers,
    number, digits
""")

ABSTRACT = word_set("""
light shadow shadows style composition scene image picture photo photograph photography background
foreground mood atmosphere colour color colours colors palette tone tones texture detail details structure
lattice edge edges line lines angle view perspective hour time day way kind sort type number look feel sense
depth focus contrast pose outline shape form surface pattern highlight reflection glow arrangement order
size height width distance gap margin space area part side half third quarter fifth corner centre center
middle frame row rows column columns layer tier tiers fold folds course courses level step degree degrees
inch metre meter foot feet eye eyes hand hands arm arms leg legs head face hair neck finger fingers mouth
nose ear ears smile body skin fur coat whisker whiskers tail chest back wing wings beak paw paws petal
petals stem cover poster-style illustration drawing painting design layout format print render rendering
version world thing things everything nothing nobody anything something kind one ones other others subject
object objects item items element elements group bunch piece pieces set collection moment life season summer
winter autumn spring morning evening afternoon sunlight daylight air wind weather matter material ink paint
grain lens shot camera-angle handbook records guide facts century decade era horizon end top bottom left
right reference lawn-edge proportion proportions look-and-feel relief brand logo genre theme story idea
concept row point place position strip band stripe border joint joints seam mortar hollow hollows part parts
foam suit window lattice column eaves side eave terrace rod stitch stitches patch tag name-tag visor ring
patches galaxy galaxies course terrace
""")

CLOTHES = word_set("""
jacket jackets coat coats dress dresses shirt shirts sweater sweaters suit suits uniform uniforms robe robes
scarf scarves trousers pants jeans skirt skirts gown gowns vest vests raincoat raincoats tunic hoodie
hoodies cloak cloaks kimono t-shirt t-shirts overalls clothes clothing outfit outfits apron aprons jersey
jerseys collar blouse cape hat hats cap caps shoe shoes boots gloves backpack backpacks rucksack rucksacks
helmet helmets
""")
ON_THE_GROUND = word_set("""
hen chicken duck goose swan penguin flamingo heron ostrich peacock turkey rooster crane helicopter satellite
""")
LIVING = {"person", "backpacker", "child", "woman", "robot"}

FRAME_NOUNS = word_set("""
picture image frame page canvas poster card postcard greeting-card cover-page leaflet flyer
scene composition photograph photo cover screen sheet
illustration painting drawing view panel-frame shot chart print design
""")

DETERMINERS = word_set("""
a an the this that these those his her its their my our your each every both all another any either no some
several many few numerous
""")
PRONOUNS = word_set("""
it they he she them him who which itself themselves nobody everyone everything nothing
""")
COPULAS = word_set("""
is are was were be being been becomes looks appears seems remains stays painted coloured colored
""")
STOP_WORDS = word_set("""
past inward outward onward
and or but nor then so while as than if when where because though although however only also too very not of
from to for with without by at in on into onto over under above below beneath underneath behind before after
beside between among across along around against through toward towards near inside outside within upon off
up down out about like unlike per via is are was were be being been has have had do does did can could will
would should may might must shall there here it they he she them him her his its their who which that this
these those whose what how both either neither each every all any such same more most less least much just
even still yet ever never always exactly precisely directly evenly slightly almost nearly quite rather
together apart away forward downward upward one's you we i me us your our my mine asleep awake alone nearby
outdoors indoors everywhere away seen
""")

_VERB_BASES = """
stand sit lie lean hang run walk jump fly float hold carry wear watch look read say show reach rise
face fill hover play ride drive climb swim sleep eat drink wave point touch cross follow lead hide
grow bloom burn glow shine drift sail park move travel march dance sing smile gaze stare rest perch
crouch kneel lift push pull throw catch bear cast surround cover contain feature depict include
display form make take keep give turn run come go stretch extend span stay remain appear sparkle
twinkle flank line scatter spread stack sway bend fall drop pour tower loom overlook greet embrace
hug kiss chase hunt fight guard wait arrive leave bring place arrange align wrap tie hold serve meet
dominate frame support title label mark print paint write announce proclaim spell shake light
illuminate reflect see set put paint alternate differ obey return differ gather belong consist
resemble begin end start open close help need want love like use bind connect separate divide frame
"""
_IRREGULAR_VERBS = """
stood sat lay lain hung ran flew held carried wore worn said shown rose risen rode ridden drove
driven swam slept ate drank grew grown shone made took taken kept gave given came went gone sitting
running swimming setting putting lying left-over written fell fallen threw thrown caught led hid
hidden hugging chased tied titled labelled labeled marked printed set put seen wrapped spun sang
sung written
"""


def _verb_forms() -> frozenset[str]:
    forms = set(_IRREGULAR_VERBS.split())
    for base in _VERB_BASES.split():
        stem = base[:-1] if base.endswith("e") else base
        third = base[:-1] + "ies" if base.endswith("y") and base[-2] not in "aeou" else base + "s"
        forms |= {base, third, base + "es", stem + "ing", stem + "ed"}
    return frozenset(forms)


VERBS = _verb_forms()
READING_VERBS = word_set("""
reads read reading says say saying bears bearing spells announces proclaims labelled labeled marked titled
printed written inscribed showing
""")
HOLDING_VERBS = word_set("""
holds hold holding contains contain containing filled fills
""")
WEARING_WORDS = word_set("""
wears wear wearing dressed in with carrying carries carry
""")

STYLE_NOUNS = word_set("""
style styles palette colours colors colour color light lighting mood atmosphere texture surface relief grain
look feel tone tones material materials pattern arrangement technique brushwork treatment finish joints
blades contrast shading weave typography font lettering
""")

RELATION_PHRASES: tuple[tuple[str, str], ...] = (
    ("to the left of", "left_of"),
    ("on the left of", "left_of"),
    ("left of", "left_of"),
    ("to the right of", "right_of"),
    ("on the right of", "right_of"),
    ("right of", "right_of"),
    ("in front of", "in_front_of"),
    ("on top of", "on"),
    ("next to", "next_to"),
    ("close to", "next_to"),
    ("side by side with", "next_to"),
    ("in between", "between"),
    ("between", "between"),
    ("behind", "behind"),
    ("before", "in_front_of"),
    ("above", "above"),
    ("over", "above"),
    ("below", "below"),
    ("under", "below"),
    ("beneath", "below"),
    ("underneath", "below"),
    ("inside", "inside"),
    ("within", "inside"),
    ("into", "inside"),
    ("beside", "next_to"),
    ("near", "next_to"),
    ("alongside", "next_to"),
    ("atop", "on"),
    ("upon", "on"),
    ("on", "on"),
    ("in", "inside"),
    ("by", "next_to"),
    ("against", "in_front_of"),
)


def colour_at(words: list[str], i: int) -> tuple[str, Colour, int] | None:
    """The colour that begins at word `i`: its name, its value and how many words it took."""
    tone, used, name = 0.0, 0, []
    while i + used < len(words) and words[i + used] in COLOUR_TONES and used < 2:
        tone = COLOUR_TONES[words[i + used]]
        name.append(words[i + used])
        used += 1
    for length in (2, 1):
        phrase = " ".join(words[i + used : i + used + length]).replace("-", " ")
        base = COLOURS.get(phrase)
        if base is None and length == 1 and phrase.endswith("ish"):
            base = COLOURS.get(phrase[:-3]) or COLOURS.get(phrase[:-3] + "e")
        if base is not None and i + used + length <= len(words):
            return " ".join([*name, phrase]), _toned(base, tone), used + length
    return None


def _toned(colour: Colour, tone: float) -> Colour:
    target = 255 if tone > 0 else 20
    t = abs(tone)
    r, g, b = (round(c + (target - c) * t) for c in colour)
    return r, g, b
