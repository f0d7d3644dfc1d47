DROP TABLE device_authorizations, refresh_tokens, refresh_token_families;
ALTER TABLE service_accounts DROP COLUMN disabled_by, DROP COLUMN disabled_reason;
