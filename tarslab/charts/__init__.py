"""Pictures of tables: plain Altair charts, and for each the function that makes its numbers.

Importing this room makes Altair draw offline and in the tarslab theme, unless the user has chosen
a renderer or theme of their own.
"""

from tarslab.charts import offline, theme
from tarslab.charts.entropy import entropy_curve, entropy_curve_data
from tarslab.charts.exploration import exploration_curves, exploration_curves_data
from tarslab.charts.logged import where_logged
from tarslab.charts.losses import loss_curves, loss_curves_data
from tarslab.charts.nash import nash_convergence, nash_convergence_data
from tarslab.charts.reward import reward_curve, reward_curve_data

__all__ = [
    "entropy_curve",
    "entropy_curve_data",
    "exploration_curves",
    "exploration_curves_data",
    "loss_curves",
    "loss_curves_data",
    "nash_convergence",
    "nash_convergence_data",
    "offline",
    "reward_curve",
    "reward_curve_data",
    "theme",
    "where_logged",
]

offline.adopt()
