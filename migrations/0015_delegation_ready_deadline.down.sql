ALTER TABLE delegation_ready DROP COLUMN deadline;
