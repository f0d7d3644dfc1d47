-- A transaction of its own: validating reads the whole table under a lock that lets reads and writes through.
ALTER TABLE tasks VALIDATE CONSTRAINT ck_tasks_at_most_one_creator;
