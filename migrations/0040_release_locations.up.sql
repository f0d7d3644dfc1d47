-- Further locations of a release's image: the same bytes at another place. Location 1 is the image in the release's own row, so releases that never
-- moved have no row here. The newest location is the one in use.
CREATE TABLE hook_release_locations (
  hook_name  text NOT NULL,
  release_id uuid NOT NULL,
  -- 2, 3, 4, ... per release, given under the hook's lock; at most 1000.
  position   bigint NOT NULL CONSTRAINT ck_hook_release_locations_position CHECK (position > 1),
  image      text NOT NULL,
  registered_by_user_id            uuid REFERENCES users (id),
  registered_by_service_account_id uuid REFERENCES service_accounts (id),
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (release_id, position),
  FOREIGN KEY (hook_name, release_id) REFERENCES hook_releases (hook_name, id),
  CONSTRAINT ck_hook_release_locations_one_actor CHECK (num_nonnulls(registered_by_user_id, registered_by_service_account_id) = 1)
);
CREATE TRIGGER tr_hook_release_locations_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON hook_release_locations
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A location follows the one before it: in its number and its time. It is another image, or it would be none.
CREATE FUNCTION check_release_location() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last_position bigint;
  last_image    text;
  last_at       timestamptz;
BEGIN
  SELECT l.position, l.image, l.registered_at INTO last_position, last_image, last_at
  FROM hook_release_locations l WHERE l.release_id = NEW.release_id ORDER BY l.position DESC LIMIT 1;
  IF NOT FOUND THEN
    SELECT 1, r.image, r.built_at INTO last_position, last_image, last_at FROM hook_releases r WHERE r.id = NEW.release_id;
  END IF;
  -- Of a release that does not exist everything is null here; the foreign key refuses that.
  IF NEW.position <> last_position + 1 OR NEW.image = last_image OR NEW.registered_at < last_at THEN
    RAISE EXCEPTION 'a location of a release of hook % does not follow the one before it', NEW.hook_name USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tr_hook_release_locations_follow BEFORE INSERT ON hook_release_locations
  FOR EACH ROW EXECUTE FUNCTION check_release_location();

-- Which location of its release a run read its image from. Servers of before know only the first one, and so do runs of before.
ALTER TABLE hook_runs ADD COLUMN location bigint NOT NULL DEFAULT 1;
