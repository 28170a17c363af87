"""Solve Kuhn and Leduc poker with OpenSpiel and record the distance to a Nash equilibrium.

    pip install -e ".[train]"
    python data/recipes/solve_poker.py                                  # everything, as committed
    python data/recipes/solve_poker.py --games kuhn_poker --only cfr+   # a part of it

Counterfactual regret minimisation (Zinkevich et al. 2007), CFR+ (Tammelin 2014) and extensive-form
fictitious play (Heinrich et al. 2015). None of them draws a random number, so there are no seeds.
After every iteration the average policy's nash_conv (the sum over players of what a best response
would gain) and exploitability (nash_conv / players) go to an event file and to progress.csv.
"""

import argparse
import csv
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyspiel
from open_spiel.python.algorithms import exploitability, fictitious_play
from torch.utils.tensorboard import SummaryWriter

DATA = Path(__file__).resolve().parent.parent

ITERATIONS: dict[tuple[str, str], int] = {
    ("kuhn_poker", "cfr"): 1000,
    ("kuhn_poker", "cfr+"): 1000,
    ("kuhn_poker", "fictitious_play"): 1000,
    ("leduc_poker", "cfr"): 1000,
    ("leduc_poker", "cfr+"): 1000,
    ("leduc_poker", "fictitious_play"): 200,
}


def solver(game: Any, algo: str) -> tuple[Callable[[], None], Callable[[], float]]:
    """One iteration of the algorithm, and the nash_conv of its average policy."""
    if algo == "fictitious_play":
        xfp = fictitious_play.XFPSolver(game)
        return xfp.iteration, lambda: exploitability.nash_conv(game, xfp.average_policy())
    cfr = pyspiel.CFRPlusSolver(game) if algo == "cfr+" else pyspiel.CFRSolver(game)
    return (
        cfr.evaluate_and_update_policy,
        lambda: pyspiel.nash_conv(game, cfr.average_policy()),
    )


def solve(game_name: str, algo: str) -> float:
    """Record one run into its folder and return the seconds it took."""
    folder = DATA / "poker" / game_name / algo
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.perf_counter()
    game = pyspiel.load_game(game_name)
    iterate, nash_conv = solver(game, algo)
    iterations = ITERATIONS[game_name, algo]

    with (
        SummaryWriter(str(folder)) as events,
        open(folder / "progress.csv", "w", newline="") as table,
    ):
        rows = csv.writer(table)
        rows.writerow(["iteration", "nash_conv", "exploitability"])
        for iteration in range(1, iterations + 1):
            iterate()
            gap = nash_conv()
            events.add_scalar("nash_conv", gap, iteration)
            events.add_scalar("exploitability", gap / game.num_players(), iteration)
            rows.writerow([iteration, gap, gap / game.num_players()])

    # An event file's name carries the host that wrote it.
    (event_file,) = folder.glob("events.out.tfevents.*")
    event_file.rename(folder / "events.out.tfevents.0")
    config = {
        "algo": algo,
        "env": game_name,
        "players": game.num_players(),
        "iterations": iterations,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description="Solve the poker games recorded in data/poker.")
    games = sorted({game for game, _ in ITERATIONS})
    algos = sorted({algo for _, algo in ITERATIONS})
    parser.add_argument("--games", nargs="+", choices=games, default=games)
    parser.add_argument("--only", nargs="+", choices=algos, default=algos)
    args = parser.parse_args()
    for game in args.games:
        for algo in args.only:
            print(f"{game} {algo}: {solve(game, algo):.0f} s", flush=True)


if __name__ == "__main__":
    main()
