"""atc_asr.sweep.space: the search space from its texts."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from atc_asr.core.errors import InputError
from atc_asr.sweep.space import check_names, format_value, parse_space
from atc_asr.sweep.study import grid_points


def test_the_four_forms():
    assert parse_space(["a.b=1e-4, x ,true", "c.d=log(1e-4, 1e-2)", "e.f=uniform(-1,0.3)", "g.h=int(4,12)"]) == {
        "a.b": CategoricalDistribution(("1e-4", "x", "true")),
        "c.d": FloatDistribution(1e-4, 1e-2, log=True),
        "e.f": FloatDistribution(-1.0, 0.3),
        "g.h": IntDistribution(4, 12),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a.b", "wanted section.key=values"),
        ("a.b=", "wanted section.key=values"),
        ("a.b=1,,2", "an empty value or one twice"),
        ("a.b=1,1", "an empty value or one twice"),
        ("a.b=log(1,x)", "could not convert string to float: 'x', wanted log"),
        ("a.b=log(-1,1)", "got -1, wanted a lower limit > 0"),
        ("a.b=uniform(2,1)", "got 2 and 1, wanted low < high"),
        ("a.b=uniform(nan,1)", "wanted low < high"),
        ("a.b=int(1.5,3)", "wanted whole numbers"),
        ("a.b=normal(0,1)", r"wanted log\(low, high\)"),
    ],
)
def test_other_forms_are_errors_of_one_line(text, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        parse_space([text])
    assert str(caught.value).startswith(f"space: {text}: ") and "\n" not in str(caught.value)


def test_an_empty_space_and_a_repeated_parameter_are_errors():
    with pytest.raises(InputError, match="is empty"):
        parse_space([])
    with pytest.raises(InputError, match=r"a\.b is there twice"):
        parse_space(["a.b=1", "a.b=2"])


def test_names_must_be_in_the_params_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("train:\n  lr: 1\n  deep: {er: 2}\n")
    check_names(parse_space(["train.lr=1", "train.deep.er=2"]), path)
    with pytest.raises(InputError, match=r"space: train\.deep is not in .*params.yaml; did you mean train\.deep\.er\?"):
        check_names(parse_space(["train.deep=1"]), path)


def test_grid_points_are_all_combinations_of_values():
    assert grid_points(parse_space(["a.b=1,2", "a.c=x,y"])) == [
        {"a.b": "1", "a.c": "x"},
        {"a.b": "1", "a.c": "y"},
        {"a.b": "2", "a.c": "x"},
        {"a.b": "2", "a.c": "y"},
    ]
    with pytest.raises(InputError, match=r"a\.b is a range"):
        grid_points(parse_space(["a.b=int(1,2)"]))


@given(st.sampled_from(["log(1e-5,1e-2)", "uniform(0,0.3)", "int(4,12)", "4,8,12"]), st.integers(0, 1000))
def test_formatted_values_lie_in_the_space(values, seed):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = parse_space([f"a.b={values}"])
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(space)
    text = format_value(trial.params["a.b"])
    distribution = space["a.b"]
    if isinstance(distribution, CategoricalDistribution):
        assert text in distribution.choices
    else:
        assert distribution.low * (1 - 1e-5) <= float(text) <= distribution.high * (1 + 1e-5)
