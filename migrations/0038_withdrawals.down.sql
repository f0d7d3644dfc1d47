-- Servers of before would show what is withdrawn, and nothing would say that it was.
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM record_heads WHERE srn IS NULL) OR EXISTS (SELECT 1 FROM withdrawal_progress WHERE finished_at IS NULL) THEN
    RAISE EXCEPTION 'records are withdrawn; restore them before going back' USING ERRCODE = 'object_in_use';
  END IF;
END $$;
DROP TRIGGER tr_record_heads_withdrawn ON record_heads;
DROP TRIGGER tr_record_heads_inserted ON record_heads;
DROP FUNCTION check_head();
-- It runs by hand, while nothing writes.
-- squawk-ignore adding-not-nullable-field
ALTER TABLE record_heads ALTER COLUMN srn SET NOT NULL;
DROP FUNCTION withdrawal_of(uuid, uuid);
DROP TABLE withdrawal_progress;
DROP TABLE withdrawals;
DROP FUNCTION check_withdrawal();
