ALTER TABLE delegation_leases
  -- To whom it was handed; empty in a lease of a server of before, which only had its own workers as callees.
  ADD COLUMN callee_id text,
  -- What its holder last told, and when. A beat says that the holder lives; this says that it gets on.
  ADD COLUMN progress text,
  ADD COLUMN progress_at timestamptz;

-- Servers of before sweep every lease, and know neither callers to tell nor tasks of other kinds. So while they run beside new ones, a
-- lease of anybody but the server's own workers goes only where its transaction says that it knows what comes with that.
CREATE FUNCTION keep_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('hallmark.ends_leases', true) IS DISTINCT FROM 'yes' THEN
    RETURN NULL;
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER tr_delegation_leases_keep BEFORE DELETE ON delegation_leases
  FOR EACH ROW WHEN (OLD.callee_id NOT LIKE 'hallmark:%') EXECUTE FUNCTION keep_lease();
