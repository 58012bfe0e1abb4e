"""A hundred calls of strict tools by a small real model, each judged by a validator that is not ours.

Usage: strict_calls.py WAYPOST_URL REPORT (with WAYPOST_ADMIN_KEY in the environment)

The model's template knows no tools and its server ignores `tool_choice`. A call counts if its
response is completed, the tool was on offer, and `jsonschema` takes the arguments for valid against
the schema that the response echoes, which itself has to be what was asked for.
"""

import collections
import concurrent.futures
import itertools
import json
import os
import pathlib
import sys
import time
import urllib.request

import jsonschema
from openai import OpenAI
from tools import TOOLS, Tool

CALLS = 100
# Requests in which the model is free to talk instead. They come on top of the hundred.
FREE = 10
# As many as the model server works on at once.
AT_ONCE = 2
MODEL = "smollm2"
# Far more than any of the calls needs: what comes to this limit does not end.
MAX_OUTPUT_TOKENS = 512
# Of words, which may be as many as a small model likes; a call is a good deal shorter.
MAX_FREE_TOKENS = 160

CHOICES = ["required", "named", "allowed"]


class Wrong(Exception):
    """What a client must never get."""


def requests():
    """What is asked for, the same in every run."""
    for at in range(CALLS + FREE):
        # One tool after the other: the model server keeps what requests begin with.
        free = at >= CALLS
        place = at % len(TOOLS) if free else at * len(TOOLS) // CALLS
        tool, other = TOOLS[place], TOOLS[(place * 5 + 3) % len(TOOLS)]
        choice = "auto" if free else CHOICES[at % len(CHOICES)]
        offered = [tool] if at % 4 == 0 else [tool, other]
        yield at, tool, offered, choice, bool(at % 2)


def ask(client: OpenAI, tool: Tool, offered: list[Tool], choice: str, streamed: bool):
    function = {"type": "function", "name": tool.name}
    body = {
        "model": MODEL,
        "input": tool.ask,
        "tools": [each.declared for each in offered],
        "tool_choice": {
            "named": function,
            "allowed": {"type": "allowed_tools", "mode": "required", "tools": [function]},
        }.get(choice, choice),
        "max_output_tokens": MAX_FREE_TOKENS if choice == "auto" else MAX_OUTPUT_TOKENS,
        "store": False,
    }
    if not streamed:
        return client.responses.create(**body)
    return follow(client.responses.create(**body, stream=True))


def follow(stream):
    """The response at the end of a stream, whose pieces must be what it says."""
    pieces, done, last = collections.defaultdict(str), {}, None
    for last in stream:
        if last.type == "response.function_call_arguments.delta":
            pieces[last.item_id] += last.delta
        elif last.type == "response.function_call_arguments.done":
            done[last.item_id] = last.arguments
    if last is None or last.type not in ("response.completed", "response.incomplete", "response.failed"):
        raise Wrong(f"the stream ended with {last and last.type}")
    calls = {item.id: item.arguments for item in last.response.output if item.type == "function_call"}
    if last.type == "response.completed" and not (pieces == calls == done):
        raise Wrong(f"streamed {dict(pieces)}, done {done}, in the response {calls}")
    return last.response


def judge(response, tool: Tool, offered: list[Tool], choice: str) -> list[str]:
    """The names of the calls."""
    calls = [item for item in response.output if item.type == "function_call"]
    if choice == "auto" and not calls and response.status == "incomplete":
        # Words without an end: cut at the limit, and no call.
        return []
    if response.status != "completed":
        raise Wrong(f"{response.status}: {response.error or response.incomplete_details}")
    if choice != "auto" and not calls:
        raise Wrong(f"no call, but {response.output_text!r}")
    echoed = {echo.name: echo for echo in response.tools}
    if set(echoed) != {each.name for each in offered}:
        raise Wrong(f"other tools are echoed: {set(echoed)}")
    for each in offered:
        if echoed[each.name].strict is not True:
            raise Wrong(f"{each.name} is not strict")
        if each.strict and echoed[each.name].parameters != each.parameters:
            raise Wrong(f"the schema of {each.name} was changed")
    may = {tool.name} if choice in ("named", "allowed") else set(echoed)
    for call in calls:
        if call.name not in may:
            raise Wrong(f"{call.name} was called, allowed: {may}")
        if call.status != "completed":
            raise Wrong(f"the call of {call.name} is {call.status}")
        valid(call.arguments, echoed[call.name].parameters)
    return [call.name for call in calls]


