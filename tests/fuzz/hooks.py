"""Puts what the server holds into generated requests: without, nearly every one would end at a 404 or a 422.

`HALLMARK_FUZZ_KNOWN` is a JSON file: `values` by the name of a parameter, with or without
what stands before and behind it in the path, or of a key; `bodies` that are good; and `texts` by media type.
No route is named, so a new one is fuzzed like the others.
"""

import atexit
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import schemathesis

KNOWN: dict[str, Any] = json.loads(Path(os.environ["HALLMARK_FUZZ_KNOWN"]).read_text())
VALUES: dict[str, list[Any]] = KNOWN["values"]
BEGUN: set[str] = set()
CALLED: set[str] = set()
SUCCEEDED: set[str] = set()


class Dice(Random):
    """Chances, of which there are none while `sure`."""

    sure = False

    def falls(self, likely: float) -> bool:
        return self.sure or self.random() < likely


def known(random: Dice, names: list[str], value: Any, likely: float) -> Any:
    """A known value of the first of these names that has one of this type, mostly; or what was generated."""
    for name in names:
        values = [item for item in VALUES.get(name, []) if type(item) is type(value)]
        if values:
            return random.choice(values) if random.falls(likely) else value
    return value


def mixed(random: Dice, good: Any, generated: Any) -> Any:
    """A good body in which some values are generated ones."""
    if isinstance(good, dict) and isinstance(generated, dict):
        return {key: mixed(random, item, generated[key]) if key in generated else item for key, item in good.items()}
    return good if random.falls(0.92) else generated


def body(random: Dice, generated: dict[str, Any]) -> dict[str, Any]:
    """A good body of the same kind, slightly spoiled; or the generated one with known values at some of its keys."""
    alike = [good for good in KNOWN["bodies"] if len(good.keys() & generated.keys()) * 2 > len(good)]
    if alike and random.falls(0.7):
        return mixed(random, max(alike, key=lambda good: len(good.keys() & generated.keys())), generated)
    return {key: known(random, [key], item, 0.5) for key, item in generated.items()}


def text(random: Dice, good: str, generated: str | bytes) -> str | bytes:
    """A good text of the generated one's type: whole, broken off, or with a generated tail."""
    whole = good if isinstance(generated, str) else good.encode()
    return whole if random.falls(0.3) else random.choice([whole[: random.randrange(len(whole))], whole + generated])


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    for part in (case.query, case.body):
        for name in {"wait", "wait_seconds"} & (part.keys() if isinstance(part, dict) else set()):
            # Nobody else does anything, so it would be waited for in vain.
            if str(part[name]).isdigit():
                part[name] = 0
    meta = case.meta
    if meta is None or meta.phase.name.value == "stateful":
        return
    if meta.generation.mode.is_negative or any(part.mode.is_negative for part in meta.components.values()):
        return  # Data that is meant to be wrong stays so, and a stateful test takes its values from answers.
    given = (case.method, case.path, case.path_parameters, case.query, case.body)
    random = Dice(repr(given))  # The same case is sent the same way again,
    random.sure = case.operation.label not in BEGUN  # and the first of an operation is as good as it can be.
    BEGUN.add(case.operation.label)
    segments = case.path.split("/")
    for name, value in (case.path_parameters or {}).items():
        at = segments.index(f"{{{name}}}")
        before, after = segments[at - 1], "/".join(segments[at + 1 :])
        names = [f"{before}/{name}/{after}", f"{before}/{name}", name, f"{before}/*"]
        case.path_parameters[name] = known(random, names, value, 0.8)
    for name, value in (case.query or {}).items():
        case.query[name] = known(random, [name], value, 0.3)
    if isinstance(case.body, dict):
        case.body = body(random, case.body)
    elif isinstance(case.body, str | bytes) and case.media_type in KNOWN["texts"] and random.falls(0.7):
        case.body = text(random, KNOWN["texts"][case.media_type], case.body)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    CALLED.add(case.operation.label)
    if response.status_code >= 300:
        return
    SUCCEEDED.add(case.operation.label)
    made = case.method.upper() == "POST" and response.headers.get("content-type", [""])[0].startswith("application/json")
    answer = response.json() if made else None
    for name in ("id", "delegation_id") if isinstance(answer, dict) else ():
        if isinstance(answer.get(name), str):
            # What was made can be named from now on: `POST /things` makes a value for what stands behind `/things/`.
            VALUES.setdefault(f"{case.path.rsplit('/', 1)[1]}/*", []).append(answer[name])


@atexit.register
def tell() -> None:
    """Which operations were refused each time: of these, only refusals were held against the document."""
    never = ", ".join(sorted(CALLED - SUCCEEDED)) or "none"
    print(f"{len(SUCCEEDED)} of {len(CALLED)} operations succeeded at least once; not: {never}")
