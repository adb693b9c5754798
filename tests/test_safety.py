"""What becomes of a picture by its score, and which classifiers the settings take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import load_config
from bot.config_errors import ConfigInvalid
from bot.doctor import examine
from generation.errors import PictureUnchecked
from generation.safety import SafetyPolicy, Verdict
from generation.safety_labels import ClassifierUnusable, check_classifier

DELIVER, SPOILER, BLOCK = Verdict.DELIVER, Verdict.SPOILER, Verdict.BLOCK
STRICTNESS = [DELIVER, SPOILER, BLOCK]
scores = st.floats(0, 1)
policies = st.builds(
    SafetyPolicy,
    threshold=st.floats(0, 1, exclude_min=True),
    action=st.sampled_from([SPOILER, BLOCK]),
    age_restricted_action=st.sampled_from(STRICTNESS),
)


def policy(action: Verdict = BLOCK, age_restricted_action: Verdict = DELIVER) -> SafetyPolicy:
    return SafetyPolicy(threshold=0.5, action=action, age_restricted_action=age_restricted_action)


def test_from_the_threshold_on_something_is_done() -> None:
    assert policy().verdict([0.49], age_restricted=False) is DELIVER
    assert policy().verdict([0.5], age_restricted=False) is BLOCK
    assert policy(SPOILER).verdict([1.0], age_restricted=False) is SPOILER


def test_one_picture_of_a_grid_decides_for_all() -> None:
    assert policy().verdict([0.0, 0.0, 0.9, 0.0], age_restricted=False) is BLOCK


def test_age_restricted_channels_have_an_action_of_their_own() -> None:
    assert policy(BLOCK, SPOILER).verdict([0.9], age_restricted=True) is SPOILER
    assert policy(SPOILER, BLOCK).verdict([0.9], age_restricted=True) is BLOCK
    assert policy(BLOCK, DELIVER).verdict([0.9], age_restricted=True) is DELIVER


@pytest.mark.parametrize("unknown", [[], [None], [0.1, None], [float("nan")], [0.1, float("nan"), 0.2]])
@pytest.mark.parametrize("age_restricted", [False, True])
def test_what_nobody_looked_at_is_never_delivered(unknown: list[float | None], age_restricted: bool) -> None:
    with pytest.raises(PictureUnchecked):
        policy().verdict(unknown, age_restricted=age_restricted)


@given(policies, st.lists(scores, min_size=1), scores, st.booleans())
def test_a_worse_picture_is_never_judged_more_mildly(
    policy: SafetyPolicy, seen: list[float], another: float, age_restricted: bool
) -> None:
    before = policy.verdict(seen, age_restricted=age_restricted)
    after = policy.verdict([*seen, another], age_restricted=age_restricted)
    if another >= max(seen):
        assert after in (before, policy.verdict([another], age_restricted=age_restricted))
    else:
        assert after is before
    assert (max(seen) >= policy.threshold) or before is DELIVER


@given(policies, st.booleans(), st.booleans(), scores)
def test_a_preview_is_never_shown_of_what_may_be_hidden_more(
    policy: SafetyPolicy, age_restricted: bool, spoiler: bool, score: float
) -> None:
    """Whatever the finished picture's score will be."""
    if policy.shows_previews(age_restricted=age_restricted, spoiler=spoiler):
        shown_as = SPOILER if spoiler else DELIVER
        verdict = policy.verdict([score], age_restricted=age_restricted)
        assert STRICTNESS.index(verdict) <= STRICTNESS.index(shown_as)


# The settings


def settings(folder: Path, text: str) -> Path:
    (folder / "config.toml").write_text(text)
    return folder / "config.toml"


def classifier(folder: Path, **config: object) -> Path:
    (folder / "guard").mkdir()
    (folder / "guard" / "config.json").write_text(json.dumps(config))
    return folder / "guard"


def test_no_classifier_is_no_policy(tmp_path: Path) -> None:
    config = load_config(settings(tmp_path, ""))
    assert config.safety.policy() is None
    assert [painter.classifier for painter in config.painters()] == [""]