def valid(arguments: str, schema: dict) -> None:
    judges = jsonschema.Draft202012Validator
    try:
        value = json.loads(arguments)
    except ValueError as error:
        raise Wrong(f"{error}: {arguments}") from None
    errors = list(judges(schema, format_checker=judges.FORMAT_CHECKER).iter_errors(value))
    if errors:
        raise Wrong(f"{errors[0].message} at {errors[0].json_path}: {arguments}")


def outcomes(url: str) -> dict[str, int]:
    """Waypost's own account of what it did."""
    with urllib.request.urlopen(url + "/metrics") as reply:
        lines = reply.read().decode().splitlines()
    counted = {}
    for line in lines:
        if line.startswith("waypost_tool_outcomes_total{"):
            outcome = line.split('outcome="')[1].split('"')[0]
            counted[outcome] = counted.get(outcome, 0) + int(float(line.rsplit(" ", 1)[1]))
    return counted


def api_key(url: str) -> str:
    with OpenAI(base_url=url, admin_api_key=os.environ["WAYPOST_ADMIN_KEY"], max_retries=0) as admin:
        organization = admin.admin.organization
        project = organization.projects.create(name="model")
        account = organization.projects.service_accounts.create(project.id, name="model")
        return account.api_key.value


def main() -> int:
    url, report = sys.argv[1], pathlib.Path(sys.argv[2])
    url = url.rstrip("/")
    client = OpenAI(base_url=url + "/v1", api_key=api_key(url + "/v1"), max_retries=0, timeout=120)
    for name in ("date", "date-time", "email", "uuid"):
        assert name in jsonschema.Draft202012Validator.FORMAT_CHECKER.checkers, name

    def run(request):
        at, tool, offered, choice, streamed = request
        since = time.monotonic()
        response = None
        try:
            response = ask(client, tool, offered, choice, streamed)
            names, problem = judge(response, tool, offered, choice), None
        except Exception as error:
            names, problem = [], f"{type(error).__name__}: {error}"
        return {
            "at": at,
            "tool": tool.name,
            "choice": choice,
            "streamed": streamed,
            "seconds": round(time.monotonic() - since, 2),
            "tokens": response and response.usage and response.usage.output_tokens,
            "called": names,
            "problem": problem,
            "output": response and [item.to_dict() for item in response.output],
        }

    since = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(run, requests()))
    seconds = time.monotonic() - since
    report.write_text("".join(json.dumps(result) + "\n" for result in results))

    must = [result for result in results if result["choice"] != "auto"]
    free = [result for result in results if result["choice"] == "auto"]
    wrong = [result for result in results if result["problem"]]
    good = [result for result in must if not result["problem"]]
    for result in wrong:
        kind = "streamed" if result["streamed"] else "whole"
        print(f"request {result['at']}, {result['tool']}, {result['choice']}, {kind}: {result['problem']}")
    by_choice = collections.Counter(result["choice"] for result in good)
    counted = outcomes(url)
    print(f"valid calls: {len(good)} of {len(must)} ({', '.join(f'{n} {c}' for c, n in sorted(by_choice.items()))})")
    print(f"free to talk: {sum(bool(r['called']) for r in free)} of {len(free)} called, none of them badly")
    print("outcomes: " + ", ".join(f"{name} {counted[name]}" for name in sorted(counted)))
    tokens = sum(result["tokens"] or 0 for result in results)
    print(f"{len(results)} requests in {seconds:.0f} s, {tokens} tokens")
    # Without the emulation nothing would be counted, and nothing be judged.
    if counted.get("valid", 0) + counted.get("repaired", 0) < len(good):
        print("Waypost counted fewer calls than it gave")
        return 1
    return 1 if wrong or len(good) != CALLS else 0


sys.exit(main())
