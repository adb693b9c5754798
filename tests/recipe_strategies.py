"""Hypothesis strategies for recipes."""

from __future__ import annotations

from hypothesis import strategies as st

from generation.recipe import MAX_LORAS, MAX_SEED, MAX_STEPS, LoraUse, Recipe, Source

# Everything that can be encoded: other scripts, line breaks, quotes, control characters; not lone surrogates.
texts = st.text(max_size=200)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
sides = st.integers(1, 256).map(lambda eighths: 8 * eighths)
loras = st.builds(LoraUse, name=names, weight=st.floats(-2, 2) | st.integers(-2, 2))
sources = st.builds(
    Source,
    digest=st.text("0123456789abcdef", min_size=64, max_size=64),
    strength=st.floats(0, 1, allow_subnormal=False),
)
recipes = st.builds(
    Recipe,
    prompt=texts,
    negative_prompt=texts,
    model=names,
    width=sides,
    height=sides,
    seed=st.integers(0, MAX_SEED),
    num_inference_steps=st.integers(1, MAX_STEPS),
    guidance_scale=st.floats(1, 20) | st.integers(1, 20),
    scheduler=st.none() | names,
    loras=st.lists(loras, max_size=MAX_LORAS).map(tuple),
    source=st.none() | sources,
)
