-- ISO-2: what a server does beyond reading and writing rows is done by functions of the owner, so that the application's role needs to own
-- nothing. Their arguments are structured and checked here again; each has a fixed search_path.

-- Guards that read or write tables look only where the owner put them: a role may make a temporary table of any name, and without a
-- fixed path that table would be found first.
ALTER FUNCTION check_live_move() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION check_live_pointer() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION log_tasks_created() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION log_tasks_moved() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION log_delegations_created() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION log_delegations_moved() SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION log_position(xid8) SET search_path = pg_catalog, public, pg_temp;

-- One column in a statement: its name is one of ours, and its type is one of the closed list.
CREATE FUNCTION column_definition(name text, type text, required boolean) RETURNS text LANGUAGE plpgsql IMMUTABLE
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF name IS NULL OR name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
    RAISE EXCEPTION '% is no name of a column', quote_nullable(name) USING ERRCODE = 'invalid_name';
  END IF;
  IF type IS NULL OR type <> ALL (ARRAY['text', 'double precision', 'bigint', 'boolean', 'date', 'timestamptz', 'uuid', 'jsonb']) THEN
    RAISE EXCEPTION '% is no type of a column', quote_nullable(type) USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- %I would leave some words without quotes that are types or functions.
  RETURN '"' || name || '" ' || type || CASE WHEN required THEN ' NOT NULL' ELSE '' END;
END $$;

