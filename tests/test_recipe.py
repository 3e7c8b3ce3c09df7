"""Recipes: every one builds, every key is known, text survives the round trip, and mistakes get one clear message."""

import tomllib

import pytest

from spikeloom.diffusion.sampler import DDIM, DDPM, UniPC
from spikeloom.diffusion.schedule import Cosine, LinearBeta
from spikeloom.errors import CorruptFileError, FileError, SettingError, TrainingError
from spikeloom.recipe import load_model, read_recipe, recipes
from spikeloom.settings import describe


@pytest.mark.parametrize("name", recipes())
def test_recipe_builds_and_says_what_it_is_for(name):
    recipe = read_recipe(name)
    assert recipe.about
    assert recipe.note
    assert type(recipe.build(7)).__name__.lower() == recipe.model


@pytest.mark.parametrize("name", recipes())
def test_resolved_recipe_gives_the_same_model(name, tmp_path):
    path = tmp_path / "again.toml"
    path.write_text(read_recipe(name).dumps())
    again = read_recipe(path)
    assert describe(again.build(3)) == describe(read_recipe(name).build(3))
    assert again.dumps() == read_recipe(name).dumps()


def test_every_model_has_a_tiny_and_a_small_recipe():
    models = {read_recipe(name).model for name in recipes()}
    names = {name.replace("-", "") for name in recipes()}
    assert {f"{model}{size}" for model in models for size in ("tiny", "small")} <= names


def test_none_in_a_recipe_is_not_the_default(tmp_path):
    changed = read_recipe("ldns-small", ["diffusion_plan.average=none"])
    assert changed.build(3).diffusion_plan.average is None
    path = tmp_path / "again.toml"
    path.write_text(changed.dumps())
    assert read_recipe(path).build(3).diffusion_plan.average is None


def build(*changes):
    return read_recipe("ldns-tiny", changes).build(3)


def test_overrides_reach_plain_values_and_objects():
    assert build("n_latents=4").n_latents == 4
    assert build("autoencoder_settings.bidirectional=false").autoencoder_settings.bidirectional is False
    assert build("autoencoder_plan.precision=bf16").autoencoder_plan.precision == "bf16"
    assert build("schedule=Cosine").schedule == Cosine()
    assert build("schedule.name=cosine", "schedule.offset=0.01").schedule == Cosine(offset=0.01)
    assert build("schedule=Cosine", "schedule.offset=0.01").schedule == Cosine(offset=0.01)
    assert build("schedule.levels=50").schedule == LinearBeta(50)
    assert build("sampler.name=DDIM", "sampler.steps=9").sampler == DDIM(9)
    assert build("sampler = {name = 'DDPM', steps = 30}").sampler == DDPM(30)
    assert isinstance(build("sampler.steps=11").sampler, UniPC)
    assert build("observation.counts=Poisson", "observation.counts.link=exp").observation.counts.link == "exp"


def test_an_override_keeps_what_the_recipe_says():
    assert build("autoencoder_settings.blocks=3").autoencoder_settings.width == build().autoencoder_settings.width


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("smothness=1", "smothness"),
        ("latent=4", "Did you mean n_latents?"),
        ("autoencoder_settings.smothness=1", "Did you mean smoothness?"),
        ("autoencoder_plan.update=3", "Did you mean updates?"),
        ("n_neurons=4", "n_neurons"),
        ("n_latents='4'", "integer"),
        ("n_latents=4.5", "integer"),
        ("autoencoder_settings.dropout=2", "less than 1"),
        ("autoencoder_plan.learning_rate=nan", "learning_rate"),
        ("diffusion_plan.precision=fp8", "bf16"),
        ("autoencoder_settings=3", "table"),
        ("autoencoder_settings.name=Plan", "AutoencoderSettings"),
        ("schedule=Cosin", "Did you mean Cosine?"),
        ("schedule=Plan", "Cosine, LinearBeta"),
        ("sampler=DDIM", "steps"),
        ("sampler.span=[1.0, 2.0]", "span"),
        ("n_latents=1979-05-27", "plain value"),
        ("latents", "key=value"),
        ("=3", "key=value"),
        ("condition=[angle_deg]", 'condition=["hand_velocity"]'),
        ("model=lfds", "LDNS"),
    ],
)
def test_mistakes_get_one_clear_message(change, words):
    with pytest.raises(SettingError) as caught:
        build(change)
    assert words in str(caught.value)
    assert len(caught.value.args) == 3


def test_one_text_is_no_list_of_changes():
    with pytest.raises(SettingError, match=r"list of texts.*Write \['n_latents=4'\]"):
        read_recipe("ldns-tiny", "n_latents=4")


def test_unknown_recipes_and_broken_files(tmp_path):
    with pytest.raises(FileError, match="Did you mean ldns-tiny"):
        read_recipe("ldns-tny")
    with pytest.raises(FileError):
        read_recipe(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("model = \n")
    with pytest.raises(SettingError, match="must be TOML"):
        read_recipe(broken)
    broken.write_text("latents = 3\n")
    with pytest.raises(SettingError, match="name its model"):
        read_recipe(broken)


def test_a_word_never_imports_anything(tmp_path):
    recipe = tmp_path / "evil.toml"
    recipe.write_text('model = "ldns"\n[schedule]\nname = "os.system"\n')
    with pytest.raises(SettingError, match="must name one of"):
        read_recipe(recipe).build(3)


def test_recipes_are_plain_toml_without_unknown_tables():
    for name in recipes():
        table = tomllib.loads(read_recipe(name).dumps())
        assert {"model", "about", "note"} <= table.keys()
        assert read_recipe(name).build(3) is not None


def test_folders_that_hold_no_model(tmp_path):
    with pytest.raises(FileError, match="is not a folder"):
        load_model(tmp_path / "absent")
    with pytest.raises(FileError, match="holds none"):
        load_model(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(TrainingError, match="finished"):
        load_model(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(CorruptFileError, match=r"manifest\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("plan.rate=0.1", "learning_rate"),
        ("plan.watch_every=2", "validate_every"),
        ("loss_settings.watch=bound", "validation"),
    ],
)
def test_a_setting_with_a_new_name_is_named(old, new):
    with pytest.raises(SettingError, match=f"is now called `{new}`"):
        read_recipe("lfads-tiny", [old]).build(3)
