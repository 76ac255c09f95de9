"""Run the campaigns, and print the page that comes of them; ``--write`` keeps both."""

from __future__ import annotations

import argparse
import sys

from reliability import mutation, results
from reliability.campaigns import CAMPAIGNS, OTHER_TESTS
from reliability.measured import REPOSITORY
from reliability.page import page
from reliability.running import CampaignBroke, run

PAGE = REPOSITORY / "docs" / "reliability.md"


def main() -> int:
    """Do what was asked for; give 1 if something did not hold."""
    known = {one.name: one for one in (*CAMPAIGNS, OTHER_TESTS)}
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the results, and write docs/reliability.md")
    parser.add_argument("--quick", action="store_true", help="small campaigns, in two minutes; not to be written")
    parser.add_argument("--only", action="append", choices=known, metavar="NAME", help=f"one of {', '.join(known)}")
    parser.add_argument("--json", action="store_true", help="print the results, not the page")
    parser.add_argument("--page", action="store_true", help="run nothing: make the page of the last results")
    chosen = parser.parse_args()
    if chosen.quick and chosen.write:
        parser.error("--quick is a smoke test, too small to be published: leave --write or --quick away")
    if chosen.page and (chosen.quick or chosen.only):
        parser.error("--page runs nothing, so there is nothing to choose: leave --quick and --only away")
    fresh: dict[str, results.Result] = {}
    status = 0
    try:
        campaigns = [] if chosen.page else [known[name] for name in chosen.only or known]
        for result in run(campaigns, quick=chosen.quick, tell=_tell):
            fresh[result.campaign] = result
            status |= not result.is_good
            if chosen.write:
                results.save({result.campaign: result})
    except CampaignBroke as broken:
        sys.stderr.write(f"{broken}\n")
        status = 2
    shown = results.load() if chosen.write or chosen.page else fresh
    if chosen.write:
        PAGE.write_text(page(shown, mutation.load()), "utf-8")
    if chosen.json:
        sys.stdout.write(results.to_json(list(shown.values())).decode())
    elif not chosen.write:
        sys.stdout.write(page(shown, mutation.load()))
    return status


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
