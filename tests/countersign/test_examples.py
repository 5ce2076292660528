"""Every example under docs/examples does what its first line says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from core.errors import NotAnAdmin
from core.events import FINAL, ProgressReported
from core.model import ModelEndpoint, Outcome, Status, Verdict
from countersign.composition import flows
from countersign.configuration import configuration
from tests.core.model_answers import at_once
from tests.core.processing import loopback
from tests.world import ANA, BEN, SAM, whole_core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from core.model import Json
    from core.store.database import Database
    from tests.world import StoppedClock, World

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def loaded(model: ModelEndpoint | None = None) -> Any:
    found = configuration(EXAMPLES / "countersign.toml", {})
    unused = ModelEndpoint(url="http://127.0.0.1:9/v1", model="none", api_key=None)
    return found, flows(found, model or unused)


@pytest.fixture
async def world(sqlite_database: Database, clock: StoppedClock) -> AsyncIterator[World]:
    found, known = loaded()
    async with whole_core(
        sqlite_database, clock, flows=known, people=found.people, in_force=found.policies, admins=found.admins
    ) as world:
        yield world


async def test_a_review_only_above_a_threshold(world: World) -> None:
    small = await world.submit({"order": "1041", "amount": 100}, flow="refund")
    assert (await world.end(small.id)).outcome is None
    large = await world.submit({"order": "1042", "amount": 250}, flow="refund")
    asked = await world.open_review(large.id)
    assert (await world.service.review(asked)).draft == {"order": "1042", "amount": 250}
    await world.reject(asked, comment="too much")
    done = await world.end(large.id)
    assert (done.status, done.outcome, done.attempt) == (Status.COMPLETED, Outcome.REJECTED, 1)
    assert (await world.service.checkpoints.of_task(large.id))[-1].state["told"] == "Refused: too much"


async def test_an_edit_is_what_is_approved_and_acted_on(world: World) -> None:
    task = await world.submit({"order": "1042", "amount": 250}, flow="refund")
    asked = await world.open_review(task.id)
    content: Json = {"order": "1042", "amount": 200}
    await world.service.decide(asked, ANA.id, Verdict.EDIT, content=content, via="api")
    done = await world.end(task.id)
    assert isinstance(done.final_result, dict)
    assert (done.final_result["paid"], len(str(done.final_result["idempotency_key"]))) == (200, 64)


async def test_a_review_before_a_side_effect(world: World) -> None:
    task = await world.submit("production", flow="deploy")
    asked = await world.open_review(task.id)
    assert (await world.service.review(asked)).draft == {"task_input": "production", "build": "build-7"}
    await world.approve(asked)
    assert (await world.end(task.id)).final_result == "build-7 is deployed for production"
    assert [e for e in await world.history(task.id) if isinstance(e, ProgressReported)][-1].fraction == 1


async def test_two_reviews_in_sequence(world: World) -> None:
    task = await world.submit("An article.", flow="article")
    await world.approve(await world.open_review(task.id))
    await world.reject(await world.open_review(task.id, 2), BEN, comment="name the source")
    third = await world.open_review(task.id, 3)
    assert (await world.service.review(third)).draft == "An article.\n\n(Revised: name the source)"
    await world.service.decide(third, ANA.id, Verdict.EDIT, content="An article (source: Ben).", via="api")
    await world.approve(await world.open_review(task.id, 4), BEN)
    assert (await world.end(task.id)).final_result == "An article (source: Ben).\n\n— published"


async def test_a_review_from_inside_a_node(world: World) -> None:
    task = await world.submit("The build is green.", flow="agent")
    await world.approve(await world.open_review(task.id))
    assert (await world.end(task.id)).final_result == "sent: The build is green."
    other = await world.submit("It is not.", flow="agent")
    await world.reject(await world.open_review(other.id), comment="wait")
    done = await world.end(other.id)
    assert (done.outcome, done.final_result) == (Outcome.REJECTED, "not sent: wait")


async def test_resuming_from_a_checkpoint_with_an_edited_state(world: World) -> None:
    task = await world.submit({"order": "1042", "amount": 90}, flow="refund")
    await world.end(task.id)
    with pytest.raises(NotAnAdmin):
        await world.service.checkpoints.resume(task.id, SAM.id, checkpoint=1, state={"amount": 95})
    await world.service.checkpoints.resume(task.id, BEN.id, checkpoint=1, state={"amount": 95})
    await world.diary.until(lambda: [e for e in world.diary.of(task.id) if isinstance(e, FINAL)][1:])
    result = (await world.service.task(task.id)).final_result
    assert isinstance(result, dict)
    assert result["paid"] == 95
    fork = await world.service.checkpoints.resume(
        task.id, BEN.id, checkpoint=1, state={"amount": 300}, fork=True
    )
    assert (await world.service.review(await world.open_review(fork.id))).draft == {
        "order": "1042",
        "amount": 300,
    }


async def test_a_models_text_is_revised_by_the_reviewers_words(
    sqlite_database: Database, clock: StoppedClock
) -> None:
    async with loopback() as there:
        there.answers = [at_once("Dear team, hello."), at_once("Dear team, hello and thanks.")]
        model = ModelEndpoint(url=f"{there.url}/v1", model="small", api_key=None)
        found, known = loaded(model)
        async with whole_core(sqlite_database, clock, flows=known, people=found.people) as world:
            task = await world.submit("A letter", flow="letter")
            await world.reject(await world.open_review(task.id), comment="thank them")
            await world.approve(await world.open_review(task.id, 2))
            assert (await world.end(task.id)).final_result == "Dear team, hello and thanks."
        said = [message["content"] for message in there.asked[-1].body["messages"]]
    assert said[:2] == ["A letter", "Dear team, hello."]
    assert "thank them" in said[2]


def test_the_sample_of_the_policies_page_is_right_and_asks_somebody(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "policies.md").read_text(encoding="utf-8")
    sample = page.split("```toml\n")[1].split("```")[0]
    missing = [name for name in ("ana", "ben", "cy", "eve") if f"[people.{name}]" not in sample]
    people = "".join(f"[people.{name}]\nname = '{name}'\n" for name in missing)
    file = tmp_path / "countersign.toml"
    file.write_text(people + sample, encoding="utf-8")
    assert configuration(file, {"BOARD_TOKEN": "x"}).policies_of_nobody == []