def test_a_classifier_is_handed_to_every_painter_and_the_policy_to_the_queue(tmp_path: Path) -> None:
    text = (
        '[generation]\ndevices = ["cpu", "cpu"]\n[safety]\nclassifier = "./guard"\nlabel = "nsfw"\nthreshold = 0.7\n'
        'action = "spoiler"\nage_restricted_action = "deliver"\n'
    )
    config = load_config(settings(tmp_path, text))
    assert {(painter.classifier, painter.classifier_label) for painter in config.painters()} == {
        (str(tmp_path / "guard"), "nsfw")
    }
    assert config.safety.policy() == SafetyPolicy(threshold=0.7, action=SPOILER, age_restricted_action=DELIVER)


def test_the_pocket_models_own_is_found_from_anywhere(tmp_path: Path) -> None:
    text = '[safety]\nclassifier = "generation/pocket/safety"\nlabel = "cat"\n'
    config = load_config(settings(tmp_path, text))
    check_classifier(config.safety.classifier, config.safety.label)


@pytest.mark.parametrize(
    "text",
    [
        'classifier = "Falconsai/nsfw_image_detection"',  # and no label
        'classifier = "a/b"\nlabel = "c"\nthreshold = 0',
        'classifier = "a/b"\nlabel = "c"\nthreshold = 1.1',
        'classifier = "a/b"\nlabel = "c"\nthreshold = true',
        'action = "deliver"',
        'age_restricted_action = "ignore"',
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigInvalid):
        load_config(settings(tmp_path, f"[safety]\n{text}\n"))


def test_a_classifier_that_knows_the_label_is_taken(tmp_path: Path) -> None:
    check_classifier(str(classifier(tmp_path, id2label={"0": "normal", "1": "nsfw"})), "nsfw")
    check_classifier("Falconsai/nsfw_image_detection", "nsfw")  # a worker will see
    check_classifier("", "")


def test_another_label_is_refused_with_those_there_are(tmp_path: Path) -> None:
    folder = classifier(tmp_path, id2label={"0": "normal", "1": "nsfw"})
    with pytest.raises(ClassifierUnusable) as refused:
        check_classifier(str(folder), "NSFW")
    assert refused.value.fields["reason"] == "it tells apart normal, nsfw, but knows no NSFW"


@pytest.mark.parametrize("config", [{}, {"id2label": ["a", "b"]}, {"id2label": {"one": "a"}}, {"id2label": None}])
def test_a_folder_without_labels_is_refused(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(ClassifierUnusable, match="names no labels"):
        check_classifier(str(classifier(tmp_path, **config)), "a")


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassifierUnusable, match=r"no config\.json"):
        check_classifier(str(tmp_path), "a")
    with pytest.raises(ClassifierUnusable, match="no such folder"):
        check_classifier(str(tmp_path / "guard"), "a")
    classifier(tmp_path)
    (tmp_path / "guard" / "config.json").write_text("{")
    with pytest.raises(ClassifierUnusable, match="names no labels"):
        check_classifier(str(tmp_path / "guard"), "a")


@pytest.mark.parametrize(
    ("text", "described", "key", "state"),
    [
        ("", "none", "no_classifier", "ok"),
        ('classifier = "a/guard"\nlabel = "cat"', "found", "classifier", "ok"),
        ('classifier = "a/guard"\nlabel = "cat"', "absent", "classifier_absent", "note"),
        ('classifier = "a/guard"\nlabel = "cat"', "wrong", "classifier_wrong", "todo"),
        ('classifier = "/guard"\nlabel = "cat"', "found", "classifier_wrong", "todo"),
    ],
)
async def test_the_doctor_tells_of_the_classifier(
    tmp_path: Path, text: str, described: str, key: str, state: str
) -> None:
    config = load_config(settings(tmp_path, f"[safety]\n{text}\n"))

    async def ask(_: object) -> dict[str, object]:
        model = {"state": "found", "reason": ""}
        return {"devices": [], "model": model, "classifier": {"state": described, "reason": "because"}}

    [finding] = [finding for finding in await examine(config, ask=ask) if finding.topic == "safety"]
    assert (finding.key, finding.state) == (key, state)
