-- The activity log is ordered by the ids of writing transactions. A database that was restored from a dump into a new cluster counts them
-- anew. So an entry's position is the transaction's id plus the offset of the newest epoch; a server that starts on a log with positions
-- that this cluster cannot have given opens the next one. A log without epochs has the offset 0.
CREATE TABLE log_epochs (
  xid_offset bigint      PRIMARY KEY CHECK (xid_offset > 0),
  opened_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER tr_log_epochs_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON log_epochs FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The position of a transaction's id in the log.
CREATE FUNCTION log_position(id xid8) RETURNS xid8 LANGUAGE sql STABLE AS $$
  SELECT (coalesce((SELECT max(xid_offset) FROM log_epochs), 0) + id::text::bigint)::text::xid8
$$;

ALTER TABLE activity_log ALTER COLUMN transaction_id SET DEFAULT log_position(pg_current_xact_id());
