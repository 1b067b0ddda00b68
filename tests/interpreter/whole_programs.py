"""Whole, well-typed programs over the fake tools, generated with Hypothesis; and the texts of their statements."""

from __future__ import annotations

from hypothesis import strategies as st

WORDS = ("tower", "two boats", "A garden, at noon", "Zürich 湖", 'said \\"hi\\"')


@st.composite
def statements(draw: st.DrawFn) -> list[str]:
    """The statements of a program that runs on a `World` with the skills `s` and `t`, one text each."""
    word = st.sampled_from(WORDS)
    lines = ['request "all of {title}"']
    texts, evidence, images, refs, calls = ["title"], [], [], [], 0
    for number in range(draw(st.integers(0, 8))):
        name = f"v{number}"
        kind = draw(st.sampled_from(("search", "images", "ask", "let", "ref", "pick", "skill")))
        if kind == "search" and calls < 6:
            top_k = draw(st.sampled_from(("", ", top_k: 2", ", top_k: n")))
            lines.append(f'let {name} = search("{draw(word)} {{{draw(st.sampled_from(texts))}}}"{top_k})')
            evidence.append(name)
            calls += 1
        elif kind == "images" and calls < 6:
            lines.append(f'let {name} = image_search("{draw(word)}", top_k: 4)')
            images.append(name)
            calls += 1
        elif kind == "ask" and evidence:
            lines.append(f'let {name} = ask({draw(st.sampled_from(evidence))}, "{draw(word)}?")')
            texts.append(name)
        elif kind == "let":
            lines.append(f'let {name} = "{draw(word)} and {{{draw(st.sampled_from(texts))}}}"')
            texts.append(name)
        elif kind in ("ref", "pick") and images and len(refs) < 4:
            source = draw(st.sampled_from(images))
            element = f"{source}[{draw(st.integers(0, 3))}]"
            value = element if kind == "ref" else f'pick({source}, "{draw(word)}")'
            lines.append(f'ref {name} = {value} for "copy {{{draw(st.sampled_from(texts))}}}"')
            refs.append(name)
        elif kind == "skill" and calls < 8:
            lines.append(f"use skill {draw(st.sampled_from(('s', 't')))}")
            calls += 1
    return [HEADER, *lines, *draw(_endings(texts, refs))]


@st.composite
def _endings(draw: st.DrawFn, texts: list[str], refs: list[str]) -> list[str]:
    said = " ".join(f"{{{r}}}" for r in refs)
    chosen = " ".join(f"{{{t}}}" for t in draw(st.lists(st.sampled_from(texts), max_size=3)))
    lines = [f'prompt "{draw(st.sampled_from(WORDS))}: {chosen} with {said}."']
    if draw(st.booleans()):
        lines.append(f'avoid "blur, {{{draw(st.sampled_from(texts))}}}"')
    if draw(st.booleans()):
        lines.append('require count("boat") == n')
    if refs and draw(st.booleans()):
        lines.append(f"require resembles({draw(st.sampled_from(refs))})")
    if draw(st.booleans()):
        lines.append("render seed: n, size: 512x256")
    return lines


HEADER = 'program generated(title: text = "TITLE", n: int = 3)'
