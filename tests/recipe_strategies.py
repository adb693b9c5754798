"""Hypothesis strategies for recipes."""

from __future__ import annotations

from hypothesis import strategies as st

from generation.recipe import (
    MAX_LORAS,
    MAX_SEED,
    MAX_STEPS,
    MAX_WEIRD,
    MIN_STOP,
    Frame,
    Hires,
    LoraUse,
    Mask,
    Recipe,
    Source,
)

# Everything that can be encoded: other scripts, line breaks, quotes, control characters; not lone surrogates.
texts = st.text(max_size=200)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
sides = st.integers(1, 256).map(lambda eighths: 8 * eighths)
loras = st.builds(LoraUse, name=names, weight=st.floats(-2, 2) | st.integers(-2, 2))
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
shares = st.floats(0, 1, allow_subnormal=False)
masks = st.builds(Mask, digest=digests) | st.builds(Mask, words=texts.filter(bool))
frames = st.builds(Frame, x=st.just(0), y=st.just(0), width=st.integers(1, 8), height=st.integers(1, 8))
plain_sources = st.builds(Source, digest=digests, strength=shares, super_resolution=st.booleans())
framed_sources = st.builds(Source, digest=digests, strength=shares, frame=frames)
# What a recipe starts from: noise in one pass or in two, a picture, a masked one, one in a frame.
beginnings = st.one_of(
    st.fixed_dictionaries({"hires": st.none() | st.builds(Hires, width=sides, height=sides, strength=shares)}),
    st.fixed_dictionaries({"source": plain_sources, "mask": st.none() | masks}),
    st.fixed_dictionaries({"source": framed_sources}),
)
fields = st.fixed_dictionaries(
    {
        "prompt": texts,
        "negative_prompt": texts,
        "model": names,
        "width": sides,
        "height": sides,
        "seed": st.integers(0, MAX_SEED),
        "num_inference_steps": st.integers(1, MAX_STEPS),
        "guidance_scale": st.floats(1, 20) | st.integers(1, 20),
        "scheduler": st.none() | names,
        "loras": st.lists(loras, max_size=MAX_LORAS).map(tuple),
        "embeddings": st.lists(names, max_size=3).map(tuple),
        "shared_seed": st.none() | st.integers(0, MAX_SEED),
        "shared_noise": shares,
        "weird": st.integers(0, MAX_WEIRD),
        "stop": st.floats(MIN_STOP, 1),
        "tile": st.booleans(),
        "refine": shares,
    }
)
recipes = st.builds(lambda common, beginning: Recipe(**common, **beginning), fields, beginnings)
