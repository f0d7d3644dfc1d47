-- Sign-in of people (wire contract 1.10) and what superadmins do to accounts (AUT-3, wire contract 1.9).

ALTER TABLE service_accounts
  ADD COLUMN disabled_by uuid,
  ADD COLUMN disabled_reason text;

-- Opaque tokens of which only the SHA-256 is kept. Each is used once; using one again revokes its family.
CREATE TABLE refresh_tokens (
  token_hash bytea PRIMARY KEY CONSTRAINT ck_refresh_tokens_hash CHECK (octet_length(token_hash) = 32),
  family_id  uuid NOT NULL,
  user_id    uuid NOT NULL REFERENCES users (id),
  issued_at  timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at    timestamptz
);
CREATE INDEX ix_refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX ix_refresh_tokens_expires ON refresh_tokens (expires_at);

CREATE TABLE refresh_token_families (
  id         uuid PRIMARY KEY,
  user_id    uuid NOT NULL REFERENCES users (id),
  revoked_at timestamptz,
  revoked_for text
);
ALTER TABLE refresh_tokens ADD FOREIGN KEY (family_id) REFERENCES refresh_token_families (id) ON DELETE CASCADE;

-- RFC 8628: a device asks, a person says yes in a browser, the device fetches its tokens once.
CREATE TABLE device_authorizations (
  device_code_hash bytea PRIMARY KEY CONSTRAINT ck_device_authorizations_hash CHECK (octet_length(device_code_hash) = 32),
  user_code   text NOT NULL CONSTRAINT uq_device_authorizations_user_code UNIQUE,
  status      text NOT NULL DEFAULT 'pending' CONSTRAINT ck_device_authorizations_status CHECK (status IN ('pending', 'authorized', 'consumed')),
  user_id     uuid REFERENCES users (id),
  created_at  timestamptz NOT NULL DEFAULT now(),
  expires_at  timestamptz NOT NULL,
  CONSTRAINT ck_device_authorizations_user CHECK ((status = 'pending') = (user_id IS NULL))
);
CREATE INDEX ix_device_authorizations_expires ON device_authorizations (expires_at);
