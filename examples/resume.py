"""Streams a background response to its end, through lost connections and restarts of the server.

    pip install openai
    export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=sk-...
    python examples/resume.py your-model "Write a long story."

Every event is seen exactly once, in order. Two things make it so: the events of a background
response are numbered and kept, so reading goes on after the last number seen; and the request
that creates the response has an `Idempotency-Key`, so repeating it cannot start a second one.
"""

import sys
import time
import uuid

import openai

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
# What a restart looks like from here; anything else is an error to show, not to repeat.
WORTH_REPEATING = (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError)
GIVE_UP_AFTER_SECONDS = 600


def events_of(client: openai.OpenAI, **request):
    """All events of one background response, each once."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    response_id, last_seen = None, None
    pause, last_news = 0.1, time.monotonic()
    while True:
        try:
            if response_id is None:
                stream = client.responses.create(
                    **request, background=True, stream=True, extra_headers=key
                )
            else:
                stream = client.responses.retrieve(
                    response_id, stream=True, starting_after=last_seen
                )
            with stream:
                for event in stream:
                    if event.type == "response.created":
                        response_id = event.response.id
                    last_seen = event.sequence_number
                    pause, last_news = 0.1, time.monotonic()
                    yield event
                    if event.type in TERMINAL:
                        return
            # The stream ended before the response did: the server shuts down.
        except WORTH_REPEATING as error:
            if time.monotonic() - last_news > GIVE_UP_AFTER_SECONDS:
                raise
            print(f"\n[{type(error).__name__}: trying again]", file=sys.stderr)
        time.sleep(pause)
        pause = min(pause * 2, 5)


def main() -> int:
    model, prompt = sys.argv[1:3]
    client = openai.OpenAI(max_retries=0)
    for event in events_of(client, model=model, input=prompt):
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
    print()
    response = event.response
    if response.status == "completed":
        return 0
    reason = response.error or response.incomplete_details
    print(f"{response.id} is {response.status}: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
