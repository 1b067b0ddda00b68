#!/bin/sh
# The whole story, small: run a program, compile a mini policy, see what it learned. Called by `make demo`.
# usage: examples/demo.sh [COMMAND [FOLDER]], by default: genevolve out
set -eu
genevolve=${1:-genevolve}
out=${2:-out}

say() { printf '\n== %s\n' "$1"; }

mkdir -p "$out"
say "1. A program, run on real documents and photographs"
"$genevolve" run programs/library/launch_poster.gprog --out "$out/launch_poster.png"

say "2. A small invented world, whose requests have exact ground truths"
rm -rf "$out/world" "$out/compiled"
"$genevolve" studio make "$out/world" --seed 7 --entities 120 --train 200 --validation 24 --heldout 4 \
    --heldout-combos 0

say "3. A mini policy: made from nothing, imitates, evolves for a few steps"
"$genevolve" compile --policy mini --suite "studio:$out/world/train" --out "$out/compiled" \
    --config examples/demo.toml

say "4. What it learned"
"$genevolve" compile versions "$out/compiled"
"$genevolve" experience list --store "$out/compiled/experiences" --limit 5
first=$("$genevolve" experience list --store "$out/compiled/experiences" --limit 1 --json |
    sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' | head -n 1)
if [ -n "$first" ]; then
    "$genevolve" experience show "$first" --store "$out/compiled/experiences"
else
    echo "No experience was kept: attempts at the same request earned too much alike."
fi

say "5. A validation request, before and after"
request=$(sed -n '1s/.*"prompt": "\([^"]*\)".*/\1/p' "$out/world/requests/validation.jsonl")
echo "$request"
draw() { # NAME POLICY
    rm -f "$out/$1.gprog" "$out/$1.png"
    if "$genevolve" synth "$request" --policy "local:$2" --library "$out/world/library" --renderer studio \
        --seed 1 --n 4 --max-tokens 400 -o "$out/$1.gprog" &&
        "$genevolve" run "$out/$1.gprog" --library "$out/world/library" --renderer studio --out "$out/$1.png"; then
        echo "$1: $out/$1.png"
    else
        echo "$1: no picture; so small a policy does not always write a program that can be drawn"
    fi
}
draw before "$out/compiled/versions/v000"
draw after "$out/compiled/policy"
if cmp -s "$out/compiled/versions/v000/model.safetensors" "$out/compiled/policy/model.safetensors"; then
    echo "Both are the same policy: no later version was measurably better than the start."
fi

say "Where to look"
"$genevolve" report "$out/compiled"
cat <<END
$out/launch_poster.png        a picture; its program: genevolve extract $out/launch_poster.png
$out/compiled/report.html     the page of the run: curves, pictures step by step, decisions, cost
$out/compiled/policy          the best version, for --policy local:$out/compiled/policy
$out/before.png, $out/after.png, and their programs beside them

A few steps after minutes of imitation show how a run goes, not how good it gets. docs/compile.md tells more.
END
