//! JSON Schema to OpenAI's strict subset: resolve, check, validate.
