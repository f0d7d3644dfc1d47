ALTER TABLE delegation_leases DROP COLUMN waits;
DROP TABLE task_crashes;
