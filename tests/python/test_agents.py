"""The Agents SDK runs its tool loop against the server, over both APIs."""

import asyncio
import base64
import json

import pytest
from agents import (
    Agent,
    ApplyPatchTool,
    AsyncComputer,
    ComputerTool,
    LocalShellTool,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    ShellTool,
    function_tool,
)
from conftest import unique
from pydantic import BaseModel

QUIET = RunConfig(tracing_disabled=True)
MODELS = [OpenAIResponsesModel, OpenAIChatCompletionsModel]


class Stop(BaseModel):
    city: str
    nights: int


class Plan(BaseModel):
    title: str
    stops: list[Stop]
    budget: float | None


class Desk:
    """Tools that note what they are called with; one desk per test."""

    def __init__(self):
        self.seen = []

        @function_tool
        def book(stop: Stop, refundable: bool) -> str:
            """Books a stop."""
            self.seen.append(("book", stop, refundable))
            return "booked"

        @function_tool
        async def weather(city: str, days: int = 3) -> str:
            """The weather of a city."""
            self.seen.append(("weather", city, days))
            return "sunny"

        self.tools = [book, weather]


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def run(house, key):
    """Runs `story(model)` with a model of the given class behind an asynchronous client."""

    def run(kind, name, story):
        async def with_client():
            async with house.async_client(key) as client:
                return await story(kind(model=name, openai_client=client))

        return asyncio.run(asyncio.wait_for(with_client(), 20))

    return run


