-- no-transaction
-- Which records are withdrawn: few, however large the archive is.
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_record_heads_withdrawn ON record_heads (record_id) WHERE srn IS NULL;
