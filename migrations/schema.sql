CREATE SCHEMA features;

CREATE SCHEMA metadata;

CREATE FUNCTION public.acting_service_account_id() RETURNS uuid
    LANGUAGE sql STABLE
    AS $_$ SELECT substring(current_setting('hallmark.actor', true) FROM '^service_account:(.+)$')::uuid $_$;

CREATE FUNCTION public.acting_user_id() RETURNS uuid
    LANGUAGE sql STABLE
    AS $_$ SELECT substring(current_setting('hallmark.actor', true) FROM '^user:(.+)$')::uuid $_$;

CREATE FUNCTION public.application_roles() RETURNS SETOF name
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT r.rolname FROM pg_proc p, aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
  WHERE p.oid = 'public.make_feature_table(text, text[], text[], boolean[])'::regprocedure AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
$$;

CREATE FUNCTION public.check_delegation_facts() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF (NEW.delegation_id, NEW.task_id, NEW.caller_id, NEW.callee_id, NEW.created_at, NEW.idempotency_key, NEW.retry_of, NEW.parent_id, NEW.root_id, NEW.depth)
     IS DISTINCT FROM
     (OLD.delegation_id, OLD.task_id, OLD.caller_id, OLD.callee_id, OLD.created_at, OLD.idempotency_key, OLD.retry_of, OLD.parent_id, OLD.root_id, OLD.depth) THEN
    RAISE EXCEPTION 'what delegation % is cannot change', OLD.delegation_id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION public.check_delegation_move() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
  ranks CONSTANT text[] := ARRAY['queued', 'dispatched', 'in_progress', 'completed'];
  old_rank int := coalesce(array_position(ranks, OLD.status), 4);
  new_rank int := coalesce(array_position(ranks, NEW.status), 4);
BEGIN
  IF OLD.status <> NEW.status AND (old_rank = 4 OR new_rank < old_rank) THEN
    RAISE EXCEPTION 'delegation % cannot go from % to %', OLD.delegation_id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.attempt < OLD.attempt THEN
    RAISE EXCEPTION 'the attempt of delegation % cannot go down', OLD.delegation_id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION public.check_delegations_archived() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  lost text;
BEGIN
  SELECT o.delegation_id INTO lost FROM old_rows o
  WHERE NOT EXISTS (SELECT FROM delegation_archive_ids i WHERE i.delegation_id = o.delegation_id)
     OR NOT EXISTS (
       SELECT FROM delegations_archive a
       WHERE a.delegation_id = o.delegation_id AND a.created_at = o.created_at
         AND (a.task_id, a.caller_id, a.callee_id, a.status, a.attempt, a.retry_count, a.updated_at, a.retry_of, a.parent_id, a.root_id)
             IS NOT DISTINCT FROM
             (o.task_id, o.caller_id, o.callee_id, o.status, o.attempt, o.retry_count, o.updated_at, o.retry_of, o.parent_id, o.root_id))
  LIMIT 1;
  IF lost IS NOT NULL THEN
    RAISE EXCEPTION 'DELETE of table delegations is refused: delegation % is not in the archive', lost USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION public.check_deposition_open() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  deposition CONSTANT text := CASE TG_OP WHEN 'DELETE' THEN OLD.deposition_id ELSE NEW.deposition_id END;
BEGIN
  IF (SELECT status FROM depositions WHERE id = deposition) = 'accepted' THEN
    RAISE EXCEPTION '% of table % is refused: deposition % was accepted', TG_OP, TG_TABLE_NAME, deposition USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE FUNCTION public.check_deposition_record() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM records r WHERE r.srn = NEW.record_srn AND r.source_kind = 'deposition' AND right(r.source_id, length(NEW.id) + 5) = ':dep:' || NEW.id) THEN
    RAISE EXCEPTION 'record % was not made of deposition %', NEW.record_srn, NEW.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION public.check_head() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.check_live_move() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  last hook_live_moves;
BEGIN
  SELECT * INTO last FROM hook_live_moves WHERE hook_name = NEW.hook_name ORDER BY move DESC LIMIT 1;
  IF NEW.move <> coalesce(last.move, 0) + 1 OR NEW.from_release_id IS DISTINCT FROM last.to_release_id OR NEW.moved_at < last.moved_at THEN
    RAISE EXCEPTION 'a move of the pointer of hook % does not follow the one before it', NEW.hook_name USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION public.check_live_pointer() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.check_release_location() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.check_withdrawal() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
  last withdrawals;
