-- ISO-2: the same for all other tables that a trace shows something of: records and where they came from, depositions, people and machines,
-- hooks and schemas. Each guard refuses exactly what the server never does.

-- People and machines. A person's display name and a machine's state change; which person or machine it is never does.
CREATE TRIGGER tr_users_facts BEFORE UPDATE OF id, provider, external_id, created_at ON users
  FOR EACH ROW WHEN ((OLD.id, OLD.provider, OLD.external_id, OLD.created_at) IS DISTINCT FROM (NEW.id, NEW.provider, NEW.external_id, NEW.created_at))
  EXECUTE FUNCTION refuse_row_change('which person a user is never changes');
CREATE TRIGGER tr_users_kept BEFORE DELETE OR TRUNCATE ON users
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_service_accounts_facts BEFORE UPDATE OF id, issuer, subject, first_seen ON service_accounts
  FOR EACH ROW WHEN ((OLD.id, OLD.issuer, OLD.subject, OLD.first_seen) IS DISTINCT FROM (NEW.id, NEW.issuer, NEW.subject, NEW.first_seen))
  EXECUTE FUNCTION refuse_row_change('which machine a service account is never changes');
CREATE TRIGGER tr_service_accounts_kept BEFORE DELETE OR TRUNCATE ON service_accounts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Hooks and schemas. Of a hook's contract, descriptions and units change; cardinality and columns never do.
CREATE FUNCTION contract_facts(contract jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_array(contract ->> 'cardinality',
    (SELECT jsonb_agg(jsonb_build_array(c ->> 'name', c ->> 'json_type', c ->> 'format', c ->> 'required') ORDER BY n)
     FROM jsonb_array_elements(contract -> 'columns') WITH ORDINALITY AS columns (c, n)))
$$;
CREATE TRIGGER tr_hooks_facts BEFORE UPDATE OF name, created_at ON hooks
  FOR EACH ROW WHEN ((OLD.name, OLD.created_at) IS DISTINCT FROM (NEW.name, NEW.created_at))
  EXECUTE FUNCTION refuse_row_change('what a hook is never changes');
CREATE TRIGGER tr_hooks_contract BEFORE UPDATE OF contract ON hooks
  FOR EACH ROW WHEN (contract_facts(OLD.contract) IS DISTINCT FROM contract_facts(NEW.contract))
  EXECUTE FUNCTION refuse_row_change('only descriptions and units of a contract change');
CREATE TRIGGER tr_hooks_kept BEFORE DELETE OR TRUNCATE ON hooks
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_schema_features_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON schema_features
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_metadata_tables_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON metadata_tables
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_conventions_facts BEFORE UPDATE OF slug, created_at ON conventions
  FOR EACH ROW WHEN ((OLD.slug, OLD.created_at) IS DISTINCT FROM (NEW.slug, NEW.created_at))
  EXECUTE FUNCTION refuse_row_change('which convention it is never changes');
CREATE TRIGGER tr_conventions_kept BEFORE DELETE OR TRUNCATE ON conventions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The newest version of a record: its number only rises, and the SRN is that of this record and version. With the same number only a
-- withdrawal or its end takes the SRN away or gives it back (`check_head`).
CREATE TRIGGER tr_record_heads_forward_only BEFORE UPDATE ON record_heads
  FOR EACH ROW
  WHEN (NEW.record_id <> OLD.record_id OR NEW.version < OLD.version OR NEW.srn NOT LIKE '%:rec:' || NEW.record_id || '@' || NEW.version
        OR (NEW.version = OLD.version AND NEW.srn IS NOT NULL AND OLD.srn IS NOT NULL))
  EXECUTE FUNCTION refuse_row_change('the newest version of a record only moves forward');
CREATE TRIGGER tr_record_heads_kept BEFORE DELETE OR TRUNCATE ON record_heads
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Depositions. One begins as a draft, is accepted through the record that was made of it, and after that nothing of it changes: neither
-- its submissions nor its files.
CREATE TRIGGER tr_depositions_begin BEFORE INSERT ON depositions
  FOR EACH ROW WHEN (NEW.status <> 'draft' OR NEW.submissions <> 0 OR NEW.record_srn IS NOT NULL)
  EXECUTE FUNCTION refuse_row_change('a deposition begins as a draft');
CREATE TRIGGER tr_depositions_facts BEFORE UPDATE OF id, convention_slug, owner_user_id, created_at, submissions ON depositions
  FOR EACH ROW
  WHEN ((OLD.id, OLD.convention_slug, OLD.owner_user_id, OLD.created_at) IS DISTINCT FROM (NEW.id, NEW.convention_slug, NEW.owner_user_id, NEW.created_at)
        OR NEW.submissions < OLD.submissions)
  EXECUTE FUNCTION refuse_row_change('what a deposition is never changes');
CREATE TRIGGER tr_depositions_accepted BEFORE UPDATE ON depositions
  FOR EACH ROW WHEN (OLD.status = 'accepted' AND OLD.* IS DISTINCT FROM NEW.*)
  EXECUTE FUNCTION refuse_row_change('it was accepted');
CREATE FUNCTION check_deposition_record() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM records r WHERE r.srn = NEW.record_srn AND r.source_kind = 'deposition' AND right(r.source_id, length(NEW.id) + 5) = ':dep:' || NEW.id) THEN
    RAISE EXCEPTION 'record % was not made of deposition %', NEW.record_srn, NEW.id USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER tr_depositions_record BEFORE UPDATE OF record_srn ON depositions
  FOR EACH ROW WHEN (NEW.record_srn IS NOT NULL AND OLD.record_srn IS DISTINCT FROM NEW.record_srn)
  EXECUTE FUNCTION check_deposition_record();
