"""Which lowering a file is given: by rule for a version, by probe where the runtime is here."""

import pytest

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.runtimes import list_runtimes
from edge_fairmot.runtimes.lowering_plan import RULES, Target, parse_target, plan_lowering
from edge_fairmot.runtimes.probe import EXACT_WITHIN, ProbeResult
from edge_fairmot.runtimes.probe_layer import LOWERINGS


def ran(lowering, best_ms, error=1e-7):
    return ProbeResult("openvino:CPU", lowering, error, best_ms)


def refused(lowering, reason):
    return ProbeResult("openvino:CPU", lowering, None, None, reason)


@pytest.mark.parametrize(
    ("target", "lowering"),
    [
        ("cpu", "native"),
        ("cpu@1.25", "native"),
        ("cpu@1.32.0", "native"),
        ("cpu@1.24.4", "gather"),
        ("cpu@1.23", "gather"),
        ("cpu@1.9", "gather"),  # as numbers, not as text
        ("cuda@1.18", "gather"),
        ("cuda", "native"),
        ("tensorrt", "native"),
        ("tensorrt@10.3", "native"),
        ("tensorrt@10.0.1", "gridsample"),
        ("tensorrt@8.6", "gridsample"),
        ("openvino", "native"),
        ("openvino:GPU", "native"),
    ],
)
def test_the_rule_goes_by_the_version(target, lowering):
    plan = plan_lowering(parse_target(target), [])
    assert plan.lowering == lowering
    assert "by rule, not probed here" in plan.reason


def test_rules_are_for_runtimes_and_lowerings_that_there_are():
    assert set(RULES) == {row.name for row in list_runtimes()} - {"replay"}
    assert {rule.older for rule in RULES.values()} <= {"", *LOWERINGS}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openvino@2025.0", "a version matters for cpu, cuda, tensorrt only"),
        ("mine@1", "a version matters for"),
        ("cpu@", "'' is not a version"),
        ("cpu@new", "'new' is not a version, as in cpu@1.23"),
        ("cuda@1.23@2", "is not a version"),
    ],
)
def test_a_target_that_means_nothing_is_refused(text, message):
    with pytest.raises(InvalidInputError, match=message):
        parse_target(text)


def test_the_rule_holds_unless_another_is_clearly_faster():
    target = Target("openvino:CPU")
    close = plan_lowering(target, [ran("native", 1.0), ran("gather", 0.9)])
    assert (close.lowering, "exact in a probe here (gather 0.90 ms, native 1.00 ms)" in close.reason) == (
        "native",
        True,
    )
    assert plan_lowering(target, [ran("native", 1.0), ran("gather", 0.7)]).lowering == "gather"


def test_what_is_not_exact_is_not_chosen_however_fast():
    probed = [refused("native", "no"), ran("gridsample", 0.1, error=2 * EXACT_WITHIN), ran("gather", 9.0)]
    assert plan_lowering(Target("openvino:GPU"), probed).lowering == "gather"


def test_a_runtime_without_a_rule_goes_by_the_probe_alone():
    assert (
        plan_lowering(Target("mine"), [ran("gather", 2.0), ran("gridsample", 1.0)]).lowering == "gridsample"
    )
    with pytest.raises(
        InvalidInputError, match=r"no rule for runtime mine.*\(native: no; gather: not exact\)"
    ):
        plan_lowering(Target("mine"), [refused("native", "no"), ran("gather", 1.0, error=1.0)])
    with pytest.raises(InvalidInputError, match=r"it is not installed\): choose one with --deform-conv"):
        plan_lowering(Target("mine"), [])


def test_where_nothing_ran_the_rule_says_why():
    plan = plan_lowering(Target("openvino:NPU"), [refused(lowering, "no NPU") for lowering in LOWERINGS])
    assert plan.lowering == "native"
    assert plan.reason.endswith("by rule, no NPU")
