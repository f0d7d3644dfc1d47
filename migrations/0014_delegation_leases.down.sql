ALTER TABLE delegation_leases DROP COLUMN progress_at, DROP COLUMN progress, DROP COLUMN callee_id;
