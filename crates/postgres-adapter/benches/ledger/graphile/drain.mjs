// Drains a backlog of trivial jobs with graphile-worker, tuned as its own performance test is: a local queue of 500 and batched
// completion. Prints jobs per second. usage: drain.mjs <node_modules> <database url> <jobs>
import { createRequire } from "node:module";
const [modules, connectionString, jobs] = process.argv.slice(2);
const require = createRequire(`${modules}/x.js`);
const { run, runMigrations } = require("graphile-worker");
const { Pool } = require("pg");

const pool = new Pool({ connectionString, max: 12 });
await pool.query("drop schema if exists graphile_worker cascade");
const quiet = { logger: new (require("graphile-worker").Logger)(() => () => {}) };
await runMigrations({ pgPool: pool, ...quiet });
await pool.query(
  `select count(*) from graphile_worker.add_jobs(array(
     select json_populate_record(null::graphile_worker.job_spec, json_build_object('identifier', 'nothing', 'payload', json_build_object('n', n)))
     from generate_series(1, $1::int) n))`,
  [Number(jobs)],
);
let left = Number(jobs);
let begun = 0;
let done;
const over = new Promise((resolve) => (done = resolve));
const nothing = () => {
  begun ||= process.hrtime.bigint();
  if (--left === 0) done(process.hrtime.bigint());
};
const preset = { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } };
const runner = await run({ pgPool: pool, concurrency: 24, noHandleSignals: true, taskList: { nothing }, preset, ...quiet });
await over;
// Until the last completion is committed.
for (;;) {
  const { rows } = await pool.query("select count(*)::int as n from graphile_worker._private_jobs");
  if (rows[0].n === 0) break;
  await new Promise((resolve) => setTimeout(resolve, 5));
}
const took = Number(process.hrtime.bigint() - begun) / 1e9;
console.log(Number(jobs) / took);
await runner.stop();
await pool.end();
