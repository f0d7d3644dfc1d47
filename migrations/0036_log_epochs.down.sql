ALTER TABLE activity_log ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id();
DROP FUNCTION log_position(xid8);
DROP TABLE log_epochs;
