-- LED-7: the ends of a caller's delegations, written with the end itself, so that none is lost. A delegation ends once.
CREATE TABLE delegation_inbox (
  message_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  caller_id       text NOT NULL,
  delegation_id   text NOT NULL,
  attempt         bigint NOT NULL,
  kind            text NOT NULL CONSTRAINT ck_delegation_inbox_kind CHECK (kind IN ('completed', 'failed', 'stuck')),
  result          jsonb,
  error_detail    text,
  -- The delegation that goes on with the task, if one does.
  redelegated_as  text,
  arrived_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  acknowledged_at timestamptz,
  CONSTRAINT uq_delegation_inbox_delegation UNIQUE (delegation_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX ix_delegation_inbox_waiting ON delegation_inbox (caller_id, message_id) WHERE acknowledged_at IS NULL;
CREATE INDEX ix_delegation_inbox_acknowledged ON delegation_inbox (acknowledged_at) WHERE acknowledged_at IS NOT NULL;

-- A message can be acknowledged, once; nothing else of it ever changes, and one that nobody acknowledged cannot go.
CREATE FUNCTION only_acknowledge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.acknowledged_at IS NULL THEN
      RAISE EXCEPTION 'message % was not acknowledged', OLD.message_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
  END IF;
  IF OLD.acknowledged_at IS NOT NULL OR NEW.acknowledged_at IS NULL OR to_jsonb(NEW) - 'acknowledged_at' <> to_jsonb(OLD) - 'acknowledged_at' THEN
    RAISE EXCEPTION 'message % can only be acknowledged, and only once', OLD.message_id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tr_delegation_inbox_acknowledge BEFORE UPDATE OR DELETE ON delegation_inbox
  FOR EACH ROW EXECUTE FUNCTION only_acknowledge();
CREATE TRIGGER tr_delegation_inbox_kept BEFORE TRUNCATE ON delegation_inbox
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
