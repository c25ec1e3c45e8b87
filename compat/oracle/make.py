#!/usr/bin/env python3
"""Writes the scenarios as JSON lines for the runner.

    make.py DIR        DIR/plain.jsonl (anybody may do everything) and DIR/acl.jsonl (SASL PLAIN, access rules)
    make.py --count    how many there are, per file
    DIR/users          the users that the access rules are about, one a line
"""

import importlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import lib  # noqa: E402


def main():
    made = {}
    for file in sorted((HERE / "scenarios").glob("*.py")):
        before = len(lib.SCENARIOS)
        importlib.import_module(f"scenarios.{file.stem}")
        kind = "acl" if file.stem.startswith("acl") else "plain"
        made.setdefault(kind, []).extend(lib.SCENARIOS[before:])
        if sys.argv[1] == "--count":
            print(f"{len(lib.SCENARIOS) - before:5}  {file.stem}")
    if sys.argv[1] == "--count":
        print(f"{len(lib.SCENARIOS):5}  in all")
        return
    for kind, scenarios in made.items():
        lines = [json.dumps(scenario.as_json()) + "\n" for scenario in scenarios]
        pathlib.Path(sys.argv[1], f"{kind}.jsonl").write_text("".join(lines))
    users = {step["user"] for scenario in lib.SCENARIOS for step in scenario.steps if step.get("user")}
    pathlib.Path(sys.argv[1], "users").write_text("".join(f"{user}\n" for user in sorted(users)))


main()
