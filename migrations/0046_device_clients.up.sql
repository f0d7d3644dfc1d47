-- Which client asked for a device's code, as a hash, so that one client cannot take the codes of all others. NULL for the requests of
-- older servers, which are gone within two hours.
ALTER TABLE device_authorizations ADD COLUMN client_hash bytea;
