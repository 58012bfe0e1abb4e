"""Streams through the SDK's own accumulators: no exception, and the end equals `GET`."""

import openai
import pytest
from conftest import numbers
from test_responses import WEATHER

SHAPES = {
    "text": ("scripted?tokens=60", {}),
    "emoji in pieces": ("scripted?tokens=24&shape=emoji&split_utf8=1&delay_ms=1", {}),
    "reasoning": ("scripted?tokens=5&reasoning_tokens=9", {}),
    "refusal": ("scripted?refusal=I+must+not", {}),
    "one tool": ("scripted?tools=1", {"tools": [WEATHER]}),
    "text and three tools": (
        "scripted?tools=3&tokens=4&tool_interleave=1",
        {"tools": [WEATHER]},
    ),
    "arguments at the end": ("scripted?tools=2&tool_style=args_at_end", {"tools": [WEATHER]}),
    "late id": ("scripted?tools=1&tool_style=late_id", {"tools": [WEATHER]}),
    "logprobs": (
        "scripted?tokens=4&logprobs=1",
        {"include": ["message.output_text.logprobs"], "top_logprobs": 1},
    ),
    "nothing at all": ("scripted?tokens=0&refusal=", {}),
}


def check(events):
    """Numbers from 0 without a gap, the order of the lifecycle, one terminal event."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    terminal = [e for e in events if e.type in ("response.completed", "response.incomplete")]
    assert terminal == [events[-1]]
    return events[-1].response


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
@pytest.mark.parametrize("shape", SHAPES)
def test_raw_stream(client, shape, background):
    model, options = SHAPES[shape]
    stream = client.responses.create(
        model=model, input="x", stream=True, background=background, **options
    )
    last = check(list(stream))
    assert client.responses.retrieve(last.id).model_dump() == last.model_dump()


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
@pytest.mark.parametrize("shape", SHAPES)
def test_stream_helper(client, shape, background):
    model, options = SHAPES[shape]
    with client.responses.stream(model=model, input="x", background=background, **options) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    stored = client.responses.retrieve(final.id)
    assert plain(final) == plain(stored)
    assert final.output_text == stored.output_text


def plain(response):
    """Without what the SDK parses on top."""
    return strip(response.model_dump(warnings=False))


def strip(value):
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in ("parsed", "parsed_arguments")}
    return [strip(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("shape", SHAPES)
def test_async_stream_helper(run_async, shape):
    model, options = SHAPES[shape]

    async def story(client):
        async with client.responses.stream(model=model, input="x", **options) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_response()
        return final, await client.responses.retrieve(final.id)

    final, stored = run_async(story)
    assert plain(final) == plain(stored)


def test_incomplete_stream(client):
    stream = client.responses.create(
        model="scripted?tokens=40", input="x", stream=True, max_output_tokens=16
    )
    last = check(list(stream))
    assert last.status == "incomplete" and last.output_text == numbers(16)


def test_upstream_that_breaks_is_never_completed(client):
    for fault in ("eof_after=5", "cut_after=5", "reset_after=5", "error_after=5", "no_done=1&finish_reason=absent"):
        stream = client.responses.create(model=f"scripted?tokens=20&{fault}", input="x", stream=True)
        events = list(stream)
        assert events[-1].type == "response.failed", fault
        assert events[-1].response.error.code == "server_error"
        stored = client.responses.retrieve(events[0].response.id)
        assert stored.status == "failed", fault


def test_async_raw_stream(run_async):
    async def story(client):
        stream = await client.responses.create(model="scripted?tokens=30", input="x", stream=True)
        events = [event async for event in stream]
        return events, await client.responses.retrieve(events[-1].response.id)

    events, stored = run_async(story)
    assert check(events).model_dump() == stored.model_dump()


def test_unknown_model_before_the_stream(client):
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_00000000000000000000000000000000", stream=True)