-- Makes the feature table of a hook that is registered. The caller holds the hook's lock.
CREATE FUNCTION make_feature_table(hook text, names text[], types text[], required boolean[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  columns text := '';
BEGIN
  IF hook IS NULL OR hook !~ '^[a-z][a-z0-9_]{0,39}$' OR NOT EXISTS (SELECT FROM hooks WHERE hooks.name = hook) THEN
    RAISE EXCEPTION '% is no registered hook', quote_nullable(hook) USING ERRCODE = 'invalid_name';
  END IF;
  FOR n IN 1 .. coalesce(cardinality(names), 0) LOOP
    columns := columns || ', ' || column_definition(names[n], types[n], required[n]);
  END LOOP;
  -- The foreign keys lock the tables that they refer to, records first. A batch that ends writes runs before records, so without this
  -- the two could deadlock.
  LOCK TABLE public.hook_runs, public.records IN SHARE ROW EXCLUSIVE MODE;
  EXECUTE format('CREATE TABLE features."%1$s" (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      record_srn text NOT NULL REFERENCES public.records (srn),
      run_id uuid NOT NULL REFERENCES public.hook_runs (id),
      created_at timestamptz NOT NULL DEFAULT now(),
      superseded_by uuid REFERENCES public.hook_runs (id)%2$s);
    CREATE INDEX ON features."%1$s" (record_srn) WHERE superseded_by IS NULL;
    CREATE INDEX ON features."%1$s" (record_srn) WHERE superseded_by IS NOT NULL;
    CREATE INDEX ON features."%1$s" (id) WHERE superseded_by IS NULL;
    CREATE INDEX ON features."%1$s" (run_id);
    CREATE TRIGGER tr_only_supersede BEFORE UPDATE ON features."%1$s" FOR EACH ROW EXECUTE FUNCTION public.only_supersede();
    CREATE TRIGGER tr_immutable BEFORE DELETE OR TRUNCATE ON features."%1$s" FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()',
    hook, columns);
  PERFORM grant_on_table(format('features."%s"', hook)::regclass, application) FROM application_roles() AS application;
END $$;

-- Makes the metadata table of a schema hold these fields. The name of the table is reserved by the caller, which holds its lock.
-- DDL blocks writers, so nothing is executed if nothing changes.
CREATE FUNCTION sync_metadata_table(table_name text, names text[], types text[], required boolean[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  known CONSTANT regclass := to_regclass(format('metadata.%I', table_name));
  definition text;
  is_required boolean;
  columns text := '';
  changes text[] := '{}';
BEGIN
  IF table_name IS NULL OR table_name !~ '^[a-z][a-z0-9_]*$'
     OR NOT EXISTS (SELECT FROM metadata_tables m WHERE m.table_name = sync_metadata_table.table_name) THEN
    RAISE EXCEPTION '% is no reserved metadata table', quote_nullable(table_name) USING ERRCODE = 'invalid_name';
  END IF;
  FOR n IN 1 .. coalesce(cardinality(names), 0) LOOP
    -- A field that is new within a major version is optional; otherwise it would break older records.
    definition := column_definition(names[n], types[n], required[n] AND known IS NULL);
    columns := columns || ', ' || definition;
    SELECT a.attnotnull INTO is_required FROM pg_attribute a WHERE a.attrelid = known AND a.attname = names[n] AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
      changes := changes || ('ADD COLUMN ' || definition);
    ELSIF is_required AND NOT required[n] THEN
      changes := changes || format('ALTER COLUMN "%s" DROP NOT NULL', names[n]);
    END IF;
  END LOOP;
  IF known IS NULL THEN
    EXECUTE format('CREATE TABLE metadata."%1$s" (record_srn text PRIMARY KEY REFERENCES public.records (srn)%2$s);
      CREATE TRIGGER tr_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON metadata."%1$s" FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()',
      table_name, columns);
    PERFORM grant_on_table(format('metadata."%s"', table_name)::regclass, application) FROM application_roles() AS application;
  ELSIF cardinality(changes) > 0 THEN
    EXECUTE format('ALTER TABLE metadata."%s" %s', table_name, array_to_string(changes, ', '));
  END IF;
END $$;

-- Partitions of the archive are the owner's, too.
ALTER FUNCTION make_archive_month(timestamptz) SECURITY DEFINER;

-- Waits for the writers of the activity log and keeps new ones out until the transaction ends.
CREATE FUNCTION hold_activity_log() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  LOCK TABLE public.activity_log IN SHARE ROW EXCLUSIVE MODE;
END $$;

-- The roles that grant_application_role was called for: they may make feature tables, and own nothing.
CREATE FUNCTION application_roles() RETURNS SETOF name LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.rolname FROM pg_proc p, aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
  WHERE p.oid = 'public.make_feature_table(text, text[], text[], boolean[])'::regprocedure AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
$$;

-- Gives a role on one table what the server does with it, and takes all else from it. What a guard refuses for every row is not given either.
CREATE FUNCTION grant_on_table(of regclass, application name) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- The bits of pg_trigger.tgtype: 8 is DELETE, 16 is UPDATE.
  refused CONSTANT int := (SELECT coalesce(bit_or(tgtype::int), 0) FROM pg_trigger
                           WHERE tgrelid = of AND NOT tgisinternal AND tgqual IS NULL AND tgfoid = 'public.refuse_change()'::regprocedure);
BEGIN
  EXECUTE format('REVOKE ALL ON TABLE %s FROM %I', of, application);
  EXECUTE format('GRANT SELECT, INSERT%s%s ON TABLE %s TO %I',
    CASE WHEN refused & 16 = 0 THEN ', UPDATE' ELSE '' END, CASE WHEN refused & 8 = 0 THEN ', DELETE' ELSE '' END, of, application);
END $$;

-- Gives a role all that a server needs, and nothing with which it could switch a guard off. The owner calls it; it may be repeated, and
-- it is after every migration.
CREATE FUNCTION grant_application_role(application name) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owner CONSTANT oid := (SELECT relowner FROM pg_class WHERE oid = 'public.records'::regclass);
  one record;
BEGIN
  -- PostgreSQL would only warn.
  IF NOT pg_has_role(owner, 'USAGE') THEN
    RAISE EXCEPTION 'only the owner of the tables can give rights on them' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF pg_has_role(application, owner, 'MEMBER') THEN
    RAISE EXCEPTION 'role % is the owner of the tables, or a member of it', application USING ERRCODE = 'invalid_grant_operation';
  END IF;
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  EXECUTE format('REVOKE ALL ON SCHEMA public, features, metadata FROM %I', application);
  EXECUTE format('GRANT USAGE ON SCHEMA public, features, metadata TO %I', application);
  FOR one IN
    SELECT c.oid::regclass AS name FROM pg_class c
    WHERE c.relnamespace IN ('public'::regnamespace, 'features'::regnamespace, 'metadata'::regnamespace)
      AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> '_sqlx_migrations'
      AND pg_has_role(c.relowner, 'USAGE')
    ORDER BY c.oid
  LOOP
    PERFORM public.grant_on_table(one.name, application);
  END LOOP;
  -- Locked with FOR UPDATE when a schema is registered, which takes this privilege; its guard refuses every update.
  EXECUTE format('GRANT UPDATE ON TABLE public.metadata_tables TO %I', application);
  IF to_regclass('public._sqlx_migrations') IS NOT NULL THEN
    EXECUTE format('REVOKE ALL ON TABLE public._sqlx_migrations FROM %I', application);
    EXECUTE format('GRANT SELECT ON TABLE public._sqlx_migrations TO %I', application);
  END IF;
  EXECUTE format('GRANT EXECUTE ON FUNCTION public.make_feature_table(text, text[], text[], boolean[]),
    public.sync_metadata_table(text, text[], text[], boolean[]), public.make_archive_month(timestamptz), public.hold_activity_log() TO %I', application);
END $$;

REVOKE ALL ON FUNCTION make_feature_table(text, text[], text[], boolean[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION sync_metadata_table(text, text[], text[], boolean[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION make_archive_month(timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION hold_activity_log() FROM PUBLIC;
