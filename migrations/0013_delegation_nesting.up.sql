-- Delegations between people and machines: what is handed over, how often it is handed out again, and where it stands below others.
ALTER TABLE delegations
  ADD COLUMN input jsonb,
  -- SHA-256 of the request that made it: the same id or key with another request is refused.
  ADD COLUMN request_hash bytea,
  ADD COLUMN max_retries bigint,
  -- The delegation that got stuck or failed before this one.
  ADD COLUMN retry_of text,
  -- The delegation whose holder made this one, the one at the top of all, and how deep this one is below it.
  ADD COLUMN parent_id text,
  ADD COLUMN root_id text,
  ADD COLUMN depth bigint;

-- What a delegation is never changes: who handed what to whom, and from where in the tree.
CREATE FUNCTION check_delegation_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.delegation_id, NEW.task_id, NEW.caller_id, NEW.callee_id, NEW.created_at, NEW.idempotency_key, NEW.retry_of, NEW.parent_id, NEW.root_id, NEW.depth)
     IS DISTINCT FROM
     (OLD.delegation_id, OLD.task_id, OLD.caller_id, OLD.callee_id, OLD.created_at, OLD.idempotency_key, OLD.retry_of, OLD.parent_id, OLD.root_id, OLD.depth) THEN
    RAISE EXCEPTION 'what delegation % is cannot change', OLD.delegation_id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tr_delegations_facts BEFORE UPDATE OF delegation_id, task_id, caller_id, callee_id, created_at, idempotency_key, retry_of, parent_id, root_id, depth
  ON delegations FOR EACH ROW EXECUTE FUNCTION check_delegation_facts();
