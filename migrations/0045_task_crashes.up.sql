-- The ends of servers while they worked on a task of the server's own: a row for each lease that fell silent, or whose worker was restarted,
-- without having been given away. Work that ends servers is worked on alone, and then given up. A holder that turns out to live takes its
-- row back. There is no foreign key to the tasks: it would take a lock on them.
CREATE TABLE task_crashes (
  delegation_id text        NOT NULL,
  attempt       bigint      NOT NULL,
  task_id       uuid        NOT NULL,
  worker_id     text        NOT NULL,
  crashed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (delegation_id, attempt)
);
CREATE INDEX ix_task_crashes_task ON task_crashes (task_id);

-- Whether its holder waits until nothing runs beside it. Its end does not count then.
ALTER TABLE delegation_leases ADD COLUMN waits boolean NOT NULL DEFAULT false;
