"""Training that starts from saved weights, and the function that is called after each validation."""

import pytest
import torch
from torch import nn

from spikeloom.errors import CorruptFileError, FileError, SettingError
from spikeloom.files import write_manifest, write_tensors
from spikeloom.training import train as engine
from spikeloom.training.start import begun, start_hash
from tests.helpers import training_toy as toy


def saved(folder, module):
    """A model folder with the weights of a module."""
    folder.mkdir()
    write_tensors(folder / "model.safetensors", module.state_dict())
    write_manifest(folder, ["model.safetensors"])
    return folder


def pair(seed=0):
    """Modules of the two stages."""
    return nn.ModuleList([toy.network(3, 2, seed=seed), toy.network(3, 2, seed=seed + 1)])


def test_each_stage_begins_at_saved_weights_in_its_turn(tmp_path):
    expected, module = pair(5), pair(0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    folder = saved(tmp_path / "model", expected)
    stages = begun(toy.stages(module), module, folder)
    next(stages)
    assert all(torch.equal(value, expected[0].state_dict()[name]) for name, value in module[0].state_dict().items())
    assert all(torch.equal(value, before[f"1.{name}"]) for name, value in module[1].state_dict().items())
    next(stages)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in module.state_dict().items())


def test_without_a_start_nothing_changes():
    module = pair(0)
    list(begun(toy.stages(module), module, None))
    assert all(torch.equal(value, pair(0).state_dict()[name]) for name, value in module.state_dict().items())
    assert start_hash(None) is None


def test_other_shapes_missing_weights_and_damage_are_refused(tmp_path):
    module = pair(0)
    other = saved(tmp_path / "other", nn.ModuleList([toy.network(3, 4), toy.network(3, 2)]))
    with pytest.raises(SettingError, match=r"0\.2\.weight has the shape \(2, 5\)"):
        next(begun(toy.stages(module), module, other))
    less = saved(tmp_path / "less", nn.ModuleList([toy.network(3, 2)]))
    with pytest.raises(SettingError, match="missing"):
        list(begun(toy.stages(module), module, less))
    content = bytearray((less / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (less / "model.safetensors").write_bytes(content)
    with pytest.raises(CorruptFileError):
        next(begun(toy.stages(module), module, less))
    with pytest.raises(FileError):
        start_hash(tmp_path / "nowhere")


def validated(calls, *, stop=None, average=0.95):
    """Train the toy with a listener, and return its history."""
    plan = engine_plan(average)
    module = pair(0)

    def tell(line, done):
        calls.append((line["stage"], line["update"], done, line["validation"], toy_loss(module)))
        if line["update"] == stop:
            raise ZeroDivisionError

    lines = engine.train(toy.stages(module, plan=plan), seed=7, progress=False, after_validation=tell)
    return lines, module


def engine_plan(average):
    """The toy's plan with another average."""
    return toy.Plan(updates=23, batch=8, learning_rate=0.05, average=average, validate_every=4)


def toy_loss(module):
    """Return the validation loss of the first stage without its noise."""
    options = toy.data(trials=9, seed=4)
    with torch.no_grad():
        error = (module[0](options["x"]) - options["y"]).square() * options["valid"][:, None]
    return float(error.sum() / (2 * options["valid"].sum()))


def test_a_listener_is_called_at_each_validation_and_sees_the_averaged_weights():
    calls = []
    lines, module = validated(calls)
    looks = [line for line in lines if "validation" in line]
    assert [(stage, update) for stage, update, *_ in calls] == [("first", k) for k in (4, 8, 12, 16, 20, 23)]
    assert [done for _, _, done, *_ in calls] == [k / 23 for k in (4, 8, 12, 16, 20, 23)]
    assert [validation for *_, validation, _ in calls] == [line["validation"] for line in looks]
    # the look adds noise of sd 0.1 to the inputs; raw weights after a handful of steps of 0.05 are further off
    assert all(abs(validation - seen) < 0.1 * seen for *_, validation, seen in calls)
    assert all(line["validation_parts"].keys() == {"first"} for line in looks)
    assert all(0 < line["validation_parts"]["first"] < line["validation"] * 2 for line in looks)
    plain, _ = toy.run(None, plan=engine_plan(0.95))
    assert all(torch.equal(value, plain[name]) for name, value in module.state_dict().items())  # listening is free


def test_what_a_listener_raises_stops_the_training():
    calls = []
    with pytest.raises(ZeroDivisionError):
        validated(calls, stop=12)
    assert [update for _, update, *_ in calls] == [4, 8, 12]
