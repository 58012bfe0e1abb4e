"""MCP servers through the SDK's own types: the model calls tools of a server, with and without
being asked."""

import pytest
from conftest import numbers
from test_streams import check

CALLS = "scripted?tools=1&tool_names=notes__{tool}&tool_args=%7B%22text%22:%22hi%22%7D"


@pytest.fixture
def notes(house):
    house.http.post(house.mcp.url + "/__reset").raise_for_status()

    def tool(**options):
        return {
            "type": "mcp",
            "server_label": "notes",
            "server_url": house.mcp.url + "/mcp?key=s3cret",
            "authorization": "s3cret-token",
            "headers": {"x-key": "s3cret-key"},
            "require_approval": "never",
            **options,
        }

    return tool


def runs(house, tool):
    stats = house.http.get(house.mcp.url + "/__stats").raise_for_status().json()
    return stats["runs"].get(tool, 0)


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_stream(client, house, notes, background):
    stream = client.responses.create(
        model=CALLS.format(tool="echo"),
        input="x",
        tools=[notes()],
        stream=True,
        background=background,
    )
    events = list(stream)
    response = check(events)
    kinds = [event.type for event in events]
    for kind in [
        "response.mcp_list_tools.in_progress",
        "response.mcp_list_tools.completed",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.completed",
    ]:
        assert kind in kinds
    listed, call, message = response.output
    assert [tool.name for tool in listed.tools] == ["echo", "add", "write", "fail"]
    assert (call.type, call.status, call.name) == ("mcp_call", "completed", "echo")
    assert call.output == call.arguments == '{"text":"hi"}'
    assert message.content[0].text == numbers(8)
    assert client.responses.retrieve(response.id).model_dump() == response.model_dump()
    assert "s3cret" not in response.model_dump_json()
    assert response.tools[0].server_label == "notes"


def test_the_stream_helper(client, notes):
    model = CALLS.format(tool="echo")
    with client.responses.stream(model=model, input="x", tools=[notes()]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert final.output_text == numbers(8)


def test_a_failure_is_one_of_the_unions_kinds(client, notes):
    response = client.responses.create(
        model=CALLS.format(tool="fail"), input="x", tools=[notes()]
    )
    call = response.output[1]
    assert call.status == "failed"
    assert call.error.type == "mcp_tool_execution_error"
    assert call.error.content == [{"type": "text", "text": "no such note"}]


@pytest.mark.parametrize("approve", [True, False])
def test_approval(client, house, notes, approve):
    tools = [notes(require_approval={"never": {"tool_names": ["echo"]}})]
    model = CALLS.format(tool="write")
    asked = client.responses.create(model=model, input="x", tools=tools)
    question = asked.output[-1]
    assert (question.type, question.name) == ("mcp_approval_request", "write")
    assert runs(house, "write") == 0
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": question.id,
        "approve": approve,
    }
    response = client.responses.create(
        model=model, input=[answer], tools=tools, previous_response_id=asked.id
    )
    if approve:
        call = response.output[0]
        assert (call.approval_request_id, call.output) == (question.id, "written")
    assert runs(house, "write") == int(approve)
    assert response.output_text == numbers(8)


def test_items_go_back_as_they_came(client, notes):
    tools = [notes()]
    first = client.responses.create(
        model=CALLS.format(tool="add"), input="x", tools=tools, store=False
    )
    items = [item.model_dump(exclude_none=True) for item in first.output]
    second = client.responses.create(
        model="scripted",
        input=[{"role": "user", "content": "x"}, *items, {"role": "user", "content": "y"}],
        tools=tools,
        store=False,
    )
    assert [item.type for item in second.output] == ["message"]
