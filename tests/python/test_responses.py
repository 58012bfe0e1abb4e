"""Foreground responses: text, structure, tools, images, logprobs, chains, deletion."""

import json

import openai
import pytest
from conftest import numbers
from pydantic import BaseModel

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    "strict": True,
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "YPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def test_plain_answer(client):
    response = client.responses.create(
        model="scripted?tokens=20", input="Count.", instructions="Be brief.", metadata={"a": "b"}
    )
    assert response.status == "completed" and response.output_text == numbers(20)
    assert response.metadata == {"a": "b"} and response.instructions == "Be brief."
    assert response.usage.output_tokens == 20
    assert response.usage.total_tokens == response.usage.input_tokens + 20
    assert response.id.startswith("resp_") and response._request_id
    assert client.responses.retrieve(response.id) == response


def test_async_plain_answer(run_async):
    async def story(client):
        return (await client.responses.create(model="scripted?tokens=7", input="x")).output_text

    assert run_async(story) == numbers(7)


def test_limit_makes_it_incomplete(client):
    response = client.responses.create(model="scripted?tokens=50", input="x", max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == numbers(16)


def test_refusal(client):
    response = client.responses.create(model="scripted?refusal=I+cannot+do+that", input="x")
    part = response.output[0].content[0]
    assert part.type == "refusal" and part.refusal.strip() == "I cannot do that"
    assert response.status == "completed"


def test_reasoning(client):
    response = client.responses.create(model="scripted?tokens=2&reasoning_tokens=5", input="x")
    reasoning, message = response.output
    assert (reasoning.type, message.type) == ("reasoning", "message")
    assert "".join(part.text for part in reasoning.content).split() == [f"r{i}" for i in range(5)]


def test_function_tool_round_trip(client):
    model = "scripted?tools=2&tokens=0"
    first = client.responses.create(model=model, input="Weather?", tools=[WEATHER])
    calls = [item for item in first.output if item.type == "function_call"]
    assert len(calls) == 2 and calls[0].call_id != calls[1].call_id
    assert all(call.id.startswith("fc_") and call.name == "get_weather" for call in calls)
    assert json.loads(calls[0].arguments) == {"city": "Paris", "days": 3}
    second = client.responses.create(
        model=model,
        tools=[WEATHER],
        previous_response_id=first.id,
        input=[
            {"type": "function_call_output", "call_id": call.call_id, "output": f"sun {at}"}
            for at, call in enumerate(calls)
        ],
    )
    assert second.status == "completed"
    assert not [item for item in second.output if item.type == "function_call"]


def test_function_tool_on_the_upstream_wire(client, house):
    model = "scripted?tools=1&tokens=1&tool_text=before&prompt_tokens=77"
    first = client.responses.create(model=model, input="Weather?", tools=[WEATHER])
    call = [item for item in first.output if item.type == "function_call"][0]
    history = [{"role": "user", "content": "Weather?"}]
    history += [item.model_dump(exclude_none=True) for item in first.output]
    history += [{"type": "function_call_output", "call_id": call.call_id, "output": "sun"}]
    client.responses.create(model=model, input=history, tools=[WEATHER])
    sent = house.last_upstream_request(model)
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["user", "assistant", "tool"]
    assert sent["messages"][1]["tool_calls"][0]["id"] == call.call_id
    assert sent["messages"][2] == {"role": "tool", "tool_call_id": call.call_id, "content": "sun"}
    assert sent["tools"][0]["function"]["parameters"] == WEATHER["parameters"]


def test_parse_function_tool(client):
    class GetWeather(BaseModel):
        city: str
        days: int

    tool = openai.pydantic_function_tool(GetWeather)["function"]
    response = client.responses.parse(
        model="scripted?tools=1&tokens=0",
        input="x",
        tools=[{"type": "function", **tool}],
    )
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert call.name == "GetWeather"
    assert call.parsed_arguments == {"city": "Paris", "days": 3} or call.parsed_arguments == GetWeather(
        city="Paris", days=3
    )


def test_structured_format_reaches_the_upstream(client, house):
    schema = {
        "type": "object",
        "properties": {"zebra": {"type": "string"}, "apple": {"type": "integer"}},
        "required": ["zebra", "apple"],
        "additionalProperties": False,
    }
    model = "scripted?generate=text&prompt_tokens=78"
    wanted = {"type": "json_schema", "name": "animal", "schema": schema, "strict": True}
    response = client.responses.create(model=model, input="x", text={"format": wanted})
    assert response.text.format.type == "json_schema" and response.text.format.name == "animal"
    sent = house.last_upstream_request(model)["response_format"]
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "animal", "schema": schema, "strict": True},
    }
    order = list(sent["json_schema"]["schema"]["properties"])
    assert order == ["zebra", "apple"], "the schema keeps its order of keys"


def test_logprobs(client, house):
    response = client.responses.create(
        model="scripted?tokens=3&logprobs=1",
        input="x",
        include=["message.output_text.logprobs"],
        top_logprobs=2,
    )
    logprobs = response.output[0].content[0].logprobs
    assert "".join(entry.token for entry in logprobs) == numbers(3)
    assert all(entry.logprob <= 0 for entry in logprobs)
    plain = "scripted?tokens=3&prompt_tokens=81"
    assert not client.responses.create(model=plain, input="x").output[0].content[0].logprobs
    assert "logprobs" not in house.last_upstream_request(plain)


def test_image_as_input(client, house):
    model = "scripted?tokens=1&prompt_tokens=79"
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PIXEL, "detail": "low"},
    ]
    response = client.responses.create(model=model, input=[{"role": "user", "content": content}])
    assert response.status == "completed"
    (message,) = house.last_upstream_request(model)["messages"]
    assert message["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]


def test_chain_of_previous_responses(client, house):
    model = "scripted?tokens=2&prompt_tokens=80"
    first = client.responses.create(model=model, input="one", instructions="only here")
    second = client.responses.create(model=model, input="two", previous_response_id=first.id)
    third = client.responses.create(model=model, input="three", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    messages = house.last_upstream_request(model)["messages"]
    said = [(message["role"], message["content"]) for message in messages]
    answer = ("assistant", numbers(2))
    assert said == [("user", "one"), answer, ("user", "two"), answer, ("user", "three")]


def test_input_items_page_both_ways(client):
    items = [{"role": "user", "content": f"item {number}"} for number in range(7)]
    response = client.responses.create(model="scripted?tokens=1", input=items)
    listed = client.responses.input_items.list(response.id, limit=3, order="asc")
    assert listed.has_more
    texts = [item.content[0].text for item in listed]
    assert texts == [f"item {number}" for number in range(7)]
    backwards = [item.content[0].text for item in client.responses.input_items.list(response.id, limit=2)]
    assert backwards == texts[::-1]


def test_delete(client):
    first = client.responses.create(model="scripted?tokens=1", input="x")
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="scripted", input="x", previous_response_id=first.id)
    assert error.value.code == "previous_response_not_found"
    assert error.value.param == "previous_response_id"


def test_not_stored(client):
    response = client.responses.create(model="scripted?tokens=1", input="x", store=False)
    assert response.status == "completed"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert "scripted" in names
    assert client.models.retrieve("scripted").object == "model"


def test_chat_completions_pass_through(client):
    messages = [{"role": "user", "content": "x"}]
    answer = client.chat.completions.create(model="scripted?tokens=5", messages=messages)
    assert answer.choices[0].message.content == numbers(5)
    stream = client.chat.completions.create(model="scripted?tokens=5", messages=messages, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    assert text == numbers(5)
