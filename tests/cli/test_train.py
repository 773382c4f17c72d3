"""``train`` as a user runs it, up to a converted file."""

import re

import pytest

from .command_line import error_of, run

pytest.importorskip("torch", reason="needs the convert extra")

SMALL = ("--size", "64x64", "--piece", 64, "--batch-size", 2, "--judged", 2)
STREET = ("--frames", "synthetic:frames=20,size=160x96")


def test_a_network_is_trained_in_two_goes_and_converted(tmp_path):
    checkpoint = tmp_path / "my.pth"
    train = ("train", *STREET, "-o", checkpoint, *SMALL, "--plain", "--steps", 3, "--judge-every", 2)

    first = run(*train, "--minutes", 1e-4)
    error = error_of(*train)
    second = run(*train, "--resume")

    assert "18 pictures to learn from" in first.stdout
    assert "step 0, " in first.stdout
    assert "go on with --resume" in first.stderr
    assert "holds an earlier run" in error
    assert "step 2, " in second.stdout
    assert "step 3, " in second.stdout
    assert "loss: heatmap " in second.stdout
    assert "after 3 steps" in second.stdout
    run("convert", checkpoint, "-o", tmp_path / "my.onnx", "--size", "64x64")


def test_what_was_judged_last_stays_until_the_next_judgement(tmp_path, monkeypatch):
    """A network that was not judged has no threshold to be shifted to: it is kept, and not written."""
    from edge_fairmot.cli.train import train
    from edge_fairmot.convert import learning_run
    from edge_fairmot.convert.training import Training

    checkpoint, kept = tmp_path / "my.pth", tmp_path / "my.pth.resume"
    small = {"size": "64x64", "piece": 64, "batch_size": 2, "judged": 2, "plain": True, "steps": 3}
    arguments = {"frames": [STREET[1]], "output": checkpoint, "judge_every": 2, **small}
    train(**arguments, minutes=1e-4)
    checkpoint.write_text("judged")
    before = kept.stat().st_mtime_ns

    def lose_power(training):
        raise KeyboardInterrupt

    monkeypatch.setattr(learning_run, "SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(Training, "step", lose_power)
    with pytest.raises(KeyboardInterrupt):
        train(**arguments, resume=True)

    assert kept.stat().st_mtime_ns > before
    assert checkpoint.read_text() == "judged"


def test_a_trained_network_goes_on_with_its_own_layers(tmp_path):
    from edge_fairmot.convert import read_checkpoint

    run("train", *STREET, "-o", tmp_path / "a.pth", *SMALL, "--plain", "--steps", 1)
    run("train", *STREET, "-o", tmp_path / "b.pth", *SMALL, "--start", tmp_path / "a.pth", "--steps", 1)

    assert len(read_checkpoint(tmp_path / "b.pth").spec.plain_layers) == 16


def test_the_bundled_model_is_trained_on(tmp_path):
    from edge_fairmot.convert import read_checkpoint

    said = run(
        *("train", *STREET, "--start", "bundled", "--freeze-backbone", "-o", tmp_path / "my.pth"),
        *(*SMALL, "--steps", 1, "--learning-rate", 1e-6),
    ).stdout

    assert "step 1, " in said
    assert len(read_checkpoint(tmp_path / "my.pth").spec.plain_layers) == 16


def test_what_is_to_be_remembered_comes_from_any_source(tmp_path):
    run("train", *STREET, "-o", tmp_path / "a.pth", *SMALL, "--plain", "--steps", 1)
    onwards = ("--start", tmp_path / "a.pth", "--remember", "synthetic:seed=2,frames=4,size=160x96")
    train = ("train", *STREET, *onwards, "-o", tmp_path / "b.pth", *SMALL, "--steps", 2, "--judge-every", 1)
    run(*train, "--minutes", 1e-4)
    said = run(*train, "--resume").stdout

    assert "step 1, " in said
    assert "memory 0.0" in said


def test_the_checkpoint_works_at_the_trackers_threshold(tmp_path, shared):
    import torch

    start = shared / "checkpoints" / "fairmot_dla34.pth"
    street = ("--frames", "synthetic:frames=10,fps=2", "--size", "576x320", "--piece", 64, "--batch-size", 1)
    hardly = ("--steps", 1, "--learning-rate", 1e-6)
    said = run("train", *street, *hardly, "--start", start, "-o", tmp_path / "my.pth").stdout

    *_, best = re.findall(r"at score (\d\.\d\d)", said)
    written, raw = (torch.load(path)["state_dict"] for path in (tmp_path / "my.pth", start))
    shift = torch.logit(torch.tensor(0.4)) - torch.logit(torch.tensor(float(best)))
    assert abs(shift) > 0.1
    assert torch.allclose(written["hm.2.bias"] - raw["hm.2.bias"], shift, atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to learn from"),
        (("--data", "none.tsv"), "cannot be read"),
        (("--data", "nowhere"), "has no boxes to learn from"),
        ((*STREET, "--judged", 0), "--judged must be at least 1"),
        ((*STREET, "--minutes", 0), "--minutes must be above 0"),
        ((*STREET, "--start", "a.pth", "--plain"), "from scratch"),
        ((*STREET, "--freeze-backbone"), "give --start"),
        ((*STREET, "--remember", "photos", "--plain"), "--remember is for what a checkpoint knows"),
        ((*STREET, "--resume"), "nothing to resume"),
        ((*STREET, "--start", "none.pth"), "none.pth"),
        ((*STREET, "--piece", 100), "piece side must be"),
        ((*STREET, "--seed", -1), "seed must be 0 or more"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, message):
    assert message in error_of("train", *arguments, "-o", tmp_path / "my.pth")
