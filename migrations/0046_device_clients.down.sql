ALTER TABLE device_authorizations DROP COLUMN client_hash;
