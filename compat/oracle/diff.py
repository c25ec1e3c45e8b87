#!/usr/bin/env python3
"""Compares what two servers answered to the same scenarios; prints PASS, FAIL and SKIP lines for common.sh.

    diff.py SCENARIOS.jsonl KAFKA.jsonl OURS.jsonl ALLOW.list [DETAILS]

What is bound to differ is named alike first (`Names`): ids and ports become <id 1>, <id 2> … in the order in which they
appear in a scenario, moments become <time>, throttle times are not compared. Lists of structures are compared without
their order, except records. Texts of errors are compared too; a scenario in which only they differ is passed, and the
texts are listed in DETAILS (clients show them, none reads them).

ALLOW.list: `scenario-pattern  pointer-pattern  reason`, one difference that is meant a line; a pattern may end in `*`, a
pointer has `*` for a place in a list. An entry that no longer matches anything is a failure itself.
"""

import fnmatch
import json
import pathlib
import re
import sys

DETAILS = pathlib.Path(sys.argv[5]) if len(sys.argv) > 5 else None
DAY_MS = 86_400_000
ZERO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
# What servers make up.
MADE_UP = re.compile(r"^([A-Za-z0-9_-]{22}|[0-9a-f]{32})$")
MEMBER_ID = re.compile(r"^(oracle-|.*-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
NOT_COMPARED = {"throttleTimeMs"}
TEXTS = {"errorMessage", "batchIndexErrorMessage"}
# What names an element of a list, where that is unique in it.
KEYS = ["apiKey", "name", "partitionIndex", "topicName", "groupId", "resourceName", "transactionalId", "feature"]
ORDERED = {"records", "list", "headers", "abortedTransactions"}


class Names:
    """Gives what a server made up a name of ours, for one scenario of one server."""

    def __init__(self, t0, slug):
        self.t0, self.slug, self.known, self.count = t0, slug, {}, {}

    def name(self, kind, value):
        if (kind, value) not in self.known:
            self.count[kind] = self.count.get(kind, 0) + 1
            self.known[kind, value] = f"<{kind} {self.count[kind]}>"
        return self.known[kind, value]

    def value(self, field, value):
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            if field == "topicId" and value != ZERO_ID:
                return self.name("topic", value)
            if field in ("directoryId", "replicaDirectoryId", "logDir", "clusterId") and value:
                return self.name(field, value)
            if MEMBER_ID.match(value):
                return self.name("member", value)
            if field == "memberId" and MADE_UP.match(value):
                return self.name("member", value)
            return value
        if field in ("producerId", "port", "sessionId") and value > 0:
            return self.name(field, value)
        if field == "producerId" and value == 0:
            return self.name(field, value)
        if isinstance(value, int) and 0 <= value - self.t0 < 600_000:
            return f"T+{value - self.t0}"
        if isinstance(value, int) and 0 <= value - self.t0 < 2 * DAY_MS:
            return "<time>"
        return value

    def tree(self, node, field=None):
        if isinstance(node, dict):
            return {key: self.tree(value, key) for key, value in node.items() if key not in NOT_COMPARED}
        if isinstance(node, list):
            return [self.tree(one, field) for one in node]
        return self.value(field, node)


def filtered(answer, step, slug):
    """Only what belongs to this scenario, without what the step says is not compared."""
    for name, by in step.get("only", {}).items():
        def prune(node):
            if isinstance(node, dict):
                if isinstance(node.get(name), list):
                    node[name] = [one for one in node[name] if slug in str(one[by] if by else one)]
                for child in node.values():
                    prune(child)
            elif isinstance(node, list):
                for child in node:
                    prune(child)
        prune(answer)
    drop = set(step.get("drop", []))

    def without(node):
        if isinstance(node, dict):
            return {key: without(value) for key, value in node.items() if key not in drop}
        return [without(one) for one in node] if isinstance(node, list) else node

    return without(answer)


def order(node, field=None):
    """Lists of structures in one order, whichever the server chose."""
    if isinstance(node, dict):
        return {key: order(value, key) for key, value in node.items()}
    if isinstance(node, list):
        made = [order(one, field) for one in node]
        return made if field in ORDERED else sorted(made, key=lambda one: json.dumps(one, sort_keys=True))
    return node


def presorted(node, field=None):
    """Sorted by what neither server makes up, so that made-up values are numbered alike."""
    if isinstance(node, dict):
        return {key: presorted(value, key) for key, value in node.items()}
    if isinstance(node, list) and field not in ORDERED:
        def key(one):
            if not isinstance(one, dict):
                return json.dumps(one, sort_keys=True)
            stable = {k: v for k, v in one.items() if k in ("name", "topicName", "topic", "partitionIndex", "partition", "groupId", "key", "apiKey", "nodeId", "brokerId", "resourceName", "entityType", "feature", "user", "transactionalId", "index")}
            return json.dumps(stable, sort_keys=True, default=str)
        return sorted((presorted(one, field) for one in node), key=key)
    if isinstance(node, list):
        return [presorted(one, field) for one in node]
    return node


def differences(kafka, ours, at=""):
    """[(pointer, Kafka's, ours)]."""
    if isinstance(kafka, dict) and isinstance(ours, dict):
        out = []
        for key in sorted(set(kafka) | set(ours)):
            if key not in kafka or key not in ours:
                out.append((f"{at}/{key}", kafka.get(key, "<absent>"), ours.get(key, "<absent>")))
            else:
                out += differences(kafka[key], ours[key], f"{at}/{key}")
        return out
    if isinstance(kafka, list) and isinstance(ours, list):
        for field in KEYS:
            if all(isinstance(one, dict) and field in one for one in kafka + ours):
                a, b = ({str(one[field]): one for one in side} for side in (kafka, ours))
                if len(a) == len(kafka) and len(b) == len(ours):
                    return differences(a, b, at)
        if len(kafka) != len(ours):
            return [(at, kafka, ours)]
        return [one for k, (a, b) in enumerate(zip(kafka, ours)) for one in differences(a, b, f"{at}/{k}")]
    return [] if kafka == ours else [(at, kafka, ours)]


def read(path):
    return {one["name"]: one for one in map(json.loads, pathlib.Path(path).read_text().splitlines())}


def named(scenario, answers, slug):
    names = Names(answers["t0"], slug)
    made = []
    for step, answer in zip(scenario["steps"], answers["answers"]):
        # What is hidden is still seen, so that ids are numbered from where they first appeared.
        tree = order(names.tree(presorted(filtered(answer, step, slug))))
        if "bytes" in step and isinstance(answer, dict):
            tree = "answered" if "bytes" in answer else answer
        if isinstance(answer, dict) and "runner" in answer:
            made.append({"runner": answer["runner"]})
        else:
            made.append(None if step.get("hide") else tree)
    return made


def short(value):
    said = json.dumps(value, sort_keys=True)
    return said if len(said) < 200 else said[:200] + "…"


def main():
    scenarios, kafka, ours = read(sys.argv[1]), read(sys.argv[2]), read(sys.argv[3])
    allowed = []
    for line in pathlib.Path(sys.argv[4]).read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            allowed.append([*line.split(None, 2), 0])
    details, texts = [], []
    for name, scenario in scenarios.items():
        slug = re.sub(r"[^a-zA-Z0-9-]+", "-", name)
        if name not in kafka or name not in ours:
            print(f"FAIL {name}: not run")
            continue
        two = [named(scenario, side[name], slug) for side in (kafka, ours)]
        found = []
        for at, (a, b) in enumerate(zip(*two)):
            step = scenario["steps"][at]
            label = f"{at}:{step.get('api', 'await')}v{step.get('v', '')}"
            if isinstance(a, dict) and "runner" in a or isinstance(b, dict) and "runner" in b:
                found.append((f"{label}/runner", a, b))
                continue
            found += [(label + pointer, x, y) for pointer, x, y in differences(a, b)]
        real, reasons = [], []
        for pointer, x, y in found:
            if pointer.rsplit("/", 1)[-1] in TEXTS:
                # Whether there is a text at all is not a matter of wording.
                texts.append((name, pointer, x, y))
                continue
            for entry in allowed:
                if fnmatch.fnmatch(name, entry[0]) and fnmatch.fnmatch(pointer, entry[1]):
                    entry[3] += 1
                    reasons.append(entry[2])
                    break
            else:
                real.append((pointer, x, y))
        if real:
            pointer, x, y = real[0]
            more = f" (and {len(real) - 1} more)" if len(real) > 1 else ""
            print(f"FAIL {name}: {pointer}: Kafka {short(x)}, ours {short(y)}{more}")
            details.append((name, real))
        else:
            print(f"PASS {name}")
    for pattern, pointer, reason, used in allowed:
        # Scenarios of the other half of the run are not here.
        if not used and any(fnmatch.fnmatch(name, pattern) for name in scenarios):
            print(f"FAIL allow-list: nothing differs any more at {pattern} {pointer} ({reason})")
    if DETAILS:
        with DETAILS.open("w") as out:
            for name, real in details:
                out.write(f"== {name}\n")
                for pointer, x, y in real:
                    out.write(f"   {pointer}\n      Kafka {json.dumps(x)}\n      ours  {json.dumps(y)}\n")
            out.write(f"== texts that differ: {len(texts)}\n")
            for name, pointer, x, y in texts:
                out.write(f"   {name} {pointer}\n      Kafka {x}\n      ours  {y}\n")
    print("DONE")


main()
