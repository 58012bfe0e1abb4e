"""Chat Completions: strict tools, formats and custom tools through the SDK's own helpers."""

import json

import openai
import pytest
from conftest import numbers
from pydantic import BaseModel

CALLS = "scripted?tools=2&tokens=0&capabilities=tools"
MESSAGES = [{"role": "user", "content": "Weather?"}]


class Weather(BaseModel):
    city: str
    days: int


TOOL = openai.pydantic_function_tool(Weather, name="get_weather")


def test_strict_tools_are_parsed(client):
    answer = client.chat.completions.parse(model=CALLS, messages=MESSAGES, tools=[TOOL])
    assert answer.object == "chat.completion" and answer.usage.total_tokens > 0
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    first, second = choice.message.tool_calls
    assert first.id != second.id
    assert first.function.parsed_arguments == Weather(city="Paris", days=3)

    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "sun"} for call in (first, second)
    ]
    answer = client.chat.completions.create(
        model="scripted?tokens=3",
        messages=[*MESSAGES, choice.message, *results],
        tools=[TOOL],
    )
    assert answer.choices[0].message.content == numbers(3)


def test_strict_tools_are_streamed(client):
    with client.chat.completions.stream(
        model=CALLS, messages=MESSAGES, tools=[TOOL], stream_options={"include_usage": True}
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        answer = stream.get_final_completion()
    assert [event.parsed_arguments for event in done] == [Weather(city="Paris", days=3)] * 2
    assert answer.choices[0].finish_reason == "tool_calls" and answer.usage.total_tokens > 0
    calls = answer.choices[0].message.tool_calls
    assert [call.function.parsed_arguments for call in calls] == [Weather(city="Paris", days=3)] * 2


def test_asynchronous_stream(run_async):
    async def story(client):
        stream = await client.chat.completions.create(
            model="scripted?tokens=5", messages=MESSAGES, tools=[TOOL], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        return "".join(pieces)

    assert run_async(story) == numbers(5)


def test_a_format_is_parsed(client):
    model = 'scripted?say={"city":"Paris","days":3}'
    answer = client.chat.completions.parse(model=model, messages=MESSAGES, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Paris", days=3)
    with client.chat.completions.stream(
        model=model, messages=MESSAGES, response_format=Weather
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Weather(city="Paris", days=3)


def test_custom_tools(client):
    tool = {
        "type": "custom",
        "custom": {
            "name": "run",
            "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-z]+"}},
        },
    }
    model = 'scripted?call=run:{"input":"abc"}&capabilities=tools'
    answer = client.chat.completions.create(model=model, messages=MESSAGES, tools=[tool])
    call = answer.choices[0].message.tool_calls[0]
    assert (call.type, call.custom.name, call.custom.input) == ("custom", "run", "abc")


def test_what_is_wrong_is_said_in_the_apis_words(client):
    tool = json.loads(json.dumps(TOOL))
    del tool["function"]["parameters"]["additionalProperties"]
    tool["function"]["parameters"]["required"] = ["city"]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=CALLS, messages=MESSAGES, tools=[tool])
    error = caught.value
    assert (error.param, error.code) == (
        "tools[0].function.parameters",
        "invalid_function_parameters",
    )
    assert error.body["message"].startswith("Invalid schema for function 'get_weather': In context")
    assert len(error.body["details"]) == 2


def test_a_failure_in_the_middle_of_a_stream(client):
    stream = client.chat.completions.create(
        model="scripted?tokens=9&coalesce=1&delay_ms=5&eof_after=3",
        messages=MESSAGES,
        tools=[TOOL],
        stream=True,
    )
    with pytest.raises(openai.APIError, match="broke off"):
        list(stream)
