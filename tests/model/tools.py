"""Strict function tools, and something to ask a model that calls them.

Between them: enums, nested objects and arrays, bounds of arrays, strings and numbers, null, formats,
unions, references, patterns. Every string has an end: a small model does not always find one.
"""

from dataclasses import dataclass

WORD = {"type": "string", "minLength": 1, "maxLength": 12}


def closed(properties: dict, **more) -> dict:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def one_of(*values) -> dict:
    return {"type": "string", "enum": list(values)}


def nullable(schema: dict) -> dict:
    return {"anyOf": [schema, {"type": "null"}]}


@dataclass
class Tool:
    name: str
    description: str
    parameters: dict
    ask: str
    # Left out, the schema is open and its strictness is the server's to find out.
    strict: bool | None = True

    @property
    def declared(self) -> dict:
        declared = {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return declared if self.strict is None else {**declared, "strict": self.strict}


TOOLS = [
    Tool(
        "get_weather",
        "The weather in a city.",
        closed({"city": WORD, "unit": one_of("celsius", "fahrenheit")}),
        "What is the weather in Oslo, in celsius?",
    ),
    Tool(
        "set_timer",
        "Starts a timer.",
        closed(
            {
                "minutes": {"type": "integer", "minimum": 1, "maximum": 90},
                "label": nullable(WORD),
            }
        ),
        "Set a timer of 10 minutes for tea.",
    ),
    Tool(
        "book_table",
        "Books a table in a restaurant.",
        closed(
            {
                "guest": closed({"name": WORD, "vip": {"type": "boolean"}}),
                "people": {"type": "integer", "minimum": 1, "maximum": 12},
                "day": {"type": "string", "format": "date"},
            }
        ),
        "Book a table for Ada and three friends on 2026-03-14.",
    ),
    Tool(
        "tag_photo",
        "Puts tags on a photo.",
        closed(
            {
                "tags": {
                    "type": "array",
                    "items": one_of("sea", "forest", "city", "people", "animals"),
                    "minItems": 1,
                    "maxItems": 3,
                },
                "public": {"type": "boolean"},
            }
        ),
        "Tag the photo of a dog on the beach, and keep it private.",
    ),
    Tool(
        "set_volume",
        "Sets the volume of a loudspeaker, in per cent.",
        closed(
            {
                "room": one_of("kitchen", "bath", "hall"),
                "level": {"type": "number", "minimum": 0, "maximum": 100},
            }
        ),
        "Make the music in the kitchen half as loud as it can be.",
    ),
    Tool(
        "find_trains",
        "Looks for trains between two stations.",
        closed(
            {
                "from": {"$ref": "#/$defs/station"},
                "to": {"$ref": "#/$defs/station"},
                "at": {"type": "string", "format": "date-time"},
            },
            **{"$defs": {"station": closed({"code": {"type": "string", "pattern": "^[A-Z]{3}$"}})}},
        ),
        "Find a train from OSL to BGO on 2026-05-17 at nine in the morning.",
    ),
    Tool(
        "pay",
        "Pays an amount of money.",
        closed(
            {
                "account": {"type": "string", "format": "uuid"},
                "amount": {"type": "integer", "minimum": 1, "maximum": 500},
                "currency": one_of("EUR", "USD", "NOK"),
                "note": {"type": ["string", "null"], "maxLength": 16},
            }
        ),
        "Pay 25 euros to the account 8c1f0d6e-1111-4222-8333-123456789abc.",
    ),
    Tool(
        "draw",
        "Draws shapes.",
        closed(
            {
                "shapes": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 2,
                    "items": {
                        "anyOf": [
                            closed(
                                {
                                    "kind": one_of("circle"),
                                    "radius": {"type": "integer", "minimum": 1, "maximum": 9},
                                }
                            ),
                            closed(
                                {
                                    "kind": one_of("square"),
                                    "side": {"type": "integer", "minimum": 1, "maximum": 9},
                                }
                            ),
                        ]
                    },
                }
            }
        ),
        "Draw a circle of radius 3.",
    ),
    Tool(
        "rate",
        "Rates a film with stars, in steps of one.",
        closed(
            {
                "stars": {"type": "integer", "enum": [1, 2, 3, 4, 5]},
                "mood": nullable(one_of("glad", "sad", "bored")),
                "seen": {"type": "boolean"},
            }
        ),
        "I saw Alien yesterday and liked it a lot: rate it.",
    ),
    # What llama.cpp does not enforce: bounds of fractions, multiples, most formats.
    Tool(
        "set_heating",
        "Sets the temperature of a room, in degrees.",
        closed(
            {
                "degrees": {"type": ["number", "null"], "minimum": 15, "exclusiveMaximum": 25.5},
                "minutes": {"type": "integer", "minimum": 5, "maximum": 60, "multipleOf": 5},
            }
        ),
        "Heat the room to 21.5 degrees for half an hour.",
    ),
    Tool(
        "invite",
        "Invites somebody by mail.",
        closed({"to": {"type": "string", "format": "email", "maxLength": 64}}),
        "Invite ada@example.org.",
    ),
    Tool(
        "list_files",
        "Lists the files of a folder. There are no arguments.",
        closed({}),
        "Which files are there?",
    ),
    # What strict mode makes of a schema that was not written for it.
    Tool(
        "search_books",
        "Looks for books.",
        {
            "type": "object",
            "properties": {
                "topic": WORD,
                "language": one_of("en", "de", "no"),
                "limit": {"type": "integer", "minimum": 1, "maximum": 20},
            },
            "required": ["topic"],
        },
        "Look for English books about whales, ten at most.",
        strict=None,
    ),
    Tool(
        "plan_route",
        "Plans a route over places.",
        {
            "type": "object",
            "properties": {
                "stops": {
                    "type": "array",
                    "minItems": 2,
                    "maxItems": 2,
                    "items": {
                        "type": "object",
                        "properties": {"place": WORD, "minutes": {"type": "integer", "minimum": 0, "maximum": 60}},
                        "required": ["place"],
                    },
                },
                "by": {"const": "bicycle"},
            },
            "required": ["stops", "by"],
        },
        "Plan a bicycle route from Alta to Kautokeino.",
        strict=None,
    ),
]
