"""LangChain: the agent loop over both APIs, structured output, embeddings."""

import pytest
from conftest import unique
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

CALL = 'reasoning_tokens=3&call=weather:{"city":"Paris"}'
TWO_TURNS = f"{CALL}&then&reasoning_tokens=2&say=It+is+sunny.&then&{CALL}&then&say=Still+sunny."


class Plan(BaseModel):
    title: str
    stops: list[str]


@pytest.fixture
def chat(house, key):
    """Makes a model whose server answers by a script, over one of the APIs."""

    def chat(script, responses, **options):
        return ChatOpenAI(
            model=f"gpt-5.1?key={unique()}&{script}",
            base_url=house.base_url,
            api_key=key,
            max_retries=0,
            use_responses_api=responses,
            **options,
        )

    return chat


@pytest.fixture
def desk():
    seen = []

    @tool
    def weather(city: str, days: int = 3) -> str:
        """The weather of a city."""
        seen.append((city, days))
        return f"sunny in {city}"

    return seen, [weather]


@pytest.mark.parametrize("responses", [True, False], ids=["responses", "chat"])
@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
def test_two_turns_each_with_a_tool_call(chat, desk, responses, streaming):
    seen, tools = desk
    agent = create_agent(chat(TWO_TURNS, responses, streaming=streaming), tools, system_prompt="Be brief.")
    messages = [("user", "The weather in Paris?")]
    for wanted in ("It is sunny.", "Still sunny."):
        messages = agent.invoke({"messages": messages})["messages"]
        assert messages[-1].text == wanted
        messages.append(("user", "And now?"))
    assert seen == [("Paris", 3), ("Paris", 3)]


def test_a_conversation_that_the_server_keeps(chat, desk):
    seen, tools = desk
    model = chat(TWO_TURNS, True, use_previous_response_id=True)
    agent = create_agent(model, tools)
    messages = [("user", "The weather in Paris?")]
    for wanted in ("It is sunny.", "Still sunny."):
        messages = agent.invoke({"messages": messages})["messages"]
        assert messages[-1].text == wanted
        messages.append(("user", "And now?"))
    assert len(seen) == 2


@pytest.mark.parametrize("responses", [True, False], ids=["responses", "chat"])
def test_structured_output(chat, responses):
    plan = chat("generate=calls", responses).with_structured_output(Plan).invoke("Plan a trip.")
    assert isinstance(plan, Plan)


def test_embeddings(house, key):
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=house.base_url,
        api_key=key,
        max_retries=0,
        # Else it asks a host of its own for the model's tokenizer.
        check_embedding_ctx_length=False,
    )
    vectors = embeddings.embed_documents(["one", "two"])
    assert len(vectors) == 2
    assert all(isinstance(value, float) for value in vectors[0])
