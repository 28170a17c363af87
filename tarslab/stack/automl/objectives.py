"""What can be searched: objectives by name, since no code comes over HTTP.

Both train a small network (one hidden layer) on 600 of scikit-learn's 1797 digits of 8 x 8 pixels,
and score it on 600 others. The same hyperparameters give the same values.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from optuna.distributions import FloatDistribution, IntDistribution

if TYPE_CHECKING:
    from optuna import Trial

    from tarslab.studies.objectives import Objective

TRAINED, TESTED, EPOCHS = 600, 600, 300

SPACE: Mapping[str, IntDistribution | FloatDistribution] = {
    "hidden_units": IntDistribution(4, 128, log=True),
    "alpha": FloatDistribution(1e-6, 1.0, log=True),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
}


class Searchable(NamedTuple):
    """An objective that has a name."""

    description: str
    function: "Objective"
    directions: tuple[str, ...]
    metrics: tuple[str, ...]
    space: Mapping[str, IntDistribution | FloatDistribution]


def digits(trial: "Trial") -> float:
    """Accuracy on the digits that were not trained on."""
    return _trained(**_suggested(trial))[0]


def digits_pareto(trial: "Trial") -> Sequence[float]:
    """The same accuracy, and how many weights the network has."""
    return _trained(**_suggested(trial))


OBJECTIVES: Mapping[str, Searchable] = {
    "digits": Searchable(
        "Handwritten digits by a small neural network: accuracy on 600 held-out images.",
        digits,
        ("maximize",),
        ("accuracy",),
        SPACE,
    ),
    "digits-pareto": Searchable(
        "The same network: accuracy against its size.",
        digits_pareto,
        ("maximize", "minimize"),
        ("accuracy", "weights"),
        SPACE,
    ),
}


def _suggested(trial: "Trial") -> dict[str, Any]:
    return {name: _one(trial, name, kind) for name, kind in SPACE.items()}


def _one(trial: "Trial", name: str, kind: IntDistribution | FloatDistribution) -> float:
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(name, kind.low, kind.high, log=kind.log)
    return trial.suggest_float(name, kind.low, kind.high, log=kind.log)


def _trained(hidden_units: int, alpha: float, learning_rate: float) -> tuple[float, float]:
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    pixels, digit = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(
        pixels / 16,
        digit,
        train_size=TRAINED,
        test_size=TESTED,
        stratify=digit,
        random_state=0,
    )
    network = MLPClassifier(
        (hidden_units,),
        alpha=alpha,
        learning_rate_init=learning_rate,
        max_iter=EPOCHS,
        random_state=0,
    )
    # Several threads would add up their sums in another order, and take what is for requests.
    with threadpool_limits(1), warnings.catch_warnings():
        # How far it comes in so many epochs is what the search is about.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # An interrupt ends the training alone, with this warning, and must end the trial.
        warnings.filterwarnings("error", "Training interrupted", UserWarning)
        try:
            network.fit(x, y)
        except UserWarning:
            raise KeyboardInterrupt from None
    weights = sum(layer.size for layer in [*network.coefs_, *network.intercepts_])
    return float(network.score(x_test, y_test)), float(weights)
