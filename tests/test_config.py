"""`config.toml`: complete, commented, and strict."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from bot.catalogue import build_catalogue
from bot.config import PACKAGED_MODELS, PROGRAM_FOLDER, Config, load_config, read_token
from bot.config_errors import ConfigInvalid, ConfigKeyMissing, ConfigKeyUnknown, ConfigUnreadable
from bot.config_keys import SHIPPED, list_keys
from bot.shards import Shards
from generation.catalogue import Draft
from generation.styles import StylesInvalid


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LIMNER_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text("")
    return file


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_the_shipped_file_says_the_defaults(empty: Path) -> None:
    # Relative paths start at the file's folder, which is another one for the empty file.
    shipped, defaults = load_config(SHIPPED).model_dump(), load_config(empty).model_dump()
    for storage in (shipped["storage"], defaults["storage"]):
        storage["files"] = storage["files"].name
        storage["database"] = storage["database"].rpartition("/")[2]
    for generation in (shipped["generation"], defaults["generation"]):
        for folders in ("lora_folders", "embedding_folders"):
            generation[folders] = [folder.name for folder in generation[folders]]
        generation["compile_folder"] = generation["compile_folder"].name
    assert shipped == defaults


def test_every_key_stands_in_the_shipped_file_with_a_comment() -> None:
    file = tomllib.loads(SHIPPED.read_text())
    assert set(file) == set(Config.model_fields)
    for name, values in load_config(SHIPPED).model_dump().items():
        for table in [name] if name != "models" else [f"models.{model}" for model in PACKAGED_MODELS]:
            keys = values if name != "models" else values[table.removeprefix("models.")]
            listed = {key.name: key for key in list_keys() if key.name.rpartition(".")[0] == table}
            assert set(listed) == {f"{table}.{key}" for key in keys}
            assert all(len(key.description) > 10 and key.allowed for key in listed.values())


def test_the_pocket_models_settings_are_those_that_its_training_ended_with() -> None:
    weights = PROGRAM_FOLDER / "generation" / "pocket" / "weights"
    told = json.loads((weights / "limner.json").read_text())
    unet = json.loads((weights / "unet" / "config.json").read_text())
    pocket = load_config(SHIPPED).models["pocket"]
    assert pocket.source == str(weights)
    for key in ("native_size", "num_inference_steps", "guidance_scale"):
        assert getattr(pocket, key) == told[key]
    assert pocket.cross_attention_dim == unet["cross_attention_dim"]


def test_the_list_of_keys_says_what_each_takes() -> None:
    keys = {key.name: key for key in list_keys()}
    assert keys["quota.daily_credits"].allowed == "0 to 1000000"
    assert keys["quota.daily_credits"].default == "100"
    assert keys["generation.vram"].allowed == "full, medium or low"
    assert keys["metrics.enabled"].allowed == "true or false"
    assert keys["storage.files"].allowed == "a path, s3://bucket or s3://bucket/prefix"


@pytest.mark.parametrize(
    ("text", "key", "value", "allowed"),
    [
        ("[quota]\ndaily_credits = -1", "quota.daily_credits", "-1", "0 to 1000000"),
        ("[quota]\ndaily_credits = true", "quota.daily_credits", "True", "0 to 1000000"),
        ("[quota]\ndaily_credits = 'many'", "quota.daily_credits", "many", "0 to 1000000"),
        ("[limits]\nsteps = 101", "limits.steps", "101", "1 to 100"),
        ("[generation]\nvram = 'huge'", "generation.vram", "huge", "full, medium or low"),
        ("[generation]\nmodel = 'other'", "generation.model", "other", "pocket, sdxl"),
        (
            "[generation]\ndevices = ['gpu']",
            "generation.devices",
            "gpu",
            "a list of auto, cpu, mps, cuda, cuda:0, cuda:1, …",
        ),
        (
            "[generation]\ndevices = ['cuda:x']",
            "generation.devices",
            "cuda:x",
            "a list of auto, cpu, mps, cuda, cuda:0, cuda:1, …",
        ),
        ("[generation]\ndevices = []", "generation.devices", "[]", "a list of auto, cpu, mps, cuda, cuda:0, cuda:1, …"),
        ("[models.sdxl]\nguidance_scale = nan", "models.sdxl.guidance_scale", "nan", "1 to 20"),
        ("[models.sdxl]\nnative_size = 1001", "models.sdxl.native_size", "1001", "64 to 2048, a multiple of 8"),
        ("[storage]\ndatabase = 'mysql://x'", "storage.database", "mysql://x", None),
        ("[discord]\napi_url = 'localhost'", "discord.api_url", "localhost", "an http(s) address, or nothing"),
        ("[queue]\ninstance = 'a/b'", "queue.instance", "a/b", None),
        ("quota = 3", "quota", "3", "a table of keys"),
        ("models = 3", "models", "3", "a table of keys"),
        ("[models]\nsdxl = 3", "models.sdxl", "3", "a table of keys"),
    ],
)
def test_a_bad_value_is_refused_with_key_value_and_what_is_allowed(
    empty: Path, text: str, key: str, value: str, allowed: str | None
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(written(empty, text))
    fields = caught.value.fields
    assert (fields["place"], fields["key"], fields["value"]) == (str(empty), key, value)
    assert fields["allowed"] == allowed or allowed is None


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[quota]\ndaily_credit = 5", "quota.daily_credit", "quota.daily_credits"),
        ("[quotas]\ndaily_credits = 5", "quotas", "quota"),
        ("[models.sdxl]\nsteps_ = 5", "models.sdxl.steps_", ""),
        ("token = 'x'", "token", ""),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(empty: Path, text: str, key: str, nearest: str) -> None:
    with pytest.raises(ConfigKeyUnknown) as caught:
        load_config(written(empty, text))
    assert caught.value.fields == {"place": str(empty), "key": key, "nearest": nearest}


def test_a_model_needs_a_source(empty: Path) -> None:
    with pytest.raises(ConfigKeyMissing) as caught:
        load_config(written(empty, "[models.mine]\nmax_batch = 2"))
    assert caught.value.fields["key"] == "models.mine.source"


@pytest.mark.parametrize("text", ["[quota", "a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_refused(empty: Path, text: str) -> None:
    with pytest.raises(ConfigUnreadable):
        load_config(written(empty, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnreadable):
        load_config(tmp_path / "none.toml")


def test_the_environment_wins_over_the_file(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_QUOTA__DAILY_CREDITS", "7")
    monkeypatch.setenv("LIMNER_DISCORD__API_URL", "http://localhost:8080")
    monkeypatch.setenv("LIMNER_GENERATION__DEVICES", "cuda:0, cuda:1")
    monkeypatch.setenv("LIMNER_MODELS__SDXL__MAX_BATCH", "2")
    monkeypatch.setenv("LIMNER_METRICS__ENABLED", "true")
    config = load_config(written(empty, "[quota]\ndaily_credits = 5\nmax_queued_jobs = 3"))
    assert (config.quota.daily_credits, config.quota.max_queued_jobs) == (7, 3)
    assert config.discord.api_url == "http://localhost:8080"
    assert config.generation.devices == ("cuda:0", "cuda:1")
    assert config.models["sdxl"].max_batch == 2
    assert config.models["sdxl"].variant == "fp16"
    assert config.metrics.enabled


def test_a_bad_value_in_the_environment_is_refused_by_the_variables_name(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_QUOTA__DAILY_CREDITS", "lots")
    with pytest.raises(ConfigInvalid) as caught:
        load_config(empty)
    assert caught.value.fields["place"] == "LIMNER_QUOTA__DAILY_CREDITS"


@pytest.mark.parametrize(
    "name", ["LIMNER_QUOTA__DAYLY_CREDITS", "LIMNER_QUOTE__DAILY_CREDITS", "LIMNER_QUOTA", "LIMNER_TOKEN"]
)
def test_an_unknown_variable_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    with pytest.raises(ConfigKeyUnknown) as caught:
        load_config(empty)
    assert caught.value.fields["place"] == name


def test_what_the_tests_are_told_is_no_setting(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_TEST_POSTGRES", "1")
    load_config(empty)


def test_another_file_can_be_named(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_CONFIG", str(written(empty, "[quota]\ndaily_credits = 5")))
    assert load_config().quota.daily_credits == 5


def test_relative_paths_start_at_the_file_and_what_ships_is_found_from_anywhere(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(empty.parent.parent)
    folder = empty.parent
    (folder / "mine").mkdir()
    sources = {"mine": "mine", "later": "later.safetensors", "hub": "someone/model"}
    text = "\n".join(f"[models.{name}]\nsource = '{source}'" for name, source in sources.items())
    config = load_config(written(empty, text))
    assert config.storage.database == f"sqlite+aiosqlite:///{folder}/data/limner.sqlite3"
    assert config.storage.files == folder / "data" / "files"
    assert config.models["mine"].source == str(folder / "mine")
    assert config.models["later"].source == str(folder / "later.safetensors")
    assert config.models["hub"].source == "someone/model"
    assert config.generation.styles == PROGRAM_FOLDER / "generation" / "styles.toml"


@pytest.mark.parametrize(
    "address", ["sqlite+aiosqlite:////var/limner.sqlite3", "sqlite+aiosqlite://", "postgresql+asyncpg://me@host/limner"]
)
def test_other_database_addresses_are_left_as_they_are(empty: Path, address: str) -> None:
    config = load_config(written(empty, f"[storage]\ndatabase = '{address}'"))
    assert config.storage.database == address


def test_a_bucket_is_taken_as_it_is_and_a_path_as_a_path(empty: Path) -> None:
    assert load_config(written(empty, "[storage]\nfiles = 's3://bucket/some/prefix'")).storage.files == (
        "s3://bucket/some/prefix"
    )
    assert load_config(written(empty, "[storage]\nfiles = 's3'")).storage.files == empty.parent / "s3"


@pytest.mark.parametrize(
    "place", ["s3:", "s3://", "s3://B", "s3://key:hunter2@bucket", "s3://bucket?a=b", "s3:/bucket"]
)
def test_what_is_no_address_of_a_bucket_is_refused_without_the_keys_in_it(empty: Path, place: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(written(empty, f"[storage]\nfiles = '{place}'"))
    assert caught.value.fields["key"] == "storage.files"
    assert "hunter2" not in str(caught.value.fields)


def test_shards_are_of_those_that_there_are(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(written(empty, "[discord]\nshard_count = 4\nshard_ids = [2, 3]"))
    assert config.discord.shards() == Shards(ids=(2, 3), count=4)
    monkeypatch.setenv("LIMNER_DISCORD__SHARD_IDS", "0, 1")
    assert load_config(empty).discord.shards().ids == (0, 1)


@pytest.mark.parametrize(
    "shards",
    [
        "shard_ids = [0]",
        "shard_count = 2\nshard_ids = [2]",
        "shard_count = 2\nshard_ids = [1, 1]",
        "shard_count = 2\nshard_ids = [-1]",
    ],
)
def test_shards_that_there_are_not_are_refused(empty: Path, shards: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(written(empty, f"[discord]\n{shards}"))
    assert str(caught.value.fields["key"]).startswith("discord.shard_ids")


def test_secrets_are_not_printed(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "abc.hidden.xyz")
    monkeypatch.setenv("LIMNER_STORAGE__DATABASE", "postgresql+asyncpg://me:hunter2@host/limner")
    assert not re.search("hidden|hunter2", f"{load_config(empty)!r} {load_config(empty)} {read_token()!r}")
    token = read_token()
    assert token is not None
    assert token.get_secret_value() == "abc.hidden.xyz"


def test_a_bad_address_is_named_without_its_password(empty: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(written(empty, "[storage]\ndatabase = 'mysql://me:hunter2@host/limner'"))
    assert caught.value.fields["value"] == "mysql://…@host/limner"


def test_without_a_token_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_token() is None
    monkeypatch.setenv("DISCORD_TOKEN", "  ")
    assert read_token() is None


def test_the_catalogue_has_models_styles_and_loras(empty: Path) -> None:
    catalogue = build_catalogue(load_config(empty))
    assert set(catalogue.models) == {"pocket", "sdxl"}
    assert catalogue.model().name == "pocket"
    assert catalogue.model("sdxl").variant == "fp16"
    assert catalogue.model("pocket").variant is None
    assert "ink" in catalogue.styles


def test_a_style_whose_lora_is_missing_stops_the_start(empty: Path) -> None:
    (empty.parent / "styles.toml").write_text(
        '[ink]\ntemplate = "ink, {prompt}"\ndescription = "Ink"\nloras = { brush = 1 }'
    )
    with pytest.raises(StylesInvalid) as caught:
        build_catalogue(load_config(written(empty, "[generation]\nstyles = 'styles.toml'")))
    assert "brush" in str(caught.value.fields["reason"])


def test_what_draws_beside_the_model_is_handed_on(empty: Path) -> None:
    (empty.parent / "refiner").mkdir()
    config = load_config(
        written(
            empty,
            '[generation]\nupscaler = "caidas/swin2SR-classical-sr-x2-64"\nsegmenter = "./clipseg"\n'
            '[models.sdxl]\nrefiner = "refiner"\ndraft_lora = "lcm"\ndraft_steps = 4\ndraft_scheduler = "euler"\n',
        )
    )
    (settings,) = config.generation.painters()
    assert settings.upscaler == "caidas/swin2SR-classical-sr-x2-64"
    assert settings.segmenter == str(empty.parent / "clipseg")
    spec = config.models["sdxl"].spec("sdxl")
    assert spec.refiner == str(empty.parent / "refiner")
    assert spec.draft == Draft(lora="lcm", num_inference_steps=4, guidance_scale=1.5, scheduler="euler")
    assert config.models["sdxl"].model_copy(update={"draft_lora": ""}).spec("sdxl").draft is None


def test_the_catalogue_knows_what_can_be_asked_for(empty: Path) -> None:
    folder = empty.parent / "data" / "loras"
    folder.mkdir(parents=True)
    text = (
        '[generation]\nsegmenter = "clipseg"\nupscaler = ""\n'
        '[models.pocket]\ndraft_lora = "neon"\n[models.sdxl]\ndraft_lora = "lcm"'
    )
    catalogue = build_catalogue(load_config(written(empty, text)))
    assert (catalogue.finds_by_words, catalogue.super_resolution) == (True, False)
    assert catalogue.models["pocket"].draft is not None
    assert catalogue.lora("neon").name not in catalogue.offered_loras()  # it draws drafts
    assert "blueprint" in catalogue.offered_loras()
    assert catalogue.models["sdxl"].draft is None  # there is no such LoRA here


def test_the_networks_of_the_embedded_model_are_for_it_alone(empty: Path) -> None:
    own = load_config(written(empty, "")).generation
    assert all((Path(network) / "config.json").is_file() for network in (own.upscaler, own.segmenter))
    others = load_config(written(empty, '[generation]\nmodel = "sdxl"')).generation
    assert (others.upscaler, others.segmenter) == ("", "")
    none = load_config(written(empty, '[generation]\nupscaler = ""\nsegmenter = ""')).generation
    assert (none.upscaler, none.segmenter) == ("", "")


def test_a_draft_is_drawn_with_a_sampler_that_there_is(empty: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(written(empty, '[models.sdxl]\ndraft_scheduler = "plms"'))
    assert caught.value.fields["allowed"] == "a name that --sampler takes"
