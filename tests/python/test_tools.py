"""Tools and structured answers through the SDK's own helpers.

The scripted model server makes its arguments from the schemas it is sent (`generate=calls`), so what
the SDK parses went the whole way: its class to a schema, through the server, and back.
"""

import json
from datetime import date
from enum import Enum
from typing import Literal, Optional

import openai
import pytest
from conftest import unique, until
from pydantic import BaseModel, Field

CALLS = "scripted?generate=calls"
TEXT = "scripted?generate=text"
# Behind a server that constrains nothing.
WEAK = "weak?generate=calls"


class Unit(str, Enum):
    celsius = "C"
    fahrenheit = "F"


class Place(BaseModel):
    city: str
    country: Optional[str]


class Forecast(BaseModel):
    """Looks a forecast up."""

    place: Place
    unit: Unit
    days: int = Field(ge=2, le=9, multiple_of=2)
    start: date
    tags: list[str] = Field(min_length=2)
    kind: Literal["short", "long"]


class Trip(BaseModel):
    """Books a trip. Nothing in it is lost on a server that knows less of JSON Schema."""

    unit: Unit
    place: Place
    days: int
    tags: list[str] = Field(min_length=1)


class Answer(BaseModel):
    summary: str
    steps: list[Place] = Field(min_length=1)
    score: int = Field(ge=1, le=9)


class Comment(BaseModel):
    text: str
    replies: list["Comment"]
    parent: Optional["Comment"]


def flat(tool):
    """A tool in the form of Chat Completions, which `parse` takes in both APIs, in that of Responses."""
    return {"type": "function", **tool["function"]}


FORECAST = openai.pydantic_function_tool(Forecast)
TRIP = openai.pydantic_function_tool(Trip)
LOOSE = {
    "type": "function",
    "name": "search",
    "parameters": {
        "type": "object",
        "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["query"],
    },
}
MAP = {
    "type": "function",
    "name": "label",
    "parameters": {
        "type": "object",
        "properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}}},
        "required": ["labels"],
    },
}


def calls(response):
    return [item for item in response.output if item.type == "function_call"]


def judge(forecast):
    assert isinstance(forecast, Forecast)
    assert forecast.days in (2, 4, 6, 8) and len(forecast.tags) == 2
    assert forecast.unit is Unit.celsius and forecast.kind == "short"


def judge_trip(trip):
    assert trip == Trip(
        unit=Unit.celsius, place=Place(city="city", country="country"), days=1, tags=["tags"]
    )


def test_responses_parse_gives_arguments_as_the_class(client):
    response = client.responses.parse(model=CALLS, input="x", tools=[FORECAST])
    (call,) = calls(response)
    assert call.name == "Forecast"
    judge(call.parsed_arguments)


def test_responses_parse_gives_text_as_the_class(client):
    response = client.responses.parse(model=TEXT, input="x", text_format=Answer)
    assert isinstance(response.output_parsed, Answer)
    assert 1 <= response.output_parsed.score <= 9
    stored = client.responses.retrieve(response.id)
    assert Answer.model_validate_json(stored.output_text) == response.output_parsed


def test_recursive_schemas(client):
    response = client.responses.parse(model=TEXT, input="x", text_format=Comment)
    assert isinstance(response.output_parsed, Comment)
    tool = openai.pydantic_function_tool(Comment)
    response = client.responses.parse(model=CALLS, input="x", tools=[tool])
    assert isinstance(calls(response)[0].parsed_arguments, Comment)


def test_tools_and_text_format_in_one_loop(client):
    wanted = {"model": CALLS, "tools": [FORECAST], "text_format": Answer}
    first = client.responses.parse(input="x", **wanted)
    (call,) = calls(first)
    judge(call.parsed_arguments)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = client.responses.parse(input=[output], previous_response_id=first.id, **wanted)
    assert isinstance(second.output_parsed, Answer) and not calls(second)


def test_responses_stream_helper(client):
    with client.responses.stream(model=CALLS, input="x", tools=[FORECAST]) as stream:
        kinds = [event.type for event in stream]
        (call,) = calls(stream.get_final_response())
    assert "response.function_call_arguments.delta" in kinds
    judge(call.parsed_arguments)
    with client.responses.stream(model=TEXT, input="x", text_format=Answer) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_response().output_parsed, Answer)


def test_chat_parse_and_stream(client):
    messages = [{"role": "user", "content": "x"}]
    asked = {"messages": messages, "tools": [FORECAST], "response_format": Answer}
    parsed = client.chat.completions.parse(model=CALLS, **asked)
    (call,) = parsed.choices[0].message.tool_calls
    judge(call.function.parsed_arguments)
    messages += [parsed.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sun"}]
    ended = client.chat.completions.parse(model=CALLS, **asked)
    assert isinstance(ended.choices[0].message.parsed, Answer)
    asked["messages"] = messages[:1]
    with client.chat.completions.stream(model=CALLS, **asked) as stream:
        final = stream.get_final_completion()
    judge(final.choices[0].message.tool_calls[0].function.parsed_arguments)


@pytest.mark.parametrize("broken", ["trailing_comma", "fence", "think", "unclosed", "single_quotes", "string_number"])
def test_what_is_broken_but_clear_is_repaired(client, broken):
    model = f"{WEAK}&break={broken}"
    response = client.responses.parse(model=model, input="x", tools=[TRIP])
    (call,) = calls(response)
    judge_trip(call.parsed_arguments)
    assert json.loads(call.arguments)["days"] == 1
    parsed = client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "x"}], tools=[TRIP]
    )
    judge_trip(parsed.choices[0].message.tool_calls[0].function.parsed_arguments)


