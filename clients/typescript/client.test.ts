// The client of openapi-typescript and openapi-fetch, against a running server. `cargo xtask clients` makes api.d.ts and runs this.
import assert from "node:assert/strict";
import test from "node:test";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const baseUrl = process.env["HALLMARK_URL"];
const token = process.env["HALLMARK_TOKEN"];
const headers = { authorization: `Bearer ${token}` };
const lab = createClient<paths>({ ...(baseUrl && { baseUrl }), headers });
const stranger = createClient<paths>({ ...(baseUrl && { baseUrl }) });

const hook = "typescript_hook";
const digest = `sha256:${"a".repeat(64)}`;
const convention: components["schemas"]["DeployBody"] = {
  title: "TypeScript client",
  description: "What the generated TypeScript client deploys.",
  file_requirements: { accepted_types: [], max_count: 0 },
  schema: {
    id: "typescript-client",
    version: "1.0.0",
    fields: [{ name: "mass", type: "number", required: true, cardinality: "exactly_one" }],
  },
  hooks: [
    {
      name: hook,
      feature: { cardinality: "one", columns: [{ name: "heavy", json_type: "boolean", required: true }] },
      config: { most: 1 },
      limits: { timeout_seconds: 60, memory: "256m", cpu: "1" },
      release: { image: "file:/nowhere/typescript_hook", digest, source_ref: "git:0" },
    },
  ],
  docs: {
    purpose: "To test the generated client.",
    example_questions: ["Does it deploy?", "Does it read?", "Does it tell faults?"],
    examples: [{ question: "Does it read?", query: "GET /api/v1/hooks", interpretation: "It does." }],
  },
};

/** The image is on no machine. */
const unchecked = { check: false };

/** The data of an answer that must be a good one. */
function good<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  assert.ok(answer.data !== undefined, `${answer.response.status} ${JSON.stringify(answer.error)}`);
  return answer.data;
}

test("a lab deploys, releases, rolls back and reads", async () => {
  const deployed = good(await lab.POST("/api/v1/conventions", { params: { query: unchecked }, body: convention }));
  assert.equal(deployed.slug, "typescript-client");
  assert.equal(deployed.releases[0]?.live_version, 1);

  const params = { path: { name: hook } };
  const body = { image: "file:/nowhere/typescript_hook", digest, config: { most: 2 }, source_ref: "git:1" };
  const made = await lab.POST("/api/v1/hooks/{name}/releases", { params: { ...params, query: unchecked }, body });
  assert.equal(made.response.status, 201);
  assert.equal(good(made).version, 2);
  const again = await lab.POST("/api/v1/hooks/{name}/releases", { params: { ...params, query: unchecked }, body });
  assert.equal(again.response.status, 200);
  assert.equal(good(again).id, good(made).id);
  const live = good(await lab.PUT("/api/v1/hooks/{name}/live", { params, body: { version: 1 } }));
  assert.equal(live.live_version, 1);

  const conventions = good(await stranger.GET("/api/v1/conventions"));
  assert.ok(conventions.items.some((item) => item.id === deployed.slug));
  const path = { slug: deployed.slug };
  const read = good(await stranger.GET("/api/v1/conventions/{slug}", { params: { path } }));
  assert.deepEqual(read.hooks, [hook]);
  assert.equal(read.ingester, null);
  const hooks = good(await stranger.GET("/api/v1/hooks"));
  const item = hooks.items.find((item) => item.name === hook);
  assert.equal(item?.live_release?.version, 1);
  assert.equal(item?.feature.columns[0]?.json_type, "boolean");
  const history = good(await stranger.GET("/api/v1/hooks/{name}/releases", { params }));
  assert.deepEqual(history.releases.map((release) => release.version), [2, 1]);
  const version = { path: { name: hook, version: "2" } };
  const release = good(await stranger.GET("/api/v1/hooks/{name}/releases/{version}", { params: version }));
  assert.deepEqual(release.config, { most: 2 });
  assert.equal(release.live, false);
});

test("a lab pushes records", async () => {
  good(await lab.POST("/api/v1/conventions", { params: { query: unchecked }, body: convention }));
  const opened = good(
    await lab.POST("/api/v1/ingestions", { body: { convention_id: "typescript-client", mode: "push" } }),
  );
  const pushed = await lab.POST("/api/v1/ingestions/{id}/records", {
    params: { path: { id: opened.id } },
    body: '{"source_id": "1", "metadata": {"mass": 3.5}}\n',
    bodySerializer: (body) => body,
    headers: { "content-type": "application/x-ndjson" },
  });
  assert.equal(good(pushed).accepted, 1);
});

test("faults are problems", async () => {
  const path = { slug: "no-such-convention" };
  const missing = await stranger.GET("/api/v1/conventions/{slug}", { params: { path } });
  assert.equal(missing.response.status, 404);
  assert.equal(missing.error?.status, 404);
  assert.equal(missing.error.detail, missing.error.message);
  const refused = await stranger.GET("/api/v1/ingestions");
  assert.equal(refused.response.status, 401);
  assert.equal(refused.error?.code, "missing_token");
});
