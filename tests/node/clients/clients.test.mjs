// Every client that ships as an npm package, one server for all.

await import('./ai-sdk.mjs');
await import('./codex.mjs');
