"""Pictures of tables: plain Altair charts, and for each the function that makes its numbers.

Importing this room makes Altair draw offline and in the tarslab theme, unless the user has chosen
a renderer or theme of their own.
"""

from tarslab.charts import offline, theme
from tarslab.charts.availability import availability, availability_data
from tarslab.charts.comparison import comparison_table, comparison_text
from tarslab.charts.contours import contour, contour_data
from tarslab.charts.distribution import edf, edf_data
from tarslab.charts.efficiency import sample_efficiency, sample_efficiency_data
from tarslab.charts.entropy import entropy_curve, entropy_curve_data
from tarslab.charts.estimates import interval_estimates, interval_estimates_data
from tarslab.charts.exploration import exploration_curves, exploration_curves_data
from tarslab.charts.front import pareto_front, pareto_front_data
from tarslab.charts.front_3d import pareto_front_3d
from tarslab.charts.health import run_health, run_health_data
from tarslab.charts.history import trial_scores, trial_scores_data
from tarslab.charts.importance import param_importance, param_importance_data
from tarslab.charts.improvement import (
    probability_of_improvement,
    probability_of_improvement_data,
)
from tarslab.charts.latency_distribution import (
    latency_distribution,
    latency_distribution_data,
)
from tarslab.charts.latency_timeline import latency_timeline, latency_timeline_data
from tarslab.charts.linked import linked_trials, linked_trials_data
from tarslab.charts.load_progress import load_progress, load_progress_data
from tarslab.charts.logged import where_logged
from tarslab.charts.losses import loss_curves, loss_curves_data
from tarslab.charts.nash import nash_convergence, nash_convergence_data
from tarslab.charts.parallel import parallel_coordinates, parallel_coordinates_data
from tarslab.charts.profile import performance_profile, performance_profile_data
from tarslab.charts.recovery import recovery, recovery_data
from tarslab.charts.reported import intermediate_values, intermediate_values_data
from tarslab.charts.reward import reward_curve, reward_curve_data
from tarslab.charts.search_cost import search_cost, search_cost_data
from tarslab.charts.seeds import seed_heatmap, seed_heatmap_data
from tarslab.charts.slicing import slices, slices_data
from tarslab.charts.survival import (
    time_to_target,
    time_to_target_data,
    time_to_target_summary,
)
from tarslab.charts.threshold_table import threshold_table, threshold_table_data
from tarslab.charts.timeline import trial_timeline, trial_timeline_data
from tarslab.charts.volume import hypervolume_history, hypervolume_history_data

__all__ = [
    "availability",
    "availability_data",
    "comparison_table",
    "comparison_text",
    "contour",
    "contour_data",
    "edf",
    "edf_data",
    "entropy_curve",
    "entropy_curve_data",
    "exploration_curves",
    "exploration_curves_data",
    "hypervolume_history",
    "hypervolume_history_data",
    "intermediate_values",
    "intermediate_values_data",
    "interval_estimates",
    "interval_estimates_data",
    "latency_distribution",
    "latency_distribution_data",
    "latency_timeline",
    "latency_timeline_data",
    "linked_trials",
    "linked_trials_data",
    "load_progress",
    "load_progress_data",
    "loss_curves",
    "loss_curves_data",
    "nash_convergence",
    "nash_convergence_data",
    "offline",
    "parallel_coordinates",
    "parallel_coordinates_data",
    "param_importance",
    "param_importance_data",
    "pareto_front",
    "pareto_front_3d",
    "pareto_front_data",
    "performance_profile",
    "performance_profile_data",
    "probability_of_improvement",
    "probability_of_improvement_data",
    "recovery",
    "recovery_data",
    "reward_curve",
    "reward_curve_data",
    "run_health",
    "run_health_data",
    "sample_efficiency",
    "sample_efficiency_data",
    "search_cost",
    "search_cost_data",
    "seed_heatmap",
    "seed_heatmap_data",
    "slices",
    "slices_data",
    "theme",
    "threshold_table",
    "threshold_table_data",
    "time_to_target",
    "time_to_target_data",
    "time_to_target_summary",
    "trial_scores",
    "trial_scores_data",
    "trial_timeline",
    "trial_timeline_data",
    "where_logged",
]

offline.adopt()
