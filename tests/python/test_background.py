"""Background mode: polling, cancelling, resuming at every event, surviving a crash."""

import time

import openai
import pytest
from conftest import numbers, until
from test_responses import WEATHER

SLOW = "scripted?tokens=400&delay_ms=20"


def finished(client, response):
    return until(lambda: settled(client.responses.retrieve(response.id)))


def settled(response):
    return response if response.status not in ("queued", "in_progress") else None


def test_poll(client):
    created = client.responses.create(model="scripted?tokens=12", input="x", background=True)
    assert created.status in ("queued", "in_progress") and created.background
    assert created.output == [] and created.usage is None
    done = finished(client, created)
    assert done.status == "completed" and done.output_text == numbers(12)
    assert done.completed_at >= done.created_at


def test_poll_hint(client):
    raw = client.responses.with_raw_response.create(model=SLOW, input="x", background=True)
    response = raw.parse()
    polled = client.responses.with_raw_response.retrieve(response.id)
    assert int(polled.headers["openai-poll-after-ms"]) > 0
    client.responses.cancel(response.id)


def test_resume_at_every_event(client):
    stream = client.responses.create(
        model="scripted?tokens=15&tools=1&reasoning_tokens=3",
        input="x",
        tools=[WEATHER],
        background=True,
        stream=True,
    )
    events = [event.model_dump() for event in stream]
    id = events[0]["response"]["id"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for after in range(len(events)):
        resumed = client.responses.retrieve(id, stream=True, starting_after=after)
        assert [event.model_dump() for event in resumed] == events[after + 1 :]
    whole = client.responses.retrieve(id, stream=True)
    assert [event.model_dump() for event in whole] == events


def test_resume_while_it_runs(client):
    stream = client.responses.create(
        model="scripted?tokens=60&delay_ms=10", input="x", background=True, stream=True
    )
    seen = []
    for event in stream:
        seen.append(event)
        if len(seen) == 20:
            break
    stream.close()
    id = seen[0].response.id
    while seen[-1].type != "response.completed":
        stream = client.responses.retrieve(
            id, stream=True, starting_after=seen[-1].sequence_number
        )
        for count, event in enumerate(stream, 1):
            seen.append(event)
            if count == 15:
                break
        stream.close()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    text = "".join(e.delta for e in seen if e.type == "response.output_text.delta")
    assert text == numbers(60) == client.responses.retrieve(id).output_text


def test_resume_with_the_helper(client):
    stream = client.responses.create(
        model="scripted?tokens=40&delay_ms=5", input="x", background=True, stream=True
    )
    first = []
    for event in stream:
        first.append(event)
        if len(first) == 10:
            break
    stream.close()
    id, after = first[0].response.id, first[-1].sequence_number
    with client.responses.stream(response_id=id, starting_after=after) as resumed:
        rest = [event.sequence_number for event in resumed]
        final = resumed.get_final_response()
    assert rest == list(range(after + 1, rest[-1] + 1))
    assert final.output_text == numbers(40)
    assert final.output_text == client.responses.retrieve(id).output_text


def test_resume_with_the_async_helper(run_async):
    async def story(client):
        ids, last = [], -1
        created = await client.responses.create(
            model="scripted?tokens=30&delay_ms=5", input="x", background=True, stream=True
        )
        async for event in created:
            if event.type == "response.created":
                ids.append(event.response.id)
            last = event.sequence_number
            if last == 12:
                break
        await created.close()
        async with client.responses.stream(response_id=ids[0], starting_after=last) as stream:
            rest = [event.sequence_number async for event in stream]
            final = await stream.get_final_response()
        return rest, final

    rest, final = run_async(story)
    assert rest[0] == 13 and rest == list(range(13, 13 + len(rest)))
    assert final.output_text == numbers(30)


def test_cancel(client, house):
    created = client.responses.create(model=SLOW, input="x", background=True)
    cancelled = client.responses.cancel(created.id)
    assert cancelled.status == "cancelled" and cancelled.output == []
    assert client.responses.cancel(created.id) == cancelled
    assert client.responses.retrieve(created.id).status == "cancelled"
    until(lambda: house.upstream_stats()["active_streams"] == 0, seconds=3)


def test_cancel_ends_the_stream(client):
    stream = client.responses.create(model=SLOW, input="x", background=True, stream=True)
    kinds = []
    for event in stream:
        kinds.append(event.type)
        if len(kinds) == 8:
            client.responses.cancel(response_id)
        if event.type == "response.created":
            response_id = event.response.id
    assert kinds[-1] == "response.failed" and event.response.status == "cancelled"


@pytest.mark.parametrize(
    ("model", "background", "message"),
    [
        ("scripted?tokens=1", True, "Cannot cancel a completed response."),
        ("scripted?status=400", True, "Cannot cancel a failed response."),
        ("scripted?tokens=1", False, "Cannot cancel a synchronous response."),
    ],
)
def test_cancel_too_late(client, model, background, message):
    response = client.responses.create(model=model, input="x", background=background)
    response = finished(client, response)
    with pytest.raises(openai.BadRequestError, match=message) as error:
        client.responses.cancel(response.id)
    assert error.value.type == "invalid_request_error" and error.value.code is None


def test_streams_that_cannot_be_resumed(client):
    foreground = client.responses.create(model="scripted?tokens=1", input="x")
    with pytest.raises(openai.BadRequestError, match="not created with background=true") as error:
        client.responses.retrieve(foreground.id, stream=True)
    assert error.value.param == "stream"
    polled = client.responses.create(model="scripted?tokens=1", input="x", background=True)
    with pytest.raises(openai.BadRequestError, match="not created with stream=true"):
        client.responses.retrieve(polled.id, stream=True)


def test_disconnect_does_not_stop_it(client):
    stream = client.responses.create(
        model="scripted?tokens=50&delay_ms=5", input="x", background=True, stream=True
    )
    created = next(iter(stream))
    stream.close()
    assert finished(client, created.response).output_text == numbers(50)


def test_async_background(run_async):
    async def story(client):
        import asyncio

        created = await client.responses.create(model="scripted?tokens=9", input="x", background=True)
        for _ in range(400):
            response = await client.responses.retrieve(created.id)
            if settled(response):
                return response
            await asyncio.sleep(0.02)

    assert run_async(story).output_text == numbers(9)


def test_delete_with_its_events(client):
    stream = client.responses.create(
        model="scripted?tokens=3", input="x", background=True, stream=True
    )
    id = list(stream)[-1].response.id
    client.responses.delete(id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(id, stream=True)


@pytest.mark.timeout(90)
def test_kill_in_the_middle(client, house):
    stream = client.responses.create(
        model="scripted?tokens=150&delay_ms=10", input="x", background=True, stream=True
    )
    seen, address = [], house.waypost.url.removeprefix("http://")
    with pytest.raises(Exception) as broken:  # noqa: B017: whatever the transport calls it
        for event in stream:
            seen.append(event)
            if len(seen) == 40:
                house.waypost.kill()
        raise ConnectionError("the stream ended")
    assert isinstance(broken.value, (openai.APIError, ConnectionError)) or "httpx2" in str(
        type(broken.value).__module__
    )
    house.waypost.start("--listen", address)
    id = seen[0].response.id
    started = time.monotonic()
    resumed = client.responses.retrieve(
        id, stream=True, starting_after=seen[-1].sequence_number
    )
    seen += list(resumed)
    assert time.monotonic() - started < 30
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    text = "".join(e.delta for e in seen if e.type == "response.output_text.delta")
    assert text == numbers(150) == client.responses.retrieve(id).output_text
