-- Withdrawals of published records (EDG-4). A withdrawal and the restore that takes it back are facts, each written once. They concern a
-- record with all of its versions, or every version that an ingest run published. What tables show follows from them: the head of a
-- withdrawn record names no version (`record_heads.srn` is null), so every statement that joins heads leaves it out.

-- Servers of before only compare it, and never read it.
-- squawk-ignore ban-drop-not-null
ALTER TABLE record_heads ALTER COLUMN srn DROP NOT NULL;

CREATE TABLE withdrawals (
  record_id     uuid REFERENCES record_heads (record_id),
  -- Runs are never deleted. A foreign key would lock their table here, too.
  ingest_run_id uuid,
  -- 1, 2, 3, ... per record or run: the odd ones withdraw, the even ones restore.
  number        bigint NOT NULL,
  withdraws     boolean NOT NULL,
  reason        text,
  actor_user_id            uuid,
  actor_service_account_id uuid,
  -- The time from which tables read as of a time follow it. Taken under the lock of the record or run.
  happened_at   timestamptz NOT NULL,
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  CONSTRAINT uq_withdrawals_record UNIQUE (record_id, number),
  CONSTRAINT uq_withdrawals_run UNIQUE (ingest_run_id, number),
  CONSTRAINT ck_withdrawals_subject CHECK (num_nonnulls(record_id, ingest_run_id) = 1),
  CONSTRAINT ck_withdrawals_turns CHECK (number > 0 AND withdraws = (number % 2 = 1)),
  CONSTRAINT ck_withdrawals_reason CHECK (NOT withdraws OR reason IS NOT NULL),
  CONSTRAINT ck_withdrawals_one_actor CHECK (num_nonnulls(actor_user_id, actor_service_account_id) = 1)
);
CREATE TRIGGER tr_withdrawals_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON withdrawals
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One follows the one before it: in its number and in its time.
CREATE FUNCTION check_withdrawal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last withdrawals;
BEGIN
  SELECT * INTO last FROM withdrawals WHERE record_id = NEW.record_id OR ingest_run_id = NEW.ingest_run_id ORDER BY number DESC LIMIT 1;
  IF NEW.number <> coalesce(last.number, 0) + 1 OR NEW.happened_at < last.happened_at THEN
    RAISE EXCEPTION 'a withdrawal or restore does not follow the one before it' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tr_withdrawals_follow BEFORE INSERT ON withdrawals FOR EACH ROW EXECUTE FUNCTION check_withdrawal();

-- How far the heads of a run's records follow its newest withdrawal or restore: work in small transactions, which can be resumed.
CREATE TABLE withdrawal_progress (
  ingest_run_id uuid PRIMARY KEY,
  -- The last of the run's records, by source id, whose head follows.
  after_source  text NOT NULL DEFAULT '',
  -- How many heads changed.
  changed       bigint NOT NULL DEFAULT 0,
  finished_at   timestamptz
);

-- The withdrawal that holds now for a record whose newest version is of this run; null if there is none. Either may be null.
CREATE FUNCTION withdrawal_of(of_record uuid, of_run uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT coalesce(
    (SELECT CASE WHEN withdraws THEN id END FROM withdrawals WHERE record_id = of_record ORDER BY number DESC LIMIT 1),
    (SELECT CASE WHEN withdraws THEN id END FROM withdrawals WHERE ingest_run_id = of_run ORDER BY number DESC LIMIT 1))
$$;

-- A head leaves tables and comes back only as the withdrawals say, and a withdrawn record gets no new version. This is checked here because
-- servers of before this migration know nothing of withdrawals.
CREATE FUNCTION check_head() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  run uuid;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF NEW.record_id <> OLD.record_id OR NEW.version <> OLD.version THEN
      RAISE EXCEPTION 'record % is withdrawn and gets no new version', OLD.record_id USING ERRCODE = 'restrict_violation';
    END IF;
  END IF;
  SELECT ingest_run_id INTO run FROM records WHERE id = NEW.record_id AND version = NEW.version;
  IF (NEW.srn IS NULL) <> (withdrawal_of(NEW.record_id, run) IS NOT NULL) THEN
    RAISE EXCEPTION 'the head of record % is not as its withdrawals say', NEW.record_id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tr_record_heads_inserted BEFORE INSERT ON record_heads
  FOR EACH ROW WHEN (NEW.srn IS NULL) EXECUTE FUNCTION check_head();
CREATE TRIGGER tr_record_heads_withdrawn BEFORE UPDATE ON record_heads
  FOR EACH ROW WHEN (OLD.srn IS NULL OR NEW.srn IS NULL) EXECUTE FUNCTION check_head();
