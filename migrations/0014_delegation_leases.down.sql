DROP TRIGGER tr_delegation_leases_keep ON delegation_leases;
DROP FUNCTION keep_lease();
ALTER TABLE delegation_leases DROP COLUMN progress_at, DROP COLUMN progress, DROP COLUMN callee_id;