CREATE TRIGGER tr_depositions_kept BEFORE DELETE OR TRUNCATE ON depositions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION check_deposition_open() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  deposition CONSTANT text := CASE TG_OP WHEN 'DELETE' THEN OLD.deposition_id ELSE NEW.deposition_id END;
BEGIN
  IF (SELECT status FROM depositions WHERE id = deposition) = 'accepted' THEN
    RAISE EXCEPTION '% of table % is refused: deposition % was accepted', TG_OP, TG_TABLE_NAME, deposition USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER tr_submissions_facts BEFORE UPDATE OF task_id, deposition_id, number, metadata, schema_id, schema_version, submitted_at ON submissions
  FOR EACH ROW
  WHEN ((OLD.task_id, OLD.deposition_id, OLD.number, OLD.metadata, OLD.schema_id, OLD.schema_version, OLD.submitted_at)
        IS DISTINCT FROM
        (NEW.task_id, NEW.deposition_id, NEW.number, NEW.metadata, NEW.schema_id, NEW.schema_version, NEW.submitted_at))
  EXECUTE FUNCTION refuse_row_change('what was submitted never changes');
CREATE TRIGGER tr_submissions_curated BEFORE UPDATE ON submissions
  FOR EACH ROW WHEN (OLD.curated_by_user_id IS NOT NULL AND OLD.* IS DISTINCT FROM NEW.*)
  EXECUTE FUNCTION refuse_row_change('a curator has decided');
CREATE TRIGGER tr_submissions_open BEFORE INSERT OR UPDATE ON submissions
  FOR EACH ROW EXECUTE FUNCTION check_deposition_open();
CREATE TRIGGER tr_submissions_kept BEFORE DELETE OR TRUNCATE ON submissions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_deposition_files_facts BEFORE UPDATE ON deposition_files
  FOR EACH ROW EXECUTE FUNCTION refuse_row_change('a file is replaced, not changed');
CREATE TRIGGER tr_deposition_files_open BEFORE INSERT OR DELETE ON deposition_files
  FOR EACH ROW EXECUTE FUNCTION check_deposition_open();