@pytest.mark.parametrize("kind", MODELS)
def test_the_tool_loop(run, desk, house, kind):
    key = unique()

    async def story(model):
        agent = Agent(name="clerk", instructions="Be brief.", model=model, tools=desk.tools)
        return await Runner.run(agent, "Plan a trip.", run_config=QUIET)

    result = run(kind, f"scripted?key={key}&generate=calls&tools=2", story)
    called = {name: arguments for name, *arguments in desk.seen}
    stop, refundable = called["book"]
    assert isinstance(stop, Stop) and stop.nights == 1 and refundable is True
    city, days = called["weather"]
    assert isinstance(city, str) and isinstance(days, int)
    assert result.final_output.startswith("0 1 2 ")
    first, second = house.requests_of(key)
    roles = [message["role"] for message in second["body"]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
    assert len(first["body"]["tools"]) == 2


@pytest.mark.parametrize("kind", MODELS)
def test_tools_then_an_output_type(run, desk, kind):
    async def story(model):
        agent = Agent(name="clerk", model=model, tools=desk.tools, output_type=Plan)
        return await Runner.run(agent, "Plan a trip.", run_config=QUIET)

    result = run(kind, "scripted?generate=calls&tools=2", story)
    assert isinstance(result.final_output, Plan)
    # They run side by side.
    assert sorted(name for name, *_ in desk.seen) == ["book", "weather"]


@pytest.mark.parametrize("kind", MODELS)
def test_streamed(run, desk, kind):
    async def story(model):
        agent = Agent(name="clerk", model=model, tools=desk.tools)
        result = Runner.run_streamed(agent, "Plan a trip.", run_config=QUIET)
        kinds = [event.type async for event in result.stream_events()]
        return result, kinds

    result, kinds = run(kind, "scripted?generate=calls", story)
    assert result.final_output.startswith("0 1 2 ") and len(desk.seen) == 1
    assert "raw_response_event" in kinds and "run_item_stream_event" in kinds


@pytest.mark.parametrize("kind", MODELS)
def test_a_weak_model_runs_the_same_loop(run, desk, kind):
    """Broken arguments are repaired, wrong ones asked for again, before a tool sees them."""
    query = "generate=calls&break=trailing_comma,fence&then&generate=calls&break=missing_key&then"
    query += "&generate=calls&then&say=done"

    async def story(model):
        agent = Agent(name="clerk", model=model, tools=desk.tools)
        return await Runner.run(agent, "Plan a trip.", run_config=QUIET)

    result = run(kind, f"weak?key={unique()}&{query}", story)
    assert result.final_output == "done"
    assert [name for name, *_ in desk.seen] == ["book", "book"]
    assert all(isinstance(stop, Stop) for _, stop, _ in desk.seen)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_knows_no_tools_runs_the_same_loop(run, desk, kind):
    plain = "capabilities=completion&generate=text&ignores=tools"

    async def story(model):
        agent = Agent(name="clerk", model=model, tools=desk.tools)
        return await Runner.run(agent, "Plan a trip.", run_config=QUIET)

    result = run(kind, f"plain?key={unique()}&{plain}&branch=1&then&{plain}", story)
    assert [name for name, *_ in desk.seen] == ["book"] and isinstance(desk.seen[0][1], Stop)
    assert isinstance(result.final_output, str) and not result.final_output.startswith("{")


@pytest.mark.parametrize("kind", MODELS)
def test_required_and_handed_off(run, desk, kind):
    async def story(model):
        clerk = Agent(name="clerk", model=model, tools=desk.tools[:1])
        settings = ModelSettings(tool_choice="required", parallel_tool_calls=False)
        desk_agent = Agent(name="desk", model=model, handoffs=[clerk], model_settings=settings)
        return await Runner.run(desk_agent, "Plan a trip.", run_config=QUIET)

    query = "generate=text&then&generate=calls&then&say=done"
    result = run(kind, f"scripted?key={unique()}&{query}", story)
    assert result.last_agent.name == "clerk" and result.final_output == "done"
    assert [name for name, *_ in desk.seen] == ["book"]


def test_previous_response_id(run, desk):
    async def story(model):
        agent = Agent(name="clerk", model=model, tools=desk.tools)
        first = await Runner.run(agent, "Plan.", run_config=QUIET, auto_previous_response_id=True)
        return await Runner.run(
            agent, "Again.", run_config=QUIET, previous_response_id=first.last_response_id
        )

    result = run(OpenAIResponsesModel, "scripted?generate=calls", story)
    assert len(desk.seen) == 2 and result.final_output.startswith("0 1 2 ")


class Screen(AsyncComputer):
    """A computer that notes what is done with it."""

    environment = "browser"
    dimensions = (10, 10)

    def __init__(self, seen):
        self.seen = seen

    async def screenshot(self) -> str:
        return "aGk="

    async def click(self, x, y, button) -> None:
        self.seen.append((x, y, button))

    async def double_click(self, x, y) -> None: ...
    async def scroll(self, x, y, scroll_x, scroll_y) -> None: ...
    async def type(self, text) -> None: ...
    async def wait(self) -> None: ...
    async def move(self, x, y) -> None: ...
    async def keypress(self, keys) -> None: ...
    async def drag(self, path) -> None: ...


class Editor:
    def __init__(self, seen):
        self.seen = seen

    def create_file(self, operation):
        self.seen.append((operation.path, operation.diff))
        return "one file"

    update_file = delete_file = create_file


def client_tools(seen):
    """The tools that the client runs: what the model asks, and what is seen of it."""

    def shell(request):
        seen.append(request.data.action.commands)
        return "one file"

    def local(request):
        seen.append(request.data.action.command)
        return "one file"

    click = {"type": "click", "button": "left", "x": 1, "y": 2}
    patch = {"type": "create_file", "path": "a.txt", "diff": "+one\n"}
    return {
        "shell": (ShellTool(executor=shell), {"commands": ["ls"]}, ["ls"], "one file"),
        "local_shell": (LocalShellTool(executor=local), {"command": ["ls"]}, ["ls"], "one file"),
        "apply_patch": (
            ApplyPatchTool(editor=Editor(seen)),
            {"operation": patch},
            ("a.txt", "+one\n"),
            "one file",
        ),
        "computer": (ComputerTool(Screen(seen)), {"actions": [click]}, (1, 2, "left"), "aGk="),
    }


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", ["shell", "local_shell", "apply_patch", "computer"])
def test_tools_that_the_client_runs(run, house, name, streamed):
    seen, key = [], unique()
    tool, asked, wanted, answer = client_tools(seen)[name]
    call = base64.urlsafe_b64encode(json.dumps(asked).encode()).decode().rstrip("=")

    async def story(model):
        agent = Agent(name="clerk", model=model, tools=[tool])
        if not streamed:
            return await Runner.run(agent, "Go.", run_config=QUIET)
        result = Runner.run_streamed(agent, "Go.", run_config=QUIET)
        async for _ in result.stream_events():
            pass
        return result

    script = f"scripted?key={key}&call64={name}:{call}&then&say=Done."
    result = run(OpenAIResponsesModel, script, story)
    assert result.final_output == "Done."
    assert seen == [wanted]
    heard = json.dumps(house.requests_of(key)[-1]["body"]["messages"])
    assert answer in heard
