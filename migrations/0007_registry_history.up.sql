-- The history of every hook's pointer, and withdrawn releases (REG-4, REG-5). Both are append-only, and the database itself
-- refuses a pointer that its history does not tell, or that points at a yanked release.

CREATE TABLE hook_live_moves (
  hook_name       text NOT NULL REFERENCES hooks (name),
  -- 1, 2, 3, ... per hook, given under the hook's lock.
  move            integer NOT NULL CONSTRAINT ck_hook_live_moves_move CHECK (move > 0),
  from_release_id uuid,
  to_release_id   uuid NOT NULL,
  reason          text,
  moved_by_user_id            uuid REFERENCES users (id),
  moved_by_service_account_id uuid REFERENCES service_accounts (id),
  -- Never before the move before it, so that "what was live then" has one answer.
  moved_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (hook_name, move),
  FOREIGN KEY (hook_name, from_release_id) REFERENCES hook_releases (hook_name, id),
  FOREIGN KEY (hook_name, to_release_id) REFERENCES hook_releases (hook_name, id),
  CONSTRAINT ck_hook_live_moves_one_mover CHECK (num_nonnulls(moved_by_user_id, moved_by_service_account_id) <= 1)
);
CREATE INDEX ix_hook_live_moves_at ON hook_live_moves (hook_name, moved_at, move);

CREATE TABLE hook_release_yanks (
  hook_name  text NOT NULL,
  release_id uuid NOT NULL,
  -- 1, 2, 3, ... per release: the odd ones yank, the even ones take it back.
  change     integer NOT NULL,
  yanked     boolean NOT NULL,
  reason     text,
  changed_by_user_id            uuid REFERENCES users (id),
  changed_by_service_account_id uuid REFERENCES service_accounts (id),
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (release_id, change),
  FOREIGN KEY (hook_name, release_id) REFERENCES hook_releases (hook_name, id),
  CONSTRAINT ck_hook_release_yanks_turns CHECK (change > 0 AND yanked = (change % 2 = 1)),
  CONSTRAINT ck_hook_release_yanks_reason CHECK (NOT yanked OR reason IS NOT NULL),
  CONSTRAINT ck_hook_release_yanks_one_actor CHECK (num_nonnulls(changed_by_user_id, changed_by_service_account_id) = 1)
);

-- What the activity log knows of the moves before this migration.
INSERT INTO hook_live_moves (hook_name, move, from_release_id, to_release_id, moved_by_user_id, moved_by_service_account_id, moved_at)
SELECT r.hook_name,
       row_number() OVER w,
       lag(r.id) OVER w,
       r.id, a.actor_user_id, a.actor_service_account_id, a.created_at
FROM activity_log a
JOIN hook_releases r ON r.hook_name = a.payload ->> 'hook_name' AND r.version = (a.payload ->> 'version')::integer
WHERE a.kind IN ('HookReleased', 'HookLiveMoved')
-- Both kinds were written under the hook's lock, so the identity column is in the order of the moves.
WINDOW w AS (PARTITION BY r.hook_name ORDER BY a.sequence);

-- A pointer that the log does not explain has a history from here on.
INSERT INTO hook_live_moves (hook_name, move, from_release_id, to_release_id, reason)
SELECT h.name, coalesce(last.move, 0) + 1, last.to_release_id, h.live_release_id, 'found here when the history began'
FROM hooks h
LEFT JOIN LATERAL (SELECT move, to_release_id FROM hook_live_moves WHERE hook_name = h.name ORDER BY move DESC LIMIT 1) last ON true
WHERE h.live_release_id IS NOT NULL AND h.live_release_id IS DISTINCT FROM last.to_release_id;

CREATE TRIGGER tr_hook_live_moves_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON hook_live_moves
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_hook_release_yanks_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON hook_release_yanks
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A move follows the one before it: in its number, its place and its time.
CREATE FUNCTION check_live_move() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last hook_live_moves;
BEGIN
  SELECT * INTO last FROM hook_live_moves WHERE hook_name = NEW.hook_name ORDER BY move DESC LIMIT 1;
  IF NEW.move <> coalesce(last.move, 0) + 1 OR NEW.from_release_id IS DISTINCT FROM last.to_release_id OR NEW.moved_at < last.moved_at THEN
    RAISE EXCEPTION 'a move of the pointer of hook % does not follow the one before it', NEW.hook_name USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tr_hook_live_moves_follow BEFORE INSERT ON hook_live_moves
  FOR EACH ROW EXECUTE FUNCTION check_live_move();

-- At the commit, every pointer is where its last move put it, and that release is not yanked.
CREATE FUNCTION check_live_pointer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  hook text := CASE TG_TABLE_NAME WHEN 'hooks' THEN to_jsonb(NEW) ->> 'name' ELSE to_jsonb(NEW) ->> 'hook_name' END;
  live uuid;
BEGIN
  -- Locked, so that a yank and a move of two transactions see each other. The server holds this lock already.
  SELECT live_release_id INTO live FROM hooks WHERE name = hook FOR NO KEY UPDATE;
  IF live IS DISTINCT FROM (SELECT to_release_id FROM hook_live_moves WHERE hook_name = hook ORDER BY move DESC LIMIT 1) THEN
    RAISE EXCEPTION 'the pointer of hook % is not where its history says', hook USING ERRCODE = 'check_violation';
  END IF;
  IF (SELECT yanked FROM hook_release_yanks WHERE release_id = live ORDER BY change DESC LIMIT 1) THEN
    RAISE EXCEPTION 'the live release of hook % is yanked', hook USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tr_hooks_live_is_history AFTER INSERT OR UPDATE OF live_release_id ON hooks
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_live_pointer();
CREATE CONSTRAINT TRIGGER tr_hook_live_moves_is_pointer AFTER INSERT ON hook_live_moves
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_live_pointer();
CREATE CONSTRAINT TRIGGER tr_hook_release_yanks_not_live AFTER INSERT ON hook_release_yanks
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_live_pointer();