CREATE TRIGGER tr_deposition_files_kept BEFORE TRUNCATE ON deposition_files
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Ingest runs: who opened what, when and how.
CREATE TRIGGER tr_ingest_runs_facts
  BEFORE UPDATE OF id, convention_slug, mode, schema_id, schema_version, batch_size, record_limit, opened_by_user_id, opened_by_service_account_id,
    started_at, since, scheduled_for ON ingest_runs
  FOR EACH ROW
  WHEN ((OLD.id, OLD.convention_slug, OLD.mode, OLD.schema_id, OLD.schema_version, OLD.batch_size, OLD.record_limit, OLD.opened_by_user_id,
         OLD.opened_by_service_account_id, OLD.started_at, OLD.since, OLD.scheduled_for)
        IS DISTINCT FROM
        (NEW.id, NEW.convention_slug, NEW.mode, NEW.schema_id, NEW.schema_version, NEW.batch_size, NEW.record_limit, NEW.opened_by_user_id,
         NEW.opened_by_service_account_id, NEW.started_at, NEW.since, NEW.scheduled_for))
  EXECUTE FUNCTION refuse_row_change('who opened an ingest run, when and how, never changes');
CREATE TRIGGER tr_ingest_runs_kept BEFORE DELETE OR TRUNCATE ON ingest_runs
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The lines of a run: what came and where from. A line gets its batch once and its outcome once.
CREATE TRIGGER tr_ingest_records_facts
  BEFORE UPDATE OF ingest_run_id, source_id, seq, upload, line, metadata, bytes, content_hash ON ingest_records
  FOR EACH ROW
  WHEN ((OLD.ingest_run_id, OLD.source_id, OLD.seq, OLD.upload, OLD.line, OLD.metadata, OLD.bytes, OLD.content_hash)
        IS DISTINCT FROM
        (NEW.ingest_run_id, NEW.source_id, NEW.seq, NEW.upload, NEW.line, NEW.metadata, NEW.bytes, NEW.content_hash))
  EXECUTE FUNCTION refuse_row_change('what a line is, and where it came from, never changes');
CREATE TRIGGER tr_ingest_records_batch BEFORE UPDATE OF batch ON ingest_records
  FOR EACH ROW WHEN (OLD.batch IS DISTINCT FROM NEW.batch AND (OLD.batch IS NOT NULL OR OLD.outcome IS NOT NULL))
  EXECUTE FUNCTION refuse_row_change('a line gets its batch once');
CREATE TRIGGER tr_ingest_records_outcome BEFORE UPDATE OF outcome, hook_name, reason, record_srn ON ingest_records
  FOR EACH ROW
  WHEN (OLD.outcome IS NOT NULL
        AND (OLD.outcome, OLD.hook_name, OLD.reason, OLD.record_srn) IS DISTINCT FROM (NEW.outcome, NEW.hook_name, NEW.reason, NEW.record_srn))
  EXECUTE FUNCTION refuse_row_change('a line gets its outcome once');
CREATE TRIGGER tr_ingest_records_kept BEFORE DELETE OR TRUNCATE ON ingest_records
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_ingest_batches_facts BEFORE UPDATE OF ingest_run_id, batch, task_id, records ON ingest_batches
  FOR EACH ROW
  WHEN ((OLD.ingest_run_id, OLD.batch, OLD.task_id, OLD.records) IS DISTINCT FROM (NEW.ingest_run_id, NEW.batch, NEW.task_id, NEW.records))
  EXECUTE FUNCTION refuse_row_change('what a batch is never changes');
CREATE TRIGGER tr_ingest_batches_ended BEFORE UPDATE OF status ON ingest_batches
  FOR EACH ROW WHEN (OLD.status <> 'queued' AND OLD.status <> NEW.status)
  EXECUTE FUNCTION refuse_row_change('the batch has ended');
CREATE TRIGGER tr_ingest_batches_kept BEFORE DELETE OR TRUNCATE ON ingest_batches
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_ingest_files_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ingest_files
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tr_ingest_refusals_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ingest_refusals
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
