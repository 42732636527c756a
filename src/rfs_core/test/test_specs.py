"""Specs: layout, round trips, and what their errors say."""

import json

import numpy as np
import pytest

from rfs_core.errors import SpecError
from rfs_core.robot import DEFAULT_ACTION_SPEC
from rfs_core.specs import ActionSpec, ObservationSpec, Part, require_same

ARM = Part("arm", (2,), "m", -1.0, (1.0, 2.0), "base")
GRID = Part("grid", (2, 3), "1", float("-inf"), float("inf"))
SPEC = ObservationSpec((ARM, GRID))


def action_spec(**changes):
    values = {"parts": (ARM,), "control_dt": 0.05, "horizon": 2, **changes}
    return ActionSpec(**values)


def test_parts_lie_one_after_the_other():
    assert (SPEC.size, SPEC.names) == (8, ("arm", "grid"))
    assert SPEC.slice("arm") == slice(0, 2)
    assert SPEC.slice("grid") == slice(2, 8)
    np.testing.assert_array_equal(SPEC.low[:2], [-1, -1])
    np.testing.assert_array_equal(SPEC.high[:3], [1, 2, np.inf])


def test_unpack_undoes_pack_and_keeps_the_type():
    values = {
        "grid": np.arange(12, dtype=np.float32).reshape(2, 2, 3),
        "arm": np.array([[1, 2], [3, 4]], dtype=np.float32),
    }
    flat = SPEC.pack(values)
    np.testing.assert_array_equal(flat, [[1, 2, 0, 1, 2, 3, 4, 5], [3, 4, 6, 7, 8, 9, 10, 11]])
    assert flat.dtype == np.float32
    unpacked = SPEC.unpack(flat)
    assert unpacked["grid"].shape == (2, 2, 3)
    for name, array in values.items():
        np.testing.assert_array_equal(unpacked[name], array)


def test_clip_moves_values_into_the_bounds_only():
    clipped = SPEC.clip(np.array([[-3.0, 1.5, 1e9, 0, 0, 0, 0, 0]]))
    np.testing.assert_array_equal(clipped, [[-1.0, 1.5, 1e9, 0, 0, 0, 0, 0]])


def test_clip_leaves_nan_for_whoever_must_refuse_it():
    assert np.isnan(SPEC.clip(np.full((1, 8), np.nan))).all()


@pytest.mark.parametrize("spec", [SPEC, action_spec(), DEFAULT_ACTION_SPEC])
def test_specs_survive_json(spec):
    text = json.dumps(spec.to_dict(), allow_nan=False)
    assert type(spec).from_dict(json.loads(text)) == spec


def test_equal_specs_have_no_differences():
    assert SPEC.differences(ObservationSpec((ARM, GRID))) == []


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (action_spec(horizon=3), "horizon 2, other 3"),
        (action_spec(control_dt=0.1), "control_dt 0.05 s, other 0.1 s"),
        (action_spec(parts=(ARM, GRID)), "size (2,), other (8,)"),
        (action_spec(parts=(ARM, GRID)), "parts arm; other arm, grid"),
        (
            action_spec(parts=(Part("arm", (2,), "rad", -1.0, (1.0, 2.0), "base"),)),
            "unit of arm: 'm', other 'rad'",
        ),
        (
            action_spec(parts=(Part("arm", (2,), "m", -1.0, (1.0, 2.0), "tool"),)),
            "frame of arm: 'base', other 'tool'",
        ),
        (
            action_spec(parts=(Part("arm", (2,), "m", -1.0, (1.0, 2.5), "base"),)),
            "high of arm[1]: 2, other 2.5",
        ),
        (action_spec(parts=(Part("arm", (3,), "m", -1.0, 1.0, "base"),)), "shape of arm: (2,), other (3,)"),
        (ObservationSpec((ARM,)), "one is ActionSpec, other ObservationSpec"),
    ],
)
def test_differences_name_both_values(other, sentence):
    assert sentence in action_spec().differences(other)


def test_bounds_that_went_through_float32_are_the_same():
    narrow = Part("arm", (2,), "m", -1.0, (1.0, float(np.float32(2.0000001))), "base")
    assert action_spec().differences(action_spec(parts=(narrow,))) == []


def test_require_same_says_what_differs_and_what_to_do():
    with pytest.raises(
        SpecError, match=r"action of checkpoint c and robot differ: horizon 2, other 1\. Retrain\."
    ):
        require_same(action_spec(), action_spec(horizon=1), "action of checkpoint c and robot", "Retrain.")
    require_same(action_spec(), action_spec(), "same", "")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Part("a b", (1,), "m", 0, 1), "not an identifier"),
        (lambda: Part("a", (), "m", 0, 1), "one or more dimensions"),
        (lambda: Part("a", (0,), "m", 0, 1), "one or more dimensions"),
        (lambda: Part("a", (2,), "m", (0, 0, 0), 1), "3 values, allowed: 1 or 2"),
        (lambda: Part("a", (2,), "m", (0, 3), 1), "value 1: low 3.0 is above high 1.0"),
        (lambda: Part("a", (1,), "m", float("nan"), 1), "not a number"),
        (lambda: ObservationSpec(()), "at least one"),
        (lambda: ObservationSpec((ARM, ARM)), "part arm twice"),
        (lambda: action_spec(horizon=0), "horizon is 0"),
        (lambda: action_spec(control_dt=0.0), "control_dt is 0.0"),
        (lambda: SPEC.slice("leg"), "no part 'leg'; ObservationSpec has arm, grid"),
        (lambda: SPEC.pack({"arm": np.zeros((1, 2))}), "missing: grid"),
        (
            lambda: SPEC.pack({"arm": np.zeros((1, 2)), "grid": np.zeros((2, 6))}),
            "number of rows: arm 1, grid 2",
        ),
        (
            lambda: SPEC.pack({"arm": np.zeros((1, 3)), "grid": np.zeros((1, 6))}),
            r"shape \(1, 3\), needs \(N, 2\)",
        ),
        (lambda: SPEC.unpack(np.zeros((1, 7))), r"needs \(..., 8\): arm 2, grid 6"),
        (lambda: SPEC.clip(np.zeros(9)), r"needs \(..., 8\)"),
        (lambda: ObservationSpec.from_dict({"parts": [], "more": 1}), "needs exactly"),
        (lambda: ObservationSpec.from_dict([]), "needs exactly"),
        (lambda: ActionSpec.from_dict({"parts": [], "control_dt": "x", "horizon": 1}), "cannot be read"),
        (lambda: Part.from_dict({**ARM.to_dict(), "low": ["x"]}), "'arm' cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(make, message):
    with pytest.raises(SpecError, match=message):
        make()
