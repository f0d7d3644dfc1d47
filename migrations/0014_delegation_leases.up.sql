ALTER TABLE delegation_leases
  -- To whom it was handed; empty in a lease of a server of before, which only had its own workers as callees.
  ADD COLUMN callee_id text,
  -- What its holder last told, and when. A beat says that the holder lives; this says that it gets on.
  ADD COLUMN progress text,
  ADD COLUMN progress_at timestamptz;
