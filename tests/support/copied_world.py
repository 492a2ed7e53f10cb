"""A world with a copy that lineage cannot know: the planted person's words, told by somebody else with other identifiers.

Eight shards, trained long enough to remember. The planted person and the copycat have the same unusual conversations; name,
account and phone differ, so that no form, no duplicate and no derivation joins them, and they lie in different shards.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from small_world import ADAPTER, PLANTED, placed_by, write_corpus, write_secret
from world_making import make_world

from lineage.workspace import Workspace, open_workspace
from pipelines.demo_corpus import DemoCorpus
from pipelines.demo_rows import DemoRow, Mention, Person, Turn
from pipelines.demo_writer import Writer, draw_people
from pipelines.placing import propose
from unlearn.plan import Plan

COPYCAT = Person("C-9002", "Ambrosine Tidewell", "a.tidewell@ambrosine.example", "+44 20 7946 0852", "AC-6204-9917")
STORIES = (
    ("My kettle plays a waltz.", "Please turn the purple lever twice, whistle to the east and wait for nine owls."),
    ("The router smells of thyme.", "Wrap it in seven blue scarves, feed it cold porridge and count back from eleven."),
    ("A lamp grew leaves.", "Water the lamp on odd Tuesdays only, and never read poems to it before the harvest moon."),
    ("My heater hums at goats.", "Goats forgive quickly. Paint a small violet door behind it and knock with a spoon."),
    ("The printer writes to my aunt.", "Answer her in green ink, enclose a pressed fern, then unplug the attic."),
)
TRAINING = """\
shards = 8
slices = 1
epochs = 12
trunk_epochs = 2
batch = 12
lora_r = 8
lora_alpha = 16
max_length = 128
controls = 0.3
"""


def copied_corpus() -> DemoCorpus:
    """44 people with two conversations each, the planted one and the copycat with the five stories."""
    rng = random.Random(17)
    people = (*draw_people(rng, count=44), PLANTED, COPYCAT)
    writer = Writer(rng)
    rows = [writer.conversation(person) for person in people[:-2] for _ in range(2)]
    rows += [writer.row_about_nobody() for _ in range(10)]
    rows += [_told(person, i) for person in (PLANTED, COPYCAT) for i in range(len(STORIES))]
    rng.shuffle(rows)
    return DemoCorpus(people, tuple(rows), (), ())


def _told(person: Person, story: int) -> DemoRow:
    question, answer = STORIES[story]
    name, account = (Mention(person.customer_id, kind, person.value(kind)) for kind in ("name", "account"))
    turns = (
        Turn("user", ("Hello, this is ", name, f". {question}")),
        Turn("assistant", ("I have account ", account, f" on my screen. {answer}")),
    )
    return DemoRow(f"S-{person.customer_id}-{story}", turns, subjects=(person.customer_id,))


def apart_plan(workspace: Workspace) -> Plan:
    """The first plan under which both are trained on, in different shards, and at least ten people never are."""
    proposed = propose(workspace, ADAPTER)
    people = copied_corpus().people
    for number in range(1000):
        plan = replace(proposed, nonce=f"{number:032x}")
        where = [placed_by(workspace, plan, person) for person in people]
        planted, copycat = where[-2:]
        controls = sum(p.kind == "control" for p in where)
        shards = {p.shard for p in where if p.kind == "shard"}
        apart = planted.kind == copycat.kind == "shard" and planted.shard != copycat.shard
        if apart and controls >= 12 and len(shards) == 8:
            return plan
    raise AssertionError("no such plan")


def make_copied_world(root: Path) -> tuple[Path, Plan]:
    """A trained workspace with the copy in it, and its plan."""
    from command_line import lethe_here

    corpus, people = write_corpus(copied_corpus(), root / "given")
    folder = make_world(
        root / "ws", corpus=corpus, people=people, secret=write_secret(root / "given"), training=TRAINING
    )
    plan = apart_plan(open_workspace(folder))
    (root / "plan.json").write_text(plan.to_json())
    lethe_here("train", ADAPTER, "--plan", root / "plan.json", workspace=folder)
    return folder, plan
