"""Rerun the tournaments, enter the agent, and write the page."""

from experiments import axelrod
from experiments._page import make_parser, write_page


def main() -> None:
    """Do what the command line names."""
    parser = make_parser("axelrod", axelrod.__doc__)
    steps = ["replay", "enter", "bounds", "library", "table"]
    parser.add_argument("do", nargs="?", choices=steps)
    parser.add_argument("--seeds", type=int, nargs="+", help="training seeds")
    arguments = parser.parse_args()
    # The library of strategies is not needed for --help.
    from experiments.axelrod import bounds, entry, library, measure, page

    measure.OUT.mkdir(parents=True, exist_ok=True)
    if arguments.do in (None, "replay"):
        measure.replay_all()
    if arguments.do in (None, "replay") and not measure.EXACT.exists():
        measure.solve_all()
    if arguments.do in (None, "enter"):
        entry.enter_all(arguments.seeds or [*measure.SEEDS])
    if arguments.do in (None, "bounds"):
        bounds.bound_all(arguments.seeds or [*measure.SEEDS])
    if arguments.do in (None, "library"):
        library.run(len(arguments.seeds or range(library.SEEDS)))
    write_page(page.summary(), measure.OUT)


if __name__ == "__main__":
    main()
