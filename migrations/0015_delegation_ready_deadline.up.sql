-- When what waits must have been claimed; empty for work that may wait for ever.
ALTER TABLE delegation_ready ADD COLUMN deadline timestamptz;
