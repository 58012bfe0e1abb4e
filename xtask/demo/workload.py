"""A workload without an API key: it exchanges its own JWT, asks for a long answer in the
background, drops its connection on purpose, and goes on reading at the exact event.

The settings are one JSON object in the environment variable DEMO. Each thing that happens is
printed as one line of JSON. Whatever breaks the stream is treated alike, the drop on purpose and
a server that was killed: ask again for everything after the last event seen.
"""

import json
import os
import sys
import time
import urllib.request

try:
    import httpx2
    from openai import APIError, OpenAI
    from openai.auth import WorkloadIdentityAuth

    BROKEN = (APIError, httpx2.HTTPError, httpx2.StreamError)
except ImportError:
    from plain import APIError, OpenAI, WorkloadIdentityAuth

    BROKEN = (APIError,)

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
RETRY_SECONDS = 0.1
# The time within which a killed server must be back and have taken the job over.
PATIENCE_SECONDS = 60

demo = json.loads(os.environ["DEMO"])


def main() -> None:
    started = time.monotonic()
    auth = WorkloadIdentityAuth(
        workload_identity={
            "identity_provider_id": demo["provider"],
            "service_account_id": demo["service_account"],
            "provider": {"token_type": "jwt", "get_token": own_token},
        },
        token_exchange_url=demo["waypost"] + "/oauth/token",
    )
    token = auth.get_token()
    say("exchanged", seconds=time.monotonic() - started, token_bytes=len(token))

    client = OpenAI(base_url=demo["waypost"] + "/v1", api_key=auth.get_token, max_retries=0)
    started = time.monotonic()
    stream = client.responses.create(
        model=demo["model"], input=demo["prompt"], background=True, stream=True, **demo["options"]
    )
    reader = Reader()
    for event in stream:
        if reader.last < 0:
            say("created", id=event.response.id, seconds=time.monotonic() - started)
        reader.take(event)
        if reader.deltas == demo["drop_after"]:
            break
    stream.close()
    reader.broke_at = time.monotonic()
    say("dropped", event=reader.last)
    time.sleep(demo["pause_seconds"])

    while not reader.ended:
        resume(client, reader)

    final = client.responses.retrieve(reader.id)
    say(
        "finished",
        status=final.status,
        events=reader.last + 1,
        seen="".join(reader.text),
        stored=output_text(final),
        output_tokens=final.usage.output_tokens if final.usage else None,
        error=final.error.message if final.error else None,
    )


class Reader:
    """What was seen, and the proof that nothing was missed or came twice."""

    def __init__(self) -> None:
        self.id, self.last, self.deltas, self.text, self.ended = "", -1, 0, [], False
        self.broke_at = 0.0

    def take(self, event) -> None:
        number = event.sequence_number
        if number != self.last + 1:
            sys.exit(f"event {number} came after event {self.last}")
        self.last = number
        if number == 0:
            self.id = event.response.id
        if event.type == "response.output_text.delta":
            self.deltas += 1
            self.text.append(event.delta)
            say("text", event=number, delta=event.delta)
        self.ended = event.type in TERMINAL


def resume(client, reader) -> None:
    """Reads on after the last event, until the end or until the connection breaks."""
    asked, after = time.monotonic(), reader.last
    while True:
        tried = time.monotonic()
        try:
            stream = client.responses.retrieve(reader.id, stream=True, starting_after=after)
            for event in stream:
                if reader.last == after:
                    now = time.monotonic()
                    say(
                        "resumed",
                        first=event.sequence_number,
                        seconds=now - tried,
                        away_seconds=now - reader.broke_at,
                    )
                reader.take(event)
            problem = "the stream ended"
        except BROKEN as error:
            problem = str(error) or type(error).__name__
        if reader.ended:
            return
        if reader.last > after:
            reader.broke_at = time.monotonic()
            say("lost", event=reader.last, problem=problem)
            return
        if time.monotonic() - asked > PATIENCE_SECONDS:
            sys.exit(f"no event after {after} within {PATIENCE_SECONDS} s: {problem}")
        time.sleep(RETRY_SECONDS)


def own_token() -> str:
    """The workload's own identity: a JWT of its identity provider, good for five minutes."""
    claims = {"sub": demo["subject"], "aud": demo["audience"], "lifetime": 300}
    request = urllib.request.Request(
        demo["issuer"] + "/__token", json.dumps(claims).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)["token"]


def output_text(response) -> str:
    return "".join(
        part.text
        for item in response.output
        if item.type == "message"
        for part in item.content
        if part.type == "output_text"
    )


def say(what: str, **more) -> None:
    print(json.dumps({"what": what, **more}), flush=True)


main()
