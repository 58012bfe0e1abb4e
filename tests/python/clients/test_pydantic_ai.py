"""pydantic-ai: agents with tools and output types, over both APIs."""

import pytest
from conftest import unique
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

CALL = 'reasoning_tokens=3&call=weather:{"city":"Paris"}'
TWO_TURNS = f"{CALL}&then&reasoning_tokens=2&say=It+is+sunny.&then&{CALL}&then&say=Still+sunny."
MODELS = [OpenAIResponsesModel, OpenAIChatModel]


class Plan(BaseModel):
    title: str
    stops: list[str]


@pytest.fixture
def agent(house, key):
    """Makes an agent whose model answers by a script, and the list of what its tool was asked."""

    def agent(kind, script, **options):
        provider = OpenAIProvider(base_url=house.base_url, api_key=key)
        model = kind(f"gpt-5.1?key={unique()}&{script}", provider=provider)
        made, seen = Agent(model, instructions="Be brief.", **options), []

        @made.tool_plain
        def weather(city: str, days: int = 3) -> str:
            """The weather of a city."""
            seen.append((city, days))
            return f"sunny in {city}"

        return made, seen

    return agent


@pytest.mark.parametrize("kind", MODELS)
def test_two_turns_each_with_a_tool_call(agent, kind):
    clerk, seen = agent(kind, TWO_TURNS)
    first = clerk.run_sync("The weather in Paris?")
    assert first.output == "It is sunny."
    second = clerk.run_sync("And now?", message_history=first.all_messages())
    assert second.output == "Still sunny."
    assert seen == [("Paris", 3), ("Paris", 3)]


@pytest.mark.parametrize("kind", MODELS)
def test_two_turns_streamed(agent, kind):
    clerk, seen = agent(kind, TWO_TURNS)
    history = []
    for question, wanted in (("The weather?", "It is sunny."), ("And now?", "Still sunny.")):
        turn = clerk.run_stream_sync(question, message_history=history)
        assert turn.get_output() == wanted
        history = turn.all_messages()
    assert len(seen) == 2


@pytest.mark.parametrize("kind", MODELS)
def test_an_output_type_after_a_tool_call(agent, kind):
    clerk, seen = agent(kind, f"{CALL}&then&generate=calls&tool_names=final_result&tools=1", output_type=Plan)
    plan = clerk.run_sync("Plan a trip.").output
    assert isinstance(plan, Plan)
    assert len(seen) == 1
