-- What crates/postgres-adapter does for one new release (CreateRelease), statement by statement, for pgbench.
-- Given: prefix and hooks (names are <prefix><0..hooks-1>).
\set n random(0, :hooks - 1)
\set a random(1, 9223372036854775807)
\set b random(1, 9223372036854775807)
BEGIN;
select contract, live_release_id from hooks where name = :prefix::text || :n::text for update \gset
select (select max(version) from hook_releases where hook_name = :prefix::text || :n::text) as last, (select version from hook_releases where id = :live_release_id) as live \gset
select id, hook_name, version, image, digest, config, limits, source_ref, built_by_user_id, built_by_service_account_id, built_at
  from hook_releases where hook_name = :prefix::text || :n::text and content_key = sha256((:a::text || '-' || :b::text)::bytea);
insert into hook_releases (id, hook_name, version, image, digest, config, limits, content_key, source_ref, built_by_user_id, built_by_service_account_id)
  values (gen_random_uuid(), :prefix::text || :n::text, :last::int + 1, 'file:/x', 'sha256:' || encode(sha256((:a::text || '-' || :b::text)::bytea), 'hex'), '{}',
    '{"timeout_seconds": 300, "memory": "1g", "cpu": "0.5"}', sha256((:a::text || '-' || :b::text)::bytea), 'git:1', '00000000-0000-7000-8000-0000000000a1', null)
  returning id as release, built_at \gset
update hooks set live_release_id = :release where name = :prefix::text || :n::text;
insert into activity_log (id, kind, subject, actor_user_id, actor_service_account_id, payload)
  values (gen_random_uuid(), 'HookReleased', 'hook:' || :prefix::text || :n::text, '00000000-0000-7000-8000-0000000000a1', null,
    jsonb_build_object('hook_name', :prefix::text || :n::text, 'version', :last::int + 1, 'release_id', :release::text, 'source_ref', 'git:1', 'previous_live_version', :last::int,
      'digest', 'sha256:' || encode(sha256((:a::text || '-' || :b::text)::bytea), 'hex')));
COMMIT;