BEGIN
  SELECT * INTO last FROM withdrawals WHERE record_id = NEW.record_id OR ingest_run_id = NEW.ingest_run_id ORDER BY number DESC LIMIT 1;
  IF NEW.number <> coalesce(last.number, 0) + 1 OR NEW.happened_at < last.happened_at THEN
    RAISE EXCEPTION 'a withdrawal or restore does not follow the one before it' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION public.column_definition(name text, type text, required boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
  IF name IS NULL OR name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
    RAISE EXCEPTION '% is no name of a column', quote_nullable(name) USING ERRCODE = 'invalid_name';
  END IF;
  IF type IS NULL OR type <> ALL (ARRAY['text', 'double precision', 'bigint', 'boolean', 'date', 'timestamptz', 'uuid', 'jsonb']) THEN
    RAISE EXCEPTION '% is no type of a column', quote_nullable(type) USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- %I would leave some words without quotes that are types or functions.
  RETURN '"' || name || '" ' || type || CASE WHEN required THEN ' NOT NULL' ELSE '' END;
END $_$;

CREATE FUNCTION public.contract_facts(contract jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT jsonb_build_array(contract ->> 'cardinality',
    (SELECT jsonb_agg(jsonb_build_array(c ->> 'name', c ->> 'json_type', c ->> 'format', c ->> 'required') ORDER BY n)
     FROM jsonb_array_elements(contract -> 'columns') WITH ORDINALITY AS columns (c, n)))
$$;

CREATE FUNCTION public.grant_application_role(application name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.grant_on_table(of regclass, application name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  -- The bits of pg_trigger.tgtype: 8 is DELETE, 16 is UPDATE.
  refused CONSTANT int := (SELECT coalesce(bit_or(tgtype::int), 0) FROM pg_trigger
                           WHERE tgrelid = of AND NOT tgisinternal AND tgqual IS NULL AND tgfoid = 'public.refuse_change()'::regprocedure);
BEGIN
  EXECUTE format('REVOKE ALL ON TABLE %s FROM %I', of, application);
  EXECUTE format('GRANT SELECT, INSERT%s%s ON TABLE %s TO %I',
    CASE WHEN refused & 16 = 0 THEN ', UPDATE' ELSE '' END, CASE WHEN refused & 8 = 0 THEN ', DELETE' ELSE '' END, of, application);
END $$;

CREATE FUNCTION public.hold_activity_log() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  LOCK TABLE public.activity_log IN SHARE ROW EXCLUSIVE MODE;
END $$;

CREATE FUNCTION public.keep_lease() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF current_setting('hallmark.ends_leases', true) IS DISTINCT FROM 'yes' THEN
    RETURN NULL;
  END IF;
  RETURN OLD;
END $$;

CREATE FUNCTION public.log_delegations_created() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE by_user CONSTANT uuid := acting_user_id(); by_account CONSTANT uuid := acting_service_account_id();
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'DelegationCreated', 'delegation:' || delegation_id, by_user, by_account,
         jsonb_build_object('delegation_id', delegation_id, 'task_id', task_id, 'caller_id', caller_id, 'callee_id', callee_id,
                            'status', status, 'retry_count', retry_count)
  FROM new_rows;
  RETURN NULL;
END $$;

CREATE FUNCTION public.log_delegations_moved() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE by_user CONSTANT uuid := acting_user_id(); by_account CONSTANT uuid := acting_service_account_id();
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'DelegationStatusChanged', 'delegation:' || n.delegation_id, by_user, by_account,
         jsonb_build_object('delegation_id', n.delegation_id, 'from', o.status, 'status', n.status, 'attempt', n.attempt)
  FROM new_rows n JOIN old_rows o ON o.delegation_id = n.delegation_id
  WHERE n.status <> o.status;
  RETURN NULL;
END $$;

CREATE FUNCTION public.log_position(id xid8) RETURNS xid8
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  SELECT (coalesce((SELECT max(xid_offset) FROM log_epochs), 0) + id::text::bigint)::text::xid8
$$;

CREATE FUNCTION public.log_tasks_created() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'TaskCreated', 'task:' || id, creator_user_id, creator_service_account_id,
         jsonb_build_object('task_id', id, 'kind', kind, 'status', status)
  FROM new_rows;
  RETURN NULL;
END $$;

CREATE FUNCTION public.log_tasks_moved() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE by_user CONSTANT uuid := acting_user_id(); by_account CONSTANT uuid := acting_service_account_id();
BEGIN
  INSERT INTO activity_log (kind, subject, actor_user_id, actor_service_account_id, payload)
  SELECT 'TaskStatusChanged', 'task:' || n.id, by_user, by_account,
         jsonb_build_object('task_id', n.id, 'from', o.status, 'status', n.status)
  FROM new_rows n JOIN old_rows o ON o.id = n.id
  WHERE n.status <> o.status;
  RETURN NULL;
END $$;

CREATE FUNCTION public.make_archive_month(at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  begins CONSTANT timestamptz := date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
  ends CONSTANT timestamptz := (date_trunc('month', at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
  partition CONSTANT text := 'delegations_archive_' || to_char(at AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
  IF to_regclass('public.' || partition) IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtext('delegations_archive'));
    -- Another session may have made it while this one waited.
    IF to_regclass('public.' || partition) IS NULL THEN
      EXECUTE format('CREATE TABLE public.%I PARTITION OF public.delegations_archive FOR VALUES FROM (%L) TO (%L)', partition, begins, ends);
      EXECUTE format('CREATE TRIGGER tr_delegations_archive_kept BEFORE TRUNCATE ON public.%I FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()', partition);
    END IF;
  END IF;
END $$;

CREATE FUNCTION public.make_feature_table(hook text, names text[], types text[], required boolean[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
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
END $_$;

CREATE FUNCTION public.only_acknowledge() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.only_supersede() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF OLD.superseded_by IS NOT NULL OR to_jsonb(NEW) - 'superseded_by' <> to_jsonb(OLD) - 'superseded_by' THEN
    RAISE EXCEPTION 'a row of feature table % can only be superseded, and only once', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  RAISE EXCEPTION '% of table % is refused: its rows are immutable', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION public.refuse_row_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  RAISE EXCEPTION '% of table % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION public.sync_metadata_table(table_name text, names text[], types text[], required boolean[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $_$
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
END $_$;

CREATE FUNCTION public.withdrawal_of(of_record uuid, of_run uuid) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
  SELECT coalesce(
    (SELECT CASE WHEN withdraws THEN id END FROM withdrawals WHERE record_id = of_record ORDER BY number DESC LIMIT 1),
    (SELECT CASE WHEN withdraws THEN id END FROM withdrawals WHERE ingest_run_id = of_run ORDER BY number DESC LIMIT 1))
$$;

CREATE TABLE public.activity_log (
    transaction_id xid8 DEFAULT public.log_position(pg_current_xact_id()) NOT NULL,
    sequence bigint NOT NULL,
    id uuid,
    kind text NOT NULL,
    subject text NOT NULL,
    actor_user_id uuid,
    actor_service_account_id uuid,
    payload jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_activity_log_one_actor CHECK ((num_nonnulls(actor_user_id, actor_service_account_id) <= 1))
);

ALTER TABLE public.activity_log ALTER COLUMN sequence ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.activity_log_sequence_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.callee_callers (
    callee_id text NOT NULL,
    callers text[] NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_callee_callers_null CHECK ((array_position(callers, NULL::text) IS NULL)),
    CONSTRAINT ck_callee_callers_size CHECK ((cardinality(callers) <= 1000))
);

CREATE TABLE public.convention_hooks (
    convention_slug text NOT NULL,
    "position" integer NOT NULL,
    hook_name text NOT NULL
);

CREATE TABLE public.conventions (
    slug text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    schema_id text NOT NULL,
    schema_version text NOT NULL,
    file_requirements jsonb NOT NULL,
    ingester jsonb,
    docs jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    curation text,
    CONSTRAINT ck_conventions_curation CHECK ((curation = 'required'::text))
);

CREATE TABLE public.delegation_archive_ids (
    delegation_id text NOT NULL,
    caller_id text NOT NULL,
    idempotency_key text,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE public.delegation_attempts (
    delegation_id text NOT NULL,
    attempt bigint NOT NULL,
    event text NOT NULL,
    worker_id text,
    detail text,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ck_delegation_attempts_event CHECK ((event = ANY (ARRAY['claimed'::text, 'completed'::text, 'failed'::text, 'stuck'::text, 'refused-late'::text])))
);

CREATE TABLE public.delegation_inbox (
    message_id bigint NOT NULL,
    caller_id text NOT NULL,
    delegation_id text NOT NULL,
    attempt bigint NOT NULL,
    kind text NOT NULL,
    result jsonb,
    error_detail text,
    redelegated_as text,
    arrived_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    acknowledged_at timestamp with time zone,
    CONSTRAINT ck_delegation_inbox_kind CHECK ((kind = ANY (ARRAY['completed'::text, 'failed'::text, 'stuck'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0.02');

ALTER TABLE public.delegation_inbox ALTER COLUMN message_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.delegation_inbox_message_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.delegation_leases (
    delegation_id text NOT NULL,
    attempt bigint NOT NULL,
    worker_id text NOT NULL,
    boot_id uuid NOT NULL,
    last_heartbeat timestamp with time zone NOT NULL,
    deadline timestamp with time zone NOT NULL,
    callee_id text,
    progress text,
    progress_at timestamp with time zone,
    waits boolean DEFAULT false NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.delegation_ready (
    callee_id text NOT NULL,
    ready_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    delegation_id text NOT NULL,
    deadline timestamp with time zone
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.delegations (
    delegation_id text NOT NULL,
    task_id uuid,
    caller_id text NOT NULL,
    callee_id text NOT NULL,
    task_preview text,
    status text DEFAULT 'queued'::text NOT NULL,
    attempt bigint DEFAULT 0 NOT NULL,
    last_heartbeat timestamp with time zone,
    deadline timestamp with time zone DEFAULT (now() + '06:00:00'::interval) NOT NULL,
    result_preview text,
    error_detail text,
    retry_count integer DEFAULT 0 NOT NULL,
    idempotency_key text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    input jsonb,
    request_hash bytea,
    max_retries bigint,
    retry_of text,
    parent_id text,
    root_id text,
    depth bigint,
    CONSTRAINT ck_delegations_status CHECK ((status = ANY (ARRAY['queued'::text, 'dispatched'::text, 'in_progress'::text, 'completed'::text, 'failed'::text, 'stuck'::text])))
)
WITH (fillfactor='75', autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');

CREATE TABLE public.delegations_archive (
    delegation_id text NOT NULL,
    task_id uuid,
    caller_id text NOT NULL,
    callee_id text NOT NULL,
    task_preview text,
    status text NOT NULL,
    attempt bigint NOT NULL,
    last_heartbeat timestamp with time zone,
    deadline timestamp with time zone NOT NULL,
    result_preview text,
    result jsonb,
    error_detail text,
    retry_count bigint NOT NULL,
    idempotency_key text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    input jsonb,
    request_hash bytea,
    max_retries bigint,
    retry_of text,
    parent_id text,
    root_id text,
    depth bigint,
    archived_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_delegations_archive_status CHECK ((status = ANY (ARRAY['completed'::text, 'failed'::text, 'stuck'::text])))
)
PARTITION BY RANGE (created_at);

CREATE TABLE public.deposition_files (
    deposition_id text NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    bytes bigint NOT NULL,
    sha256 bytea NOT NULL,
    uploaded_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.depositions (
    id text NOT NULL,
    convention_slug text NOT NULL,
    owner_user_id uuid NOT NULL,
    status text DEFAULT 'draft'::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    submissions bigint DEFAULT 0 NOT NULL,
    record_srn text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_depositions_accepted CHECK (((status = 'accepted'::text) = (record_srn IS NOT NULL))),
    CONSTRAINT ck_depositions_status CHECK ((status = ANY (ARRAY['draft'::text, 'in_validation'::text, 'in_review'::text, 'accepted'::text])))
);

CREATE TABLE public.device_authorizations (
    device_code_hash bytea NOT NULL,
    user_code text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    user_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    client_hash bytea,
    CONSTRAINT ck_device_authorizations_hash CHECK ((octet_length(device_code_hash) = 32)),
    CONSTRAINT ck_device_authorizations_status CHECK ((status = ANY (ARRAY['pending'::text, 'authorized'::text, 'consumed'::text]))),
    CONSTRAINT ck_device_authorizations_user CHECK (((status = 'pending'::text) = (user_id IS NULL)))
);

CREATE TABLE public.file_store (
    only_one boolean DEFAULT true NOT NULL,
    id uuid NOT NULL,
    CONSTRAINT ck_file_store_only_one CHECK (only_one)
);

CREATE TABLE public.hook_checkpoints (
    run_id uuid NOT NULL,
    oom_retries bigint NOT NULL,
    key text NOT NULL,
    duration_s double precision NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.hook_live_moves (
    hook_name text NOT NULL,
    move integer NOT NULL,
    from_release_id uuid,
    to_release_id uuid NOT NULL,
    reason text,
    moved_by_user_id uuid,
    moved_by_service_account_id uuid,
    moved_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ck_hook_live_moves_move CHECK ((move > 0)),
    CONSTRAINT ck_hook_live_moves_one_mover CHECK ((num_nonnulls(moved_by_user_id, moved_by_service_account_id) <= 1))
);

CREATE TABLE public.hook_release_locations (
    hook_name text NOT NULL,
    release_id uuid NOT NULL,
    "position" bigint NOT NULL,
    image text NOT NULL,
    registered_by_user_id uuid,
    registered_by_service_account_id uuid,
    registered_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ck_hook_release_locations_one_actor CHECK ((num_nonnulls(registered_by_user_id, registered_by_service_account_id) = 1)),
    CONSTRAINT ck_hook_release_locations_position CHECK (("position" > 1))
);

CREATE TABLE public.hook_release_yanks (
    hook_name text NOT NULL,
    release_id uuid NOT NULL,
    change integer NOT NULL,
    yanked boolean NOT NULL,
    reason text,
    changed_by_user_id uuid,
    changed_by_service_account_id uuid,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ck_hook_release_yanks_one_actor CHECK ((num_nonnulls(changed_by_user_id, changed_by_service_account_id) = 1)),
    CONSTRAINT ck_hook_release_yanks_reason CHECK (((NOT yanked) OR (reason IS NOT NULL))),
    CONSTRAINT ck_hook_release_yanks_turns CHECK (((change > 0) AND (yanked = ((change % 2) = 1))))
);

CREATE TABLE public.hook_releases (
    id uuid NOT NULL,
    hook_name text NOT NULL,
    version integer NOT NULL,
    image text NOT NULL,
    digest text NOT NULL,
    config jsonb NOT NULL,
    limits jsonb NOT NULL,
    content_key bytea NOT NULL,
    source_ref text NOT NULL,
    built_by_user_id uuid,
    built_by_service_account_id uuid,
    built_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_hook_releases_one_builder CHECK ((num_nonnulls(built_by_user_id, built_by_service_account_id) = 1)),
    CONSTRAINT ck_hook_releases_version CHECK ((version > 0))
);

CREATE TABLE public.hook_runs (
    id uuid NOT NULL,
    release_id uuid NOT NULL,
    status text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    duration_s double precision NOT NULL,
    oom_retries integer NOT NULL,
    worker text NOT NULL,
    log_ref text,
    failure text,
    passed bigint,
    rejected bigint,
    errored bigint,
    location bigint DEFAULT 1 NOT NULL,
    CONSTRAINT ck_hook_runs_oom_retries CHECK (((oom_retries >= 0) AND (oom_retries <= 3))),
    CONSTRAINT ck_hook_runs_status CHECK ((status = ANY (ARRAY['passed'::text, 'failed'::text, 'error'::text])))
);

CREATE TABLE public.hooks (
    name text NOT NULL,
    contract jsonb NOT NULL,
    live_release_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_hooks_name CHECK ((name ~ '^[a-z][a-z0-9_]{0,39}$'::text))
);

CREATE TABLE public.ingest_batches (
    ingest_run_id uuid NOT NULL,
    batch integer NOT NULL,
    task_id uuid NOT NULL,
    records integer NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    CONSTRAINT ck_ingest_batches_status CHECK ((status = ANY (ARRAY['queued'::text, 'completed'::text, 'failed'::text])))
);

CREATE TABLE public.ingest_files (
    ingest_run_id uuid NOT NULL,
    source_id text NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    bytes bigint NOT NULL,
    sha256 bytea NOT NULL
);

CREATE TABLE public.ingest_pulls (
    ingest_run_id uuid NOT NULL,
    pull bigint NOT NULL,
    task_id uuid NOT NULL,
    records bigint NOT NULL,
    refused bigint NOT NULL,
    failure_kind text,
    failure_reason text,
    log_ref text,
    image text NOT NULL,
    digest text NOT NULL,
    source_ref text NOT NULL,
    duration_s double precision NOT NULL,
    finished_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.ingest_push_refusals (
    ingest_run_id uuid NOT NULL,
    place bigint NOT NULL,
    upload bigint NOT NULL,
    line bigint NOT NULL,
    digest bytea NOT NULL,
    source_id text,
    faults jsonb NOT NULL,
    refused_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.ingest_records (
    ingest_run_id uuid NOT NULL,
    source_id text NOT NULL,
    seq bigint NOT NULL,
    upload integer NOT NULL,
    line bigint NOT NULL,
    metadata jsonb NOT NULL,
    bytes integer NOT NULL,
    content_hash bytea NOT NULL,
    batch integer,
    outcome text,
    hook_name text,
    reason text,
    record_srn text,
    CONSTRAINT ck_ingest_records_outcome CHECK ((outcome = ANY (ARRAY['published'::text, 'unchanged'::text, 'rejected'::text, 'errored'::text])))
);

ALTER TABLE public.ingest_records ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ingest_records_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.ingest_refusals (
    ingest_run_id uuid NOT NULL,
    pull bigint NOT NULL,
    line bigint NOT NULL,
    source_id text,
    reason text NOT NULL
);

CREATE TABLE public.ingest_runs (
    id uuid NOT NULL,
    convention_slug text NOT NULL,
    mode text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    schema_id text NOT NULL,
    schema_version text NOT NULL,
    batch_size integer NOT NULL,
    record_limit bigint,
    ingestion_finished boolean DEFAULT false NOT NULL,
    uploads integer DEFAULT 0 NOT NULL,
    received bigint DEFAULT 0 NOT NULL,
    unchanged bigint DEFAULT 0 NOT NULL,
    batches_ingested integer DEFAULT 0 NOT NULL,
    batches_completed integer DEFAULT 0 NOT NULL,
    batches_failed integer DEFAULT 0 NOT NULL,
    published bigint DEFAULT 0 NOT NULL,
    rejected bigint DEFAULT 0 NOT NULL,
    errored bigint DEFAULT 0 NOT NULL,
    failure_kind text,
    failure_reason text,
    opened_by_user_id uuid,
    opened_by_service_account_id uuid,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    completed_at timestamp with time zone,
    session jsonb,
    pulls bigint DEFAULT 0 NOT NULL,
    pulled bigint DEFAULT 0 NOT NULL,
    refused bigint DEFAULT 0 NOT NULL,
    since timestamp with time zone,
    scheduled_for timestamp with time zone,
    CONSTRAINT ck_ingest_runs_batch_size CHECK ((batch_size > 0)),
    CONSTRAINT ck_ingest_runs_mode CHECK ((mode = ANY (ARRAY['push'::text, 'pull'::text]))),
    CONSTRAINT ck_ingest_runs_status CHECK ((status = ANY (ARRAY['pending'::text, 'running'::text, 'completed'::text, 'failed'::text])))
);

CREATE TABLE public.ingest_uploads (
    ingest_run_id uuid NOT NULL,
    upload integer NOT NULL,
    pushed_by_user_id uuid,
    pushed_by_service_account_id uuid,
    started_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.log_epochs (
    xid_offset bigint NOT NULL,
    opened_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT log_epochs_xid_offset_check CHECK ((xid_offset > 0))
);

CREATE TABLE public.metadata_tables (
    table_name text NOT NULL,
    schema_id text NOT NULL,
    major bigint NOT NULL
);

CREATE TABLE public.record_heads (
    record_id uuid NOT NULL,
    srn text,
    version integer NOT NULL
);

CREATE TABLE public.records (
    srn text NOT NULL,
    id uuid NOT NULL,
    version integer NOT NULL,
    convention_slug text NOT NULL,
    schema_id text NOT NULL,
    schema_version text NOT NULL,
    metadata jsonb NOT NULL,
    content_hash bytea NOT NULL,
    source_kind text NOT NULL,
    source_id text NOT NULL,
    ingest_run_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_records_source CHECK ((source_kind = ANY (ARRAY['ingest'::text, 'deposition'::text]))),
    CONSTRAINT ck_records_version CHECK ((version > 0))
);

CREATE TABLE public.refresh_token_families (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    revoked_at timestamp with time zone,
    revoked_for text
);

CREATE TABLE public.refresh_tokens (
    token_hash bytea NOT NULL,
    family_id uuid NOT NULL,
    user_id uuid NOT NULL,
    issued_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT ck_refresh_tokens_hash CHECK ((octet_length(token_hash) = 32))
);

CREATE TABLE public.release_pins (
    run_id uuid NOT NULL,
    task_id uuid NOT NULL,
    "position" integer NOT NULL,
    hook_name text NOT NULL,
    release_id uuid NOT NULL
);

CREATE TABLE public.role_assignments (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text NOT NULL,
    assigned_by uuid,
    assigned_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_role_assignments_role CHECK ((role = ANY (ARRAY['public'::text, 'depositor'::text, 'curator'::text, 'admin'::text, 'superadmin'::text])))
);

CREATE TABLE public.schema_features (
    schema_id text NOT NULL,
    schema_version text NOT NULL,
    hook_name text NOT NULL
);

CREATE TABLE public.schemas (
    id text NOT NULL,
    version text NOT NULL,
    major bigint NOT NULL,
    title text NOT NULL,
    fields jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.service_accounts (
    id uuid NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    first_seen timestamp with time zone DEFAULT now() NOT NULL,
    last_seen timestamp with time zone DEFAULT now() NOT NULL,
    disabled_at timestamp with time zone,
    disabled_by uuid,
    disabled_reason text
);

CREATE TABLE public.submission_results (
    task_id uuid NOT NULL,
    run_id uuid NOT NULL,
    "position" bigint NOT NULL,
    hook_name text NOT NULL,
    outcome text NOT NULL,
    reason text,
    key text,
    CONSTRAINT ck_submission_results_outcome CHECK ((outcome = ANY (ARRAY['passed'::text, 'rejected'::text, 'errored'::text])))
);

CREATE TABLE public.submissions (
    task_id uuid NOT NULL,
    deposition_id text NOT NULL,
    number bigint NOT NULL,
    metadata jsonb NOT NULL,
    schema_id text NOT NULL,
    schema_version text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    reasons jsonb DEFAULT '[]'::jsonb NOT NULL,
    curated_by_user_id uuid,
    curated_at timestamp with time zone,
    submitted_at timestamp with time zone DEFAULT now() NOT NULL,
    completed_at timestamp with time zone,
    CONSTRAINT ck_submissions_status CHECK ((status = ANY (ARRAY['pending'::text, 'running'::text, 'completed'::text, 'rejected'::text, 'failed'::text])))
);

CREATE TABLE public.supersessions (
    run_id uuid NOT NULL,
    superseded_at timestamp with time zone NOT NULL
);

CREATE TABLE public.task_crashes (
    delegation_id text NOT NULL,
    attempt bigint NOT NULL,
    task_id uuid NOT NULL,
    worker_id text NOT NULL,
    crashed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.task_grants (
    task_id uuid NOT NULL,
    grantee_user_id uuid,
    grantee_service_account_id uuid,
    can_operate boolean NOT NULL,
    task_created_at timestamp with time zone NOT NULL,
    granted_by_user_id uuid,
    granted_by_service_account_id uuid,
    granted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_task_grants_one_grantee CHECK ((num_nonnulls(grantee_user_id, grantee_service_account_id) = 1))
);

CREATE TABLE public.tasks (
    id uuid NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    params jsonb NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    creator_user_id uuid,
    creator_service_account_id uuid,
    idempotency_key text,
    request_hash bytea,
    status_detail text,
    CONSTRAINT ck_tasks_at_most_one_creator CHECK (((creator_user_id IS NULL) OR (creator_service_account_id IS NULL))),
    CONSTRAINT ck_tasks_status CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);

CREATE TABLE public.users (
    id uuid NOT NULL,
    provider text NOT NULL,
    external_id text NOT NULL,
    display_name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.withdrawal_progress (
    ingest_run_id uuid NOT NULL,
    after_source text DEFAULT ''::text NOT NULL,
    changed bigint DEFAULT 0 NOT NULL,
    finished_at timestamp with time zone
);

CREATE TABLE public.withdrawals (
    record_id uuid,
    ingest_run_id uuid,
    number bigint NOT NULL,
    withdraws boolean NOT NULL,
    reason text,
    actor_user_id uuid,
    actor_service_account_id uuid,
    happened_at timestamp with time zone NOT NULL,
    id bigint NOT NULL,
    CONSTRAINT ck_withdrawals_one_actor CHECK ((num_nonnulls(actor_user_id, actor_service_account_id) = 1)),
    CONSTRAINT ck_withdrawals_reason CHECK (((NOT withdraws) OR (reason IS NOT NULL))),
    CONSTRAINT ck_withdrawals_subject CHECK ((num_nonnulls(record_id, ingest_run_id) = 1)),
    CONSTRAINT ck_withdrawals_turns CHECK (((number > 0) AND (withdraws = ((number % (2)::bigint) = 1))))
);

ALTER TABLE public.withdrawals ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.withdrawals_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.activity_log
    ADD CONSTRAINT activity_log_pkey PRIMARY KEY (transaction_id, sequence);

ALTER TABLE ONLY public.callee_callers
    ADD CONSTRAINT callee_callers_pkey PRIMARY KEY (callee_id);

ALTER TABLE ONLY public.convention_hooks
    ADD CONSTRAINT convention_hooks_pkey PRIMARY KEY (convention_slug, "position");

ALTER TABLE ONLY public.conventions
    ADD CONSTRAINT conventions_pkey PRIMARY KEY (slug);

ALTER TABLE ONLY public.delegation_archive_ids
    ADD CONSTRAINT delegation_archive_ids_pkey PRIMARY KEY (delegation_id);

ALTER TABLE ONLY public.delegation_inbox
    ADD CONSTRAINT delegation_inbox_pkey PRIMARY KEY (message_id);

ALTER TABLE ONLY public.delegation_leases
    ADD CONSTRAINT delegation_leases_pkey PRIMARY KEY (delegation_id);

ALTER TABLE ONLY public.delegation_ready
    ADD CONSTRAINT delegation_ready_pkey PRIMARY KEY (callee_id, ready_at, delegation_id);

ALTER TABLE ONLY public.delegations
    ADD CONSTRAINT delegations_pkey PRIMARY KEY (delegation_id);

ALTER TABLE ONLY public.deposition_files
    ADD CONSTRAINT deposition_files_pkey PRIMARY KEY (deposition_id, name);

ALTER TABLE ONLY public.depositions
    ADD CONSTRAINT depositions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.device_authorizations
    ADD CONSTRAINT device_authorizations_pkey PRIMARY KEY (device_code_hash);

ALTER TABLE ONLY public.file_store
    ADD CONSTRAINT file_store_pkey PRIMARY KEY (only_one);

ALTER TABLE ONLY public.hook_checkpoints
    ADD CONSTRAINT hook_checkpoints_pkey PRIMARY KEY (run_id, oom_retries);

ALTER TABLE ONLY public.hook_live_moves
    ADD CONSTRAINT hook_live_moves_pkey PRIMARY KEY (hook_name, move);

ALTER TABLE ONLY public.hook_release_locations
    ADD CONSTRAINT hook_release_locations_pkey PRIMARY KEY (release_id, "position");

ALTER TABLE ONLY public.hook_release_yanks
    ADD CONSTRAINT hook_release_yanks_pkey PRIMARY KEY (release_id, change);

ALTER TABLE ONLY public.hook_releases
    ADD CONSTRAINT hook_releases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.hook_runs
    ADD CONSTRAINT hook_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.hooks
    ADD CONSTRAINT hooks_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.ingest_batches
    ADD CONSTRAINT ingest_batches_pkey PRIMARY KEY (ingest_run_id, batch);

ALTER TABLE ONLY public.ingest_files
    ADD CONSTRAINT ingest_files_pkey PRIMARY KEY (ingest_run_id, source_id, name);

ALTER TABLE ONLY public.ingest_pulls
    ADD CONSTRAINT ingest_pulls_pkey PRIMARY KEY (ingest_run_id, pull);

ALTER TABLE ONLY public.ingest_push_refusals
    ADD CONSTRAINT ingest_push_refusals_ingest_run_id_line_digest_key UNIQUE (ingest_run_id, line, digest);

ALTER TABLE ONLY public.ingest_push_refusals
    ADD CONSTRAINT ingest_push_refusals_pkey PRIMARY KEY (ingest_run_id, place);

ALTER TABLE ONLY public.ingest_records
    ADD CONSTRAINT ingest_records_pkey PRIMARY KEY (ingest_run_id, source_id);

ALTER TABLE ONLY public.ingest_refusals
    ADD CONSTRAINT ingest_refusals_pkey PRIMARY KEY (ingest_run_id, pull, line);

ALTER TABLE ONLY public.ingest_runs
    ADD CONSTRAINT ingest_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ingest_uploads
    ADD CONSTRAINT ingest_uploads_pkey PRIMARY KEY (ingest_run_id, upload);

ALTER TABLE ONLY public.log_epochs
    ADD CONSTRAINT log_epochs_pkey PRIMARY KEY (xid_offset);

ALTER TABLE ONLY public.metadata_tables
    ADD CONSTRAINT metadata_tables_pkey PRIMARY KEY (table_name);

ALTER TABLE ONLY public.record_heads
    ADD CONSTRAINT record_heads_pkey PRIMARY KEY (record_id);

ALTER TABLE ONLY public.records
    ADD CONSTRAINT records_pkey PRIMARY KEY (srn);

ALTER TABLE ONLY public.refresh_token_families
    ADD CONSTRAINT refresh_token_families_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.release_pins
    ADD CONSTRAINT release_pins_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.role_assignments
    ADD CONSTRAINT role_assignments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schema_features
    ADD CONSTRAINT schema_features_pkey PRIMARY KEY (schema_id, schema_version, hook_name);

ALTER TABLE ONLY public.schemas
    ADD CONSTRAINT schemas_pkey PRIMARY KEY (id, version);

ALTER TABLE ONLY public.service_accounts
    ADD CONSTRAINT service_accounts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.submission_results
    ADD CONSTRAINT submission_results_pkey PRIMARY KEY (task_id, run_id);

ALTER TABLE ONLY public.submissions
    ADD CONSTRAINT submissions_pkey PRIMARY KEY (task_id);

ALTER TABLE ONLY public.supersessions
    ADD CONSTRAINT supersessions_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.task_crashes
    ADD CONSTRAINT task_crashes_pkey PRIMARY KEY (delegation_id, attempt);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.convention_hooks
    ADD CONSTRAINT uq_convention_hooks_hook UNIQUE (convention_slug, hook_name);

ALTER TABLE ONLY public.delegation_inbox
    ADD CONSTRAINT uq_delegation_inbox_delegation UNIQUE (delegation_id);

ALTER TABLE ONLY public.device_authorizations
    ADD CONSTRAINT uq_device_authorizations_user_code UNIQUE (user_code);

ALTER TABLE ONLY public.hook_releases
    ADD CONSTRAINT uq_hook_releases_content UNIQUE (hook_name, content_key);

ALTER TABLE ONLY public.hook_releases
    ADD CONSTRAINT uq_hook_releases_hook_id UNIQUE (hook_name, id);

ALTER TABLE ONLY public.hook_releases
    ADD CONSTRAINT uq_hook_releases_version UNIQUE (hook_name, version);

ALTER TABLE ONLY public.ingest_batches
    ADD CONSTRAINT uq_ingest_batches_task UNIQUE (task_id);

ALTER TABLE ONLY public.metadata_tables
    ADD CONSTRAINT uq_metadata_tables_schema_major UNIQUE (schema_id, major);

ALTER TABLE ONLY public.record_heads
    ADD CONSTRAINT uq_record_heads_srn UNIQUE (srn);

ALTER TABLE ONLY public.records
    ADD CONSTRAINT uq_records_version UNIQUE (id, version);

ALTER TABLE ONLY public.release_pins
    ADD CONSTRAINT uq_release_pins_hook UNIQUE (task_id, hook_name);

ALTER TABLE ONLY public.role_assignments
    ADD CONSTRAINT uq_role_assignments_user_role UNIQUE (user_id, role);

ALTER TABLE ONLY public.service_accounts
    ADD CONSTRAINT uq_service_accounts_issuer_subject UNIQUE (issuer, subject);

ALTER TABLE ONLY public.submissions
    ADD CONSTRAINT uq_submissions_number UNIQUE (deposition_id, number);

ALTER TABLE ONLY public.task_grants
    ADD CONSTRAINT uq_task_grants_service_account UNIQUE (task_id, grantee_service_account_id);

ALTER TABLE ONLY public.task_grants
    ADD CONSTRAINT uq_task_grants_user UNIQUE (task_id, grantee_user_id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_identity UNIQUE (provider, external_id);

ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT uq_withdrawals_record UNIQUE (record_id, number);

ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT uq_withdrawals_run UNIQUE (ingest_run_id, number);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.withdrawal_progress
    ADD CONSTRAINT withdrawal_progress_pkey PRIMARY KEY (ingest_run_id);

ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT withdrawals_pkey PRIMARY KEY (id);

CREATE INDEX idx_delegations_callee_created ON public.delegations USING btree (callee_id, created_at DESC);

CREATE INDEX idx_delegations_caller_created ON public.delegations USING btree (caller_id, created_at DESC);

CREATE INDEX idx_delegations_final ON public.delegations USING btree (updated_at) WHERE (status = ANY (ARRAY['completed'::text, 'failed'::text, 'stuck'::text]));

CREATE UNIQUE INDEX idx_delegations_idempotency ON public.delegations USING btree (caller_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX idx_delegations_inflight_callee ON public.delegations USING btree (callee_id, created_at DESC, delegation_id DESC) WHERE (status = ANY (ARRAY['queued'::text, 'dispatched'::text, 'in_progress'::text]));

CREATE INDEX idx_delegations_inflight_caller ON public.delegations USING btree (caller_id, created_at DESC, delegation_id DESC) WHERE (status = ANY (ARRAY['queued'::text, 'dispatched'::text, 'in_progress'::text]));

CREATE INDEX idx_delegations_inflight_heartbeat ON public.delegations USING btree (last_heartbeat) WHERE (status = ANY (ARRAY['queued'::text, 'dispatched'::text, 'in_progress'::text]));

CREATE UNIQUE INDEX idx_delegations_retry_of ON public.delegations USING btree (retry_of) WHERE (retry_of IS NOT NULL);

CREATE INDEX idx_delegations_stuck ON public.delegations USING btree (created_at DESC, delegation_id DESC) WHERE (status = 'stuck'::text);

CREATE INDEX idx_delegations_stuck_callee ON public.delegations USING btree (callee_id, created_at DESC, delegation_id DESC) WHERE (status = 'stuck'::text);

CREATE INDEX idx_delegations_stuck_caller ON public.delegations USING btree (caller_id, created_at DESC, delegation_id DESC) WHERE (status = 'stuck'::text);

CREATE INDEX idx_delegations_task ON public.delegations USING btree (task_id);

CREATE INDEX ix_activity_log_actor ON public.activity_log USING btree (COALESCE(actor_user_id, actor_service_account_id), transaction_id, sequence) WHERE ((actor_user_id IS NOT NULL) OR (actor_service_account_id IS NOT NULL));

CREATE INDEX ix_activity_log_subject ON public.activity_log USING btree (subject, transaction_id, sequence);

CREATE INDEX ix_delegation_archive_ids_key ON public.delegation_archive_ids USING btree (caller_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX ix_delegation_attempts_delegation ON public.delegation_attempts USING btree (delegation_id, at);

CREATE INDEX ix_delegation_inbox_acknowledged ON public.delegation_inbox USING btree (acknowledged_at) WHERE (acknowledged_at IS NOT NULL);

CREATE INDEX ix_delegation_inbox_waiting ON public.delegation_inbox USING btree (caller_id, message_id) WHERE (acknowledged_at IS NULL);

CREATE INDEX ix_delegation_ready_deadline ON public.delegation_ready USING btree (deadline) WHERE (deadline IS NOT NULL);

CREATE INDEX ix_delegations_archive_callee ON ONLY public.delegations_archive USING btree (callee_id, created_at DESC, delegation_id DESC);

CREATE INDEX ix_delegations_archive_caller ON ONLY public.delegations_archive USING btree (caller_id, created_at DESC, delegation_id DESC);

CREATE INDEX ix_delegations_archive_id ON ONLY public.delegations_archive USING btree (delegation_id);

CREATE INDEX ix_delegations_archive_task ON ONLY public.delegations_archive USING btree (task_id) WHERE (task_id IS NOT NULL);

CREATE INDEX ix_depositions_created ON public.depositions USING btree (created_at DESC, id DESC);

CREATE INDEX ix_depositions_owner ON public.depositions USING btree (owner_user_id, created_at DESC, id DESC);

CREATE INDEX ix_depositions_record ON public.depositions USING btree (record_srn) WHERE (record_srn IS NOT NULL);

CREATE INDEX ix_device_authorizations_expires ON public.device_authorizations USING btree (expires_at);

CREATE INDEX ix_hook_live_moves_at ON public.hook_live_moves USING btree (hook_name, moved_at, move);

CREATE INDEX ix_hook_runs_release ON public.hook_runs USING btree (release_id);

CREATE INDEX ix_hook_runs_release_order ON public.hook_runs USING btree (release_id, id);

CREATE INDEX ix_ingest_records_batch ON public.ingest_records USING btree (ingest_run_id, batch);

CREATE INDEX ix_ingest_records_record ON public.ingest_records USING btree (record_srn) WHERE (record_srn IS NOT NULL);

CREATE INDEX ix_ingest_records_refused ON public.ingest_records USING btree (ingest_run_id, outcome, seq) WHERE (outcome = ANY (ARRAY['rejected'::text, 'errored'::text]));

CREATE INDEX ix_ingest_records_waiting ON public.ingest_records USING btree (ingest_run_id, seq) WHERE ((batch IS NULL) AND (outcome IS NULL));

CREATE INDEX ix_ingest_runs_convention ON public.ingest_runs USING btree (convention_slug, started_at DESC);

CREATE INDEX ix_ingest_runs_started ON public.ingest_runs USING btree (started_at DESC, id DESC);

CREATE INDEX ix_record_heads_withdrawn ON public.record_heads USING btree (record_id) WHERE (srn IS NULL);

CREATE INDEX ix_records_schema ON public.records USING btree (schema_id, created_at DESC, srn DESC);

CREATE INDEX ix_refresh_tokens_expires ON public.refresh_tokens USING btree (expires_at);

CREATE INDEX ix_refresh_tokens_family ON public.refresh_tokens USING btree (family_id);

CREATE INDEX ix_task_crashes_task ON public.task_crashes USING btree (task_id);

CREATE INDEX ix_task_grants_service_account ON public.task_grants USING btree (grantee_service_account_id, task_created_at DESC, task_id DESC) WHERE (grantee_service_account_id IS NOT NULL);

CREATE INDEX ix_task_grants_user ON public.task_grants USING btree (grantee_user_id, task_created_at DESC, task_id DESC) WHERE (grantee_user_id IS NOT NULL);

CREATE INDEX ix_tasks_created ON public.tasks USING btree (created_at DESC, id DESC);

CREATE INDEX ix_tasks_creator_service_account_id ON public.tasks USING btree (creator_service_account_id, created_at DESC) WHERE (creator_service_account_id IS NOT NULL);

CREATE INDEX ix_tasks_creator_user_id ON public.tasks USING btree (creator_user_id, created_at DESC) WHERE (creator_user_id IS NOT NULL);

CREATE UNIQUE INDEX ix_tasks_service_account_idempotency ON public.tasks USING btree (creator_service_account_id, idempotency_key) WHERE ((creator_service_account_id IS NOT NULL) AND (idempotency_key IS NOT NULL));

CREATE UNIQUE INDEX ix_tasks_user_idempotency ON public.tasks USING btree (creator_user_id, idempotency_key) WHERE ((creator_user_id IS NOT NULL) AND (idempotency_key IS NOT NULL));

CREATE UNIQUE INDEX uq_delegation_attempts_claimed ON public.delegation_attempts USING btree (delegation_id, attempt) WHERE (event = 'claimed'::text);

CREATE UNIQUE INDEX uq_ingest_runs_active ON public.ingest_runs USING btree (convention_slug) WHERE (status = ANY (ARRAY['pending'::text, 'running'::text]));

CREATE UNIQUE INDEX uq_ingest_runs_schedule ON public.ingest_runs USING btree (convention_slug, scheduled_for) WHERE (scheduled_for IS NOT NULL);

CREATE TRIGGER tr_activity_log_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.activity_log FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_conventions_facts BEFORE UPDATE OF slug, created_at ON public.conventions FOR EACH ROW WHEN (((old.slug IS DISTINCT FROM new.slug) OR (old.created_at IS DISTINCT FROM new.created_at))) EXECUTE FUNCTION public.refuse_row_change('which convention it is never changes');

CREATE TRIGGER tr_conventions_kept BEFORE DELETE OR TRUNCATE ON public.conventions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_delegation_archive_ids_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.delegation_archive_ids FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_delegation_attempts_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.delegation_attempts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_delegation_inbox_acknowledge BEFORE DELETE OR UPDATE ON public.delegation_inbox FOR EACH ROW EXECUTE FUNCTION public.only_acknowledge();

CREATE TRIGGER tr_delegation_inbox_kept BEFORE TRUNCATE ON public.delegation_inbox FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_delegation_leases_keep BEFORE DELETE ON public.delegation_leases FOR EACH ROW WHEN ((old.callee_id !~~ 'hallmark:%'::text)) EXECUTE FUNCTION public.keep_lease();

CREATE TRIGGER tr_delegations_archive_immutable BEFORE DELETE OR UPDATE ON public.delegations_archive FOR EACH ROW EXECUTE FUNCTION public.refuse_row_change('its rows are immutable');

CREATE TRIGGER tr_delegations_archive_kept BEFORE TRUNCATE ON public.delegations_archive FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_delegations_archived AFTER DELETE ON public.delegations REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.check_delegations_archived();

CREATE TRIGGER tr_delegations_ended BEFORE UPDATE ON public.delegations FOR EACH ROW WHEN (((old.status = ANY (ARRAY['completed'::text, 'failed'::text, 'stuck'::text])) AND (old.* IS DISTINCT FROM new.*))) EXECUTE FUNCTION public.refuse_row_change('the delegation has ended');

CREATE TRIGGER tr_delegations_facts BEFORE UPDATE OF delegation_id, task_id, caller_id, callee_id, created_at, idempotency_key, retry_of, parent_id, root_id, depth ON public.delegations FOR EACH ROW EXECUTE FUNCTION public.check_delegation_facts();

CREATE TRIGGER tr_delegations_forward_only BEFORE UPDATE OF status, attempt ON public.delegations FOR EACH ROW EXECUTE FUNCTION public.check_delegation_move();

CREATE TRIGGER tr_delegations_kept BEFORE TRUNCATE ON public.delegations FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_delegations_log_created AFTER INSERT ON public.delegations REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.log_delegations_created();

CREATE TRIGGER tr_delegations_log_moved AFTER UPDATE ON public.delegations REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.log_delegations_moved();

CREATE TRIGGER tr_delegations_more_facts BEFORE UPDATE OF task_preview, input, request_hash, retry_count, max_retries ON public.delegations FOR EACH ROW WHEN ((((((old.task_preview IS DISTINCT FROM new.task_preview) OR (old.input IS DISTINCT FROM new.input)) OR (old.request_hash IS DISTINCT FROM new.request_hash)) OR (old.retry_count IS DISTINCT FROM new.retry_count)) OR (old.max_retries IS DISTINCT FROM new.max_retries))) EXECUTE FUNCTION public.refuse_row_change('what a delegation is never changes');

CREATE TRIGGER tr_deposition_files_facts BEFORE UPDATE ON public.deposition_files FOR EACH ROW EXECUTE FUNCTION public.refuse_row_change('a file is replaced, not changed');

CREATE TRIGGER tr_deposition_files_kept BEFORE TRUNCATE ON public.deposition_files FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_deposition_files_open BEFORE INSERT OR DELETE ON public.deposition_files FOR EACH ROW EXECUTE FUNCTION public.check_deposition_open();

CREATE TRIGGER tr_depositions_accepted BEFORE UPDATE ON public.depositions FOR EACH ROW WHEN (((old.status = 'accepted'::text) AND (old.* IS DISTINCT FROM new.*))) EXECUTE FUNCTION public.refuse_row_change('it was accepted');

CREATE TRIGGER tr_depositions_begin BEFORE INSERT ON public.depositions FOR EACH ROW WHEN (((new.status <> 'draft'::text) OR (new.submissions <> 0) OR (new.record_srn IS NOT NULL))) EXECUTE FUNCTION public.refuse_row_change('a deposition begins as a draft');

CREATE TRIGGER tr_depositions_facts BEFORE UPDATE OF id, convention_slug, owner_user_id, created_at, submissions ON public.depositions FOR EACH ROW WHEN ((((((old.id IS DISTINCT FROM new.id) OR (old.convention_slug IS DISTINCT FROM new.convention_slug)) OR (old.owner_user_id IS DISTINCT FROM new.owner_user_id)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (new.submissions < old.submissions))) EXECUTE FUNCTION public.refuse_row_change('what a deposition is never changes');

CREATE TRIGGER tr_depositions_kept BEFORE DELETE OR TRUNCATE ON public.depositions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_depositions_record BEFORE UPDATE OF record_srn ON public.depositions FOR EACH ROW WHEN (((new.record_srn IS NOT NULL) AND (old.record_srn IS DISTINCT FROM new.record_srn))) EXECUTE FUNCTION public.check_deposition_record();

CREATE TRIGGER tr_hook_live_moves_follow BEFORE INSERT ON public.hook_live_moves FOR EACH ROW EXECUTE FUNCTION public.check_live_move();

CREATE TRIGGER tr_hook_live_moves_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.hook_live_moves FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE CONSTRAINT TRIGGER tr_hook_live_moves_is_pointer AFTER INSERT ON public.hook_live_moves DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_live_pointer();

CREATE TRIGGER tr_hook_release_locations_follow BEFORE INSERT ON public.hook_release_locations FOR EACH ROW EXECUTE FUNCTION public.check_release_location();

CREATE TRIGGER tr_hook_release_locations_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.hook_release_locations FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_hook_release_yanks_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.hook_release_yanks FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE CONSTRAINT TRIGGER tr_hook_release_yanks_not_live AFTER INSERT ON public.hook_release_yanks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_live_pointer();

CREATE TRIGGER tr_hook_releases_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.hook_releases FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_hook_runs_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.hook_runs FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_hooks_contract BEFORE UPDATE OF contract ON public.hooks FOR EACH ROW WHEN ((public.contract_facts(old.contract) IS DISTINCT FROM public.contract_facts(new.contract))) EXECUTE FUNCTION public.refuse_row_change('only descriptions and units of a contract change');

CREATE TRIGGER tr_hooks_facts BEFORE UPDATE OF name, created_at ON public.hooks FOR EACH ROW WHEN (((old.name IS DISTINCT FROM new.name) OR (old.created_at IS DISTINCT FROM new.created_at))) EXECUTE FUNCTION public.refuse_row_change('what a hook is never changes');

CREATE TRIGGER tr_hooks_kept BEFORE DELETE OR TRUNCATE ON public.hooks FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE CONSTRAINT TRIGGER tr_hooks_live_is_history AFTER INSERT OR UPDATE OF live_release_id ON public.hooks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_live_pointer();

CREATE TRIGGER tr_ingest_batches_ended BEFORE UPDATE OF status ON public.ingest_batches FOR EACH ROW WHEN (((old.status <> 'queued'::text) AND (old.status <> new.status))) EXECUTE FUNCTION public.refuse_row_change('the batch has ended');

CREATE TRIGGER tr_ingest_batches_facts BEFORE UPDATE OF ingest_run_id, batch, task_id, records ON public.ingest_batches FOR EACH ROW WHEN (((((old.ingest_run_id IS DISTINCT FROM new.ingest_run_id) OR (old.batch IS DISTINCT FROM new.batch)) OR (old.task_id IS DISTINCT FROM new.task_id)) OR (old.records IS DISTINCT FROM new.records))) EXECUTE FUNCTION public.refuse_row_change('what a batch is never changes');

CREATE TRIGGER tr_ingest_batches_kept BEFORE DELETE OR TRUNCATE ON public.ingest_batches FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_ingest_files_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ingest_files FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_ingest_pulls_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ingest_pulls FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_ingest_records_batch BEFORE UPDATE OF batch ON public.ingest_records FOR EACH ROW WHEN (((old.batch IS DISTINCT FROM new.batch) AND ((old.batch IS NOT NULL) OR (old.outcome IS NOT NULL)))) EXECUTE FUNCTION public.refuse_row_change('a line gets its batch once');

CREATE TRIGGER tr_ingest_records_facts BEFORE UPDATE OF ingest_run_id, source_id, seq, upload, line, metadata, bytes, content_hash ON public.ingest_records FOR EACH ROW WHEN (((((((((old.ingest_run_id IS DISTINCT FROM new.ingest_run_id) OR (old.source_id IS DISTINCT FROM new.source_id)) OR (old.seq IS DISTINCT FROM new.seq)) OR (old.upload IS DISTINCT FROM new.upload)) OR (old.line IS DISTINCT FROM new.line)) OR (old.metadata IS DISTINCT FROM new.metadata)) OR (old.bytes IS DISTINCT FROM new.bytes)) OR (old.content_hash IS DISTINCT FROM new.content_hash))) EXECUTE FUNCTION public.refuse_row_change('what a line is, and where it came from, never changes');

CREATE TRIGGER tr_ingest_records_kept BEFORE DELETE OR TRUNCATE ON public.ingest_records FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_ingest_records_outcome BEFORE UPDATE OF outcome, hook_name, reason, record_srn ON public.ingest_records FOR EACH ROW WHEN (((old.outcome IS NOT NULL) AND ((((old.outcome IS DISTINCT FROM new.outcome) OR (old.hook_name IS DISTINCT FROM new.hook_name)) OR (old.reason IS DISTINCT FROM new.reason)) OR (old.record_srn IS DISTINCT FROM new.record_srn)))) EXECUTE FUNCTION public.refuse_row_change('a line gets its outcome once');

CREATE TRIGGER tr_ingest_refusals_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ingest_refusals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_ingest_runs_facts BEFORE UPDATE OF id, convention_slug, mode, schema_id, schema_version, batch_size, record_limit, opened_by_user_id, opened_by_service_account_id, started_at, since, scheduled_for ON public.ingest_runs FOR EACH ROW WHEN (((((((((((((old.id IS DISTINCT FROM new.id) OR (old.convention_slug IS DISTINCT FROM new.convention_slug)) OR (old.mode IS DISTINCT FROM new.mode)) OR (old.schema_id IS DISTINCT FROM new.schema_id)) OR (old.schema_version IS DISTINCT FROM new.schema_version)) OR (old.batch_size IS DISTINCT FROM new.batch_size)) OR (old.record_limit IS DISTINCT FROM new.record_limit)) OR (old.opened_by_user_id IS DISTINCT FROM new.opened_by_user_id)) OR (old.opened_by_service_account_id IS DISTINCT FROM new.opened_by_service_account_id)) OR (old.started_at IS DISTINCT FROM new.started_at)) OR (old.since IS DISTINCT FROM new.since)) OR (old.scheduled_for IS DISTINCT FROM new.scheduled_for))) EXECUTE FUNCTION public.refuse_row_change('who opened an ingest run, when and how, never changes');

CREATE TRIGGER tr_ingest_runs_kept BEFORE DELETE OR TRUNCATE ON public.ingest_runs FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_ingest_uploads_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ingest_uploads FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_log_epochs_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.log_epochs FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_metadata_tables_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.metadata_tables FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_record_heads_forward_only BEFORE UPDATE ON public.record_heads FOR EACH ROW WHEN (((new.record_id <> old.record_id) OR (new.version < old.version) OR (new.srn !~~ ((('%:rec:'::text || new.record_id) || '@'::text) || new.version)) OR ((new.version = old.version) AND (new.srn IS NOT NULL) AND (old.srn IS NOT NULL)))) EXECUTE FUNCTION public.refuse_row_change('the newest version of a record only moves forward');

CREATE TRIGGER tr_record_heads_inserted BEFORE INSERT ON public.record_heads FOR EACH ROW WHEN ((new.srn IS NULL)) EXECUTE FUNCTION public.check_head();

CREATE TRIGGER tr_record_heads_kept BEFORE DELETE OR TRUNCATE ON public.record_heads FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_record_heads_withdrawn BEFORE UPDATE ON public.record_heads FOR EACH ROW WHEN (((old.srn IS NULL) OR (new.srn IS NULL))) EXECUTE FUNCTION public.check_head();

CREATE TRIGGER tr_records_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.records FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_release_pins_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.release_pins FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_schema_features_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.schema_features FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_schemas_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.schemas FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_service_accounts_facts BEFORE UPDATE OF id, issuer, subject, first_seen ON public.service_accounts FOR EACH ROW WHEN (((((old.id IS DISTINCT FROM new.id) OR (old.issuer IS DISTINCT FROM new.issuer)) OR (old.subject IS DISTINCT FROM new.subject)) OR (old.first_seen IS DISTINCT FROM new.first_seen))) EXECUTE FUNCTION public.refuse_row_change('which machine a service account is never changes');

CREATE TRIGGER tr_service_accounts_kept BEFORE DELETE OR TRUNCATE ON public.service_accounts FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_submission_results_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.submission_results FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_submissions_curated BEFORE UPDATE ON public.submissions FOR EACH ROW WHEN (((old.curated_by_user_id IS NOT NULL) AND (old.* IS DISTINCT FROM new.*))) EXECUTE FUNCTION public.refuse_row_change('a curator has decided');

CREATE TRIGGER tr_submissions_facts BEFORE UPDATE OF task_id, deposition_id, number, metadata, schema_id, schema_version, submitted_at ON public.submissions FOR EACH ROW WHEN ((((((((old.task_id IS DISTINCT FROM new.task_id) OR (old.deposition_id IS DISTINCT FROM new.deposition_id)) OR (old.number IS DISTINCT FROM new.number)) OR (old.metadata IS DISTINCT FROM new.metadata)) OR (old.schema_id IS DISTINCT FROM new.schema_id)) OR (old.schema_version IS DISTINCT FROM new.schema_version)) OR (old.submitted_at IS DISTINCT FROM new.submitted_at))) EXECUTE FUNCTION public.refuse_row_change('what was submitted never changes');

CREATE TRIGGER tr_submissions_kept BEFORE DELETE OR TRUNCATE ON public.submissions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_submissions_open BEFORE INSERT OR UPDATE ON public.submissions FOR EACH ROW EXECUTE FUNCTION public.check_deposition_open();

CREATE TRIGGER tr_supersessions_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.supersessions FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_tasks_ended BEFORE UPDATE OF status ON public.tasks FOR EACH ROW WHEN (((old.status <> new.status) AND ((old.status = ANY (ARRAY['completed'::text, 'cancelled'::text])) OR ((old.status = 'failed'::text) AND (new.status <> 'queued'::text))))) EXECUTE FUNCTION public.refuse_row_change('the task has ended');

CREATE TRIGGER tr_tasks_facts BEFORE UPDATE OF id, kind, name, params, created_at, creator_user_id, creator_service_account_id, idempotency_key, request_hash ON public.tasks FOR EACH ROW WHEN ((((((((((old.id IS DISTINCT FROM new.id) OR (old.kind IS DISTINCT FROM new.kind)) OR (old.name IS DISTINCT FROM new.name)) OR (old.params IS DISTINCT FROM new.params)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.creator_user_id IS DISTINCT FROM new.creator_user_id)) OR (old.creator_service_account_id IS DISTINCT FROM new.creator_service_account_id)) OR (old.idempotency_key IS DISTINCT FROM new.idempotency_key)) OR (old.request_hash IS DISTINCT FROM new.request_hash))) EXECUTE FUNCTION public.refuse_row_change('what a task is never changes');

CREATE TRIGGER tr_tasks_kept BEFORE DELETE OR TRUNCATE ON public.tasks FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_tasks_log_created AFTER INSERT ON public.tasks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.log_tasks_created();

CREATE TRIGGER tr_tasks_log_moved AFTER UPDATE ON public.tasks REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.log_tasks_moved();

CREATE TRIGGER tr_users_facts BEFORE UPDATE OF id, provider, external_id, created_at ON public.users FOR EACH ROW WHEN (((((old.id IS DISTINCT FROM new.id) OR (old.provider IS DISTINCT FROM new.provider)) OR (old.external_id IS DISTINCT FROM new.external_id)) OR (old.created_at IS DISTINCT FROM new.created_at))) EXECUTE FUNCTION public.refuse_row_change('which person a user is never changes');

CREATE TRIGGER tr_users_kept BEFORE DELETE OR TRUNCATE ON public.users FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER tr_withdrawals_follow BEFORE INSERT ON public.withdrawals FOR EACH ROW EXECUTE FUNCTION public.check_withdrawal();

CREATE TRIGGER tr_withdrawals_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.withdrawals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE ONLY public.convention_hooks
    ADD CONSTRAINT convention_hooks_convention_slug_fkey FOREIGN KEY (convention_slug) REFERENCES public.conventions(slug);

ALTER TABLE ONLY public.convention_hooks
    ADD CONSTRAINT convention_hooks_hook_name_fkey FOREIGN KEY (hook_name) REFERENCES public.hooks(name);

ALTER TABLE ONLY public.conventions
    ADD CONSTRAINT conventions_schema_id_schema_version_fkey FOREIGN KEY (schema_id, schema_version) REFERENCES public.schemas(id, version);

ALTER TABLE ONLY public.delegations
    ADD CONSTRAINT delegations_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.deposition_files
    ADD CONSTRAINT deposition_files_deposition_id_fkey FOREIGN KEY (deposition_id) REFERENCES public.depositions(id);

ALTER TABLE ONLY public.depositions
    ADD CONSTRAINT depositions_convention_slug_fkey FOREIGN KEY (convention_slug) REFERENCES public.conventions(slug);

ALTER TABLE ONLY public.depositions
    ADD CONSTRAINT depositions_owner_user_id_fkey FOREIGN KEY (owner_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.depositions
    ADD CONSTRAINT depositions_record_srn_fkey FOREIGN KEY (record_srn) REFERENCES public.records(srn);

ALTER TABLE ONLY public.device_authorizations
    ADD CONSTRAINT device_authorizations_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.hooks
    ADD CONSTRAINT fk_hooks_live_release FOREIGN KEY (name, live_release_id) REFERENCES public.hook_releases(hook_name, id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.hook_checkpoints
    ADD CONSTRAINT hook_checkpoints_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.release_pins(run_id);

ALTER TABLE ONLY public.hook_live_moves
    ADD CONSTRAINT hook_live_moves_hook_name_fkey FOREIGN KEY (hook_name) REFERENCES public.hooks(name);

ALTER TABLE ONLY public.hook_live_moves
    ADD CONSTRAINT hook_live_moves_hook_name_from_release_id_fkey FOREIGN KEY (hook_name, from_release_id) REFERENCES public.hook_releases(hook_name, id);

ALTER TABLE ONLY public.hook_live_moves
    ADD CONSTRAINT hook_live_moves_hook_name_to_release_id_fkey FOREIGN KEY (hook_name, to_release_id) REFERENCES public.hook_releases(hook_name, id);

ALTER TABLE ONLY public.hook_live_moves
    ADD CONSTRAINT hook_live_moves_moved_by_service_account_id_fkey FOREIGN KEY (moved_by_service_account_id) REFERENCES public.service_accounts(id);

ALTER TABLE ONLY public.hook_live_moves
    ADD CONSTRAINT hook_live_moves_moved_by_user_id_fkey FOREIGN KEY (moved_by_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.hook_release_locations
    ADD CONSTRAINT hook_release_locations_hook_name_release_id_fkey FOREIGN KEY (hook_name, release_id) REFERENCES public.hook_releases(hook_name, id);

ALTER TABLE ONLY public.hook_release_locations
    ADD CONSTRAINT hook_release_locations_registered_by_service_account_id_fkey FOREIGN KEY (registered_by_service_account_id) REFERENCES public.service_accounts(id);

ALTER TABLE ONLY public.hook_release_locations
    ADD CONSTRAINT hook_release_locations_registered_by_user_id_fkey FOREIGN KEY (registered_by_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.hook_release_yanks
    ADD CONSTRAINT hook_release_yanks_changed_by_service_account_id_fkey FOREIGN KEY (changed_by_service_account_id) REFERENCES public.service_accounts(id);

ALTER TABLE ONLY public.hook_release_yanks
    ADD CONSTRAINT hook_release_yanks_changed_by_user_id_fkey FOREIGN KEY (changed_by_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.hook_release_yanks
    ADD CONSTRAINT hook_release_yanks_hook_name_release_id_fkey FOREIGN KEY (hook_name, release_id) REFERENCES public.hook_releases(hook_name, id);

ALTER TABLE ONLY public.hook_releases
    ADD CONSTRAINT hook_releases_built_by_service_account_id_fkey FOREIGN KEY (built_by_service_account_id) REFERENCES public.service_accounts(id);

ALTER TABLE ONLY public.hook_releases
    ADD CONSTRAINT hook_releases_built_by_user_id_fkey FOREIGN KEY (built_by_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.hook_releases
    ADD CONSTRAINT hook_releases_hook_name_fkey FOREIGN KEY (hook_name) REFERENCES public.hooks(name);

ALTER TABLE ONLY public.hook_runs
    ADD CONSTRAINT hook_runs_release_id_fkey FOREIGN KEY (release_id) REFERENCES public.hook_releases(id);

ALTER TABLE ONLY public.ingest_batches
    ADD CONSTRAINT ingest_batches_ingest_run_id_fkey FOREIGN KEY (ingest_run_id) REFERENCES public.ingest_runs(id);

ALTER TABLE ONLY public.ingest_batches
    ADD CONSTRAINT ingest_batches_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.ingest_files
    ADD CONSTRAINT ingest_files_ingest_run_id_source_id_fkey FOREIGN KEY (ingest_run_id, source_id) REFERENCES public.ingest_records(ingest_run_id, source_id);

ALTER TABLE ONLY public.ingest_pulls
    ADD CONSTRAINT ingest_pulls_ingest_run_id_fkey FOREIGN KEY (ingest_run_id) REFERENCES public.ingest_runs(id);

ALTER TABLE ONLY public.ingest_pulls
    ADD CONSTRAINT ingest_pulls_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.ingest_push_refusals
    ADD CONSTRAINT ingest_push_refusals_ingest_run_id_upload_fkey FOREIGN KEY (ingest_run_id, upload) REFERENCES public.ingest_uploads(ingest_run_id, upload);

ALTER TABLE ONLY public.ingest_records
    ADD CONSTRAINT ingest_records_ingest_run_id_fkey FOREIGN KEY (ingest_run_id) REFERENCES public.ingest_runs(id);

ALTER TABLE ONLY public.ingest_records
    ADD CONSTRAINT ingest_records_record_srn_fkey FOREIGN KEY (record_srn) REFERENCES public.records(srn);

ALTER TABLE ONLY public.ingest_refusals
    ADD CONSTRAINT ingest_refusals_ingest_run_id_pull_fkey FOREIGN KEY (ingest_run_id, pull) REFERENCES public.ingest_pulls(ingest_run_id, pull);

ALTER TABLE ONLY public.ingest_runs
    ADD CONSTRAINT ingest_runs_convention_slug_fkey FOREIGN KEY (convention_slug) REFERENCES public.conventions(slug);

ALTER TABLE ONLY public.ingest_runs
    ADD CONSTRAINT ingest_runs_opened_by_service_account_id_fkey FOREIGN KEY (opened_by_service_account_id) REFERENCES public.service_accounts(id);

ALTER TABLE ONLY public.ingest_runs
    ADD CONSTRAINT ingest_runs_opened_by_user_id_fkey FOREIGN KEY (opened_by_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.ingest_runs
    ADD CONSTRAINT ingest_runs_schema_id_schema_version_fkey FOREIGN KEY (schema_id, schema_version) REFERENCES public.schemas(id, version);

ALTER TABLE ONLY public.ingest_uploads
    ADD CONSTRAINT ingest_uploads_ingest_run_id_fkey FOREIGN KEY (ingest_run_id) REFERENCES public.ingest_runs(id);

ALTER TABLE ONLY public.ingest_uploads
    ADD CONSTRAINT ingest_uploads_pushed_by_service_account_id_fkey FOREIGN KEY (pushed_by_service_account_id) REFERENCES public.service_accounts(id);

ALTER TABLE ONLY public.ingest_uploads
    ADD CONSTRAINT ingest_uploads_pushed_by_user_id_fkey FOREIGN KEY (pushed_by_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.record_heads
    ADD CONSTRAINT record_heads_srn_fkey FOREIGN KEY (srn) REFERENCES public.records(srn);

ALTER TABLE ONLY public.records
    ADD CONSTRAINT records_convention_slug_fkey FOREIGN KEY (convention_slug) REFERENCES public.conventions(slug);

ALTER TABLE ONLY public.records
    ADD CONSTRAINT records_ingest_run_id_fkey FOREIGN KEY (ingest_run_id) REFERENCES public.ingest_runs(id);

ALTER TABLE ONLY public.records
    ADD CONSTRAINT records_schema_id_schema_version_fkey FOREIGN KEY (schema_id, schema_version) REFERENCES public.schemas(id, version);

ALTER TABLE ONLY public.refresh_token_families
    ADD CONSTRAINT refresh_token_families_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_family_id_fkey FOREIGN KEY (family_id) REFERENCES public.refresh_token_families(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.release_pins
    ADD CONSTRAINT release_pins_hook_name_release_id_fkey FOREIGN KEY (hook_name, release_id) REFERENCES public.hook_releases(hook_name, id);

ALTER TABLE ONLY public.release_pins
    ADD CONSTRAINT release_pins_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.role_assignments
    ADD CONSTRAINT role_assignments_assigned_by_fkey FOREIGN KEY (assigned_by) REFERENCES public.users(id);

ALTER TABLE ONLY public.role_assignments
    ADD CONSTRAINT role_assignments_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.schema_features
    ADD CONSTRAINT schema_features_hook_name_fkey FOREIGN KEY (hook_name) REFERENCES public.hooks(name);

ALTER TABLE ONLY public.schema_features
    ADD CONSTRAINT schema_features_schema_id_schema_version_fkey FOREIGN KEY (schema_id, schema_version) REFERENCES public.schemas(id, version);

ALTER TABLE ONLY public.schemas
    ADD CONSTRAINT schemas_id_major_fkey FOREIGN KEY (id, major) REFERENCES public.metadata_tables(schema_id, major);

ALTER TABLE ONLY public.submission_results
    ADD CONSTRAINT submission_results_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.hook_runs(id);

ALTER TABLE ONLY public.submission_results
    ADD CONSTRAINT submission_results_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.submissions(task_id);

ALTER TABLE ONLY public.submissions
    ADD CONSTRAINT submissions_curated_by_user_id_fkey FOREIGN KEY (curated_by_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.submissions
    ADD CONSTRAINT submissions_deposition_id_fkey FOREIGN KEY (deposition_id) REFERENCES public.depositions(id);

ALTER TABLE ONLY public.submissions
    ADD CONSTRAINT submissions_schema_id_schema_version_fkey FOREIGN KEY (schema_id, schema_version) REFERENCES public.schemas(id, version);

ALTER TABLE ONLY public.submissions
    ADD CONSTRAINT submissions_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.supersessions
    ADD CONSTRAINT supersessions_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.hook_runs(id);

ALTER TABLE ONLY public.task_grants
    ADD CONSTRAINT task_grants_grantee_service_account_id_fkey FOREIGN KEY (grantee_service_account_id) REFERENCES public.service_accounts(id);

ALTER TABLE ONLY public.task_grants
    ADD CONSTRAINT task_grants_grantee_user_id_fkey FOREIGN KEY (grantee_user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.task_grants
    ADD CONSTRAINT task_grants_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id);

ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT withdrawals_record_id_fkey FOREIGN KEY (record_id) REFERENCES public.record_heads(record_id);