@pytest.mark.parametrize("broken", ["wrong_enum", "missing_key", "extra_key", "not_json"])
def test_what_is_wrong_is_asked_for_again(client, house, broken):
    key = unique()
    model = f"weak?key={key}&generate=calls&break={broken}&then&generate=calls"
    response = client.responses.parse(model=model, input="x", tools=[TRIP])
    (call,) = calls(response)
    judge_trip(call.parsed_arguments)
    assert len(house.requests_of(key)) == 2


def test_strict_arguments_are_valid_or_the_response_fails(client, house):
    key = unique()
    model = f"weak?key={key}&generate=calls&break=missing_key"
    asked = {"model": model, "input": "x", "tools": [flat(TRIP)]}
    response = client.responses.create(background=True, **asked)
    until(lambda: client.responses.retrieve(response.id).status not in ("queued", "in_progress"))
    response = client.responses.retrieve(response.id)
    assert response.status == "failed" and response.error.code == "server_error"
    assert not [call for call in calls(response) if call.status == "completed"]
    assert len(house.requests_of(key)) == 2
    *_, last = client.responses.create(stream=True, **asked)
    assert last.type == "response.failed" and "Trip" in last.response.error.message
    loose = {**LOOSE, "strict": False}
    raw = client.responses.create(model=model, input="x", tools=[loose])
    assert raw.status == "completed" and json.loads(calls(raw)[0].arguments) == {}


def test_a_model_that_knows_no_tools_calls_them(client, house):
    key = unique()
    plain = "capabilities=completion&generate=text&ignores=tools"
    model = f"plain?key={key}&{plain}&branch=1&then&{plain}"
    first = client.responses.parse(model=model, input="x", tools=[FORECAST])
    (call,) = calls(first)
    judge(call.parsed_arguments)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = client.responses.create(model=model, input=[output], previous_response_id=first.id)
    assert second.output_text and not calls(second)
    sent = house.requests_of(key)[0]["body"]
    assert "tools" not in sent and sent["response_format"]["type"] == "json_schema"


def test_strict_is_resolved_where_it_is_left_out(client):
    response = client.responses.create(model=CALLS, input="x", tools=[LOOSE, MAP])
    search, label = response.tools
    assert search.strict is True and search.parameters["required"] == ["query", "limit"]
    assert search.parameters["additionalProperties"] is False
    assert label.strict is False and label.parameters == MAP["parameters"]
    assert client.responses.retrieve(response.id).tools == response.tools
    (call,) = calls(response)
    assert set(json.loads(call.arguments)) == {"query", "limit"}


def test_a_schema_that_strict_mode_cannot_take_is_refused(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model=CALLS, input="x", tools=[{**LOOSE, "strict": True}])
    assert error.value.code == "invalid_function_parameters"
    assert error.value.param == "tools[0].parameters"
    function = {name: value for name, value in LOOSE.items() if name != "type"}
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(
            model=CALLS,
            messages=[{"role": "user", "content": "x"}],
            tools=[{"type": "function", "function": {**function, "strict": True}}],
        )
    assert error.value.param == "tools[0].function.parameters"
    format = {"type": "json_schema", "name": "a", "schema": LOOSE["parameters"], "strict": True}
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model=TEXT, input="x", text={"format": format})
    assert error.value.code == "invalid_json_schema" and error.value.param == "text.format.schema"


def test_custom_tools_by_a_regular_expression(client, house):
    key = unique()
    tool = {
        "type": "custom",
        "name": "code",
        "format": {"type": "grammar", "syntax": "regex", "definition": "[A-Z]{2}-[0-9]{3}"},
    }
    bad, good = (
        f"generate=calls&call=code:{{\"input\":\"{text}\"}}&custom=code:{text}" for text in ("AB", "AB-123")
    )
    first = client.responses.create(
        model=f"weak?key={key}&{bad}&then&{good}&then&say=done", input="x", tools=[tool]
    )
    (call,) = first.output
    assert (call.type, call.name, call.input) == ("custom_tool_call", "code", "AB-123")
    assert len(house.requests_of(key)) == 2
    output = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "ok"}
    second = client.responses.create(
        model="weak?say=done", input=[output], previous_response_id=first.id, tools=[tool]
    )
    assert second.output_text == "done"


def test_namespaces_come_back_with_their_calls(client):
    inner = {**LOOSE, "name": "find"}
    space = {"type": "namespace", "name": "crm", "description": "Customers", "tools": [inner]}
    response = client.responses.create(model=CALLS, input="x", tools=[space])
    (call,) = calls(response)
    assert (call.namespace, call.name) == ("crm", "find")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "found"}
    again = client.responses.create(
        model=CALLS, input=[output], previous_response_id=response.id, tools=[space]
    )
    assert again.status == "completed" and not calls(again)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", []),
        ("required", ["search"]),
        ({"type": "function", "name": "label"}, ["label"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "label"}]},
            ["label"],
        ),
    ],
)
def test_tool_choice(client, choice, names):
    query = "generate=calls" if choice == "none" else "generate=text"
    response = client.responses.create(
        model=f"scripted?{query}", input="x", tools=[LOOSE, MAP], tool_choice=choice
    )
    assert [call.name for call in calls(response)] == names


def test_parallel_calls_can_be_forbidden(client):
    model = "scripted?generate=calls&tools=2&ignores=parallel_tool_calls"
    response = client.responses.create(
        model=model, input="x", tools=[LOOSE, MAP], parallel_tool_calls=False
    )
    assert len(calls(response)) == 1
    assert len(calls(client.responses.create(model=model, input="x", tools=[LOOSE, MAP]))) == 2
